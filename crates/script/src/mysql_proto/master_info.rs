//! `master.info`, the file in which replicas kept where they stand: one value a line, the number of lines first.

use mlua::{Error, Result};

use super::{Decoded, Given, Module, failed};

/// The line that files of fewer lines lack.
const VERIFY_SERVER_CERT_LINE: u32 = 15;

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Text,
}
use Kind::{Number, Text};

/// In the file's order.
const LINES: [(&str, Kind); 15] = [
    ("master_lines", Number),
    ("master_log_file", Text),
    ("master_log_pos", Number),
    ("master_host", Text),
    ("master_user", Text),
    ("master_password", Text),
    ("master_port", Number),
    ("master_connect_retry", Number),
    ("master_ssl", Number),
    ("master_ssl_ca", Text),
    ("master_ssl_capath", Text),
    ("master_ssl_cert", Text),
    ("master_ssl_cipher", Text),
    ("master_ssl_key", Text),
    ("master_ssl_verify_server_cert", Number),
];

pub(super) fn add_to(module: &Module<'_>) -> Result<()> {
    module.decoder("from_masterinfo_string", from_masterinfo_string)?;
    module.encoder("to_masterinfo_string", to_masterinfo_string)
}

fn from_masterinfo_string(file: &[u8], decoded: &Decoded<'_>) -> Result<()> {
    let failed = failed("get_masterinfo_string");
    let mut lines = file.split(|&byte| byte == b'\n');
    let mut line_count = 0;
    for (key, kind) in LINES {
        if key == "master_ssl_verify_server_cert" && line_count < VERIFY_SERVER_CERT_LINE {
            break;
        }
        let line = lines
            .next()
            .ok_or_else(|| failed(&format!("no line for {key}")))?;
        match kind {
            Text => decoded.text(key, line)?,
            Number => {
                let number = number(line).ok_or_else(|| failed(&format!("{key} is no number")))?;
                if key == "master_lines" {
                    line_count = number;
                }
                decoded.number(key, number)?;
            }
        }
    }
    Ok(())
}

fn number(line: &[u8]) -> Option<u32> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn to_masterinfo_string(given: &Given<'_>) -> Result<Vec<u8>> {
    let line_count = given.number("master_lines", 0)? as u32;
    let mut file = Vec::new();
    for (key, kind) in LINES {
        if key == "master_ssl_verify_server_cert" && line_count < VERIFY_SERVER_CERT_LINE {
            break;
        }
        match kind {
            Number => {
                let number = given.number(key, 0)? as u32;
                file.extend_from_slice(number.to_string().as_bytes());
            }
            Text => {
                let text = given.text(key)?.unwrap_or_default();
                if text.contains(&b'\n') {
                    return Err(Error::runtime(format!(".{key} must not hold a newline")));
                }
                file.extend_from_slice(&text);
            }
        }
        file.push(b'\n');
    }
    Ok(file)
}
