//! Values inside nested records, found by dotted paths.
//!
//! A path walks through objects by key and through lists by 0-based number: `answers.text.0`. A
//! step `*` takes every element of a list and stands in references alone. A key that itself holds
//! dots is found before shorter ones, so files may name their columns as they like.

use serde_json::{Map, Value};

use ee_files::did_you_mean;

/// The one value at a path.
pub(crate) fn find<'v>(fields: &'v Map<String, Value>, path: &str) -> Result<&'v Value, String> {
    let mut found = find_all(fields, path)?;
    match (found.pop(), found.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(format!("field `{path}`: expected one value, found several or none")),
    }
}

/// All values at a path with steps `*`; one without them.
pub(crate) fn find_all<'v>(
    fields: &'v Map<String, Value>,
    path: &str,
) -> Result<Vec<&'v Value>, String> {
    let mut found = Vec::new();
    in_object(fields, path, &mut found).map_err(|fault| match fault {
        Fault::NoField(name, hint) if name == path => format!("no field `{name}`{hint}"),
        Fault::NoField(name, hint) => format!("field `{path}`: no `{name}`{hint}"),
        Fault::Other(message) => format!("field `{path}`: {message}"),
    })?;
    Ok(found)
}

/// A value as text; `None` for a null.
pub(crate) fn text(value: &Value) -> Result<Option<String>, &'static str> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok(Some(value.to_string())),
        Value::Array(_) | Value::Object(_) => {
            Err("expected text or a number, found a list or an object")
        }
    }
}

/// Why a path leads nowhere.
enum Fault {
    /// A key that is not there, and the keys that are.
    NoField(String, String),
    Other(String),
}

fn in_object<'v>(
    fields: &'v Map<String, Value>,
    path: &str,
    found: &mut Vec<&'v Value>,
) -> Result<(), Fault> {
    if let Some(value) = fields.get(path) {
        found.push(value);
        return Ok(());
    }
    let dots = path.rmatch_indices('.').map(|(at, _)| at);
    let longest = dots.filter_map(|at| Some((fields.get(&path[..at])?, &path[at + 1..]))).next();
    match longest {
        Some((value, rest)) => in_value(value, rest, found),
        None => {
            let key = path.split_once('.').map_or(path, |(key, _)| key);
            let hint = did_you_mean(key, fields.keys().map(String::as_str));
            let deeper = fields.iter().find_map(|(name, value)| deeper(value, key, name, 0));
            let deeper = deeper.map(|path| format!("; there is one in `{path}`"));
            Err(Fault::NoField(key.to_owned(), hint + &deeper.unwrap_or_default()))
        }
    }
}

/// Levels below which no field is looked for.
const DEEPEST: usize = 6;

/// Where a key lies inside a value, in lists the first element's.
fn deeper(value: &Value, key: &str, path: &str, depth: usize) -> Option<String> {
    match value {
        _ if depth == DEEPEST => None,
        Value::Array(items) => deeper(items.first()?, key, &format!("{path}.0"), depth + 1),
        Value::Object(fields) if fields.contains_key(key) => Some(format!("{path}.{key}")),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, value)| deeper(value, key, &format!("{path}.{name}"), depth + 1)),
        _ => None,
    }
}

fn in_value<'v>(value: &'v Value, path: &str, found: &mut Vec<&'v Value>) -> Result<(), Fault> {
    if path.is_empty() {
        found.push(value);
        return Ok(());
    }
    let items = match value {
        Value::Object(fields) => return in_object(fields, path, found),
        Value::Array(items) => items,
        other => {
            let message =
                format!("`{path}` leads into {}, expected a list or an object", kind(other));
            return Err(Fault::Other(message));
        }
    };
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    if step == "*" {
        return items.iter().try_for_each(|item| in_value(item, rest, found));
    }
    let item = step.parse().ok().and_then(|index: usize| items.get(index)).ok_or_else(|| {
        let n_items = items.len();
        Fault::Other(format!("no element `{step}` in a list of {n_items}, counted from 0"))
    })?;
    in_value(item, rest, found)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "a null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> Map<String, Value> {
        let value = json!({
            "answers": [{"text": "a", "n": 1}, {"text": "b", "n": 2}],
            "translation": {"de": "Haus", "en": "house"},
            "translation.de": "dotted",
            "deep": {"list": [[1, 2], [3]]},
        });
        value.as_object().expect("an object").clone()
    }

    fn at(path: &str) -> Result<Value, String> {
        find(&record(), path).cloned()
    }

    #[test]
    fn steps_are_keys_and_numbers_and_a_dotted_key_wins() {
        assert_eq!(at("answers.1.text"), Ok(json!("b")));
        assert_eq!(at("deep.list.0.1"), Ok(json!(2)));
        assert_eq!(at("translation.en"), Ok(json!("house")));
        assert_eq!(at("translation.de"), Ok(json!("dotted")));
    }

    #[test]
    fn a_star_takes_every_element_in_order() {
        let record = record();
        let texts = find_all(&record, "answers.*.text").expect("two texts");
        assert_eq!(texts, [&json!("a"), &json!("b")]);
        assert_eq!(find_all(&record, "deep.list.*.*").expect("numbers").len(), 3);
        assert!(at("answers.*.text").expect_err("two values").contains("expected one value"));
    }

    #[test]
    fn a_path_that_leads_nowhere_says_where_it_ends() {
        for (path, expected) in [
            ("answer", "no field `answer`, did you mean `answers`? (known: answers, deep, "),
            ("translation.fr", "field `translation.fr`: no `fr` (known: de, en)"),
            (
                "answers.2.text",
                "field `answers.2.text`: no element `2` in a list of 2, counted from 0",
            ),
            ("answers.first", "field `answers.first`: no element `first` in a list of 2"),
            ("translation.en.x", "field `translation.en.x`: `x` leads into text, expected a list"),
        ] {
            let found = at(path).expect_err("no such value");
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
