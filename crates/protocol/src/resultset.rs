//! Resultsets: column definitions and rows. Follows MySQL's "Text Resultset" and "Binary Protocol Resultset".
//!
//! ```text
//! column count
//! ColumnDefinition41, as many as counted
//! EOF, unless DEPRECATE_EOF was agreed on
//! rows: TextRow after COM_QUERY, BinaryRow after COM_STMT_EXECUTE
//! EOF, or OK with header 0xfe under DEPRECATE_EOF      (or ERR)
//! ```
//! Where it was agreed on, definitions may be left out (their EOF stays), or hold MariaDB's extended metadata, whose
//! contents are left out here.

mod binary_row;
mod column_count;
mod column_definition;
mod column_type;
mod null_bitmap;
mod temporal;
mod text_row;
mod value;

pub use binary_row::BinaryRow;
pub use column_count::ColumnCount;
pub use column_definition::{ColumnDefinition41, ColumnFlags, collation};
pub use column_type::ColumnType;
pub(crate) use null_bitmap::NullBitmap;
pub use temporal::{DateTime, ParseTemporalError, Time};
pub use text_row::TextRow;
pub use value::{Value, ValueMismatch};
