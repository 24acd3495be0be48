//! Self-speculation against plain decoding: the same tokens when greedy, the same distribution when drawn.

mod drawn;
#[path = "../goldens/mod.rs"]
mod goldens;

use std::ops::ControlFlow;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use ee_decode::clock::Clock;
use ee_decode::generate::{Choice, Options, Sampling, Unwatched, Watcher, generate};
use ee_decode::speculate::{Adaptive, Plan, Speculated, Strategy, Tally, speculate};
use ee_decode::{Settings, decode};
use ee_models::arch::llama::{LLAMA, Llama, LlamaConfig, LlamaSizes};
use ee_models::checkpoint::{Precision, RandomParameters};
use ee_models::kernels::Rows;
use ee_models::layers::{Initial, ParameterSource};
use ee_models::signal::{Agreement, Signal};
use ee_models::{Decoder, arch};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const GOLDENS: [&str; 5] =
    ["llama-tiny", "llama3-tiny", "llama-linear-tiny", "qwen2-tiny", "mistral-tiny"];

/// Encoder-decoders: post-norm and pre-norm, all kinds of positions, with tokens that are forced and ruled out.
const PAIRS: [&str; 5] = ["marian-tiny", "bart-tiny", "mbart-tiny", "m2m100-tiny", "t5-tiny"];

/// Draws parameters at random, and makes the layers above an exit change the state little.
struct Damped {
    random: RandomParameters,
    exit: usize,
    factor: f64,
}

impl ParameterSource for Damped {
    fn matrix(&mut self, name: &str, shape: [usize; 2], initial: Initial) -> Param<Tensor<2>> {
        let matrix = self.random.matrix(name, shape, initial);
        let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        let Some((index, part)) = layer else { return matrix };
        let writes = part.ends_with("o_proj.weight") || part.ends_with("down_proj.weight");
        if !writes || index.parse::<usize>().unwrap() < self.exit {
            return matrix;
        }
        Param::from_tensor(matrix.val() * self.factor)
    }

    fn vector(&mut self, name: &str, length: usize, initial: Initial) -> Param<Tensor<1>> {
        self.random.vector(name, length, initial)
    }
}

/// A tiny model whose exits from `exit` on often agree.
fn damped(vocabulary: usize, layers: usize, exit: usize, factor: f64, seed: u64) -> Llama {
    let sizes = LlamaSizes {
        vocabulary,
        d_model: 16,
        layers,
        heads: 4,
        kv_heads: 2,
        inner: 24,
        positions: 64,
    };
    let config = LlamaConfig::of_sizes(&LLAMA, &sizes).unwrap();
    let random = RandomParameters::new(seed, 0.3, Device::flex());
    Llama::new(&config, &mut Damped { random, exit, factor })
}

/// A model in which no layer above exit 3 writes: exits 3 to 7 are the last one.
fn agreeing() -> Llama {
    damped(80, 8, 3, 0.0, 5)
}

fn fixed(exit: usize, drafts: usize) -> Strategy {
    Strategy::Fixed(Plan { exit, drafts })
}

fn adaptive(n_layers: usize) -> Strategy {
    Strategy::Adaptive(Box::new(Adaptive::new(n_layers)))
}

fn speculated(
    model: &dyn Decoder,
    prompts: &[Vec<u32>],
    options: &Options,
    strategy: &mut Strategy,
) -> Speculated {
    speculate(model, prompts, options, (strategy, Clock::default()), &mut Unwatched).unwrap()
}

fn options(max_new_tokens: usize, ends: Vec<u32>) -> Options {
    Options { max_new_tokens, choice: Choice::Greedy, ends, first_number: 0 }
}

fn prompts(random: &mut ChaCha8Rng, n: usize, longest: usize, vocabulary: usize) -> Vec<Vec<u32>> {
    let mut token = || random.random_range(0..vocabulary as u32);
    let mut prompt = || {
        let length = 1 + token() as usize % longest;
        (0..length).map(|_| token()).collect()
    };
    (0..n).map(|_| prompt()).collect()
}

/// The plain continuation of each prompt alone.
fn alone(model: &dyn Decoder, prompts: &[Vec<u32>], options: &Options) -> Vec<Vec<u32>> {
    let one = |prompt: &Vec<u32>| {
        let prompt = std::slice::from_ref(prompt);
        generate(model, prompt, options, &mut Unwatched).unwrap().remove(0)
    };
    prompts.iter().map(one).collect()
}

