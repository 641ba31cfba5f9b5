//! `SET`: what of it can be said again on another connection.

use super::{SessionEffects, Setting, is_word};
use crate::{Token, TokenId};

const CANNOT_BE_REPEATED: &str = "a SET that cannot be repeated";

/// Variables that hold for one statement, or say who the session is.
const ONE_SHOT: &[&str] = &[
    "insert_id",
    "last_insert_id",
    "identity",
    "timestamp",
    "rand_seed1",
    "rand_seed2",
    "pseudo_thread_id",
    "gtid_next",
    "sql_log_bin",
];

/// SQL modes in which texts read differently.
const READING_MODES: &[&str] = &[
    "ANSI",
    "NO_BACKSLASH_ESCAPES",
    "ORACLE",
    "DB2",
    "MSSQL",
    "POSTGRESQL",
    "MAXDB",
];

/// Character sets where a backslash may be the second byte of a character.
const BACKSLASH_CHARACTER_SETS: &[&str] = &["big5", "gbk", "gb18030", "sjis", "cp932"];

/// Which of a variable's values is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session,
    /// Of all sessions to come.
    Server,
}

/// `tokens` is what follows SET.
pub(super) fn add(effects: &mut SessionEffects, tokens: &[Token<'_>]) {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| is_word(token, word));
    let is_session = is(0, "SESSION") || is(0, "LOCAL");
    if is(0, "PASSWORD") || is(0, "DEFAULT") && is(1, "ROLE") {
        return;
    }
    if is(0, "ROLE") || is(0, "STATEMENT") {
        return effects.pin(CANNOT_BE_REPEATED);
    }
    if is(0, "TRANSACTION") {
        return effects.pin("SET TRANSACTION");
    }
    if (is(0, "GLOBAL") || is_session) && is(1, "TRANSACTION") {
        if is_session {
            add_setting(
                effects,
                b"transaction",
                b"SET SESSION TRANSACTION",
                &tokens[2..],
            );
        }
        return;
    }
    let mut scope = Scope::Session;
    for assignment in tokens.split(|token| token.id == TokenId::COMMA) {
        if !add_assignment(effects, assignment, &mut scope) {
            effects.pin(CANNOT_BE_REPEATED);
        }
    }
}

/// False for one that cannot be said again. A scope counts for those that follow, too.
fn add_assignment(
    effects: &mut SessionEffects,
    mut tokens: &[Token<'_>],
    scope: &mut Scope,
) -> bool {
    let is = |tokens: &[Token<'_>], word| tokens.first().is_some_and(|first| is_word(first, word));
    if is(tokens, "NAMES") {
        return add_character_set(effects, b"names", b"SET NAMES", &tokens[1..]);
    }
    if is(tokens, "CHARSET") {
        return add_character_set(
            effects,
            b"character set",
            b"SET CHARACTER SET",
            &tokens[1..],
        );
    }
    if (is(tokens, "CHARACTER") || is(tokens, "CHAR"))
        && tokens.get(1).is_some_and(|set| is_word(set, "SET"))
    {
        return add_character_set(
            effects,
            b"character set",
            b"SET CHARACTER SET",
            &tokens[2..],
        );
    }
    let mut own_scope = *scope;
    if let Some(named) = scope_named(tokens) {
        *scope = named;
        own_scope = named;
        tokens = &tokens[1..];
    } else if let Some(first) = tokens.first()
        && first.raw.starts_with(b"@@")
    {
        own_scope = scope_of_variable(tokens);
    }
    if own_scope == Scope::Server {
        return true;
    }
    let Some((name, value)) = name_and_value(tokens) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    if name == b"autocommit" {
        // The server's status tells it.
        return true;
    }
    if ONE_SHOT.iter().any(|known| name == known.as_bytes()) || !is_literal(value) {
        return false;
    }
    if name == b"sql_mode" && mentions(value, READING_MODES)
        || (name.starts_with(b"character_set") || name.starts_with(b"collation"))
            && mentions(value, BACKSLASH_CHARACTER_SETS)
    {
        return false;
    }
    let mut head = b"SET SESSION ".to_vec();
    head.extend_from_slice(&name);
    head.extend_from_slice(b" =");
    add_setting(effects, &name, &head, value);
    true
}

fn scope_named(tokens: &[Token<'_>]) -> Option<Scope> {
    // A variable of such a name would be followed by its value.
    let [first, next, ..] = tokens else {
        return None;
    };
    if matches!(next.id, TokenId::EQ | TokenId::ASSIGN) {
        return None;
    }
    match first.text.to_ascii_uppercase().as_slice() {
        b"SESSION" | b"LOCAL" => Some(Scope::Session),
        b"GLOBAL" | b"PERSIST" | b"PERSIST_ONLY" => Some(Scope::Server),
        _ => None,
    }
}

/// `@@global.name`; `@@name` and `@@session.name` are the session's.
fn scope_of_variable(tokens: &[Token<'_>]) -> Scope {
    let is_scoped = tokens.get(1).is_some_and(|dot| dot.id == TokenId::DOT);
    let scope = tokens[0].text.to_ascii_lowercase();
    match is_scoped && matches!(&scope[..], b"@@global" | b"@@persist" | b"@@persist_only") {
        true => Scope::Server,
        false => Scope::Session,
    }
}

/// `name = value`, `@@name := value`, `@@session.name = value`
fn name_and_value<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(Vec<u8>, &'t [Token<'a>])> {
    let at = tokens
        .iter()
        .position(|token| matches!(token.id, TokenId::EQ | TokenId::ASSIGN))?;
    let name = match &tokens[..at] {
        [name] => name.text.strip_prefix(b"@@").unwrap_or(&name.text),
        [scope, dot, name]
            if dot.id == TokenId::DOT
                && (is_word(scope, "@@session") || is_word(scope, "@@local")) =>
        {
            &name.text
        }
        _ => return None,
    };
    let is_name = !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name.then(|| (name.to_vec(), &tokens[at + 1..]))
}

/// A string, a number with or without a sign, or one word.
fn is_literal(value: &[Token<'_>]) -> bool {
    let is_number = |token: &Token<'_>| matches!(token.id, TokenId::INTEGER | TokenId::FLOAT);
    match value {
        [sign, number] => matches!(sign.id, TokenId::MINUS | TokenId::PLUS) && is_number(number),
        [one] => {
            is_number(one)
                || one.id == TokenId::STRING
                || one.id != TokenId::FUNCTION
                    && !one.raw.is_empty()
                    && one
                        .raw
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        }
        _ => false,
    }
}

/// `NAMES x`, `NAMES 'x' COLLATE y`, `NAMES DEFAULT`
fn add_character_set(
    effects: &mut SessionEffects,
    name: &[u8],
    head: &[u8],
    value: &[Token<'_>],
) -> bool {
    let is_known = match value {
        [one] => is_literal(std::slice::from_ref(one)),
        [one, collate, other] => {
            is_word(collate, "COLLATE")
                && is_literal(std::slice::from_ref(one))
                && is_literal(std::slice::from_ref(other))
        }
        _ => false,
    };
    if !is_known || mentions(value, BACKSLASH_CHARACTER_SETS) {
        return false;
    }
    add_setting(effects, name, head, value);
    true
}

fn add_setting(effects: &mut SessionEffects, name: &[u8], head: &[u8], rest: &[Token<'_>]) {
    let mut sql = head.to_vec();
    for token in rest {
        sql.push(b' ');
        sql.extend_from_slice(token.raw);
    }
    effects.settings.retain(|setting| setting.name != name);
    effects.settings.push(Setting {
        name: name.to_vec(),
        sql,
    });
}

fn mentions(value: &[Token<'_>], words: &[&str]) -> bool {
    value.iter().any(|token| {
        let text = token.text.to_ascii_uppercase();
        words.iter().any(|word| {
            let word = word.to_ascii_uppercase();
            text.windows(word.len())
                .any(|window| window == word.as_bytes())
        })
    })
}
