//! CREATE TABLE: AUTO_INCREMENT becomes SQLite's own, and what SQLite does not know (keys inside the table, engines,
//! character sets, comments) is left out.

use super::token::{Token, TokenKind};

/// Rewrites what follows `create` when it creates a table with columns; everything else stays as it is.
pub(super) fn rewrite(create: &Token, rest: &[Token]) -> Vec<Token> {
    let mut tokens = vec![create.clone()];
    let names = rest.iter().position(|token| token.is_symbol('('));
    let creates_table = rest.iter().take(2).any(|token| token.is("TABLE"));
    let Some(open) = names.filter(|_| creates_table) else {
        tokens.extend_from_slice(rest);
        return tokens;
    };
    let body = &rest[open + 1..];
    let close = close_of(body);
    tokens.extend_from_slice(&rest[..=open]);
    let definitions = split(&body[..close]).into_iter().filter_map(definition);
    for (index, definition) in definitions.enumerate() {
        if index > 0 {
            tokens.push(symbol(','));
        }
        tokens.extend(definition);
    }
    if close < body.len() {
        tokens.push(symbol(')'));
    }
    // Table options end here, a SELECT goes on.
    let select = body.iter().skip(close).position(|token| token.is("SELECT"));
    if let Some(select) = select {
        tokens.push(word("AS"));
        tokens.extend_from_slice(&body[close + select..]);
    }
    tokens
}

fn symbol(symbol: char) -> Token {
    Token {
        kind: TokenKind::Symbol(symbol),
        is_spaced: false,
    }
}

fn word(word: &str) -> Token {
    Token {
        kind: TokenKind::Word(word.to_owned()),
        is_spaced: true,
    }
}

/// Where the parenthesis closes that was opened before `tokens`.
fn close_of(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Symbol('(') => depth += 1,
            TokenKind::Symbol(')') if depth == 0 => return at,
            TokenKind::Symbol(')') => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// At the commas outside parentheses.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            match token.kind {
                TokenKind::Symbol('(') => depth += 1,
                TokenKind::Symbol(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token.is_symbol(',')
        })
        .collect()
}

/// One column, constraint or key; `None` for a key that only makes queries faster.
fn definition(tokens: &[Token]) -> Option<Vec<Token>> {
    let first = tokens.first()?;
    match tokens {
        _ if ["KEY", "INDEX", "FULLTEXT", "SPATIAL"]
            .iter()
            .any(|key| first.is(key)) =>
        {
            None
        }
        [unique, key, rest @ ..] if unique.is("UNIQUE") && (key.is("KEY") || key.is("INDEX")) => {
            let columns = rest.iter().position(|token| token.is_symbol('('))?;
            Some([std::slice::from_ref(unique), &rest[columns..]].concat())
        }
        _ if ["PRIMARY", "UNIQUE", "CONSTRAINT", "FOREIGN", "CHECK"]
            .iter()
            .any(|constraint| first.is(constraint)) =>
        {
            Some(tokens.to_vec())
        }
        [name, rest @ ..] => Some(column(name, rest)),
        [] => None,
    }
}

fn column(name: &Token, rest: &[Token]) -> Vec<Token> {
    let mut tokens = vec![name.clone()];
    let mut rest = rest;
    if rest.iter().any(|token| token.is("AUTO_INCREMENT")) {
        // Only this very type counts up in SQLite.
        tokens.push(word("INTEGER"));
        rest = without_type(rest);
    } else if rest
        .first()
        .is_some_and(|kind| kind.is("ENUM") || kind.is("SET"))
    {
        tokens.push(word("VARCHAR"));
        rest = without_type(rest);
    }
    while let Some((token, tail)) = rest.split_first() {
        rest = tail;
        let dropped = dropped(token, tail);
        match dropped {
            Some(count) => rest = &tail[count.min(tail.len())..],
            None => tokens.push(token.clone()),
        }
    }
    tokens
}

/// Behind `INT(11) UNSIGNED`.
fn without_type(tokens: &[Token]) -> &[Token] {
    let mut rest = tokens.get(1..).unwrap_or_default();
    if rest.first().is_some_and(|token| token.is_symbol('(')) {
        let close = close_of(&rest[1..]);
        rest = rest.get(close + 2..).unwrap_or_default();
    }
    match rest {
        [unsigned, tail @ ..] if unsigned.is("UNSIGNED") => tail,
        rest => rest,
    }
}

/// For an attribute that SQLite does not know: how many tokens belong to it.
fn dropped(token: &Token, tail: &[Token]) -> Option<usize> {
    match tail {
        _ if token.is("AUTO_INCREMENT") => Some(0),
        [_, ..] if token.is("COMMENT") || token.is("COLLATE") || token.is("CHARSET") => Some(1),
        [set, _, ..] if token.is("CHARACTER") && set.is("SET") => Some(2),
        [update, ..] if token.is("ON") && update.is("UPDATE") => {
            let has_digits = tail.get(2).is_some_and(|token| token.is_symbol('('));
            Some(if has_digits {
                2 + close_of(&tail[3..]) + 2
            } else {
                2
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::{tokenize, translate};

    fn said(sql: &str) -> String {
        translate(&tokenize(sql.as_bytes()).unwrap())
    }

    #[test]
    fn counting_columns_keys_and_options() {
        assert_eq!(
            said(
                "CREATE TABLE `t` (id INT(11) UNSIGNED NOT NULL AUTO_INCREMENT, \
                 name VARCHAR(20) CHARACTER SET utf8 COLLATE utf8_bin COMMENT 'x, (y', \
                 kind ENUM('a','b'), at TIMESTAMP NULL ON UPDATE CURRENT_TIMESTAMP, \
                 PRIMARY KEY (id), UNIQUE KEY n (name), KEY k (kind, at)) ENGINE=InnoDB COMMENT='z'"
            ),
            "CREATE TABLE `t` (id INTEGER NOT NULL, name VARCHAR(20), kind VARCHAR, \
             at TIMESTAMP NULL, PRIMARY KEY (id), UNIQUE (name))"
        );
    }

    #[test]
    fn other_creations_stay() {
        for sql in [
            "CREATE INDEX i ON t (a)",
            "CREATE VIEW v AS SELECT (1)",
            "CREATE TABLE t AS SELECT 1",
        ] {
            assert_eq!(said(sql), sql);
        }
    }

    #[test]
    fn unclosed_tables_stay_unclosed() {
        assert_eq!(said("CREATE TABLE t (a INT"), "CREATE TABLE t (a INT");
        assert_eq!(said("CREATE TABLE t ("), "CREATE TABLE t (");
    }
}
