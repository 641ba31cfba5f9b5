//! The file of `--defaults-file`: `key=value` lines under `[mysql-proxy]`, a key being an option's long name.
//!
//! Own code instead of an INI crate: every message names a line, which the crates do not keep, and `\,` must reach the lists.
//! What a value means is the option's business; only escapes are resolved here.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

const SECTION: &str = "mysql-proxy";

/// More than any real file; a wrong path is not read into memory whole.
const BYTES_MAX: u64 = 1 << 20;

/// What a file says in its section `[mysql-proxy]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DefaultsFile {
    /// False where the file has no such section.
    pub(crate) has_section: bool,
    /// In the order of their lines; of equal keys the last only.
    pub(crate) entries: Vec<Entry>,
}

/// `key=value`
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As written.
    pub(crate) key: String,
    /// Without the blanks around it and with its escapes resolved, `\,` excepted.
    pub(crate) value: String,
    /// From 1.
    pub(crate) line: usize,
}

impl DefaultsFile {
    /// Reads the regular file `path`, which other users must have no right to.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            text(path).with_context(|| format!("loading config from {} failed", path.display()))?;
        Self::parse(&text).map_err(|(line, reason)| anyhow!("{}:{line}: {reason}", path.display()))
    }

    /// An error is the line's number, from 1, and what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut file = Self::default();
        let mut section = None;
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if let Some(name) = text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'))
            {
                section = Some(name);
                file.has_section |= name == SECTION;
                continue;
            }
            let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
            let Some((key, value)) = pair else {
                return Err((
                    line,
                    format!("`{text}` is no [section], no key=value and no # comment"),
                ));
            };
            match section {
                None => return Err((line, format!("`{text}` stands before any [section]"))),
                Some(SECTION) => file.set(line, key.trim(), value.trim())?,
                Some(_) => {}
            }
        }
        Ok(file)
    }

    fn set(&mut self, line: usize, key: &str, value: &str) -> Result<(), (usize, String)> {
        let value = unescaped(value).map_err(|escape| {
            let reason =
                "a backslash is written \\\\; \\s \\n \\t \\r and, in a list, \\, are known too";
            (line, format!("{key}: unknown escape `{escape}`: {reason}"))
        })?;
        self.entries.retain(|entry| entry.key != key);
        let key = key.to_owned();
        self.entries.push(Entry { key, value, line });
        Ok(())
    }
}

/// The text of a regular file that other users have no right to.
///
/// # Errors
/// It is something else, it is too large, or it is not text.
pub(crate) fn text(path: &Path) -> Result<String> {
    // Only then is it opened: opening a FIFO would wait for its writer.
    let metadata = path.metadata()?;
    ensure!(metadata.is_file(), "it is not a regular file");
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        bail!(
            "its permissions {mode:04o} are too open; `chmod o= {}` closes it to other users",
            path.display()
        );
    }
    ensure!(
        metadata.len() <= BYTES_MAX,
        "it is larger than {BYTES_MAX} bytes"
    );
    let mut text = String::new();
    File::open(path)?
        .take(BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn unescaped(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('s') => text.push(' '),
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('\\') => text.push('\\'),
            Some(',') => text.push_str("\\,"),
            other => {
                return Err(
                    ["\\".to_owned(), other.map(String::from).unwrap_or_default()].concat(),
                );
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(String, String, usize)> {
        let file = DefaultsFile::parse(text).unwrap();
        file.entries
            .into_iter()
            .map(|entry| (entry.key, entry.value, entry.line))
            .collect()
    }

    fn entry(key: &str, value: &str, line: usize) -> (String, String, usize) {
        (key.to_owned(), value.to_owned(), line)
    }

    #[test]
    fn only_its_section_counts_and_the_last_of_equal_keys() {
        let text = "# head\n\n[other]\na=1\n[mysql-proxy]\r\n  a = 2 # no comment \n[x]\na=4\n[mysql-proxy]\nb=\na=3=4\n";
        assert_eq!(entries(text), [entry("b", "", 10), entry("a", "3=4", 11)]);
        assert_eq!(
            entries("[mysql-proxy]\na = 2 # no comment \n"),
            [entry("a", "2 # no comment", 2)]
        );
    }

    #[test]
    fn a_file_without_the_section_says_so() {
        assert!(
            !DefaultsFile::parse("[mysqld]\nport=1\n")
                .unwrap()
                .has_section
        );
        assert!(DefaultsFile::parse("[mysql-proxy]").unwrap().has_section);
    }

    #[test]
    fn escapes() {
        assert_eq!(entries("[mysql-proxy]\na=\\sx\\\\y\\,z")[0].1, " x\\y\\,z");
        let (line, reason) = DefaultsFile::parse("[mysql-proxy]\n\na=\\q").unwrap_err();
        assert_eq!(line, 3);
        assert!(reason.contains("unknown escape `\\q`"), "{reason}");
        assert!(DefaultsFile::parse("[mysql-proxy]\na=x\\").is_err());
    }

    #[test]
    fn other_lines_are_errors_with_their_number() {
        for (text, line) in [
            ("a=1", 1),
            ("[mysql-proxy]\n=1", 2),
            ("[mysql-proxy]\na\n", 2),
            ("[x]\n; a\n", 2),
            ("[x\n", 1),
        ] {
            assert_eq!(DefaultsFile::parse(text).unwrap_err().0, line, "{text:?}");
        }
    }
}
