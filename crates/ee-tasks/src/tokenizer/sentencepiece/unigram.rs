//! Unigram: the cut of a text whose pieces' scores have the largest sum.
//!
//! Sums are `f32` along the best way, as in the reference's `EncodeOptimized`: of equal ones the first found stays.

use std::collections::HashMap;

use super::Piece;
use super::proto::PieceType;

/// How much worse than the worst piece an unknown character is.
const UNKNOWN_PENALTY: f32 = 10.0;

/// What the model's own symbols add for each byte but the first: more than any piece, and more for a longer one
/// (sentencepiece 0.2.3; older releases gave each −0.1).
const OWN_BONUS: f32 = 0.1;

#[derive(Debug)]
pub(super) struct Unigram {
    /// From a node and a byte to the next node; 0 is the root.
    edges: HashMap<(u32, u8), u32>,
    /// The piece that ends at a node.
    ends: Vec<Option<u32>>,
    /// Scores, or what stands for the score of the model's own symbols.
    scores: Vec<Score>,
    unknown: u32,
    unknown_score: f32,
}

#[derive(Debug, Clone, Copy)]
enum Score {
    Of(f32),
    /// One of the model's own symbols: always worth taking.
    Own,
    /// Never taken.
    Unused,
}

/// The best way to a place.
#[derive(Debug, Clone, Copy)]
struct Best {
    id: u32,
    score: f32,
    from: usize,
}

impl Unigram {
    pub(super) fn new(pieces: &[Piece], unknown: u32) -> Self {
        let (mut edges, mut ends) = (HashMap::new(), vec![None]);
        for (id, piece) in (0..).zip(pieces).filter(|(_, piece)| piece.is_cut_out()) {
            let mut node = 0;
            for byte in piece.text.bytes() {
                node = *edges.entry((node, byte)).or_insert_with(|| {
                    ends.push(None);
                    ends.len() as u32 - 1
                });
            }
            ends[node as usize] = Some(id);
        }
        let normal = pieces.iter().filter(|piece| piece.kind == PieceType::Normal);
        let normal: Vec<f32> = normal.map(|piece| piece.score).collect();
        let min = normal.iter().copied().fold(f32::MAX, f32::min);
        let score = |piece: &Piece| match piece.kind {
            PieceType::UserDefined => Score::Own,
            PieceType::Unused => Score::Unused,
            _ => Score::Of(piece.score),
        };
        Self {
            edges,
            ends,
            scores: pieces.iter().map(score).collect(),
            unknown,
            unknown_score: min - UNKNOWN_PENALTY,
        }
    }

    pub(super) fn cut<'t>(&self, text: &'t str) -> Vec<(&'t str, u32)> {
        let mut best: Vec<Option<Best>> = vec![None; text.len() + 1];
        for (from, char) in text.char_indices() {
            let so_far = best[from].map_or(0.0, |best| best.score);
            let mut offer = |to: usize, id: u32, score: f32| {
                let score = score + so_far;
                if best[to].is_none_or(|best| score > best.score) {
                    best[to] = Some(Best { id, score, from });
                }
            };
            let (mut node, mut has_single) = (0, false);
            for (index, byte) in text.as_bytes()[from..].iter().enumerate() {
                let Some(next) = self.edges.get(&(node, *byte)) else { break };
                node = *next;
                let Some(id) = self.ends[node as usize] else { continue };
                let length = index + 1;
                let score = match self.scores[id as usize] {
                    Score::Of(score) => score,
                    Score::Own => OWN_BONUS * (length as f32 - 1.0),
                    Score::Unused => continue,
                };
                offer(from + length, id, score);
                has_single |= length == char.len_utf8();
            }
            if !has_single {
                offer(from + char.len_utf8(), self.unknown, self.unknown_score);
            }
        }
        let mut pieces = Vec::new();
        let mut to = text.len();
        while let Some(Best { id, from, .. }) = best[to].filter(|_| to > 0) {
            pieces.push((&text[from..to], id));
            to = from;
        }
        pieces.reverse();
        pieces
    }
}
