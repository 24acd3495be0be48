//! Adapting in simulated worlds, where the best plan is known.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::speculate::tally::expected_tokens;

const LAYERS: usize = 12;
const HEAD: f64 = 0.5;
const SURE: f64 = 0.97;
const UNSURE: f64 = 0.5;

/// A layer takes 1 s, the head half a one, each further row `further` of that.
struct World {
    /// By exit from 1: the share of guesses that it is sure of; they stay with probability 0.95, others with
    /// 0.3.
    sure: [f64; LAYERS - 1],
    further: f64,
    /// How much longer than its time a part may take, at random; one in twenty takes three times as long then.
    noise: f64,
    random: ChaCha8Rng,
}

impl World {
    fn new(sure: [f64; LAYERS - 1], further: f64) -> Self {
        Self { sure, further, noise: 0.0, random: ChaCha8Rng::seed_from_u64(7) }
    }

    fn agreement(&self, exit: usize) -> f64 {
        0.95 * self.sure[exit - 1] + 0.3 * (1.0 - self.sure[exit - 1])
    }

    fn wide(&self, rows: usize) -> f64 {
        1.0 + self.further * (rows - 1) as f64
    }

    fn guess(&mut self, exit: usize) -> Outcome {
        let is_sure = self.random.random::<f64>() < self.sure[exit - 1];
        let (confidence, rate) = if is_sure { (SURE, 0.95) } else { (UNSURE, 0.3) };
        let stays = f64::from(u8::from(self.random.random::<f64>() < rate));
        Outcome { exit, confidence, stays }
    }

    fn round_seconds(&self, Plan { exit, drafts }: Plan) -> Seconds {
        Seconds {
            draft_layers: ((drafts + 1) * exit) as f64,
            draft_heads: drafts as f64 * HEAD,
            verification_layers: (LAYERS - exit) as f64 * self.wide(drafts + 1),
            verification_head: HEAD * self.wide(drafts + 1),
            ..Seconds::default()
        }
    }

    /// Tokens per second of the best fixed plan, plain decoding included.
    fn best(&self) -> f64 {
        let plans = (1..LAYERS).flat_map(|exit| (1..=8).map(move |drafts| Plan { exit, drafts }));
        let rate = |plan: Plan| {
            expected_tokens(self.agreement(plan.exit), plan.drafts) / self.round_seconds(plan).sum()
        };
        plans.map(rate).fold(1.0 / self.round_seconds(Plan::PLAIN).sum(), f64::max)
    }

    /// One round as the course says.
    fn round(&mut self, course: Course) -> Lesson {
        let Course { plan: Plan { exit, drafts: most }, mut pace, looks } = course;
        let mut guesses: Vec<Outcome> = Vec::new();
        let mut drafts = vec![Vec::new()];
        while guesses.len() < most {
            guesses.push(self.guess(exit));
            let confidence = guesses[guesses.len() - 1].confidence;
            drafts[0].push(Drafted { token: 0, confidence, probabilities: Vec::new() });
            if !pace.as_mut().unwrap().goes_on(&drafts, &[most]) {
                break;
            }
        }
        let plan = if most == 0 { Plan::PLAIN } else { Plan { exit, drafts: guesses.len() } };
        let stay = guesses.iter().take_while(|guess| guess.stays == 1.0).count();
        guesses.truncate(stay + 1);
        let mut seconds = self.round_seconds(plan);
        for part in [
            &mut seconds.draft_layers,
            &mut seconds.draft_heads,
            &mut seconds.verification_layers,
            &mut seconds.verification_head,
        ] {
            let disturbed = self.noise > 0.0 && self.random.random::<f64>() < 0.05;
            let noise = 1.0 + self.noise * self.random.random::<f64>();
            *part *= if disturbed { 3.0 * noise } else { noise };
        }
        for &exit in &looks {
            guesses.extend((0..=stay).map(|_| self.guess(exit)));
            // A head of a row each, and something for every look.
            seconds.looks += HEAD * self.further * (stay + 1) as f64;
        }
        seconds.looks += if looks.is_empty() { 0.0 } else { HEAD };
        Lesson { plan, rows: 1, tokens: stay + 1, seconds, rest: 0.0, outcomes: guesses }
    }

    /// Tokens per second of an adaptive decoder over some tokens, and how often each exit drafted.
    fn adapt(&mut self, tokens: usize) -> (f64, [usize; LAYERS]) {
        let mut adaptive = Adaptive::new(LAYERS);
        let (mut done, mut seconds, mut drafted) = (0, 0.0, [0; LAYERS]);
        let first: Vec<Outcome> = (0..8)
            .flat_map(|_| (1..LAYERS).map(|exit| self.guess(exit)).collect::<Vec<_>>())
            .collect();
        assert_eq!(adaptive.first_looks().len(), LAYERS - 1);
        adaptive.learn_looks(&first, 1.0);
        while done < tokens {
            let lesson = self.round(adaptive.course(1));
            adaptive.learn(&lesson);
            done += lesson.tokens;
            seconds += lesson.seconds.sum();
            drafted[lesson.plan.exit] += 1;
        }
        (done as f64 / seconds, drafted)
    }
}

