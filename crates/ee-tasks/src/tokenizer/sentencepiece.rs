//! SentencePiece models: the `.spm` files of Marian and the `spiece.model` of T5.
//!
//! `tokenizers` spells Unigram too, but sums scores otherwise, joins unknown characters otherwise and applies the
//! normaliser's table to whole graphemes. A translation model read thousands of lines in SentencePiece's own
//! spelling, so this follows the reference (google/sentencepiece 0.2), `f32` sums and ties included.

mod bpe;
mod normalizer;
mod proto;
mod unigram;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use prost::Message;

use self::normalizer::Normalizer;
use self::proto::{ModelProto, ModelType, PieceType};
use self::unigram::Unigram;
use crate::error::Error;

/// What stands for a space in a piece.
pub(super) const SPACE: &str = "▁";
/// What stands in a text for a piece that is `<unk>` itself.
const UNKNOWN_SURFACE: &str = " \u{2047} ";

/// A model of one file.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: Vec<Piece>,
    /// Pieces that a text can be cut into.
    normal: HashMap<String, u32>,
    /// `<unk>`, `<s>`, `</s>` and bytes: never cut out of a text.
    reserved: HashMap<String, u32>,
    unknown: u32,
    byte_fallback: bool,
    unknown_surface: String,
    /// Whether a space that begins a decoded text was added when it was spelled.
    drops_first_space: bool,
    drops_all_first_spaces: bool,
    normalizer: Normalizer,
    denormalizer: Option<Normalizer>,
    model: Model,
}

#[derive(Debug)]
enum Model {
    Unigram(Unigram),
    Bpe,
}

#[derive(Debug)]
struct Piece {
    text: String,
    score: f32,
    kind: PieceType,
}

