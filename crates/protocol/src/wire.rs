//! Integers and strings as packets hold them. Follows MySQL's "Protocol Basics: Data Types".
//!
//! | documented type | read | written |
//! |---|---|---|
//! | `int<1>` ... `int<8>` | [`Reader::u8`] ... [`Reader::u64`] | [`Writer::u8`] ... [`Writer::u64`] |
//! | `int<lenenc>` | [`Reader::lenenc_int`] | [`Writer::lenenc_int`] |
//! | `string<fix>` | [`Reader::bytes`] | [`Writer::bytes`] |
//! | `string<NUL>` | [`Reader::nul_bytes`] | [`Writer::nul_bytes`] |
//! | `string<lenenc>` | [`Reader::lenenc_bytes`] | [`Writer::lenenc_bytes`] |
//! | `string<EOF>` | [`Reader::rest`] | [`Writer::bytes`] |
//!
//! Strings are bytes: their character set is the connection's business.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
