//! pass@1 of generated Python programs: the share that passes its tests at the first try.
//!
//! The references of an example are lines of Python that run after the program in their order: set-up first,
//! then the assertions. They run in a process of their own, which sees the program's names as those of another process
//! ([`Sandbox::check`]), so that a program can neither read nor forge what is expected of it; a sample
//! passes if every statement of both was run and both exit codes are 0. Objects of a program's own class equal
//! nothing but themselves there. How the program is found in a generated text is stated at [`program`].

use ee_sandbox::{Outcome, Sandbox};

use super::{Entry, TextMetric};
use crate::error::Error;

/// Passed programs over all (Chen et al. 2021 with k = n = 1).
struct PassAt1 {
    sandbox: Sandbox,
}

const NAME: &str = "pass@1";

pub(super) const METRICS: &[Entry] = &[Entry::Needing {
    name: NAME,
    runs_programs: true,
    // Which tests the sandbox.
    build: || Ok(Box::new(PassAt1 { sandbox: Sandbox::new(None)? })),
    score,
}];

/// The program in a generated text: what is between `[BEGIN]` and `[DONE]`, the words of MBPP's
/// prompt, and in that the inside of the first block fenced by lines that start with ```` ``` ````.
/// A missing start or end is that of the text. White space in front is not part of it: where a
/// prompt ends on a space or not depends on the tokenizer, and no script starts indented.
fn program(text: &str) -> &str {
    let text = text.split_once("[BEGIN]").map_or(text, |(_, rest)| rest);
    let text = text.split_once("[DONE]").map_or(text, |(before, _)| before);
    fenced(text).unwrap_or(text).trim_start()
}

/// The inside of the first fenced block.
fn fenced(text: &str) -> Option<&str> {
    let fence = |text: &str| {
        if text.starts_with("```") { Some(0) } else { text.find("\n```").map(|at| at + 1) }
    };
    let opening = &text[fence(text)?..];
    let (_, inside) = opening.split_once('\n')?;
    Some(fence(inside).map_or(inside, |end| &inside[..end]))
}

impl TextMetric for PassAt1 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self, _n_references: Option<usize>) -> String {
        let limits = self.sandbox.limits();
        format!(
            "{NAME}|python:{}|tests:apart|seconds:{}|memory:{}MiB|ee-tasks:{}",
            self.sandbox.python_version(),
            limits.processor_seconds,
            limits.memory >> 20,
            env!("CARGO_PKG_VERSION")
        )
    }

    fn statistics(&self, hypothesis: &str, references: &[&str]) -> Result<Vec<f64>, Error> {
        let tests = references.join("\n");
        let passed = self.sandbox.check(program(hypothesis), &tests)? == Outcome::Passed;
        Ok(vec![f64::from(passed), 1.0])
    }

    fn score(&self, sum: &[f64]) -> f64 {
        score(sum)
    }
}

fn score(sum: &[f64]) -> f64 {
    sum[0] / sum[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::{by_name, check_name, score_by_name};

    #[test]
    fn stored_statistics_are_scored_without_permission() {
        assert_eq!(score_by_name("pass@1").expect("known")(&[3.0, 4.0]), 0.75);
        assert_eq!(score_by_name("exact_match").expect("known")(&[1.0, 2.0]), 0.5);
        let error = score_by_name("pass@2").err().expect("unknown").to_string();
        assert!(error.contains("pass@1"), "{error}");
    }

    #[test]
    fn the_program_is_found_in_what_models_write_around_it() {
        let wanted = "def f():\n    return 1";
        for text in [
            "def f():\n    return 1",
            " \ndef f():\n    return 1",
            "[BEGIN]\ndef f():\n    return 1",
            "def f():\n    return 1\n[DONE]\nNext: write a function",
            "```python\ndef f():\n    return 1\n```",
            "Here it is:\n```\ndef f():\n    return 1\n```\nand a test:\n```\nf()\n```",
            "[BEGIN]\n```python\ndef f():\n    return 1\n```\n[DONE]",
            "```python\ndef f():\n    return 1",
        ] {
            assert_eq!(program(text).trim_end(), wanted, "{text:?}");
        }
        assert_eq!(program("x = '```'\ny = 1"), "x = '```'\ny = 1");
        assert_eq!(program("```"), "```");
        assert_eq!(program(""), "");
    }

    #[test]
    fn it_is_built_only_where_the_user_allows_it() {
        check_name("pass@1").expect("known to task files");
        let refused = by_name("pass@1", false).err().expect("refused").to_string();
        assert!(refused.contains("--allow-code-execution"), "{refused}");
        let unknown = by_name("pass@2", true).err().expect("unknown").to_string();
        assert!(unknown.contains("did you mean `pass@1`?"), "{unknown}");
    }

    #[test]
    fn it_counts_programs_that_pass_all_assertions() {
        if ee_sandbox::impossible().is_some() {
            return;
        }
        let metric = by_name("pass@1", true).expect("isolation is possible");
        assert!(
            metric.signature(None).starts_with("pass@1|python:3."),
            "{}",
            metric.signature(None)
        );
        let references = [
            "expected = [1, 4]",
            "assert square(1) == expected[0]",
            "assert square(2) == expected[1]",
        ];
        let mut sum = vec![0.0, 0.0];
        for (hypothesis, passes) in [
            ("[BEGIN]\ndef square(x):\r\n    return x * x\n[DONE]", 1.0),
            ("def square(x):\n    return x", 0.0),
            ("def square(x:\n", 0.0),
            ("import os\nos._exit(0)", 0.0),
        ] {
            let statistics = metric.statistics(hypothesis, &references).expect("it runs");
            assert_eq!(statistics, [passes, 1.0], "{hypothesis}");
            sum.iter_mut().zip(statistics).for_each(|(total, count)| *total += count);
        }
        assert_eq!(metric.score(&sum), 0.25);
    }
}
