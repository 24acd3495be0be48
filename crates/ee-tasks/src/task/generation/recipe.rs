//! How a row becomes a prompt, its references and its response.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::TextExample;
use crate::config::Section;
use crate::error::Error;
use crate::table::{Record, path as fields};
use crate::task::splits::Splits;
use crate::task::template::Template;
use ee_files::did_you_mean;

/// What a task file says about the use of fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recipe {
    prompt: Template,
    /// A field, and the template that holds where it is empty.
    prompt_without: Option<(String, Template)>,
    references: Vec<String>,
    response: Option<Template>,
    /// A field with a list; each of its elements makes an example.
    expand: Option<String>,
    /// How values of a field are put into words.
    values: BTreeMap<String, BTreeMap<String, String>>,
    example: Option<Template>,
    /// The few-shot examples that the file itself states, as they lead every prompt.
    pub(super) examples: String,
    pub(super) shots: Option<Shots>,
}

/// Few-shot examples from the first rows of a split.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shots {
    pub(super) split: String,
    pub(super) count: usize,
}

impl Recipe {
    pub(super) fn from_root(root: &Section<'_>, parallel: bool, splits: &Splits) -> Self {
        let references = match parallel {
            true => root.or("references", vec!["references".to_owned()]),
            // A task may have no answers.
            false => root.or("references", Vec::new()),
        };
        root.require("references", !references.is_empty(), "expected at least one field");
        let prompt = template(root, "prompt", &root.required::<String>("prompt"));
        let recipe = Self {
            prompt,
            prompt_without: prompt_without(root),
            references,
            response: optional_template(root, "response"),
            expand: root.optional("expand"),
            values: root.or("values", BTreeMap::new()),
            example: optional_template(root, "example"),
            examples: String::new(),
            shots: Shots::from_root(root, splits),
        };
        let examples = recipe.stated_examples(root);
        Self { examples, ..recipe }
    }

    pub(super) fn has_references(&self) -> bool {
        !self.references.is_empty()
    }

    /// Whether there is a response.
    pub(super) fn has_responses(&self) -> bool {
        self.has_references() || self.response.is_some()
    }

    /// The few-shot examples that the file itself states, filled in.
    fn stated_examples(&self, root: &Section<'_>) -> String {
        let examples: Vec<BTreeMap<String, String>> = root.or("examples", Vec::new());
        let some = !examples.is_empty();
        match &self.example {
            None if some || self.shots.is_some() => {
                root.complain("example", "missing, expected the form in which examples are shown");
                return String::new();
            }
            Some(_) if !some && self.shots.is_none() => {
                root.complain("example", "expected `examples` or `shots` beside it, found neither");
            }
            _ if some && self.shots.is_some() => {
                root.complain("examples", "expected `examples` or `shots`, found both");
            }
            _ => {}
        }
        let Some(template) = &self.example else { return String::new() };
        let shown = examples.iter().enumerate().map(|(index, example)| {
            template.fill(|field| {
                example.get(field).cloned().ok_or_else(|| {
                    let hint = did_you_mean(field, example.keys().map(String::as_str));
                    format!("item {}: no field `{field}`{hint}", index + 1)
                })
            })
        });
        shown.collect::<Result<_, _>>().unwrap_or_else(|message| {
            root.complain("examples", message);
            String::new()
        })
    }

    /// Every field that is looked at, each once.
    pub(super) fn fields(&self) -> Vec<&str> {
        let mut all: BTreeSet<&str> = self.references.iter().map(String::as_str).collect();
        // Stated examples bring their own fields.
        let shown = self.example.as_ref().filter(|_| self.shots.is_some());
        let without = self.prompt_without.as_ref();
        let templates = [Some(&self.prompt), self.response.as_ref(), shown];
        for template in templates.into_iter().chain([without.map(|(_, template)| template)]) {
            all.extend(template.into_iter().flat_map(Template::fields));
        }
        all.extend(self.expand.as_deref());
        all.extend(without.map(|(field, _)| field.as_str()));
        all.into_iter().collect()
    }

    /// One record per example of a row, in which the expanded field is the element alone.
    pub(super) fn expanded(&self, path: &Path, record: Record) -> Result<Vec<Record>, Error> {
        let Some(field) = &self.expand else { return Ok(vec![record]) };
        let Record { line, mut fields } = record;
        let wrong = |found: String| Error::line(path, line, format!("field `{field}`: {found}"));
        let items = match fields.remove(field) {
            Some(Value::Array(items)) => items,
            Some(_) => return Err(wrong("expected a list to expand".to_owned())),
            None => {
                let hint = did_you_mean(field, fields.keys().map(String::as_str));
                return Err(Error::line(path, line, format!("no field `{field}`{hint}")));
            }
        };
        let with = |item| {
            let mut fields = fields.clone();
            fields.insert(field.clone(), item);
            Record { line, fields }
        };
        Ok(items.into_iter().map(with).collect())
    }