/// Exits that become surer with depth, the first being sure of `from`.
fn growing(from: f64) -> [f64; LAYERS - 1] {
    std::array::from_fn(|at| from + (0.95 - from) * at as f64 / (LAYERS - 2) as f64)
}

#[test]
fn adapting_is_as_fast_as_the_best_fixed_plan() {
    for from in [0.1, 0.4, 0.6, 0.85] {
        for further in [0.02, 0.1, 0.3] {
            let mut world = World::new(growing(from), further);
            let (best, (found, drafted)) = (world.best(), world.adapt(3000));
            assert!(found > 0.95 * best, "{from} {further}: {found} of {best}, {drafted:?}");
        }
    }
}

#[test]
fn noise_does_not_hide_the_best_plan() {
    for from in [0.4, 0.6, 0.85] {
        let mut world = World::new(growing(from), 0.1);
        world.noise = 0.3;
        let best = world.best();
        // Of every part the mean of the noise, and a twentieth of three times that.
        let slower = (1.0 + 0.5 * world.noise) * (0.95 + 0.05 * 3.0);
        let (found, drafted) = world.adapt(3000);
        assert!(found * slower > 0.95 * best, "{from}: {} of {best}, {drafted:?}", found * slower);
    }
}

#[test]
fn stopping_where_guesses_grow_unsure_beats_every_fixed_length() {
    let mut world = World::new(growing(0.6), 0.1);
    let (best, (found, _)) = (world.best(), world.adapt(3000));
    assert!(found > 1.05 * best, "{found} of {best}");
}

#[test]
fn where_nothing_pays_decoding_stays_plain() {
    let mut world = World::new([0.0; LAYERS - 1], 0.3);
    let (found, drafted) = world.adapt(1000);
    let plain = 1.0 / world.round_seconds(Plan::PLAIN).sum();
    assert!(found > 0.96 * plain, "{found} of {plain}: {drafted:?}");
    assert!(drafted[0] > 900, "{drafted:?}");
}

#[test]
fn one_good_exit_among_many_is_found() {
    for good in [1, 2, 5] {
        let mut sure = [0.05; LAYERS - 1];
        sure[good - 1] = 0.9;
        let (_, drafted) = World::new(sure, 0.1).adapt(1000);
        let all: usize = drafted.iter().sum();
        assert!(drafted[good] * 10 > all * 8, "{good}: {drafted:?}");
    }
}

#[test]
fn an_exit_that_grows_better_is_noticed() {
    let mut adaptive = Adaptive::new(LAYERS);
    let mut world = World::new([0.0; LAYERS - 1], 0.3);
    for _ in 0..600 {
        let lesson = world.round(adaptive.course(1));
        adaptive.learn(&lesson);
    }
    assert_eq!(adaptive.course(1).plan, Plan::PLAIN);
    world.sure[1] = 0.95;
    let mut drafted = 0;
    for _ in 0..2000 {
        let lesson = world.round(adaptive.course(1));
        adaptive.learn(&lesson);
        drafted += usize::from(lesson.plan.exit == 2);
    }
    assert!(drafted > 500, "{drafted}");
}

#[test]
fn nothing_is_known_at_first_and_one_layer_never_drafts() {
    assert_eq!(Adaptive::new(LAYERS).course(1).plan, Plan::PLAIN);
    let mut alone = Adaptive::new(1);
    assert!(alone.first_looks().is_empty());
    let seconds =
        Seconds { verification_layers: 1.0, verification_head: 1.0, ..Seconds::default() };
    let lesson =
        Lesson { plan: Plan::PLAIN, rows: 1, tokens: 1, seconds, rest: 0.0, outcomes: Vec::new() };
    alone.learn(&lesson);
    let course = alone.course(1);
    assert_eq!((course.plan, course.looks.len()), (Plan::PLAIN, 0));
}

#[test]
fn looks_keep_to_their_share_of_the_time() {
    let mut world = World::new(growing(0.5), 0.1);
    let mut adaptive = Adaptive::new(LAYERS);
    let (mut looks, mut all) = (0.0, 0.0);
    for _ in 0..500 {
        let lesson = world.round(adaptive.course(1));
        adaptive.learn(&lesson);
        looks += lesson.seconds.looks;
        all += lesson.seconds.sum();
        assert!(looks <= LOOK_SHARE * all + 2.0, "{looks} of {all}");
    }
    assert!(looks > 0.0);
}
