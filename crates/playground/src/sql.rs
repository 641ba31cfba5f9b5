//! From MySQL's words to SQLite's, and back to MySQL's types and errors.

mod column;
mod create_table;
mod database;
mod dialect;
mod error;
mod statement;
mod system_variables;
mod token;

pub(crate) use column::{ResultSet, number_text};
pub(crate) use database::{Answer, Database, SqlSession};
pub(crate) use dialect::{Variable, quote_text, translate};
pub(crate) use error::{Code, SqlError};
pub(crate) use statement::Statement;
pub(crate) use system_variables::{SystemVariables, VERSION};
pub(crate) use token::{Token, TokenKind, tokenize};
