//! SET: variables are remembered; `autocommit` does something.

use rusqlite::types::Value;

use super::Session;
use super::response::Outcome;
use crate::limits::{USER_VARIABLE_BYTES_MAX, USER_VARIABLES_MAX};
use crate::sql::{Code, SqlError, SystemVariables, Token, TokenKind, quote_text, translate};

/// What is assigned to.
enum Target<'a> {
    System(&'a str),
    User(&'a str),
}

impl Session<'_> {
    /// What follows SET.
    pub(super) fn set(&mut self, tokens: &[Token]) -> Result<Outcome, SqlError> {
        match tokens {
            [names, charset, ..] if names.is("NAMES") => self.set_names(charset)?,
            [character, set, charset] if character.is("CHARACTER") && set.is("SET") => {
                self.set_names(charset)?;
            }
            // There is one isolation level, the strictest.
            [transaction, ..] | [_, transaction, ..] if transaction.is("TRANSACTION") => {}
            tokens => {
                for assignment in split(tokens) {
                    self.assign(assignment)?;
                }
            }
        }
        Ok(Outcome::default())
    }

    fn set_names(&mut self, charset: &Token) -> Result<(), SqlError> {
        let name = match &charset.kind {
            TokenKind::Text(text) => String::from_utf8_lossy(text).into_owned(),
            TokenKind::Word(word) if charset.is("DEFAULT") => word.replace("DEFAULT", "utf8mb4"),
            TokenKind::Word(word) => word.clone(),
            _ => return Err(SqlError::syntax(b"NAMES")),
        };
        for variable in ["client", "connection", "results"] {
            let variable = format!("character_set_{variable}");
            self.system_variables
                .set(&variable, Value::Text(name.clone()))?;
        }
        Ok(())
    }

    fn assign(&mut self, assignment: &[Token]) -> Result<(), SqlError> {
        let (target, value) = target(assignment)?;
        match target {
            Target::User(name) => {
                let value = self.evaluate(value)?;
                self.set_user_variable(name, value)
            }
            Target::System(name) => {
                let name = name.to_ascii_lowercase();
                let value = self.system_value(&name, value)?;
                if name == "autocommit" && value == Value::Integer(1) && !self.is_autocommit() {
                    self.commit()?;
                }
                self.system_variables.set(&name, value)
            }
        }
    }

    fn set_user_variable(&mut self, name: &str, value: Value) -> Result<(), SqlError> {
        let bytes = match &value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            _ => 0,
        };
        let is_new = !self.user_variables.contains_key(name);
        if bytes > USER_VARIABLE_BYTES_MAX
            || is_new && self.user_variables.len() >= USER_VARIABLES_MAX
        {
            let message = "too many user variables, or too long ones";
            return Err(SqlError::new(Code::OUT_OF_RESOURCES, message));
        }
        self.user_variables.insert(name.to_owned(), value);
        Ok(())
    }

    /// A value of the variable's own kind: a number stays a number.
    fn system_value(&self, name: &str, tokens: &[Token]) -> Result<Value, SqlError> {
        let default = SystemVariables::new(self.shared.name(), 0, self.shared.port());
        let default = default.get(name)?.clone();
        let value = match tokens {
            [word] if word.is("DEFAULT") => return Ok(default),
            // ON, utf8mb4, SERIALIZABLE
            [
                Token {
                    kind: TokenKind::Word(word),
                    ..
                },
            ] => Value::Text(word.clone()),
            tokens => self.evaluate(tokens)?,
        };
        let wrong = || {
            let message = format!("variable '{name}' cannot have this value");
            SqlError::new(Code::WRONG_VALUE, message)
        };
        let value = match (default, value) {
            (Value::Integer(_), Value::Text(text)) => {
                Value::Integer(switch(&text).ok_or_else(wrong)?)
            }
            (Value::Integer(_), Value::Integer(number)) => Value::Integer(number),
            (Value::Text(_), Value::Text(text)) if text.len() <= USER_VARIABLE_BYTES_MAX => {
                Value::Text(text)
            }
            (Value::Text(_), Value::Null) => Value::Null,
            (Value::Text(_), Value::Integer(number)) => Value::Text(number.to_string()),
            _ => return Err(wrong()),
        };
        let is_switch = matches!(value, Value::Integer(0 | 1));
        match name == "autocommit" && !is_switch {
            true => Err(wrong()),
            false => Ok(value),
        }
    }

    /// An expression's value.
    fn evaluate(&self, tokens: &[Token]) -> Result<Value, SqlError> {
        let sql = match tokens {
            [
                Token {
                    kind: TokenKind::Text(text),
                    ..
                },
            ] => format!("SELECT {}", quote_text(text)),
            tokens => format!("SELECT {}", translate(tokens)),
        };
        match self.run(&sql, &[])? {
            Outcome::Rows(result) => {
                let row = result.rows.into_iter().next();
                let value = row.and_then(|row| row.into_iter().next());
                Ok(value.unwrap_or(Value::Null))
            }
            Outcome::Ok(_) => Ok(Value::Null),
        }
    }
}

fn switch(text: &str) -> Option<i64> {
    match text.to_ascii_uppercase().as_str() {
        "ON" | "TRUE" => Some(1),
        "OFF" | "FALSE" => Some(0),
        number => number.parse().ok(),
    }
}

/// `[SESSION] name = ...`, `@@[session.]name = ...`, `@name := ...`
fn target(tokens: &[Token]) -> Result<(Target<'_>, &[Token]), SqlError> {
    let scope = tokens.first().zip(tokens.get(1));
    let tokens = match scope {
        Some((scope, name)) if name.name().is_some() && is_scope(scope) => &tokens[1..],
        Some((scope, _)) if scope.is("GLOBAL") || scope.is("PERSIST") => {
            return Err(SqlError::not_supported("SET GLOBAL"));
        }
        _ => tokens,
    };
    let (name, rest) = tokens
        .split_first()
        .ok_or_else(|| SqlError::syntax(b"SET"))?;
    let target = match &name.kind {
        TokenKind::UserVariable(name) => Target::User(name),
        TokenKind::SystemVariable(name) => match name.split_once('.') {
            Some((scope, _)) if scope.eq_ignore_ascii_case("global") => {
                return Err(SqlError::not_supported("SET GLOBAL"));
            }
            Some((_, name)) => Target::System(name),
            None => Target::System(name),
        },
        TokenKind::Word(name) | TokenKind::Identifier(name) => Target::System(name),
        _ => return Err(SqlError::syntax(b"SET")),
    };
    let value = match rest {
        [equals, value @ ..] if equals.is_symbol('=') => value,
        [colon, equals, value @ ..] if colon.is_symbol(':') && equals.is_symbol('=') => value,
        _ => &[],
    };
    match value {
        [] => Err(SqlError::syntax(b"SET")),
        value => Ok((target, value)),
    }
}

fn is_scope(token: &Token) -> bool {
    token.is("SESSION") || token.is("LOCAL")
}

/// At the commas outside parentheses.
fn split(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    let mut depth = 0_usize;
    tokens.split(move |token| {
        match token.kind {
            TokenKind::Symbol('(') => depth += 1,
            TokenKind::Symbol(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is_symbol(',')
    })
}