fn models() -> Vec<Box<dyn Decoder>> {
    let stored =
        |name| Box::new(goldens::decoder(&goldens::folder(name)).model) as Box<dyn Decoder>;
    let mut models = GOLDENS.map(stored).into_iter().collect::<Vec<_>>();
    models.extend(
        (0..3).map(|seed| {
            Box::new(damped(80, 6, 2 + seed % 3, 0.3, seed as u64)) as Box<dyn Decoder>
        }),
    );
    models
}

fn pairs() -> Vec<Box<dyn Decoder>> {
    let stored = |name| arch::decoder(&goldens::folder(name), Precision::Stored, &Device::flex());
    PAIRS.map(|name| stored(name).unwrap().model).into()
}

/// A model with at least one prompt that it can continue, and how.
type Draw<'m> = (&'m dyn Decoder, Vec<Vec<u32>>, Options);

/// A batch of any size with settings of any kind.
fn draw<'m>(random: &mut ChaCha8Rng, models: &'m [Box<dyn Decoder>]) -> Draw<'m> {
    let model = &*models[random.random_range(0..models.len())];
    let (batch, mut new) = (random.random_range(1..=8), random.random_range(1..=24));
    while model.longest_prompt(new) == 0 {
        new -= 1;
    }
    let longest = model.longest_prompt(new).min(24);
    let prompts = prompts(random, batch, longest, model.prompt_vocabulary());
    // Some texts end early, most where all tokens of a residue class end them.
    let class = random.random_range(0..40);
    let ends = (0..model.vocabulary_size() as u32).filter(|id| id % 20 == class).collect();
    (model, prompts, options(new, ends))
}

/// Checks at least `n` random prompts.
fn check(
    models: &[Box<dyn Decoder>],
    (n, seed): (usize, u64),
    strategy: impl Fn(&mut ChaCha8Rng, usize) -> Strategy,
) -> Tally {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut tally = Tally::default();
    while tally.texts < n {
        let (model, prompts, options) = draw(&mut random, models);
        let mut strategy = strategy(&mut random, model.n_layers());
        let found = speculated(model, &prompts, &options, &mut strategy);
        let expected = alone(model, &prompts, &options);
        let (batch, new) = (prompts.len(), options.max_new_tokens);
        assert_eq!(found.texts, expected, "batch {batch}, {new} new tokens, {strategy:?}");
        let later = expected.iter().map(|text| text.len() - 1).sum::<usize>();
        assert_eq!(found.tally.round_tokens, later);
        tally.add(&found.tally);
    }
    tally
}

#[test]
fn fixed_plans_equal_plain_decoding_over_a_thousand_prompts() {
    let tally = check(&models(), (1000, 1), |random, n_layers| {
        fixed(random.random_range(1..n_layers), random.random_range(0..=6))
    });
    // Drafts were accepted and rejected, and rounds gave more than a token each.
    let agreement = tally.agreement().unwrap();
    assert!(agreement > 0.2 && agreement < 0.8, "{agreement}");
    assert!(tally.tokens_per_round() > 1.3, "{}", tally.tokens_per_round());
}

#[test]
fn fixed_plans_equal_plain_decoding_of_encoder_decoders_over_a_thousand_prompts() {
    let tally = check(&pairs(), (1000, 3), |random, n_layers| {
        fixed(random.random_range(1..n_layers), random.random_range(0..=6))
    });
    let agreement = tally.agreement().unwrap();
    assert!(agreement > 0.05 && agreement < 0.95, "{agreement}");
    assert!(tally.tokens_per_round() > 1.1, "{}", tally.tokens_per_round());
    check(&pairs(), (200, 4), |_, n_layers| adaptive(n_layers));
}

#[test]
fn deferred_layers_give_the_full_models_tokens_over_a_thousand_prompts() {
    let (pairs, mut random, mut texts) = (pairs(), ChaCha8Rng::seed_from_u64(8), 0);
    let (mut early, mut first, mut all) = (0, 0, 0);
    while texts < 1000 {
        let (model, prompts, options) = draw(&mut random, &pairs);
        let settings = Settings {
            // The exits of a rule that keeps every token; later tokens attend to what was deferred.
            rule: "ideal".parse().unwrap(),
            policy: ee_decode::policy::by_name("deferred").unwrap(),
            head: "full".parse().unwrap(),
            exits: (1..model.n_layers()).collect(),
            min_tokens: random.random_range(0..2),
            fitted: None,
        };
        let way = (&settings, Clock::default());
        let found = decode(model, &prompts, &options, way, &mut Unwatched).unwrap();
        assert_eq!(found.tokens, alone(model, &prompts, &options), "{settings:?}");
        texts += prompts.len();
        for exits in &found.exits {
            let leaves = |exit: &usize| *exit < model.n_layers();
            first += usize::from(leaves(&exits[0]));
            early += exits.iter().filter(|exit| leaves(exit)).count();
            all += exits.len();
        }
    }
    // Tokens left early, the first of a text among them.
    assert!(first > 100 && early * 10 > all, "{first} first ones, {early} of {all}");
}

