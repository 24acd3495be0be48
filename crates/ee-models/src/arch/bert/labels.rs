//! Which output of a head means which of a task's labels.
//!
//! Names decide, without regard to case, as in transformers' `run_glue.py`: a head may answer in an order
//! of its own. Where its outputs have no names (`LABEL_0`, …) their order is the task's, which is reported, or
//! the one that is stated. Any other head is refused: an order that was not stated would be a guess.

use burn::module::Param;

use super::Encoder;
use super::load::Loaded;
use crate::indices::indices;

/// A task's labels, and what is said of a head that may not know them by name.
#[derive(Clone, Copy, Debug)]
pub struct TaskLabels<'a> {
    /// Their names, in the order of their numbers.
    pub names: &'a [String],
    /// What they are called in the data, where that differs; heads may have been named after it.
    pub written: Option<&'a [String]>,
    /// The names in the order of the head's outputs, where it was stated.
    pub head_order: Option<&'a [String]>,
}

/// How the outputs of a head match the labels of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelOrder {
    /// The head's output for each of the task's labels.
    pub outputs: Vec<usize>,
    /// What each of the head's outputs is called: its own name, or the task's where it has none.
    pub head_names: Vec<String>,
    /// What a reader of the results must know.
    pub notice: Option<String>,
}

/// Why a head and a task do not match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum LabelMismatch {
    /// The head's number of outputs differs from the task's number of labels.
    #[error("the checkpoint's head has {} labels ({}), the task has {} ({})",
        head.len(), head.join(", "), task.len(), task.join(", "))]
    Number { head: Vec<String>, task: Vec<String> },
    /// The head's labels have names, and these are not the task's.
    #[error("the checkpoint's head has the labels {}, the task has {}; which output of the head means \
             which label must be stated, or id2label be corrected in config.json",
        head.join(", "), task.join(", "))]
    Names { head: Vec<String>, task: Vec<String> },
    /// What was stated is not an order of the task's labels.
    #[error("the stated order of labels is {}, expected each of the task's labels once: {}",
        stated.join(", "), task.join(", "))]
    Stated { stated: Vec<String>, task: Vec<String> },
    /// The head's labels have the task's names, in a different order from the stated one.
    #[error("the stated order of labels contradicts the head's own, {}; where its names are wrong, correct \
             id2label in config.json", head.join(", "))]
    Contradiction { head: Vec<String> },
}

impl LabelOrder {
    /// Matches a head's labels, in the order of its outputs, with a task's.
    ///
    /// # Errors
    /// Every kind of [`LabelMismatch`].
    pub fn of(head: &[String], task: TaskLabels<'_>) -> Result<Self, LabelMismatch> {
        let TaskLabels { names, written, head_order } = task;
        if head.len() != names.len() {
            return Err(LabelMismatch::Number { head: head.to_vec(), task: names.to_vec() });
        }
        let stated = head_order.map(|order| {
            match_names(order, names).ok_or_else(|| LabelMismatch::Stated {
                stated: order.to_vec(),
                task: names.to_vec(),
            })
        });
        let stated = stated.transpose()?;
        let by_name = match_names(head, names).or_else(|| match_names(head, written?));
        match (by_name, stated) {
            (Some(outputs), Some(stated)) if outputs != stated => {
                Err(LabelMismatch::Contradiction { head: head.to_vec() })
            }
            (Some(outputs), _) => Ok(Self { outputs, head_names: head.to_vec(), notice: None }),
            (None, Some(outputs)) => {
                let head_names = named(&outputs, names);
                let notice = format!(
                    "the outputs of the checkpoint's head ({}) are taken as {}, as stated",
                    head.join(", "),
                    head_names.join(", ")
                );
                Ok(Self { outputs, head_names, notice: Some(notice) })
            }
            (None, None) if are_unnamed(head) => {
                let notice = format!(
                    "the outputs of the checkpoint's head have no names ({}); they are taken in the order of \
                     the task's labels: {}",
                    head.join(", "),
                    names.join(", ")
                );
                let outputs = (0..names.len()).collect();
                Ok(Self { outputs, head_names: names.to_vec(), notice: Some(notice) })
            }
            (None, None) => Err(LabelMismatch::Names { head: head.to_vec(), task: names.to_vec() }),
        }
    }

    /// The task's label that each of the head's outputs means.
    #[must_use]
    pub fn labels(&self) -> Vec<usize> {
        inverse(&self.outputs)
    }

    /// Whether head and task have one order.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.outputs.iter().enumerate().all(|(label, output)| label == *output)
    }
}

impl Loaded {
    /// Puts the head's outputs into the order of the task's labels, and names them so.
    pub fn answer_in(&mut self, order: &LabelOrder) {
        if !order.is_same() {
            self.model.reorder_outputs(&order.outputs);
        }
        let names: Vec<String> =
            order.outputs.iter().map(|&output| order.head_names[output].clone()).collect();
        self.config.set_labels(&names);
    }
}

impl Encoder {
    /// Output `i` becomes what output `outputs[i]` was.
    fn reorder_outputs(&mut self, outputs: &[usize]) {
        let head = &mut self.head_output;
        let order = indices(outputs.iter().copied(), &head.weight.val().device());
        // Parameters keep their identity, by which they are named when written.
        let weight = head.weight.val().select(0, order.clone());
        head.weight = Param::initialized(head.weight.id, weight);
        if let Some(bias) = &mut head.bias {
            *bias = Param::initialized(bias.id, bias.val().select(0, order));
        }
    }
}

