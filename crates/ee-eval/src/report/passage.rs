//! Texts coloured token by token by the exit that each was taken from: on a page, on a terminal, and as
//! plain text with its exits beside it.
//!
//! One hue from light (the first exit) to dark (the last), so that grey prints and colour-blind readers see
//! the depth, too; the exit also stands in each token's tooltip.

use std::fmt::Write;

use super::table::escape_html;

/// Blues from light to dark of the terminal's 256 colours: ground and ink.
const TERMINAL: [(u8, u8); 6] = [(195, 16), (153, 16), (111, 16), (69, 16), (26, 231), (18, 231)];

/// A text by its tokens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Passage {
    pub(crate) title: String,
    /// The pieces that its tokens added to the text, in order, each with its exit from 1.
    pub(crate) tokens: Vec<(String, usize)>,
    pub(crate) layers: usize,
}

impl Passage {
    /// How deep an exit is, from 0 (the first) to 1 (the last).
    fn depth(&self, exit: usize) -> f64 {
        (exit.saturating_sub(1)) as f64 / self.layers.saturating_sub(1).max(1) as f64
    }

    /// The exits as a list: `[5, 5, 1]`.
    pub(crate) fn exits(&self) -> String {
        let exits: Vec<usize> = self.tokens.iter().map(|(_, exit)| *exit).collect();
        format!("{exits:?}")
    }

    pub(crate) fn text(&self) -> String {
        self.tokens.iter().map(|(piece, _)| piece.as_str()).collect()
    }

    /// The text for a terminal, coloured by exit.
    pub(crate) fn terminal(&self) -> String {
        let mut text = String::new();
        for (piece, exit) in &self.tokens {
            let at = (self.depth(*exit) * (TERMINAL.len() - 1) as f64).round() as usize;
            let (ground, ink) = TERMINAL[at.min(TERMINAL.len() - 1)];
            // A line end must not carry the colour to the terminal's edge.
            for (number, line) in piece.split('\n').enumerate() {
                text.push_str(if number > 0 { "\n" } else { "" });
                if !line.is_empty() {
                    let _ = write!(text, "\x1b[48;5;{ground};38;5;{ink}m{line}\x1b[0m");
                }
            }
        }
        text
    }

    /// The text as an element of a page.
    pub(crate) fn html(&self) -> String {
        let mut text = String::from("<p class=\"passage\">");
        for (piece, exit) in &self.tokens {
            let depth = self.depth(*exit);
            let class = if depth > 0.55 { " class=\"deep\"" } else { "" };
            let _ = write!(
                text,
                "<span{class} style=\"--depth:{depth:.3}\" title=\"exit {exit}\">{}</span>",
                escape_html(piece)
            );
        }
        text.push_str("</p>\n");
        text
    }
}

/// The colours of all exits in a row.
pub(crate) fn legend(layers: usize) -> Passage {
    let tokens = (1..=layers).map(|exit| (format!(" {exit} "), exit)).collect();
    Passage { title: "Exits".to_owned(), tokens, layers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage() -> Passage {
        let tokens = [("a", 5), (" <b>", 1), ("\n", 3)];
        let tokens = tokens.map(|(piece, exit)| (piece.to_owned(), exit)).to_vec();
        Passage { title: "t".into(), tokens, layers: 5 }
    }

    #[test]
    fn exits_stand_beside_the_text() {
        assert_eq!(
            (passage().text().as_str(), passage().exits().as_str()),
            ("a <b>\n", "[5, 1, 3]")
        );
    }

    #[test]
    fn the_deepest_exit_is_darkest_and_text_is_escaped() {
        let html = passage().html();
        assert!(
            html.contains("<span class=\"deep\" style=\"--depth:1.000\" title=\"exit 5\">a</span>")
        );
        assert!(html.contains("--depth:0.000\" title=\"exit 1\"> &lt;b&gt;</span>"), "{html}");
        let terminal = passage().terminal();
        assert!(terminal.starts_with("\x1b[48;5;18;38;5;231ma\x1b[0m\x1b[48;5;195;38;5;16m <b>"));
        assert!(terminal.ends_with("\x1b[0m\n"));
    }
}
