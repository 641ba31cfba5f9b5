//! Which database a command makes the default one: COM_INIT_DB, and `USE` in a query.
//!
//! A query of several statements is not looked through, nor what procedures do.

use std::borrow::Cow;

use protocol::Command;

/// The database that becomes the default one if the server says OK; `None` for any other command. `packet` is what scripts
/// see of it: command byte and body.
pub(super) fn named_by(packet: &[u8]) -> Option<Cow<'_, [u8]>> {
    match packet.split_first()? {
        (&byte, name) if Command(byte) == Command::INIT_DB => Some(name.into()),
        (&byte, text) if Command(byte) == Command::QUERY => used_by(text),
        _ => None,
    }
}

/// `USE name`, as MySQL reads it.
fn used_by(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = skip_blanks(text);
    let (keyword, text) = text.split_at_checked(3)?;
    if !keyword.eq_ignore_ascii_case(b"use") {
        return None;
    }
    let behind = skip_blanks(text);
    if behind.len() == text.len() && behind.first() != Some(&b'`') {
        return None;
    }
    let (name, rest) = identifier(behind)?;
    let rest = skip_blanks(rest);
    let rest = skip_blanks(rest.strip_prefix(b";").unwrap_or(rest));
    rest.is_empty().then_some(name)
}

fn identifier(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    if let Some(quoted) = text.strip_prefix(b"`") {
        return quoted_identifier(quoted);
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b"_$".contains(byte);
    let length = text.iter().take_while(|byte| is_part(byte)).count();
    let (name, rest) = text.split_at(length);
    (length > 0).then_some((name.into(), rest))
}

/// Behind the first backtick; a doubled one stands for itself.
fn quoted_identifier(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut name = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.iter().position(|&byte| byte == b'`')?;
        name.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(b"`") {
            Some(more) => {
                name.push(b'`');
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name.into(), rest)),
        }
    }
}

/// Whitespace and comments; not those that servers run.
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    loop {
        let trimmed = text.trim_ascii_start();
        text = match trimmed {
            [b'/', b'*', b'!' | b'M', ..] => return trimmed,
            [b'/', b'*', comment @ ..] => match comment.windows(2).position(|two| two == b"*/") {
                Some(end) => &comment[end + 2..],
                None => return trimmed,
            },
            [b'#', line @ ..] => behind_line(line),
            [b'-', b'-'] => b"",
            [b'-', b'-', next, line @ ..] if next.is_ascii_whitespace() => match next {
                b'\n' => line,
                _ => behind_line(line),
            },
            _ => return trimmed,
        };
    }
}

fn behind_line(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|&byte| byte == b'\n');
    end.map_or(b"", |end| &line[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(sql: &str) -> Option<String> {
        let packet = [b"\x03", sql.as_bytes()].concat();
        named_by(&packet).map(|name| String::from_utf8_lossy(&name).into_owned())
    }

    #[test]
    fn use_names_a_database() {
        for (sql, name) in [
            ("USE shop", "shop"),
            ("use shop;", "shop"),
            ("  \n Use\tshop ; ", "shop"),
            ("use`shop`", "shop"),
            ("USE `a``b c`", "a`b c"),
            ("/* hello */ USE /**/ shop -- done", "shop"),
            ("# line\nUSE shop # done", "shop"),
            ("-- line\nUSE shop --", "shop"),
            ("--\nUSE shop", "shop"),
            ("USE gr\u{fc}n$_1", "gr\u{fc}n$_1"),
        ] {
            assert_eq!(used(sql).as_deref(), Some(name), "{sql}");
        }
    }

    #[test]
    fn nothing_else_does() {
        for sql in [
            "",
            "USE",
            "USE ",
            "USE ;",
            "USE ``",
            "USE `a",
            "USER shop",
            "useshop",
            "USE a; DROP TABLE b",
            "USE a b",
            "USE a.b",
            "/* USE shop",
            "/*! USE shop */",
            "SELECT 'USE shop'",
            "-- USE shop",
            "--USE shop",
        ] {
            assert_eq!(used(sql), None, "{sql}");
        }
        assert_eq!(named_by(b""), None);
        assert_eq!(
            named_by(b"\x16USE shop"),
            None,
            "COM_STMT_PREPARE runs nothing"
        );
        assert_eq!(named_by(b"\x02shop").as_deref(), Some(&b"shop"[..]));
    }
}
