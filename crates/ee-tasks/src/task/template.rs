//! Texts with `{field}` placeholders.
//!
//! A placeholder holds the path of a field; a list of texts fills it one a line. Braces that are
//! meant literally are doubled. Nothing else is special, and nothing of a filled-in text is read
//! again, so data cannot break a prompt.

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let name = rest.split_once('}').filter(|(name, _)| brace == "{" && !name.contains('{'));
            let (name, after) = name.ok_or_else(|| {
                format!("a `{brace}` stands alone, expected `{{field}}` or a doubled brace")
            })?;
            if name.trim().is_empty() {
                return Err("a placeholder names no field, expected `{field}`".to_owned());
            }
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Field(name.trim().to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self { pieces })
    }

    /// The fields it asks for, in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text with every placeholder filled.
    pub(super) fn fill<E>(
        &self,
        mut value: impl FnMut(&str) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Field(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        let template = Template::parse(template).expect("a sound template");
        template.fill::<()>(|name| Ok(format!("<{name}>"))).expect("every field has a value")
    }

    #[test]
    fn placeholders_are_filled_and_doubled_braces_are_braces() {
        assert_eq!(filled("a {b.0} c{d}{d}"), "a <b.0> c<d><d>");
        assert_eq!(filled("{{b}} {{{b}}} }}{{"), "{b} {<b>} }{");
        assert_eq!(filled(""), "");
        let template = Template::parse("{b}{{x}}{ c }").expect("a sound template");
        assert_eq!(template.fields().collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        let template = Template::parse("{a}!").expect("a sound template");
        assert_eq!(template.fill::<()>(|_| Ok("{a}}".to_owned())), Ok("{a}}!".to_owned()));
    }

    #[test]
    fn a_brace_alone_and_an_empty_name_are_faults() {
        for faulty in ["{a", "a}", "{a{b}", "{", "}{", "{a}}"] {
            assert!(
                Template::parse(faulty).expect_err(faulty).contains("stands alone"),
                "{faulty}"
            );
        }
        assert!(Template::parse("{ }").expect_err("no name").contains("names no field"));
    }
}
