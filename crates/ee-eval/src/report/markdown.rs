//! `report.md`: the tables as text, the plots as links to their SVG files.

use std::fmt::Write;

use super::plots::Plot;
use super::table::Table;
use super::{View, findings};

/// The whole page.
pub(super) fn page(view: &View<'_>, tables: &[Table], plots: &[Plot]) -> String {
    let mut text = format!("# {}\n\n", view.title);
    for sentence in findings::sentences(view) {
        let _ = writeln!(text, "{sentence}\n");
    }
    for notice in view.notices() {
        let _ = writeln!(text, "> {notice}\n");
    }
    for table in tables {
        let _ = writeln!(text, "## {}\n\n{}\n\n{}", table.title, table.note, table.markdown());
    }
    for plot in plots {
        let Plot { title, note, file, .. } = plot;
        let _ = writeln!(text, "## {title}\n\n{note}\n\n![{title}](plots/{file}.svg)\n");
    }
    text.push_str("## How this was measured\n\n");
    for (name, results) in &view.models {
        let _ = writeln!(text, "- **{name}**: {}", super::provenance(results));
    }
    text
}
