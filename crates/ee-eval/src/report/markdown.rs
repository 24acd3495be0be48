//! `report.md`: the tables as text, the plots as links to their SVG files.

use std::fmt::Write;

use super::Page;
use super::passage::Passage;
use super::plot::Plot;
use super::table::escape_markdown;

pub(super) fn page(page: &Page, passages: &[Passage]) -> String {
    let mut text = format!("# {}\n\n", escape_markdown(&page.title));
    for sentence in &page.findings {
        let _ = writeln!(text, "{}\n", escape_markdown(sentence));
    }
    for notice in &page.notices {
        let _ = writeln!(text, "> {}\n", escape_markdown(notice));
    }
    for table in &page.tables {
        let (title, note) = (escape_markdown(&table.title), escape_markdown(&table.note));
        let _ = writeln!(text, "## {title}\n\n{note}\n\n{}", table.markdown());
    }
    for plot in &page.plots {
        let Plot { title, note, file, .. } = plot;
        let (title, note) = (escape_markdown(title), escape_markdown(note));
        let _ = writeln!(text, "## {title}\n\n{note}\n\n![{title}](plots/{file}.svg)\n");
    }
    for passage in passages {
        // Indented text is shown as it is.
        let lines: String = passage.text().lines().map(|line| format!("    {line}\n")).collect();
        let title = escape_markdown(&passage.title);
        let _ = writeln!(text, "### {title}\n\n{lines}\n{}\n", passage.exits());
    }
    text.push_str("## How this was measured\n\n");
    for (name, facts) in &page.sources {
        let (name, facts) = (escape_markdown(name), escape_markdown(facts));
        let _ = writeln!(text, "- **{name}**: {facts}");
    }
    text
}
