//! What stands in a record from the line, by the names that its dialect has for it.

use billing::Dialect;
use billing::fias::record::Record;
use serde_json::{Map, Value};

/// The fields of a record's text; none where the dialect has no names for them.
pub(crate) fn fields(dialect: &Dialect, text: &[u8]) -> Map<String, Value> {
    let pair = |name: &[u8], value: &[u8]| (lossy(name), Value::from(lossy(value)));
    match dialect {
        Dialect::Fias(_) => Record::read(text)
            .map(|record| record.fields().map(|(name, value)| pair(name, value)).collect())
            .unwrap_or_default(),
        Dialect::Cdr(settings) => {
            let fields = settings.layout.fields(text).into_iter();
            fields.map(|field| (field.name.to_owned(), field.value.into())).collect()
        }
        Dialect::Cable(settings) => {
            let unit = settings.unit_id.map(|_| "unit");
            let names = ["number"].into_iter().chain(unit).chain(COMMAND);
            let words = text.split(|byte| *byte == b' ');
            names.zip(words).map(|(name, word)| pair(name.as_bytes(), word)).collect()
        }
        Dialect::Hx(_) => Map::new(),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Behind a command's number and unit.
const COMMAND: [&str; 4] = ["kind", "address", "code", "argument"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: &str, settings: &[(&str, &str)], text: &[u8]) -> String {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let settings: Vec<_> = settings.iter().map(own).collect();
        let dialect = Dialect::named(dialect, &settings).unwrap();
        Value::from(fields(&dialect, text)).to_string()
    }

    #[test]
    fn a_record_s_fields_have_the_names_of_its_dialect() {
        let check_in = read("fias", &[], b"GI|RN2781|GNDoe|");
        assert_eq!(check_in, r#"{"GN":"Doe","RN":"2781"}"#);
        let command = read("cable", &[], b"000417 AU 2781 39 ADD");
        let expected =
            r#"{"address":"2781","argument":"ADD","code":"39","kind":"AU","number":"000417"}"#;
        assert_eq!(command, expected);
        let other = read("cable", &[("unit_id", "07")], b"000417 07 RF 2781");
        assert_eq!(other, r#"{"address":"2781","kind":"RF","number":"000417","unit":"07"}"#);
        assert_eq!(read("hx", &[], b"anything"), "{}");
        assert_eq!(read("fias", &[], b"\xff"), "{}", "what is no record has no fields");
    }
}
