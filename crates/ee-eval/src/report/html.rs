//! `report.html`: one self-contained page, no script, no font and no picture from elsewhere; light
//! or dark as the reader's system is, and readable on a telephone.

use std::fmt::Write;

use super::Page;
use super::passage::{Passage, legend};
use super::table::{Table, escape_html};

/// The page's looks.
const STYLE: &str = include_str!("report.css");

pub(super) fn page(page: &Page, passages: &[Passage]) -> String {
    let title = escape_html(&page.title);
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    for sentence in &page.findings {
        let _ = writeln!(text, "<p class=\"finding\">{}</p>", escape_html(sentence));
    }
    for notice in &page.notices {
        let _ = writeln!(text, "<p class=\"notice\">{}</p>", escape_html(notice));
    }
    let (headline, rest) = page.tables.split_at(1);
    section(&mut text, headline);
    text.push_str("<section class=\"plots\">\n");
    for plot in &page.plots {
        let (title, note) = (escape_html(&plot.title), escape_html(&plot.note));
        let _ = writeln!(
            text,
            "<figure><div class=\"scroll\" role=\"img\" aria-label=\"{title}\">{}</div><figcaption>{note}</figcaption></figure>",
            plot.svg
        );
    }
    text.push_str("</section>\n");
    section(&mut text, rest);
    coloured(&mut text, passages);
    text.push_str("<section>\n<h2>How this was measured</h2>\n<ul>\n");
    for (name, facts) in &page.sources {
        let (name, facts) = (escape_html(name), escape_html(facts));
        let _ = writeln!(text, "<li><strong>{name}</strong>: {facts}</li>");
    }
    text.push_str("</ul>\n</section>\n</main>\n</body>\n</html>\n");
    text
}

/// Appends texts coloured by exit, after the colours of all exits.
fn coloured(text: &mut String, passages: &[Passage]) {
    let Some(first) = passages.first() else { return };
    let _ = write!(text, "<section>\n<h2>Texts by exit</h2>\n{}", legend(first.layers).html());
    for passage in passages {
        let (title, exits) = (escape_html(&passage.title), passage.exits());
        let _ = writeln!(text, "<h3>{title}</h3>\n{}<p class=\"note\">{exits}</p>", passage.html());
    }
    text.push_str("</section>\n");
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