    /// The row as a few-shot example.
    pub(super) fn shown(&self, path: &Path, record: &Record) -> Result<String, Error> {
        let template = self.example.as_ref().expect("checked when the task was read");
        self.fill(template, record).map_err(|message| Error::line(path, record.line, message))
    }

    /// The row as an example to answer, after `lead`; a line of parallel text has its place, be it empty.
    pub(super) fn example(
        &self,
        path: &Path,
        record: &Record,
        lead: &str,
        may_be_blank: bool,
    ) -> Result<TextExample, Error> {
        let wrong = |message| Error::line(path, record.line, message);
        let template = self.prompt_for(record).map_err(wrong)?;
        let prompt = self.fill(template, record).map_err(wrong)?;
        if prompt.trim().is_empty() && !may_be_blank {
            return Err(wrong("the prompt is empty, expected text".to_owned()));
        }
        let references = self.references_of(record).map_err(wrong)?;
        let response = match &self.response {
            Some(template) => self.fill(template, record).map_err(wrong)?,
            None => references.first().cloned().unwrap_or_default(),
        };
        Ok(TextExample {
            prompt: format!("{lead}{prompt}"),
            response,
            references,
            line: record.line,
        })
    }

    fn prompt_for(&self, record: &Record) -> Result<&Template, String> {
        let Some((field, template)) = &self.prompt_without else { return Ok(&self.prompt) };
        let is_empty = match fields::find(&record.fields, field)? {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        Ok(if is_empty { template } else { &self.prompt })
    }

    fn references_of(&self, record: &Record) -> Result<Vec<String>, String> {
        let mut references = Vec::new();
        for field in &self.references {
            for value in fields::find_all(&record.fields, field)? {
                references.extend(self.texts(field, value)?);
            }
        }
        match references.is_empty() && self.has_references() {
            true => {
                Err(format!("no reference in {}, expected one or more", quoted(&self.references)))
            }
            false => Ok(references),
        }
    }

    fn fill(&self, template: &Template, record: &Record) -> Result<String, String> {
        template.fill(|field| {
            let value = fields::find(&record.fields, field)?;
            Ok(self.texts(field, value)?.join("\n"))
        })
    }

    /// The texts of a list, or the one text of any other value, in the words that the task wants.
    fn texts(&self, field: &str, value: &Value) -> Result<Vec<String>, String> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let word = |item: &Value| {
            let text = fields::text(item).map_err(|found| format!("field `{field}`: {found}"))?;
            let text =
                text.ok_or_else(|| format!("field `{field}`: expected text, found a null or NaN"))?;
            let Some(words) = self.values.get(field) else { return Ok(text) };
            words.get(&text).cloned().ok_or_else(|| {
                let hint = did_you_mean(&text, words.keys().map(String::as_str));
                format!("field `{field}`: unknown value `{text}`{hint}")
            })
        };
        items.iter().map(word).collect()
    }
}

impl Shots {
    fn from_root(root: &Section<'_>, splits: &Splits) -> Option<Self> {
        let section = root.section("shots");
        section.exists().then(|| {
            let shots = Self { split: section.required("split"), count: section.required("count") };
            section.require("count", shots.count > 0, "expected 1 or more, found 0");
            if section.has("split") {
                splits.check_name(&section, "split", &shots.split);
            }
            shots
        })
    }
}

fn prompt_without(root: &Section<'_>) -> Option<(String, Template)> {
    let mut templates = root.optional::<BTreeMap<String, String>>("prompt_without")?;
    if templates.len() != 1 {
        let message = format!("expected one field with its template, found {}", templates.len());
        root.complain("prompt_without", message);
    }
    let (field, text) = templates.pop_first()?;
    Some((field, template(root, "prompt_without", &text)))
}

fn optional_template(root: &Section<'_>, key: &'static str) -> Option<Template> {
    let text: String = root.optional(key)?;
    Some(template(root, key, &text))
}

/// The template; an empty one stands in for a faulty one, which is noted.
fn template(root: &Section<'_>, key: &str, text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|message| {
        root.complain(key, message);
        Template::parse("").expect("an empty template is sound")
    })
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