impl SentencePiece {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
        let wrong =
            |message: &str| Error::file(path, format!("not a SentencePiece model: {message}"));
        let proto = ModelProto::decode(&*bytes).map_err(|error| wrong(&error.to_string()))?;
        Self::new(proto).map_err(|message| wrong(&message))
    }

    /// The same with the space before a text left to the caller.
    pub(super) fn without_dummy_prefix(mut self) -> Self {
        self.normalizer.adds_space = false;
        self.drops_first_space = self.drops_all_first_spaces;
        self
    }

    fn new(proto: ModelProto) -> Result<Self, String> {
        let pieces = proto.pieces.into_iter().map(|piece| {
            let kind = PieceType::try_from(piece.kind.unwrap_or(PieceType::Normal as i32))
                .map_err(|_| format!("piece `{}` is of an unknown type", piece.piece()))?;
            let (text, score) = (piece.piece.unwrap_or_default(), piece.score.unwrap_or(0.0));
            if text.is_empty() {
                return Err("a piece without text".to_owned());
            }
            Ok(Piece { text, score, kind })
        });
        let pieces: Vec<Piece> = pieces.collect::<Result<_, _>>()?;
        let (mut normal, mut reserved) = (HashMap::new(), HashMap::new());
        let mut unknown = None;
        for (id, piece) in (0..).zip(&pieces) {
            if piece.kind == PieceType::Unknown && unknown.replace(id).is_some() {
                return Err("two unknown pieces".to_owned());
            }
            let map = if piece.is_cut_out() { &mut normal } else { &mut reserved };
            if map.insert(piece.text.clone(), id).is_some() {
                return Err(format!("piece `{}` stands in it twice", piece.text));
            }
        }
        let unknown = unknown.ok_or("no unknown piece")?;
        let trainer = proto.trainer_spec.unwrap_or_default();
        let byte_fallback = trainer.byte_fallback();
        if let Some(byte) =
            (0..=255).find(|byte| byte_fallback && !reserved.contains_key(&byte_name(*byte)))
        {
            return Err(format!(
                "bytes spell what is unknown, but there is no piece `{}`",
                byte_name(byte)
            ));
        }
        let spec = proto.normalizer_spec.unwrap_or_default();
        let own = pieces.iter().filter(|piece| piece.kind == PieceType::UserDefined);
        let own = own.map(|piece| piece.text.clone()).collect();
        let normalizer = Normalizer::new(&spec, own, trainer.treat_whitespace_as_suffix())?;
        let denormalizer =
            proto.denormalizer_spec.filter(|spec| !spec.precompiled_charsmap().is_empty());
        let denormalizer =
            denormalizer.map(|spec| Normalizer::new(&spec, Vec::new(), false)).transpose()?;
        let model =
            match ModelType::try_from(trainer.model_type.unwrap_or(ModelType::Unigram as i32)) {
                Ok(ModelType::Unigram) => Model::Unigram(Unigram::new(&pieces, unknown)),
                Ok(ModelType::Bpe) => Model::Bpe,
                _ => return Err("its type is neither Unigram nor BPE".to_owned()),
            };
        Ok(Self {
            unknown,
            byte_fallback,
            unknown_surface: trainer.unk_surface.unwrap_or_else(|| UNKNOWN_SURFACE.to_owned()),
            drops_first_space: spec.add_dummy_prefix() || spec.remove_extra_whitespaces(),
            drops_all_first_spaces: spec.remove_extra_whitespaces(),
            normalizer,
            denormalizer,
            model,
            normal,
            reserved,
            pieces,
        })
    }

    /// The pieces of a text; a run of unknown characters is one.
    pub(super) fn encode(&self, text: &str) -> Vec<String> {
        let normalized = self.normalizer.normalize(text);
        let mut pieces: Vec<String> = Vec::new();
        let mut was_unknown = false;
        for (piece, id) in self.cut(&normalized) {
            let is_unknown = id == self.unknown;
            match pieces.last_mut() {
                _ if is_unknown && self.byte_fallback => {
                    pieces.extend(piece.bytes().map(byte_name))
                }
                Some(last) if is_unknown && was_unknown => last.push_str(piece),
                _ => pieces.push(piece.to_owned()),
            }
            was_unknown = is_unknown;
        }
        pieces
    }

    fn cut<'t>(&self, normalized: &'t str) -> Vec<(&'t str, u32)> {
        match &self.model {
            Model::Unigram(unigram) => unigram.cut(normalized),
            Model::Bpe => bpe::cut(self, normalized),
        }
    }

    /// The id of a piece, the unknown one's if it has none.
    pub(super) fn id(&self, piece: &str) -> u32 {
        let id = self.reserved.get(piece).or_else(|| self.normal.get(piece));
        id.copied().unwrap_or(self.unknown)
    }

    pub(super) fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(|piece| &*piece.text)
    }

    pub(super) fn n_pieces(&self) -> usize {
        self.pieces.len()
    }

    /// The text of pieces; one that the model lacks stands as it is.
    pub(super) fn decode<'p>(&self, pieces: impl Iterator<Item = &'p str>) -> String {
        let (mut text, mut bytes) = (String::new(), Vec::new());
        let (mut is_first, mut took_space) = (true, false);
        for piece in pieces {
            let id = self.id(piece);
            let known = &self.pieces[id as usize];
            if let Some(byte) = byte_of(piece).filter(|_| known.kind == PieceType::Byte) {
                bytes.push(byte);
                continue;
            }
            push_bytes(&mut text, &mut bytes);
            is_first &= !took_space && text.is_empty();
            took_space = false;
            match known.kind {
                PieceType::Control => {}
                PieceType::Unknown if known.text == piece => text.push_str(&self.unknown_surface),
                PieceType::Unknown => text.push_str(piece),
                _ => {
                    let bare =
                        piece.strip_prefix(SPACE).filter(|_| is_first && self.drops_first_space);
                    took_space = bare.is_some() && !self.drops_all_first_spaces;
                    text.push_str(&bare.unwrap_or(piece).replace(SPACE, " "));
                }
            }
        }
        push_bytes(&mut text, &mut bytes);
        match &self.denormalizer {
            Some(denormalizer) => denormalizer.normalize(&text),
            None => text,
        }
    }
}

impl Piece {
    fn is_cut_out(&self) -> bool {
        matches!(self.kind, PieceType::Normal | PieceType::UserDefined | PieceType::Unused)
    }
}

/// `<0x0A>`.
fn byte_name(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

fn byte_of(piece: &str) -> Option<u8> {
    u8::from_str_radix(piece.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// Adds the characters of gathered bytes, `U+FFFD` for each byte that is part of none.
fn push_bytes(text: &mut String, bytes: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    bytes.clear();
}
