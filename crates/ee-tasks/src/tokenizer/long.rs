//! Long texts, spelled in pieces: the library needs up to two hundred bytes for a byte of text.
//!
//! Neighbouring pieces overlap. What a piece's edge does to its tokens does not reach far, so that somewhere in
//! the overlap both give the same tokens: there they are joined. If they never do, the text is spelled whole.

use crate::error::Error;

/// Bytes of a text that is not long yet.
const LONG: usize = 1 << 18;
/// Bytes of a piece.
const PIECE: usize = 1 << 17;
/// Bytes that neighbouring pieces share.
const SHARED: usize = 1 << 13;
/// Tokens in a row that must be alike where two pieces are joined.
const ALIKE: usize = 8;

/// Tokens, and whether they are the whole text's.
pub(super) type Spelled = (Vec<Placed>, bool);

/// A token with where its text begins and ends, in bytes.
pub(super) type Placed = (u32, usize, usize);

/// The tokens of a long text, or none where it is not long or must be spelled whole. With `enough` it may end
/// after that many tokens.
pub(super) fn spell(
    text: &str,
    enough: Option<usize>,
    whole: impl Fn(&str) -> Result<Vec<Placed>, Error>,
) -> Result<Option<Spelled>, Error> {
    if text.len() <= LONG {
        return Ok(None);
    }
    in_pieces(text, enough, [PIECE, SHARED], whole)
}

fn in_pieces(
    text: &str,
    enough: Option<usize>,
    [size, shared]: [usize; 2],
    whole: impl Fn(&str) -> Result<Vec<Placed>, Error>,
) -> Result<Option<Spelled>, Error> {
    let mut tokens: Vec<Placed> = Vec::new();
    let (mut begin, mut before) = (0, 0);
    loop {
        let end = boundary(text, begin + size);
        let mut piece = whole(&text[begin..end])?;
        piece.iter_mut().for_each(|token| (token.1, token.2) = (begin + token.1, begin + token.2));
        match (begin, joined(&tokens, &piece, begin, before)) {
            (0, _) => tokens = piece,
            (_, Some((kept, from))) => {
                tokens.truncate(kept);
                tokens.extend_from_slice(&piece[from..]);
            }
            (_, None) => return Ok(None),
        }
        let sure = tokens.iter().rev().take_while(|token| token.2 + shared > end).count();
        let has_enough = enough.is_some_and(|enough| tokens.len() >= enough + sure);
        let is_whole = end == text.len();
        if is_whole || has_enough {
            return Ok(Some((tokens, is_whole)));
        }
        (begin, before) = (boundary(text, end - shared), end);
    }
}

/// Where two pieces are joined: how many of the tokens so far stay, and the first of the new ones that follow.
/// `begin..end` is what both pieces cover; the middle of it is looked through.
fn joined(tokens: &[Placed], piece: &[Placed], begin: usize, end: usize) -> Option<(usize, usize)> {
    let quarter = end.saturating_sub(begin) / 4;
    let middle = begin + quarter..end - quarter.min(end);
    let first = tokens.partition_point(|token| token.1 < begin);
    let old = &tokens[first..];
    let in_middle = |token: &Placed| middle.contains(&token.1);
    if !old.iter().any(in_middle) && !piece.iter().any(in_middle) {
        // Nothing is spelled there, such as in a run of spaces.
        let kept = first + old.partition_point(|token| token.1 < middle.start);
        return Some((kept, piece.partition_point(|token| token.1 < middle.end)));
    }
    let candidates = (0..piece.len()).skip_while(|&at| piece[at].1 < middle.start);
    for at in candidates.take_while(|&at| piece[at].1 < middle.end) {
        let place = old.partition_point(|token| (token.1, token.2) < (piece[at].1, piece[at].2));
        let alike = piece[at..].iter().zip(&old[place..]).take(ALIKE);
        if alike.clone().count() == ALIKE && alike.clone().all(|(new, old)| new == old) {
            return Some((first + place, at));
        }
    }
    None
}

/// The last boundary of characters that is not after `at`.
fn boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    let mut at = at;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests;
