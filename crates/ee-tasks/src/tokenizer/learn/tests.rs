use super::*;
use crate::config::Document;
use crate::{TextTokenizer, fixture};

const SOURCE: [&str; 6] = [
    "Ein Hund läuft.",
    "Zwei Hunde laufen, ein Hund schläft.",
    "Der Hund (ein kleiner) schläft im Gras...",
    "Zwei Hunde schlafen, drei Hunde laufen!",
    "Im Gras schläft ein kleiner Hund.",
    "",
];
const TARGET: [&str; 6] = [
    "A dog runs.",
    "Two dogs run, a dog sleeps.",
    "The dog (a small one) sleeps in the grass...",
    "Two dogs sleep, three dogs run!",
    "In the grass sleeps a small dog.",
    "",
];

fn settings(size: BpeSize, joined: bool) -> BpeSettings {
    let order = SpecialOrder::Marian;
    BpeSettings { size, joined, shared_merges: joined, lowercase: false, order }
}

fn learnt(settings: &BpeSettings) -> LearntBpe {
    train_bpe(settings, &SOURCE, &TARGET).expect("texts with words")
}

fn tokenizer(learnt: &LearntBpe) -> TextTokenizer {
    let folder = fixture::folder(&[]);
    learnt.save(folder.path()).expect("saved");
    TextTokenizer::of_pair(folder.path()).expect("what was saved is read")
}

#[test]
fn texts_come_back_from_their_pieces_and_end_is_first_and_padding_last() {
    for joined in [true, false] {
        let bpe = learnt(&settings(BpeSize::Merges(30), joined));
        let tokenizer = tokenizer(&bpe);
        let sizes = [tokenizer.prompt_vocabulary_size(), tokenizer.vocabulary_size()];
        assert_eq!(bpe.sizes(), sizes);
        for text in TARGET {
            let ids = tokenizer.encode_answer(text).expect("ids");
            assert_eq!(ids.iter().filter(|id| **id == 0).count(), 1, "{ids:?}");
            assert_eq!((ids.last(), ids.contains(&1)), (Some(&0), false), "{ids:?}");
            assert_eq!(tokenizer.decode(&ids).expect("a text"), text);
        }
        for text in SOURCE {
            let ids = tokenizer.encode_prompt(text).expect("ids");
            assert!(ids.last() == Some(&0) && !ids.contains(&1), "{ids:?}");
        }
        let ids = tokenizer.encode_prompt("  Ein \t Hund 日本 ").expect("ids");
        assert_eq!(ids.iter().filter(|id| **id == 1).count(), 1, "{ids:?}");
        assert_eq!(tokenizer.end_id(), Some(0));
        let padding = (tokenizer.vocabulary_size() - 1) as u32;
        assert_eq!(tokenizer.decode(&[padding, padding]).expect("a text"), "");
        let spelled = tokenizer.encode_answer("<pad>").expect("ids");
        assert_eq!(spelled, [padding, 0]);
    }
}

#[test]
fn fairseq_s_order_has_its_padding_second_on_both_sides() {
    for joined in [true, false] {
        let marian = settings(BpeSize::Merges(30), joined);
        let fairseq = BpeSettings { order: SpecialOrder::Fairseq, ..marian.clone() };
        let [marian, fairseq] = [marian, fairseq].map(|settings| learnt(&settings));
        assert_eq!(fairseq.sizes(), marian.sizes().map(|size| size + 1), "`<s>` too");
        let [marian, fairseq] = [marian, fairseq].map(|bpe| tokenizer(&bpe));
        assert_eq!((fairseq.padding_id(), fairseq.end_id()), (Some(1), Some(2)));
        assert_eq!(fairseq.encode_answer("<s><pad></s>").expect("ids"), [0, 1, 2, 2]);
        for text in TARGET.into_iter().chain(["日本"]) {
            let [usual, ids] = [&marian, &fairseq].map(|side| side.encode_answer(text));
            let moved: Vec<u32> = usual.expect("ids").iter().map(|id| id + 2).collect();
            let ids = ids.expect("ids");
            assert_eq!(ids, moved, "{text}");
        }
    }
    let small =
        BpeSettings { order: SpecialOrder::Fairseq, ..settings(BpeSize::Vocabulary(50), true) };
    assert_eq!(learnt(&small).sizes(), [50; 2]);
}