#[test]
fn adaptive_plans_equal_plain_decoding() {
    let tally = check(&models(), (300, 2), |_, n_layers| adaptive(n_layers));
    assert!(tally.plans.keys().any(|plan| plan.drafts > 0), "{:?}", tally.plans);
    assert!(tally.plans.keys().any(|plan| plan.drafts == 0), "{:?}", tally.plans);
}

#[test]
fn adapting_finds_the_exit_that_agrees() {
    let mut strategy = adaptive(8);
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let prompts = prompts(&mut random, 4, 12, 80);
    speculated(&agreeing(), &prompts, &options(40, Vec::new()), &mut strategy);
    let Strategy::Adaptive(adaptive) = strategy else { unreachable!() };
    let agreement = adaptive.agreement();
    assert!(agreement[..2].iter().all(|&rate| rate < 0.9), "{agreement:?}");
    assert!(agreement[2..].iter().all(|&rate| rate > 0.9), "{agreement:?}");
}

#[test]
fn full_acceptance_gives_all_drafts_and_one_more() {
    let model = agreeing();
    let prompts = [vec![1, 2, 3], vec![4]];
    // One token from the prompt, then four rounds of five.
    let options = options(21, Vec::new());
    let found = speculated(&model, &prompts, &options, &mut fixed(3, 4));
    assert_eq!(found.texts, alone(&model, &prompts, &options));
    assert_eq!((found.tally.rounds, found.tally.row_rounds()), (4, 8));
    assert_eq!(found.tally.agreement(), Some(1.0));
    assert_eq!(found.tally.tokens_per_round(), 5.0);
    assert_eq!(found.tally.expected_tokens_per_round(), 5.0);
}

#[test]
fn no_draft_goes_beyond_an_end() {
    let model = agreeing();
    // The fourth token ends the first text and comes nowhere before or in the second: the prompt gives one, the
    // round drafts the three others.
    let starts: Vec<Vec<u32>> = (0..40).map(|token| vec![token]).collect();
    let texts = alone(&model, &starts, &options(12, Vec::new()));
    let pairs = (0..40_u32).flat_map(|a| (0..40_u32).map(move |b| (a, b)));
    let fits = |&(a, b): &(u32, u32)| {
        let (first, second) = (&texts[a as usize], &texts[b as usize]);
        !first[..3].contains(&first[3]) && !second.contains(&first[3])
    };
    let (a, b) = pairs.into_iter().find(fits).unwrap();
    let (prompts, end) = ([vec![a], vec![b]], texts[a as usize][3]);
    let options = options(12, vec![end]);
    let found = speculated(&model, &prompts, &options, &mut fixed(3, 6));
    assert_eq!(found.texts, alone(&model, &prompts, &options));
    let drafted: Vec<usize> = found.tally.plans.keys().map(|plan| plan.drafts).collect();
    assert_eq!(drafted, [3, 6], "{:?}", found.tally.plans);
    let found = speculated(&model, &prompts[..1], &options, &mut fixed(3, 6));
    assert_eq!((found.tally.rounds, found.tally.head_reads), (1, 4));
}

/// Ends each row after this many tokens.
struct Impatient(Vec<usize>);

impl Watcher for Impatient {
    fn token(
        &mut self,
        row: usize,
        _token: u32,
        _signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()> {
        self.0[row] -= 1;
        if self.0[row] == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn a_watcher_ends_rows_in_the_middle_of_a_round() {
    let model = agreeing();
    let prompts = vec![vec![7, 8], vec![9], vec![10, 11, 12]];
    let options = options(20, Vec::new());
    let mut watcher = Impatient(vec![1, 8, 20]);
    let way = (&mut fixed(3, 4), Clock::default());
    let found = speculate(&model, &prompts, &options, way, &mut watcher).unwrap();
    let whole = alone(&model, &prompts, &options);
    let expected = [&whole[0][..1], &whole[1][..8], &whole[2][..]];
    assert_eq!(found.texts, expected);
}

#[test]
fn plans_without_a_draft_exit_are_refused() {
    let model = damped(80, 3, 3, 1.0, 5);
    for exit in [0, 3, 4] {
        let way = (&mut fixed(exit, 2), Clock::default());
        let error = speculate(&model, &[vec![1]], &options(4, Vec::new()), way, &mut Unwatched);
        let error = error.unwrap_err().to_string();
        let expected = format!("draft exit {exit}");
        assert!(error.contains(&expected) && error.contains("1 to 2"), "{error}");
    }
}
