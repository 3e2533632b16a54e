//! CSV as RFC 4180 has it, with names in the first line.

use serde_json::{Map, Value};

/// A charge's fields by name, or why it has none, and the line where it begins.
pub(super) type Object = (usize, Result<Map<String, Value>, String>);

/// All objects of a file; empty fields are left out.
pub(super) fn objects(text: &str) -> Vec<Object> {
    let mut records = records(text).into_iter();
    let names = match records.next() {
        None => return Vec::new(),
        Some((line, Err(error))) => return vec![(line, Err(error))],
        Some((_, Ok(names))) => names,
    };
    let object = |fields: Vec<String>| {
        if fields.len() != names.len() {
            return Err(format!(
                "{} fields where the first line names {}",
                fields.len(),
                names.len()
            ));
        }
        let named = names.iter().map(|name| name.trim().to_owned()).zip(fields);
        let there = named.filter(|(_, field)| !field.is_empty());
        Ok(there.map(|(name, field)| (name.clone(), value(&name, field))).collect())
    };
    records.map(|(line, fields)| (line, fields.and_then(object))).collect()
}

/// Numbers are numbers where the charge has them; what is none there is found by who reads it.
fn value(name: &str, field: String) -> Value {
    match (name, field.trim().parse::<u64>()) {
        ("amount" | "duration", Ok(number)) => number.into(),
        _ => field.into(),
    }
}

type Record = (usize, Result<Vec<String>, String>);

fn records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let (mut line, mut rest) = (1, text.strip_prefix('\u{feff}').unwrap_or(text));
    while !rest.is_empty() {
        let (fields, length) = record(rest);
        let (this, after) = rest.split_at(length);
        // A line without anything is no record.
        if !this.trim().is_empty() {
            records.push((line, fields));
        }
        line += this.matches('\n').count();
        rest = after;
    }
    records
}

/// The fields of the first record, and its length with the end of its line.
fn record(text: &str) -> (Result<Vec<String>, String>, usize) {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if is_quoted && chars.peek().is_some_and(|(_, next)| *next == '"') => {
                chars.next();
                field.push('"');
            }
            '"' if is_quoted || field.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            '\n' if !is_quoted => {
                if field.ends_with('\r') {
                    field.pop();
                }
                return (Ok(fields), at + 1);
            }
            c => field.push(c),
        }
    }
    let fields = if is_quoted { Err("a quote is not closed".to_owned()) } else { Ok(fields) };
    (fields, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_commas_quotes_and_ends_of_lines() {
        let text = "\u{feff}a,b\n\"x,\"\"y\"\"\nz\",1\r\n\nlast,\"\"";
        let fields: Vec<_> =
            records(text).into_iter().map(|(line, fields)| (line, fields.unwrap())).collect();
        let expected = [
            (1, vec!["a".to_owned(), "b".to_owned()]),
            (2, vec!["x,\"y\"\nz".to_owned(), "1".to_owned()]),
            (5, vec!["last".to_owned(), String::new()]),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_does_not_fit_the_names_is_named() {
        let objects = objects("key,room\nk\n\"open,1\n");
        let errors: Vec<_> = objects.into_iter().map(|(line, o)| (line, o.unwrap_err())).collect();
        assert_eq!(errors[0], (2, "1 fields where the first line names 2".to_owned()));
        assert_eq!(errors[1], (3, "a quote is not closed".to_owned()));
    }
}
