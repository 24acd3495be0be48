//! `report.html`: one self-contained page, no script, no font and no picture from elsewhere; light
//! or dark as the reader's system is, and readable on a telephone.

use std::fmt::Write;

use super::plots::Plot;
use super::table::{Table, escape_html};
use super::{View, findings};

/// The page's looks.
const STYLE: &str = include_str!("report.css");

/// The whole page.
pub(super) fn page(view: &View<'_>, tables: &[Table], plots: &[Plot]) -> String {
    let title = escape_html(&view.title);
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    for sentence in findings::sentences(view) {
        let _ = writeln!(text, "<p class=\"finding\">{}</p>", escape_html(&sentence));
    }
    for notice in view.notices() {
        let _ = writeln!(text, "<p class=\"notice\">{}</p>", escape_html(&notice));
    }
    let (headline, rest) = tables.split_at(1);
    section(&mut text, headline);
    text.push_str("<section class=\"plots\">\n");
    for plot in plots {
        let (title, note) = (escape_html(&plot.title), escape_html(&plot.note));
        let _ = writeln!(
            text,
            "<figure><div class=\"scroll\" role=\"img\" aria-label=\"{title}\">{}</div><figcaption>{note}</figcaption></figure>",
            plot.svg
        );
    }
    text.push_str("</section>\n");
    section(&mut text, rest);
    text.push_str("<section>\n<h2>How this was measured</h2>\n<ul>\n");
    for (name, results) in &view.models {
        let facts = escape_html(&super::provenance(results));
        let _ = writeln!(text, "<li><strong>{}</strong>: {facts}</li>", escape_html(name));
    }
    text.push_str("</ul>\n</section>\n</main>\n</body>\n</html>\n");
    text
}

/// Appends tables with their titles and notes.
fn section(text: &mut String, tables: &[Table]) {
    for table in tables {
        let _ = writeln!(
            text,
            "<section>\n<h2>{}</h2>\n{}<p class=\"note\">{}</p>\n</section>",
            escape_html(&table.title),
            table.html(),
            escape_html(&table.note)
        );
    }
}
