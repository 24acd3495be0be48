use std::collections::BTreeMap;

use super::*;

fn means(shares: &[f64]) -> Worth {
    Worth::of_means("equal tokens", shares.iter().map(|&share| [share, 1.0]).collect())
}

#[test]
fn few_texts_tell_nothing_and_say_how_many_would() {
    // Without any loss the money grows by 1 + 0.9/0.98 · 0.02 a text: ln 20 / ln 1.018367 = 164.6.
    let two = means(&[1.0; 2]).judge(0.98, 0.05);
    assert_eq!((two.kept, two.needed, two.share), (Kept::Unknown, Some(165), 1.0));
    assert_eq!(means(&[1.0; 164]).judge(0.98, 0.05).kept, Kept::Unknown);
    let enough = means(&[1.0; 165]).judge(0.98, 0.05);
    assert_eq!((enough.kept, enough.at_least, enough.is_exact), (Kept::Yes, 0.98, true));
    // No test that assumes nothing could do with fewer than ln 0.05 / ln 0.98 = 148.3.
    assert!(two.needed.unwrap() as f64 > 0.05_f64.ln() / 0.98_f64.ln());
    // 37.5 % equal tokens on two texts.
    let bad = means(&[0.25, 0.5]).judge(0.98, 0.05);
    assert_eq!((bad.share, bad.needed), (0.375, None));
    assert_ne!(bad.kept, Kept::Yes);
    assert_eq!(means(&[0.375; 40]).judge(0.98, 0.05).kept, Kept::No);
    assert_eq!(means(&[]).judge(0.98, 0.05).kept, Kept::Unknown);
}

/// A seeded number in 0..1.
fn drawn(seed: u64) -> impl FnMut() -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    move || random.random()
}

/// The share of many worlds in which a claim is wrong.
fn wrong(worlds: u64, claim: impl Fn(&mut dyn FnMut() -> f64) -> bool) -> f64 {
    let wrong = (0..worlds).filter(|&seed| claim(&mut drawn(seed)));
    wrong.count() as f64 / worlds as f64
}

#[test]
fn bounds_hold_at_the_promised_rate_at_the_hardest_places() {
    const DOUBT: f64 = 0.1;
    let limit = DOUBT + 3.0 * (DOUBT * (1.0 - DOUBT) / 400.0_f64).sqrt();
    // A text in fifty is lost whole, so that exactly 98 % is kept: "more" is wrong however rarely it is seen.
    let rare = |next: &mut dyn FnMut() -> f64| -> Worth {
        means(&(0..300).map(|_| f64::from(u8::from(next() > 0.02))).collect::<Vec<_>>())
    };
    let at_least = wrong(400, |next| rare(next).judge(0.98, DOUBT).at_least > 0.98);
    let at_most = wrong(400, |next| rare(next).judge(0.98, DOUBT).at_most < 0.98);
    assert!(at_least <= limit && at_most <= limit, "{at_least} {at_most}");
    // The estimate alone would be wrong in every other world.
    assert!(wrong(400, |next| rare(next).share() > 0.98) > 0.4);
    // A metric: the full model is right on 80 % of the texts, ours on 0.8 · 0.95 of all, independently.
    let paired = |next: &mut dyn FnMut() -> f64| {
        let mut is = |chance: f64| f64::from(u8::from(next() < chance));
        Worth::of_means("exact_match", (0..300).map(|_| [is(0.76), is(0.8)]).collect())
    };
    let at_least = wrong(400, |next| paired(next).judge(0.95, DOUBT).kept == Kept::Yes);
    let at_most = wrong(400, |next| paired(next).judge(0.95, DOUBT).kept == Kept::No);
    assert!(at_least <= limit && at_most <= limit, "{at_least} {at_most}");
}

#[test]
fn what_is_kept_is_found_out() {
    // Every twentieth text differs in a tenth of its tokens: 99.5 % kept.
    let texts: Vec<f64> = (0..300).map(|at| if at % 20 == 0 { 0.9 } else { 1.0 }).collect();
    let found = means(&texts).judge(0.98, 0.05);
    assert_eq!(found.kept, Kept::Yes);
    assert!(found.at_least >= 0.98 && found.at_least < 0.995, "{found:?}");
    assert!(found.needed.unwrap() < 300, "{found:?}");
}

fn output(tokens: &[u32], metric: &str, statistics: &[f64]) -> Output {
    Output {
        example: 0,
        prompt: String::new(),
        tokens: tokens.to_vec(),
        exits: vec![],
        text: String::new(),
        whole: String::new(),
        ended: true,
        statistics: BTreeMap::from([(metric.to_owned(), statistics.to_vec())]),
    }
}

fn facts(name: &str) -> MetricFacts {
    MetricFacts { name: name.to_owned(), signature: String::new() }
}

#[test]
fn the_metric_decides_where_there_is_one() {
    let right = output(&[1, 2], "exact_match", &[1.0, 1.0]);
    let wrong = output(&[1, 3], "exact_match", &[0.0, 1.0]);
    let metric = facts("exact_match");
    let of = |ours: &Output, full: &Output| {
        Worth::of(Some(&metric), std::slice::from_ref(ours), std::slice::from_ref(full))
    };
    assert_eq!((of(&wrong, &right).share(), of(&wrong, &right).what), (0.0, "exact_match".into()));
    // Where the full model is never right nothing could be lost, and nothing can be concluded.
    let nothing = of(&wrong, &wrong).judge(0.5, 0.1);
    assert_eq!(
        (nothing.share, nothing.kept, nothing.what),
        (1.0, Kept::Unknown, "exact_match".into())
    );
    assert_eq!(Worth::of(None, &[right], &[wrong]).share(), 0.5);
}

#[test]
fn scores_of_sums_are_resampled_and_never_surer_than_so_few_texts_can_be() {
    let metric = facts("bleu");
    let bleu = ee_tasks::metrics::text::by_name("bleu", false).unwrap();
    let text = "the cat sat on the mat today";
    let statistics = bleu.statistics(text, &[text]).unwrap();
    let same = output(&[1, 2], "bleu", &statistics);
    let all = |n| {
        let texts = vec![same.clone(); n];
        Worth::of(Some(&metric), &texts, &texts).judge(0.98, 0.05)
    };
    let few = all(2);
    assert_eq!((few.share, few.is_exact, few.kept), (1.0, false, Kept::Unknown));
    assert!((few.at_least - 0.05_f64.sqrt()).abs() < 1e-12);
    assert_eq!(few.needed, Some(149));
    assert_eq!((all(148).kept, all(149).kept), (Kept::Unknown, Kept::Yes));
    let other = output(&[1], "bleu", &bleu.statistics("a dog ran off", &[text]).unwrap());
    let lost =
        Worth::of(Some(&metric), &vec![other; 60], &vec![same.clone(); 60]).judge(0.98, 0.05);
    assert_eq!((lost.kept, lost.needed), (Kept::No, None));
}