/// The head's output for each name, where the two have the same names, each once.
fn match_names(head: &[String], names: &[String]) -> Option<Vec<usize>> {
    if head.len() != names.len() {
        return None;
    }
    let folded = |name: &String| name.trim().to_lowercase();
    let head: Vec<String> = head.iter().map(folded).collect();
    let outputs = names.iter().map(folded).map(|name| {
        let mut found = head.iter().enumerate().filter(|(_, own)| **own == name);
        let (output, _) = found.next()?;
        found.next().is_none().then_some(output)
    });
    let outputs: Vec<usize> = outputs.collect::<Option<_>>()?;
    is_permutation(&outputs).then_some(outputs)
}

/// Whether names only number the outputs: `LABEL_0`, `LABEL_1`, …, or 0, 1, ….
fn are_unnamed(head: &[String]) -> bool {
    let is_unnamed = |(output, name): (usize, &String)| {
        let number = name.trim().to_lowercase();
        number.strip_prefix("label_").unwrap_or(&number) == output.to_string()
    };
    head.iter().enumerate().all(is_unnamed)
}

/// The names in the order of the outputs.
fn named(outputs: &[usize], names: &[String]) -> Vec<String> {
    inverse(outputs).into_iter().map(|label| names[label].clone()).collect()
}

fn inverse(outputs: &[usize]) -> Vec<usize> {
    let mut labels = vec![0; outputs.len()];
    outputs.iter().enumerate().for_each(|(label, &output)| labels[output] = label);
    labels
}

fn is_permutation(outputs: &[usize]) -> bool {
    let mut sorted = outputs.to_vec();
    sorted.sort_unstable();
    sorted.iter().enumerate().all(|(place, output)| place == *output)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: [&str; 3] = ["entailment", "neutral", "contradiction"];

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn order(head: &[&str], head_order: Option<&[&str]>) -> Result<LabelOrder, LabelMismatch> {
        let (names, head_order) = (strings(&TASK), head_order.map(strings));
        let task = TaskLabels { names: &names, written: None, head_order: head_order.as_deref() };
        LabelOrder::of(&strings(head), task)
    }

    #[test]
    fn names_decide_whatever_their_case() {
        let head = ["CONTRADICTION", "Entailment", "neutral"];
        let found = order(&head, None).unwrap();
        assert_eq!((found.outputs.as_slice(), found.labels()), (&[1, 2, 0][..], vec![2, 0, 1]));
        assert_eq!((found.head_names, found.notice), (strings(&head), None));
        assert!(order(&TASK, None).unwrap().is_same());
    }

    #[test]
    fn outputs_without_names_are_taken_in_order_and_that_is_said() {
        for head in [["LABEL_0", "LABEL_1", "LABEL_2"], ["0", "1", "2"]] {
            let found = order(&head, None).unwrap();
            assert!(found.is_same());
            assert_eq!(found.head_names, strings(&TASK));
            assert!(found.notice.unwrap().contains("entailment, neutral, contradiction"));
        }
        // Numbers in another order mean something, but it is unclear what.
        order(&["LABEL_1", "LABEL_0", "LABEL_2"], None).unwrap_err();
    }

    #[test]
    fn other_names_need_a_stated_order() {
        let head = ["yes", "maybe", "no"];
        let error = order(&head, None).unwrap_err().to_string();
        assert!(error.contains("yes, maybe, no"), "{error}");
        assert!(error.contains("entailment, neutral, contradiction"), "{error}");
        let stated = ["contradiction", "entailment", "neutral"];
        let found = order(&head, Some(&stated)).unwrap();
        assert_eq!(found.outputs, [1, 2, 0]);
        assert_eq!(found.head_names, strings(&stated));
        assert!(found.notice.unwrap().contains("as stated"));
        // It also holds for outputs without names.
        assert_eq!(order(&["0", "1", "2"], Some(&stated)).unwrap().outputs, [1, 2, 0]);
    }

    #[test]
    fn a_stated_order_must_be_of_the_tasks_labels_and_not_against_the_heads() {
        let stated = ["contradiction", "entailment", "neutral"];
        let contradiction = LabelMismatch::Contradiction { head: strings(&TASK) };
        assert_eq!(order(&TASK, Some(&stated)), Err(contradiction));
        assert!(order(&stated, Some(&stated)).is_ok());
        for wrong in [&["entailment", "neutral", "neutral"][..], &TASK[..2], &["a", "b", "c"]] {
            let error = order(&["a", "b", "c"], Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("each of the task's labels once"), "{error}");
        }
    }

    #[test]
    fn heads_named_after_the_data_and_heads_of_another_size() {
        let (names, written) = (strings(&["negative", "positive"]), strings(&["neg", "pos"]));
        let task = TaskLabels { names: &names, written: Some(&written), head_order: None };
        assert_eq!(LabelOrder::of(&strings(&["pos", "neg"]), task).unwrap().outputs, [1, 0]);
        let error = LabelOrder::of(&strings(&TASK), task).unwrap_err().to_string();
        assert!(error.contains("has 3 labels (entailment,"), "{error}");
        assert!(error.contains("has 2 (negative, positive)"), "{error}");
        // Two outputs with one name match nothing.
        LabelOrder::of(&strings(&["pos", "pos"]), task).unwrap_err();
    }
}
