//! Prepared statements: what their commands hold. Follows MySQL's "Prepared Statements".
//!
//! Left out: query attributes, which add names to the parameters; who decodes here does not offer them.

mod stmt_execute;
mod stmt_prepare_ok;

pub use stmt_execute::{CursorType, ParameterType, StmtExecute};
pub use stmt_prepare_ok::StmtPrepareOk;