#[test]
fn sizes_are_as_asked_for() {
    let characters: BTreeSet<char> =
        SOURCE.iter().chain(&TARGET).flat_map(|text| text.chars()).collect();
    // `▁` stands for the space.
    let merges = learnt(&settings(BpeSize::Merges(30), true));
    assert_eq!(merges.sizes(), [characters.len() + 30 + 3; 2]);
    let vocabulary = learnt(&settings(BpeSize::Vocabulary(50), true));
    assert_eq!(vocabulary.sizes(), [50; 2]);
    let message = train_bpe(&settings(BpeSize::Vocabulary(20), true), &SOURCE, &TARGET);
    let message = message.expect_err("too small").to_string();
    assert!(message.contains("a vocabulary of 20 has no room for the texts' "), "{message}");
    let message = train_bpe(&settings(BpeSize::Vocabulary(20), true), &[" "], &[""]);
    assert!(message.expect_err("no text").to_string().ends_with("the texts have no word"));
}

#[test]
fn shared_merges_leave_each_side_the_pieces_that_occur_in_it() {
    let shared = BpeSettings { shared_merges: true, ..settings(BpeSize::Merges(30), false) };
    let shared = learnt(&shared);
    let joined = learnt(&settings(BpeSize::Merges(30), true));
    assert!(shared.sizes()[0] < joined.sizes()[0] && shared.sizes()[1] < joined.sizes()[1]);
    let (separate, whole) = (tokenizer(&shared), tokenizer(&joined));
    for (source, target) in SOURCE.iter().zip(TARGET) {
        let n = |ids: Result<Vec<u32>, Error>| ids.expect("ids").len();
        assert_eq!(n(separate.encode_prompt(source)), n(whole.encode_prompt(source)));
        assert_eq!(n(separate.encode_answer(target)), n(whole.encode_answer(target)));
    }
    assert!(separate.encode_answer("läuft").expect("ids").contains(&1), "ä is the source's alone");
}

#[test]
fn lower_case_is_learnt_and_applied() {
    let bpe = learnt(&BpeSettings { lowercase: true, ..settings(BpeSize::Merges(30), true) });
    let tokenizer = tokenizer(&bpe);
    let ids = tokenizer.encode_answer("THE Dog").expect("ids");
    assert_eq!(tokenizer.decode(&ids).expect("a text"), "the dog");
}

#[test]
fn the_same_texts_give_the_same_bytes() {
    let text = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/reviews/train.tsv"),
    );
    let text = text.expect("a corpus of the project");
    let lines: Vec<&str> = text.lines().collect();
    let settings = settings(BpeSize::Merges(800), true);
    let first = train_bpe(&settings, &lines, &lines).expect("texts with words");
    for _ in 0..4 {
        let again = train_bpe(&settings, &lines, &lines).expect("texts with words");
        assert!(again == first, "every hash map of the trainer has a seed of its own");
    }
}

#[test]
fn settings_are_read_and_checked() {
    let read = |text: &str| {
        let document = Document::parse(text, "run.toml");
        let settings = BpeSettings::from_section(&document.root().section("tokenizer"));
        document.finish().map(|()| settings).map_err(|error| error.to_string())
    };
    assert_eq!(
        read(
            "[tokenizer]\nkind = 'bpe'\nmerges = 10000\njoined = false\nshared_merges = true\nlowercase = true"
        ),
        Ok(BpeSettings {
            size: BpeSize::Merges(10_000),
            joined: false,
            shared_merges: true,
            lowercase: true,
            order: SpecialOrder::Marian,
        })
    );
    assert_eq!(
        read("[tokenizer]\nvocabulary = 32000"),
        Ok(settings(BpeSize::Vocabulary(32_000), true))
    );
    let message = |text: &str| read(text).expect_err("a fault");
    assert!(message("[tokenizer]\njoined = true").contains("expected `merges` or `vocabulary`"));
    assert!(message("[tokenizer]\nmerges = 1\nvocabulary = 9").contains("found both"));
    assert!(message("[tokenizer]\nmerges = 0").contains("expected 1 or more, found 0"));
    assert!(message("[tokenizer]\nmerges = 1\nshared_merges = false").contains("shared merges"));
    assert!(message("[tokenizer]\nmerges = 1\nkind = 'bbpe'").contains("bbpe"));
}
