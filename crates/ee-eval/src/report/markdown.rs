//! `report.md`: the tables as text, the plots as links to their SVG files.

use std::fmt::Write;

use super::Page;
use super::passage::Passage;
use super::plots::Plot;

/// The whole page.
pub(super) fn page(page: &Page, passages: &[Passage]) -> String {
    let mut text = format!("# {}\n\n", page.title);
    for sentence in &page.findings {
        let _ = writeln!(text, "{sentence}\n");
    }
    for notice in &page.notices {
        let _ = writeln!(text, "> {notice}\n");
    }
    for table in &page.tables {
        let _ = writeln!(text, "## {}\n\n{}\n\n{}", table.title, table.note, table.markdown());
    }
    for plot in &page.plots {
        let Plot { title, note, file, .. } = plot;
        let _ = writeln!(text, "## {title}\n\n{note}\n\n![{title}](plots/{file}.svg)\n");
    }
    for passage in passages {
        // Indented text is shown as it is.
        let lines: String = passage.text().lines().map(|line| format!("    {line}\n")).collect();
        let _ = writeln!(text, "### {}\n\n{lines}\n{}\n", passage.title, passage.exits());
    }
    text.push_str("## How this was measured\n\n");
    for (name, facts) in &page.sources {
        let _ = writeln!(text, "- **{name}**: {facts}");
    }
    text
}
