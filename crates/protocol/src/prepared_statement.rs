//! Prepared statements: what their commands hold. Follows MySQL's "Prepared Statements".

mod stmt_execute;
mod stmt_prepare_ok;

pub use stmt_execute::{CursorType, ParameterType, StmtExecute};
pub use stmt_prepare_ok::StmtPrepareOk;
