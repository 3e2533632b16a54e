//! Charges as people and programs hand them in: by flags, as JSON lines, as CSV. All are checked
//! before the first is added.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use billing::Charge;
use daemon::{Exit, Failure};
use serde_json::{Map, Value, json};

use super::csv::{self, Object};
use crate::billing::calendar;
use crate::billing::store::desk::{MAX_ADDED, Wanted};
use crate::cli::PostArgs;

/// Charges, and where each of them stands.
#[derive(Debug)]
pub(super) struct Charges {
    /// What the file is called; nothing for flags.
    file: String,
    /// The line of each.
    lines: Vec<usize>,
    /// Checked, with no key twice.
    pub(super) wanted: Vec<Wanted>,
}

impl Charges {
    /// Where a charge stands, to begin a message with.
    pub(super) fn place(&self, index: usize) -> String {
        self.lines.get(index).map(|line| format!("{}:{line}: ", self.file)).unwrap_or_default()
    }
}

/// The charges of a command line.
///
/// # Errors
/// One of them can't be posted, with its place and field.
pub(super) fn charges(args: &PostArgs) -> Result<Charges, Failure> {
    match (&args.file, &args.key) {
        (Some(file), _) => from_file(file),
        (None, Some(key)) => from_flags(args, key),
        (None, None) => {
            let message = "no charge: give --key, --room and --amount, or --file; see --help";
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

fn from_flags(args: &PostArgs, key: &str) -> Result<Charges, Failure> {
    let at = args.at.clone().unwrap_or_else(|| calendar::now().to_string());
    let fields = json!({
        "key": key,
        "room": args.room,
        "kind": args.kind,
        "amount": args.amount,
        "at": at,
        "duration": args.duration,
        "dialled": args.dialled,
        "text": args.text,
    });
    let Value::Object(mut fields) = fields else { return Err(Failure::new(Exit::Software, "")) };
    fields.retain(|_, value| !value.is_null());
    let charge = charge(fields).map_err(|error| Failure::new(Exit::Usage, error))?;
    let wanted = vec![Wanted { charge, is_now: args.at.is_none() }];
    Ok(Charges { file: String::new(), lines: Vec::new(), wanted })
}

fn from_file(file: &Path) -> Result<Charges, Failure> {
    let name = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let text = read(file).map_err(|error| {
        let exit = match error.kind() {
            io::ErrorKind::InvalidData => Exit::Usage,
            io::ErrorKind::NotFound => Exit::NoInput,
            _ => (&error).into(),
        };
        Failure::new(exit, format!("{name}: {error}"))
    })?;
    parse(&name, &text).map_err(|errors| {
        let shown = errors.len().min(MOST_ERRORS);
        let more = match errors.len() - shown {
            0 => String::new(),
            more => format!("\nand {more} more"),
        };
        Failure::new(Exit::Usage, errors[..shown].join("\n") + &more)
    })
}

fn read(file: &Path) -> io::Result<String> {
    let input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(file)?) };
    let mut text = String::new();
    input.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        let message = format!("more than {} MiB; post it in parts", MAX_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}

/// The charges of a file, or everything that is wrong with it.
fn parse(name: &str, text: &str) -> Result<Charges, Vec<String>> {
    let is_json = text.trim_start().starts_with('{');
    let objects = if is_json { json_lines(text) } else { csv::objects(text) };
    let mut charges = Charges { file: name.to_owned(), lines: Vec::new(), wanted: Vec::new() };
    let mut keys: BTreeMap<String, usize> = BTreeMap::new();
    let mut errors = Vec::new();
    for (line, object) in objects {
        let checked = object.and_then(charge).and_then(|charge| {
            match keys.insert(charge.key.clone(), line) {
                Some(before) => Err(format!("key: {} is that of line {before}, too", charge.key)),
                None => Ok(charge),
            }
        });
        match checked {
            Ok(charge) => {
                charges.lines.push(line);
                charges.wanted.push(Wanted { charge, is_now: false });
            }
            Err(error) => errors.push(format!("{name}:{line}: {error}")),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if charges.wanted.len() > MAX_ADDED {
        let count = charges.wanted.len();
        return Err(vec![format!("{name}: {count} charges; post {MAX_ADDED} at once, in parts")]);
    }
    if charges.wanted.is_empty() {
        return Err(vec![format!("{name}: no charge is in it")]);
    }
    Ok(charges)
}

fn json_lines(text: &str) -> Vec<Object> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let object = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"));
            (number, object)
        })
        .collect()
}

fn charge(fields: Map<String, Value>) -> Result<Charge, String> {
    // A form of its own for each field, so that the error can name it.
    for (name, value) in &fields {
        let fits = match name.as_str() {
            "key" | "room" | "kind" | "at" | "dialled" | "text" => value.is_string(),
            "amount" | "duration" => value.is_u64(),
            _ => return Err(format!("{name}: there is no such field; there are {FIELDS}")),
        };
        if !fits {
            let wanted = if matches!(name.as_str(), "amount" | "duration") {
                "a whole number, not negative, is wanted"
            } else {
                "text is wanted"
            };
            return Err(format!("{name}: {wanted}"));
        }
    }
    for name in ["key", "room", "amount", "at"] {
        if !fields.contains_key(name) {
            return Err(format!("{name}: is missing"));
        }
    }
    let at = fields["at"].as_str().unwrap_or_default().parse::<billing::Civil>();
    at.map_err(|error| format!("at: {error}"))?;
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or("direct");
    if !["direct", "telephone", "minibar"].contains(&kind) {
        return Err("kind: direct, telephone or minibar".to_owned());
    }
    let charge: Charge =
        serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    charge.check().map_err(|error| error.to_string())?;
    Ok(charge)
}

const FIELDS: &str = "key, room, kind, amount, at, duration, dialled, text";
/// More than so many charges need.
const MAX_FILE: u64 = 16 << 20;
/// What is wrong beyond these is counted only.
const MOST_ERRORS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_and_csv_say_the_same() {
        let json = "{\"key\":\"a\",\"room\":\"27\",\"amount\":1050,\"at\":\"2018-06-18T12:35:45\",\
                    \"text\":\"Pay, \\\"TV\\\"\"}\n\n{\"key\":\"b\",\"room\":\"28\",\"amount\":5,\
                    \"at\":\"2018-06-18T12:35:45\",\"kind\":\"telephone\",\"duration\":60}\n";
        let csv = "key,room,amount,at,text,kind,duration\r\n\
                   a,27,1050,2018-06-18T12:35:45,\"Pay, \"\"TV\"\"\",,\r\n\
                   b,28,5,2018-06-18T12:35:45,,telephone,60\n";
        let (json, csv) = (parse("j", json).unwrap(), parse("c", csv).unwrap());
        assert_eq!(json.wanted, csv.wanted);
        assert_eq!((json.place(1), csv.place(1)), ("j:3: ".to_owned(), "c:3: ".to_owned()));
        assert_eq!(csv.wanted[0].charge.text.as_deref(), Some("Pay, \"TV\""));
    }

    #[test]
    fn everything_that_is_wrong_is_named_with_its_line_and_field() {
        let good = "\"room\":\"27\",\"amount\":1050,\"at\":\"2018-06-18T12:35:45\"}";
        let text = format!(
            "{{\"key\":\"a\",{good}\n{{\"key\":\"a\",{good}\n{{\"key\":\"b|\",{good}\n{{{good}\n\
             {{\"key\":\"c\",\"colour\":1,{good}\nnonsense\n{{\"key\":7,{good}\n\
             {{\"key\":\"d\",\"room\":\"1\",\"amount\":-1,\"at\":\"now\"}}\n"
        );
        let errors = parse("f", &text).unwrap_err();
        for (error, start) in errors.iter().zip([
            "f:2: key: a is that of line 1, too",
            "f:3: key: 1 to 64 printable",
            "f:4: key: is missing",
            "f:5: colour: there is no such field",
            "f:6: no JSON",
            "f:7: key: text is wanted",
            "f:8: amount: a whole number",
        ]) {
            assert!(error.starts_with(start), "{error} for {start}");
        }
        assert_eq!(errors.len(), 7);
        assert_eq!(parse("f", " \n").unwrap_err(), ["f: no charge is in it"]);
    }

    #[test]
    fn a_file_that_would_keep_the_gateway_waiting_is_refused() {
        let rest = "27,5,2018-06-18T12:35:45\n";
        let file = |count| {
            let lines = (0..count).map(|n| format!("k{n},{rest}"));
            lines.fold("key,room,amount,at\n".to_owned(), |file, line| file + &line)
        };
        assert_eq!(parse("f", &file(10_000)).unwrap().wanted.len(), 10_000);
        let errors = parse("f", &file(10_001)).unwrap_err();
        assert_eq!(errors, ["f: 10001 charges; post 10000 at once, in parts"]);
    }
}
