//! How tokens leave: a rule, a policy, a head, and where they apply.

use std::sync::Arc;

use ee_models::Decoder;
use ee_models::gate::LinearGate;

use super::head::HeadChoice;
use super::policy::KvPolicy;
use super::rule::ExitRule;
use crate::error::{Error, Result};
use crate::gates::{ExitSpace, SetGate};

/// How tokens leave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// When.
    pub rule: ExitRule,
    /// What becomes of the layers above.
    pub policy: &'static dyn KvPolicy,
    /// How the head is read before the last exit.
    pub head: HeadChoice,
    /// The exits before the last at which gates are read, in increasing order.
    pub exits: Vec<usize>,
    /// New tokens at the beginning of a text that never leave.
    pub min_tokens: usize,
    /// What a gate that is fitted needs.
    pub fitted: Option<Arc<LinearGate>>,
}

/// Tokens at a text's beginning that never leave, where these many were asked for: a prompt's own pass, which runs every
/// layer, gives the first one, unless an encoder reads the prompts.
pub fn never_leaving(min_tokens: usize, has_encoder: bool) -> usize {
    if has_encoder { min_tokens } else { min_tokens.max(1) }
}

impl Settings {
    /// The exits that gates can choose from, with the last one, and the outputs of the head.
    pub fn space(&self, model: &dyn Decoder) -> ExitSpace {
        ExitSpace { layers: self.exits.len() + 1, labels: model.vocabulary_size() }
    }

    /// Refuses settings that do not go together or can never fire.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::NeverFires`].
    pub fn check(&self, model: &dyn Decoder) -> Result<()> {
        let layers = model.n_layers();
        let complain = |reason: String| Err(Error::Setting { reason });
        if let Some(exit) = self.exits.iter().find(|&&exit| exit == 0 || exit >= layers) {
            return complain(format!(
                "exit {exit} of --exits: expected exits before the last, {layers}"
            ));
        }
        if !self.exits.is_sorted_by(|a, b| a < b) {
            return complain("--exits: expected rising exits, each once".to_owned());
        }
        self.rule.check(layers, self.space(model))?;
        let Some((open, threshold)) = self.rule.gate() else { return Ok(()) };
        let gate = open.gate;
        if !gate.is_on_states() && !self.head.head.is_asked() {
            return complain(format!(
                "{} asks the head at every exit, which --head {} does not read; \
                 it goes with gates on states",
                SetGate { gate, threshold },
                self.head
            ));
        }
        if gate.is_fitted() && self.fitted.is_none() {
            return complain(format!("{} needs a fitted gate: --gate-file", gate.name()));
        }
        Ok(())
    }
}
