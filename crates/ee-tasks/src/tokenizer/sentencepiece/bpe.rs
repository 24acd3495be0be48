//! BPE: the neighbours whose joined piece has the best score are joined, the leftmost first, while there are any.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::SentencePiece;
use super::proto::PieceType;

/// Part of a text with its neighbours; an empty one was joined to its left neighbour.
struct Symbol<'t> {
    text: &'t str,
    begin: usize,
    before: Option<usize>,
    after: Option<usize>,
    /// One of the model's own symbols, which is not joined to others.
    is_own: bool,
}

/// Two neighbours that may be joined.
#[derive(PartialEq)]
struct Join {
    score: f32,
    left: usize,
    right: usize,
    length: usize,
}

impl Eq for Join {}

impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Join {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

struct Joining<'m, 't> {
    model: &'m SentencePiece,
    text: &'t str,
    symbols: Vec<Symbol<'t>>,
    agenda: BinaryHeap<Join>,
    /// The parts of joined pieces that must not stay whole.
    parts: HashMap<&'t str, [&'t str; 2]>,
}

pub(super) fn cut<'t>(model: &SentencePiece, text: &'t str) -> Vec<(&'t str, u32)> {
    let mut joining = Joining {
        model,
        text,
        symbols: symbols(model, text),
        agenda: BinaryHeap::new(),
        parts: HashMap::new(),
    };
    for right in 1..joining.symbols.len() {
        joining.offer(Some(right - 1), Some(right));
    }
    while let Some(join) = joining.agenda.pop() {
        joining.join(&join);
    }
    let mut pieces = Vec::new();
    for symbol in joining.symbols.iter().filter(|symbol| !symbol.text.is_empty()) {
        joining.resegment(symbol.text, &mut pieces);
    }
    pieces
}

/// The characters of a text and the model's own symbols in it.
fn symbols<'t>(model: &SentencePiece, text: &'t str) -> Vec<Symbol<'t>> {
    let (mut symbols, mut begin) = (Vec::<Symbol<'t>>::new(), 0);
    while let Some(char) = text[begin..].chars().next() {
        let own = model.normalizer.own_prefix(&text[begin..]);
        let length = own.map_or(char.len_utf8(), str::len);
        let before = symbols.len().checked_sub(1);
        if let Some(before) = before {
            symbols[before].after = Some(before + 1);
        }
        symbols.push(Symbol {
            text: &text[begin..begin + length],
            begin,
            before,
            after: None,
            is_own: own.is_some(),
        });
        begin += length;
    }
    symbols
}

impl<'t> Joining<'_, 't> {
    /// Notes two neighbours if they make a piece.
    fn offer(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let [first, second] = [&self.symbols[left], &self.symbols[right]];
        if first.is_own || second.is_own {
            return;
        }
        let joined = &self.text[first.begin..second.begin + second.text.len()];
        let Some(id) = self.model.normal.get(joined) else { return };
        let piece = &self.model.pieces[*id as usize];
        if piece.kind == PieceType::Unused {
            self.parts.insert(joined, [first.text, second.text]);
        }
        self.agenda.push(Join { score: piece.score, left, right, length: joined.len() });
    }

    fn join(&mut self, &Join { left, right, length, .. }: &Join) {
        let [first, second] = [&self.symbols[left], &self.symbols[right]];
        let is_stale = first.text.is_empty()
            || second.text.is_empty()
            || first.text.len() + second.text.len() != length;
        if is_stale {
            return;
        }
        let (begin, after) = (first.begin, second.after);
        self.symbols[left].text = &self.text[begin..begin + length];
        self.symbols[left].after = after;
        self.symbols[right].text = "";
        if let Some(after) = after {
            self.symbols[after].before = Some(left);
        }
        self.offer(self.symbols[left].before, Some(left));
        self.offer(Some(left), after);
    }

    fn resegment(&self, text: &'t str, pieces: &mut Vec<(&'t str, u32)>) {
        let id = self.model.id(text);
        let is_unused = self.model.pieces[id as usize].kind == PieceType::Unused;
        match self.parts.get(text).filter(|_| is_unused) {
            Some(parts) => parts.iter().for_each(|part| self.resegment(part, pieces)),
            None => pieces.push((text, id)),
        }
    }
}
