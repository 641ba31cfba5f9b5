//! What an operator writes: addresses, networks, the defaults file.

use backend::Address;
use protocol::connection_phase::version_number;
use transport::Network;

use crate::defaults_file::DefaultsFile;
use crate::memory::bounded;

/// Input: a text.
pub(crate) fn run(input: &[u8]) {
    version_number(input);
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    if let Ok(address) = bounded(text, || text.parse::<Address>()) {
        assert_eq!(address.to_string(), text);
    }
    if let Ok(network) = bounded(text, || text.parse::<Network>()) {
        assert_eq!(network.to_string().parse(), Ok(network));
    }
    defaults_file(text);
}

/// What is read and written again reads the same.
fn defaults_file(text: &str) {
    let Ok(file) = DefaultsFile::parse(text) else {
        return;
    };
    let mut again = String::from("[mysql-proxy]\n");
    for entry in &file.entries {
        assert!((1..=text.lines().count()).contains(&entry.line));
        again += &format!("{}={}\n", entry.key, escaped(&entry.value));
    }
    let again = DefaultsFile::parse(&again).expect("it was read before");
    let pairs = |file: &DefaultsFile| -> Vec<_> {
        let entries = file.entries.iter();
        entries
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect()
    };
    assert_eq!(pairs(&again), pairs(&file));
}

/// `\,` stays what it is in a value that was read.
fn escaped(value: &str) -> String {
    let parts = value.split("\\,").map(|part| {
        let part = part.replace('\\', "\\\\").replace(' ', "\\s");
        part.replace('\n', "\\n")
            .replace('\t', "\\t")
            .replace('\r', "\\r")
    });
    parts.collect::<Vec<_>>().join("\\,")
}
