//! The numbers of gates on states for a text that the model wrote, which no trace holds.
//!
//! Prompt and tokens go through the layers once, all tokens of a text in one block and no head read: one pass
//! per text where decoding took one per token. The numbers are computed by the functions that decoding calls,
//! from states that on the CPU have the bits of decoding's, so that a gate leaves here where it does there.

use burn::tensor::Tensor;
use ee_decode::gates::{Gate, StateView};
use ee_decode::lane::Lane;
use ee_models::gate::LinearGate;
use ee_models::kernels::Rows;
use ee_models::{Decoder, Stream};

use crate::certify::examples;
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::trace::Trace;

/// Numbers of every row of a trace at the exits 1..N; NaN at a text's first token where no encoder reads the prompts: it
/// never leaves.
#[derive(Debug, Clone)]
pub(crate) struct StateNumbers {
    /// Exits before the last.
    exits: usize,
    /// Of each gate, `[rows × exits]`.
    of_gates: Vec<(&'static str, Vec<f32>)>,
}

impl StateNumbers {
    /// Numbers of gates, `[rows × exits]` each, that are known already.
    #[cfg(test)]
    pub(crate) fn of(exits: usize, of_gates: Vec<(&'static str, Vec<f32>)>) -> Self {
        Self { exits, of_gates }
    }

    /// Runs the model over every text of a greedy trace, after its prompt; `fitted` is what a fitted gate needs.
    pub(crate) fn observe(
        model: &dyn Decoder,
        trace: &Trace,
        prompts: &[Vec<u32>],
        (gates, fitted): (&[&'static dyn Gate], Option<&LinearGate>),
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let exits = trace.layers() - 1;
        let mut of_gates: Vec<(&'static str, Vec<f32>)> =
            gates.iter().map(|gate| (gate.name(), vec![f32::NAN; trace.rows() * exits])).collect();
        let texts = examples(trace);
        same("examples", texts.len(), prompts.len())?;
        let progress = Progress::new("states", texts.len());
        for (rows, prompt) in texts.into_iter().zip(prompts) {
            same("prompt_tokens", trace.prompt_tokens[rows.start] as usize, prompt.len())?;
            // The last token of a text is not an input.
            let tokens = &trace.gold[rows.start..rows.end - 1];
            let mut wrong = None;
            run(model, prompt, tokens, |first, exit, before, state| {
                for (gate, (_, numbers)) in gates.iter().zip(&mut of_gates) {
                    let view =
                        StateView { exit, before: before.clone(), state: state.clone(), fitted };
                    for (row, number) in (rows.start + first..).zip(gate.numbers(view)) {
                        numbers[row * exits + exit - 1] = number;
                        // NaN means a row that never leaves: a state must not say so.
                        if !number.is_finite() {
                            wrong.get_or_insert((row, exit));
                        }
                    }
                }
            });
            if let Some((row, exit)) = wrong {
                let (example, position) = (trace.example[row], trace.position[row]);
                let (example, position) = (example as usize, Some(position as usize));
                return Err(EvalError::NotFinite { example, position, exit });
            }
            if interrupt.is_pressed() {
                let what = "interrupted: a trace that was made is kept".to_owned();
                return Err(EvalError::Interrupted { what });
            }
            progress.advance(1);
        }
        progress.finish();
        Ok(Self { exits, of_gates })
    }

    /// A gate's numbers of some rows at some exits, `[rows × exits]`; none for a gate that was not observed.
    pub(crate) fn values(
        &self,
        gate: &dyn Gate,
        rows: &[usize],
        exits: &[usize],
    ) -> Option<Vec<f32>> {
        let (_, numbers) = self.of_gates.iter().find(|(name, _)| *name == gate.name())?;
        let of_row =
            |&row: &usize| exits.iter().map(move |exit| numbers[row * self.exits + exit - 1]);
        Some(rows.iter().flat_map(of_row).collect())
    }
}

/// Runs some tokens after a prompt through all layers but the last, whose state no gate reads; `see` is given each
/// exit with the states one layer before and there, `[tokens, d_model]`, and which new token the first of them gave.
/// Where an encoder reads the prompt, the decoder's opening gives the first one in a step like any other.
fn run(
    model: &dyn Decoder,
    prompt: &[u32],
    tokens: &[u32],
    mut see: impl FnMut(usize, usize, &Tensor<2>, &Tensor<2>),
) {
    let opens = !model.opening().is_empty();
    if tokens.is_empty() && !opens {
        return;
    }
    let whole = (model, model.n_layers());
    let (mut lane, read) = Lane::begin(whole, &[prompt.to_vec()], tokens.len());
    let mut pass = |lane: &mut Lane<'_>, stream: Stream, first: Option<usize>| {
        let mut before = stream.hidden.clone();
        lane.layers(0..model.n_layers() - 1, stream, |exit, stream| {
            if let Some(first) = first {
                see(first, exit, &before, &stream.hidden);
                before = stream.hidden.clone();
            }
        });
    };
    pass(&mut lane, read, opens.then_some(0));
    if !tokens.is_empty() {
        // The bits of steps, as where `deferred` layers are made up for.
        let stream = lane.embed(tokens, 0, Rows::Few);
        pass(&mut lane, stream, Some(1));
    }
}

fn same(key: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let (expected, found) = (expected.to_string(), found.to_string());
    Err(EvalError::OtherTrace { key, expected, found })
}
