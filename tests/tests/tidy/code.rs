//! Rust text as far as the rules need it: what is code, and where functions begin and end.

/// The text with comments and the contents of literals turned into spaces. Lines stay where they
/// are; the quotes of a string stay, too.
pub(crate) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let inside_word = at > 0 && is_word(bytes[at - 1]);
        let (from, len, until) = match rest {
            [b'/', b'/', ..] => (0, line_comment(rest), 0),
            [b'/', b'*', ..] => (0, block_comment(rest), 0),
            [b'"', ..] => (1, string(rest), 1),
            [b'\'', ..] => (1, character(rest).unwrap_or(1), 1),
            [b'r' | b'b' | b'c', ..] if !inside_word => (1, raw_string(rest).unwrap_or(1), 1),
            _ => (1, 1, 1),
        };
        let end = at + len;
        for byte in code.iter_mut().take(end.saturating_sub(until)).skip(at + from) {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code).expect("only whole characters were replaced")
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its `fn`, from 1.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace, without those that are blank or only a comment.
    pub(crate) length: usize,
}

/// All functions with a body in [`code_only`] text. One inside another counts for both.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let name = code[at + 2..].trim_start();
        let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // `fn(…)` is a type and `fn $name` a macro's business.
        let Some(end) = (!name.is_empty()).then(|| body_end(&code[at..])).flatten() else {
            continue;
        };
        let length = code[at..at + end].lines().filter(|line| !line.trim().is_empty()).count();
        found.push(Function { name, line: line_of(code, at), length });
    }
    found
}

/// Where `word` stands as a whole word. A word that ends in `::`, `!` or the like is looked for with it.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let whole = |at: &usize| {
        let (first, last) = (at.checked_sub(1), at + word.len());
        let begins = first.is_none_or(|before| !is_word(bytes[before]));
        let open = !word.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        begins && (open || bytes.get(last).is_none_or(|after| !is_word(*after)))
    };
    code.match_indices(word).map(|(at, _)| at).filter(whole).collect()
}

/// The line at a byte, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`. Plain `b"…"` is found at its quote.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = rest.iter().take(2).position(|b| *b == b'r')? + 1;
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    let start = prefix + hashes;
    if rest.get(start) != Some(&b'"') {
        return None;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let len = rest[start + 1..].windows(end.len()).position(|window| window == end)?;
    Some(start + 1 + len + end.len())
}

/// A character literal; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|b| *b == b'\'')?;
        return Some(close + 4);
    }
    // One character of up to four bytes, then the quote.
    let wide = rest.get(1).is_some_and(|b| *b >= 0x80);
    let reach = if wide { 6 } else { 3 };
    let close = rest.iter().take(reach).skip(2).position(|b| *b == b'\'')?;
    Some(close + 3)
}

/// From a `fn` to behind its closing brace; nothing for a declaration without a body.
fn body_end(code: &str) -> Option<usize> {
    let (mut round, mut curly) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round = round.saturating_sub(1),
            b';' if round == 0 && curly == 0 => return None,
            b'{' => curly += 1,
            b'}' if curly <= 1 => return (curly == 1).then_some(at + 1),
            b'}' => curly -= 1,
            _ => {}
        }
    }
    None
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = r##"let a = "fn x() { // "; // fn y() {
/* fn /* nested */ z */ let b = '{'; let c = b'\''; let d: &'static str = r#"un"safe"#;
let e = '\u{7b}'; let f = "\"{"; let ä = 'ä'; for_r"##;
    let code = code_only(text);
    assert_eq!(code.lines().count(), 3);
    for gone in ["fn", "{", "safe", "nested", "7b"] {
        assert!(!code.contains(gone), "{gone} is left in {code}");
    }
    for kept in ["let a = ", "let b = ", "let d: &'static str = ", "let f = ", "let ä = ", "for_r"]
    {
        assert!(code.contains(kept), "{kept} is gone from {code}");
    }
}

#[test]
fn functions_are_found_and_measured() {
    let text = "\
trait T { fn declared(&self) -> [u8; 4]; }
fn short() {}
// fn comment() {}
pub(crate) fn long(f: fn(u8), b: [u8; 2]) -> bool
where
    u8: Sized,
{

    // Neither this line nor the one before counts.
    if b[0] == 1 { f(2) }
    fn inner() { body() }
    true
}
";
    let measured: Vec<_> =
        functions(&code_only(text)).into_iter().map(|f| (f.name, f.line, f.length)).collect();
    let expected = [("short".into(), 2, 1), ("long".into(), 4, 8), ("inner".into(), 11, 1)];
    assert_eq!(measured, expected);
}

#[test]
fn words_are_whole() {
    assert_eq!(words("sleep asleep sleep_ sleep()", "sleep"), [0, 20]);
    assert_eq!(words("std::fs my_std::fs std::fsync", "std::fs"), [0]);
    assert_eq!(words("tokio::x not_tokio::x", "tokio::"), [0]);
}
