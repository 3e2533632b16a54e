//! Lengths, indexes, `unsafe`, unfinished places, white space.

use crate::code::{code_only, functions, line_of, words};
use crate::tree::{File, Findings, files, none, one, sample};

/// Longest function, in lines from `fn` to its closing brace; blank lines and comments are free,
/// so nobody has to squeeze or to leave out the reason.
const MAX_FUNCTION: usize = 70;
/// Longest file, with everything in it. 150 to 400 is the habit.
const MAX_FILE: usize = 600;

fn long_functions(files: &[File]) -> Findings {
    let mut findings = Vec::new();
    for file in files {
        let long =
            functions(&code_only(&file.text)).into_iter().filter(|f| f.length > MAX_FUNCTION);
        findings.extend(long.map(|function| {
            let (path, line, length) = (&file.path, function.line, function.length);
            format!("{path}:{line}: {} has {length} lines", function.name)
        }));
    }
    findings
}

fn long_files(files: &[File]) -> Findings {
    let lines = |file: &File| file.text.lines().count();
    let long = files.iter().filter(|file| lines(file) > MAX_FILE);
    long.map(|file| format!("{}: has {} lines", file.path, lines(file))).collect()
}

fn indexes_with_functions(files: &[File]) -> Findings {
    let index = |file: &&File| file.path.ends_with("/lib.rs") || file.path.ends_with("/mod.rs");
    let mut findings = Vec::new();
    for file in files.iter().filter(index) {
        for function in functions(&code_only(&file.text)) {
            findings.push(format!("{}:{}: fn {}", file.path, function.line, function.name));
        }
    }
    findings
}

fn words_outside(files: &[File], banned: &[&str], home: Option<&str>) -> Findings {
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| home.is_none_or(|home| !f.path.starts_with(home))) {
        let code = code_only(&file.text);
        for word in banned {
            for at in words(&code, word) {
                findings.push(format!("{}:{}: {word}", file.path, line_of(&code, at)));
            }
        }
    }
    findings
}

fn unsafe_elsewhere(files: &[File]) -> Findings {
    words_outside(files, &["unsafe"], Some("crates/sys/"))
}

fn unfinished(files: &[File]) -> Findings {
    words_outside(files, &["todo!", "unimplemented!"], None)
}

fn untidy_lines(files: &[File]) -> Findings {
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in (1..).zip(file.text.split('\n')) {
            let at = format!("{}:{number}", file.path);
            if line.ends_with([' ', '\t', '\r']) {
                findings.push(format!("{at}: white space at the end"));
            }
            if file.path.ends_with(".rs") && line.contains('\t') {
                findings.push(format!("{at}: a tab"));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            findings.push(format!("{}: no end of line at the end", file.path));
        }
    }
    findings
}

#[test]
fn functions_are_short() {
    none("a function has at most 70 lines", &long_functions(&files(&[".rs"])));
}

#[test]
fn a_long_function_is_found() {
    let function = |body: &str| format!("fn f() {{\n{body}}}\n");
    let fits = function(&"x();\n// A comment is free.\n\n".repeat(MAX_FUNCTION - 2));
    assert_eq!(long_functions(&[sample("a.rs", &fits)]), [""; 0]);
    let long = function(&"x();\n".repeat(MAX_FUNCTION - 1));
    one(&long_functions(&[sample("a.rs", &long)]), "a.rs:1: f has 71 lines");
}

#[test]
fn files_are_short() {
    none("a file has at most 600 lines", &long_files(&files(&[".rs"])));
}

#[test]
fn a_long_file_is_found() {
    assert_eq!(long_files(&[sample("a.rs", &"x\n".repeat(MAX_FILE))]), [""; 0]);
    one(&long_files(&[sample("a.rs", &"x\n".repeat(MAX_FILE + 1))]), "601");
}

#[test]
fn lib_and_mod_are_indexes() {
    none("lib.rs and mod.rs hold no function", &indexes_with_functions(&files(&[".rs"])));
}

#[test]
fn logic_in_an_index_is_found() {
    let text = "//! fn in words\npub mod a;\nfn logic() {}\n";
    one(&indexes_with_functions(&[sample("wire/src/lib.rs", text)]), "lib.rs:3: fn logic");
    one(&indexes_with_functions(&[sample("a/src/core/mod.rs", text)]), "mod.rs:3: fn logic");
    assert_eq!(indexes_with_functions(&[sample("a/src/core/line.rs", text)]), [""; 0]);
}

#[test]
fn unsafe_lives_in_one_crate() {
    none("unsafe stays in crates/sys", &unsafe_elsewhere(&files(&[".rs"])));
}

#[test]
fn unsafe_elsewhere_is_found() {
    let text = "#![forbid(unsafe_code)]\n// unsafe\nlet a = unsafe { b() };\n";
    one(&unsafe_elsewhere(&[sample("crates/wire/src/a.rs", text)]), "a.rs:3");
    assert_eq!(unsafe_elsewhere(&[sample("crates/sys/src/a.rs", text)]), [""; 0]);
}

#[test]
fn nothing_is_left_unfinished() {
    none("no todo! and no unimplemented!", &unfinished(&files(&[".rs"])));
}

#[test]
fn an_unfinished_place_is_found() {
    one(&unfinished(&[sample("a.rs", "// todo!()\nfn a() { todo!() }\n")]), "a.rs:2: todo!");
    one(&unfinished(&[sample("a.rs", "fn a() { unimplemented!(\"b\") }\n")]), "unimplemented!");
}

#[test]
fn lines_end_where_they_end() {
    let files = files(&[".rs", ".md", ".toml", ".json", ".service", ".rules", ".sh", ".ci/run"]);
    none("white space", &untidy_lines(&files));
}

#[test]
fn stray_white_space_is_found() {
    one(&untidy_lines(&[sample("a.md", "a \nb\n")]), "a.md:1: white space");
    one(&untidy_lines(&[sample("a.toml", "a\nb\t\n")]), "a.toml:2: white space");
    one(&untidy_lines(&[sample("a.rs", "\ta\n")]), "a.rs:1: a tab");
    one(&untidy_lines(&[sample("a.rs", "a\r\n")]), "a.rs:1: white space");
    one(&untidy_lines(&[sample("a.rs", "a")]), "no end of line");
    assert_eq!(untidy_lines(&[sample("a.sh", "\ta\n")]), [""; 0]);
}
