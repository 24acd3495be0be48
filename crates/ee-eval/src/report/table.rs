//! A table once, in the four forms in which it is read: Markdown, HTML, CSV and a terminal.
//!
//! A cell keeps its number beside its rounded text: people read the text, scripts read the number.

use std::fmt::Write;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    /// A number and the text that shows it; aligned right.
    Number {
        /// Unrounded, for CSV.
        value: f64,
        /// Rounded, with its unit.
        text: String,
    },
    /// Nothing was measured.
    Absent,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number shown with `decimals`.
    pub(crate) fn number(value: f64, decimals: usize) -> Self {
        Self::Number { value, text: format!("{value:.decimals$}") }
    }

    pub(crate) fn optional(value: Option<f64>, decimals: usize) -> Self {
        value.map_or(Self::Absent, |value| Self::number(value, decimals))
    }

    /// Whether something holds.
    pub(crate) fn yes(holds: bool) -> Self {
        Self::text(if holds { "yes" } else { "no" })
    }

    pub(crate) fn count(n: usize) -> Self {
        Self::number(n as f64, 0)
    }

    /// A share between 0 and 1, shown in percent.
    pub(crate) fn percent(share: f64) -> Self {
        Self::Number { value: share, text: format!("{:.1} %", 100.0 * share) }
    }

    /// A factor, shown as `1.23×`.
    pub(crate) fn factor(value: f64) -> Self {
        Self::Number { value, text: format!("{value:.2}×") }
    }

    /// What a person reads.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number { text, .. } => text,
            Self::Absent => "–",
        }
    }

    /// What a script reads.
    fn raw(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number { value, .. } => value.to_string(),
            Self::Absent => String::new(),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Number { .. })
    }
}

/// A threshold: whole where the gate counts, else with four decimals.
pub(crate) fn threshold(value: f32) -> Cell {
    let decimals = if value.fract() == 0.0 { 0 } else { 4 };
    Cell::Number { value: f64::from(value), text: format!("{value:.decimals$}") }
}

/// The columns of a header row as Markdown writes it: names between bars.
pub(crate) fn columns(row: &str) -> Vec<String> {
    row.split('|').map(|name| name.trim().to_owned()).collect()
}

/// A titled table; every row has one cell per column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    /// What its CSV file is called, without ending.
    pub(crate) file: &'static str,
    pub(crate) title: String,
    /// One or two sentences on how to read it.
    pub(crate) note: String,
    /// The columns' names, with units.
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A column: its name, and what it shows of an item.
pub(crate) type Column<'a, T> = (&'a str, &'a dyn Fn(&T) -> Cell);

impl Table {
    /// A row per item.
    pub(crate) fn of<T>(
        file: &'static str,
        title: impl Into<String>,
        note: impl Into<String>,
        items: impl IntoIterator<Item = T>,
        columns: &[Column<'_, T>],
    ) -> Self {
        let row = |item: T| columns.iter().map(|(_, cell)| cell(&item)).collect();
        Self {
            file,
            title: title.into(),
            note: note.into(),
            columns: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
            rows: items.into_iter().map(row).collect(),
        }
    }

    /// Whether a column is aligned right: it holds a number.
    fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().any(|row| row[column].is_number())
    }

