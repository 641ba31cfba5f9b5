//! `mysql-proxy check`: a script may be any text.

use lint::Surroundings;

/// Where names are known, and modules found, that begin with a small letter.
struct Anything;

impl Surroundings for Anything {
    fn has_global(&self, name: &str) -> bool {
        is_known(name)
    }

    fn find_module(&self, name: &str) -> Result<(), Vec<String>> {
        match is_known(name) {
            true => Ok(()),
            false => Err(vec![format!("./{name}.lua")]),
        }
    }
}

fn is_known(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Input: a text.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let findings = lint::check(text, &Anything);
    let lines = text.split('\n').count();
    for finding in &findings {
        assert!((1..=lines).contains(&finding.line), "{finding:?}");
    }
    assert!(findings.is_sorted_by_key(|finding| finding.line));
    assert_eq!(findings, lint::check(text, &Anything));
}
