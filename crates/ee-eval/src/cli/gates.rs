//! `ee-eval gates`.

use clap::Args;

use super::groups::{Certificates, Keep, Report, Traces};
use crate::certify::certificate::Certificate;
use crate::error::{EvalError, Result};
use crate::labels::results::Results;
use crate::labels::{self, View, findings};
use crate::output::{claim, write_json};
use crate::tokens::replay::{self, Replay};
use crate::trace::{self, Trace};

/// `ee-eval gates`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    traces: Traces,
    #[command(flatten)]
    quality: Keep,
    #[command(flatten)]
    certified: Certificates,
    #[command(flatten)]
    report: Report,
}

pub(super) fn run(flags: &Flags) -> Result<()> {
    let merged = trace::read_all(&flags.traces.trace)?;
    if merged.trace.facts.generation.is_some() {
        if !flags.certified.certificate.is_empty() {
            let reason =
                "--certificate: of generated text `ee-eval decode` takes it, which runs the model"
                    .to_owned();
            return Err(EvalError::Setting { reason });
        }
        return replay_gates(&merged.trace, flags, merged.notices);
    }
    let mut results = Results::of_trace(&merged.trace, flags.quality.keep, merged.notices)?;
    for path in &flags.certified.certificate {
        results.certified.push(Certificate::read(path)?.check(path, &merged.trace)?);
    }
    for notice in &results.notices {
        ee_files::note!("notice: {notice}");
    }
    let name = results.trace.model_name(1);
    let view = View {
        title: format!("Early exits of {name} on {}", results.trace.task),
        models: vec![(&name, &results)],
        paired: vec![],
    };
    let _lock = claim(&flags.report.output, "a report of ee-eval gates")?;
    write_json(&flags.report.output.join("results.json"), &results)?;
    let page = labels::write(&view, &flags.report.output)?;
    ee_files::show!(
        "{}\n{}",
        labels::tables::headline(&view).plain(),
        labels::tables::gates(&view).plain()
    );
    ee_files::say!("\n{}\n\n{}", findings::sentences(&view).join("\n"), page.display());
    Ok(())
}

/// The same of tokens, whose gates agree with the full model or do not.
fn replay_gates(trace: &Trace, flags: &Flags, notices: Vec<String>) -> Result<()> {
    let found = Replay::of_trace(trace, flags.quality.keep, notices)?;
    for notice in &found.notices {
        ee_files::note!("notice: {notice}");
    }
    let _lock = claim(&flags.report.output, "a report of ee-eval gates")?;
    let page = found.write(&flags.report.output)?;
    ee_files::show!("{}\n{}\n", replay::table(&found).plain(), found.findings.join("\n"));
    ee_files::say!("\n{}", page.display());
    Ok(())
}
