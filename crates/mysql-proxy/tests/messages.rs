//! The page for operators has every warning and error of the log, in the log's own words.

use std::fs;
use std::path::{Path, PathBuf};

/// Fixed words of a message that are fewer than these bytes name nothing.
const WORDS_MIN: usize = 12;

/// Sources of what runs; those of tests and of the servers of the playground log for nobody on call.
fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_test =
            ["tests", "tests.rs", "simulation", "playground", "testkit"].contains(&&*name);
        match path.is_dir() {
            _ if is_test => {}
            true => sources(&path, files),
            false if name.ends_with(".rs") => files.push(path),
            false => {}
        }
    }
}

/// The format strings of `warn!` and `error!`.
fn messages(source: &str) -> Vec<String> {
    let code = source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let calls = ["warn!(", "error!("].map(|call| code.match_indices(call));
    let starts = calls.into_iter().flatten();
    let literals = starts.filter_map(|(at, _)| {
        let call = &code[at..];
        let call = &call[..call.find(");").unwrap_or(call.len())];
        let (_, rest) = call.split_once('"')?;
        let (literal, _) = rest.split_once('"')?;
        Some(unfold(literal))
    });
    literals.collect()
}

/// Without the line breaks that the source has and the message has not.
fn unfold(literal: &str) -> String {
    let mut lines = literal.split("\\\n");
    let first = lines.next().unwrap_or_default();
    lines.fold(first.to_owned(), |message, line| {
        message + line.trim_start()
    })
}

/// The parts that are the same in each such line of the log.
fn fixed_words(message: &str) -> Vec<&str> {
    let parts = message.split('{').map(|part| match part.split_once('}') {
        Some((_, rest)) => rest,
        None => part,
    });
    parts
        .map(|part| part.trim_matches([' ', ':', ';', ',', '(', ')', '=', '\'', '.']))
        .filter(|part| part.len() >= WORDS_MIN)
        .collect()
}

#[test]
fn the_page_for_operators_has_every_message() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/operations.md")).expect("the page is there");
    let mut files = Vec::new();
    sources(&root.join("crates"), &mut files);
    let mut found = 0;
    let mut missing = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("a source");
        for message in messages(&source) {
            let words = fixed_words(&message);
            if words.is_empty() {
                continue;
            }
            found += 1;
            if !words.iter().any(|words| has(&page, words)) {
                missing.push(format!("{}: {message}", file.display()));
            }
        }
    }
    assert!(found > 40, "only {found} messages were found");
    assert!(
        missing.is_empty(),
        "docs/operations.md lacks:\n{}",
        missing.join("\n")
    );
}

/// All of the words, or the first few: the rest says what came of it.
fn has(page: &str, words: &str) -> bool {
    let few: Vec<_> = words.split(' ').take(3).collect();
    page.contains(words) || (few.len() == 3 && page.contains(&few.join(" ")))
}