    /// The table as Markdown, without its title.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let names: Vec<String> = self.columns.iter().map(|name| escape_markdown(name)).collect();
        let rules: Vec<&str> = (0..self.columns.len())
            .map(|column| if self.is_numeric(column) { "---:" } else { "---" })
            .collect();
        let _ = writeln!(text, "| {} |\n| {} |", names.join(" | "), rules.join(" | "));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| escape_markdown(cell.shown())).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    /// The table as an HTML element, without its title.
    pub(crate) fn html(&self) -> String {
        let mut text = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
        let class = |column| if self.is_numeric(column) { " class=\"number\"" } else { "" };
        for (column, name) in self.columns.iter().enumerate() {
            let _ = write!(text, "<th scope=\"col\"{}>{}</th>", class(column), escape_html(name));
        }
        text.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            text.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let _ = write!(text, "<td{}>{}</td>", class(column), escape_html(cell.shown()));
            }
            text.push_str("</tr>\n");
        }
        text.push_str("</tbody></table></div>\n");
        text
    }

    /// The table as CSV with unrounded numbers.
    pub(crate) fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let rows = self.rows.iter().map(|row| row.iter().map(Cell::raw).collect());
        for record in std::iter::once(self.columns.clone()).chain(rows) {
            writer.write_record(record).expect("every row has one cell per column");
        }
        let bytes = writer.into_inner().expect("memory takes all that is written");
        String::from_utf8(bytes).expect("cells are text")
    }

    /// The table in columns of spaces, for a terminal.
    pub(crate) fn plain(&self) -> String {
        let shown = |cell: &Cell| on_one_line(cell.shown());
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| shown(&row[column]).chars().count());
            cells.chain([on_one_line(&self.columns[column]).chars().count()]).max().unwrap_or(0)
        };
        let mut text = String::new();
        let names: Vec<Cell> = self.columns.iter().map(Cell::text).collect();
        for row in std::iter::once(&names).chain(&self.rows) {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let (shown, width) = (shown(cell), width(column));
                if self.is_numeric(column) {
                    format!("{shown:>width$}")
                } else {
                    format!("{shown:<width$}")
                }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// Text without characters that would break a line or control a terminal.
pub(crate) fn on_one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(char::is_control, " ")
}

/// Text on one line that Markdown shows as it is, even in a table's cell.
pub(crate) fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in on_one_line(text).chars() {
        // An underscore inside a word is shown as it is.
        if matches!(sign, '\\' | '|' | '`' | '*' | '<' | '[') {
            escaped.push('\\');
        }
        escaped.push(sign);
    }
    escaped
}

/// Text that is safe inside an HTML element or attribute.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            file: "gates",
            title: "Gates".into(),
            note: String::new(),
            columns: vec!["gate".into(), "exit".into()],
            rows: vec![
                vec![Cell::text("a|b, <c>"), Cell::number(1.0 / 3.0, 2)],
                vec![Cell::text("d"), Cell::Absent],
            ],
        }
    }

    #[test]
    fn people_read_rounded_numbers_and_scripts_whole_ones() {
        assert_eq!(
            table().markdown(),
            "| gate | exit |\n| --- | ---: |\n| a\\|b, \\<c> | 0.33 |\n| d | – |\n"
        );
        assert_eq!(table().csv(), "gate,exit\n\"a|b, <c>\",0.3333333333333333\nd,\n");
        assert_eq!(table().plain(), "gate      exit\na|b, <c>  0.33\nd            –\n");
    }

    #[test]
    fn names_cannot_break_a_table() {
        let wild = "a\\|b\r\nc\"d\", *e* [f](g) `h`\x1b[2J";
        let table = Table {
            rows: vec![vec![Cell::text(wild), Cell::number(1.0, 0)]],
            columns: vec!["line\nbreak".into(), "n|m".into()],
            ..table()
        };
        let markdown = table.markdown();
        assert_eq!(markdown.lines().count(), 3, "{markdown}");
        let row = markdown.lines().last().unwrap();
        assert_eq!(row, r#"| a\\\|b c"d", \*e\* \[f](g) \`h\` \[2J | 1 |"#);
        assert_eq!(table.plain().lines().count(), 2, "{}", table.plain());
        assert!(!table.plain().contains('\x1b'));
        // CSV readers get the very text back.
        let csv = table.csv();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        assert_eq!(reader.headers().unwrap(), &csv::StringRecord::from(vec!["line\nbreak", "n|m"]));
        assert_eq!(&reader.records().next().unwrap().unwrap()[0], wild);
    }

    #[test]
    fn names_cannot_break_the_page() {
        let page = table().html();
        assert!(page.contains("a|b, &lt;c&gt;") && !page.contains("<c>"), "{page}");
    }
}
