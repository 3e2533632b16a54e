//! Line ends and what else differs between a terminal and a line.

use std::str::FromStr;

/// What is changed on the way; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mapping {
    input: Rules,
    output: Rules,
}

/// What is changed in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Rules {
    cr: Change,
    lf: Change,
    /// DEL becomes BS.
    del: bool,
}

/// What becomes of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Change {
    #[default]
    Stays,
    Goes,
    To(u8),
    ToCrLf,
}

impl Mapping {
    /// What a byte from the line is shown as.
    pub fn input(&self, byte: u8, out: &mut Vec<u8>) {
        self.input.map(byte, out);
    }

    /// What is sent to the line for a typed byte.
    pub fn output(&self, byte: u8, out: &mut Vec<u8>) {
        self.output.map(byte, out);
    }

    fn add(&mut self, name: &str) -> bool {
        match name {
            "INLCR" => self.input.lf = Change::To(b'\r'),
            "INLCRNL" => self.input.lf = Change::ToCrLf,
            "ICRNL" => self.input.cr = Change::To(b'\n'),
            "ICRCRNL" => self.input.cr = Change::ToCrLf,
            "IGNCR" => self.input.cr = Change::Goes,
            "OCRNL" => self.output.cr = Change::To(b'\n'),
            "OCRCRNL" => self.output.cr = Change::ToCrLf,
            "ONLCR" => self.output.lf = Change::To(b'\r'),
            "ONLCRNL" => self.output.lf = Change::ToCrLf,
            "OIGNCR" => self.output.cr = Change::Goes,
            "ODELBS" => self.output.del = true,
            _ => return false,
        }
        true
    }
}

impl Rules {
    fn map(self, byte: u8, out: &mut Vec<u8>) {
        let change = match byte {
            b'\r' => self.cr,
            b'\n' => self.lf,
            0x7f if self.del => Change::To(8),
            _ => Change::Stays,
        };
        match change {
            Change::Stays => out.push(byte),
            Change::Goes => {}
            Change::To(other) => out.push(other),
            Change::ToCrLf => out.extend_from_slice(b"\r\n"),
        }
    }
}

impl FromStr for Mapping {
    type Err = String;

    /// Names with commas between them; of two for one character the later one counts.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut mapping = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if !mapping.add(&name.to_ascii_uppercase()) {
                return Err(format!("`{name}` is no mapping; there are {NAMES}"));
            }
        }
        Ok(mapping)
    }
}

const NAMES: &str = "INLCR, INLCRNL, ICRNL, ICRCRNL, IGNCR for input, OCRNL, OCRCRNL, ONLCR, \
                     ONLCRNL, OIGNCR, ODELBS for output";

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(rules: &str, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mapping: Mapping = rules.parse().unwrap();
        let (mut input, mut output) = (Vec::new(), Vec::new());
        bytes.iter().for_each(|byte| mapping.input(*byte, &mut input));
        bytes.iter().for_each(|byte| mapping.output(*byte, &mut output));
        (input, output)
    }

    #[test]
    fn each_mapping_changes_its_own_character_and_direction() {
        let all = b"a\r\n\x7f".as_slice();
        for (rules, input, output) in [
            ("", all, all),
            ("INLCR", b"a\r\r\x7f", all),
            ("INLCRNL", b"a\r\r\n\x7f", all),
            ("ICRNL", b"a\n\n\x7f", all),
            ("ICRCRNL", b"a\r\n\n\x7f", all),
            ("IGNCR", b"a\n\x7f", all),
            ("OCRNL", all, b"a\n\n\x7f"),
            ("OCRCRNL", all, b"a\r\n\n\x7f"),
            ("ONLCR", all, b"a\r\r\x7f"),
            ("ONLCRNL", all, b"a\r\r\n\x7f"),
            ("OIGNCR", all, b"a\n\x7f"),
            ("ODELBS", all, b"a\r\n\x08"),
            ("inlcrnl, igncr,ODELBS", b"a\r\n\x7f", b"a\r\n\x08"),
        ] {
            assert_eq!(mapped(rules, all), (input.to_vec(), output.to_vec()), "{rules}");
        }
        let error = "ICRNL,FOO".parse::<Mapping>().unwrap_err();
        assert!(error.starts_with("`FOO` is no mapping; there are INLCR, "), "{error}");
    }
}
