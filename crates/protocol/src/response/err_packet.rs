//! `ERR_Packet`, and the error codes that a proxy says itself.

use std::borrow::Cow;

use crate::DecodeError;
use crate::wire::{Reader, Writer};

/// The error codes that a proxy says itself, as MySQL's reference lists them.
pub mod error_code {
    /// ER_CON_COUNT_ERROR: no place is left.
    pub const TOO_MANY_CONNECTIONS: u16 = 1040;
    /// ER_HANDSHAKE_ERROR: the login is not one that we can read.
    pub const HANDSHAKE_ERROR: u16 = 1043;
    /// ER_ACCESS_DENIED_ERROR: who that is is not known, or not proved.
    pub const ACCESS_DENIED: u16 = 1045;
    /// ER_SERVER_SHUTDOWN: we are stopping.
    pub const SERVER_SHUTDOWN: u16 = 1053;
    /// ER_NO_SUCH_THREAD: there is no session of this id.
    pub const NO_SUCH_THREAD: u16 = 1094;
    /// ER_UNKNOWN_ERROR: no other code fits; the text says it all.
    pub const UNKNOWN_ERROR: u16 = 1105;
    /// ER_NET_READ_INTERRUPTED: the client took too long.
    pub const NET_READ_INTERRUPTED: u16 = 1159;
    /// ER_QUERY_INTERRUPTED: somebody ended it.
    pub const QUERY_INTERRUPTED: u16 = 1317;
    /// ER_SECURE_TRANSPORT_REQUIRED: TLS or nothing.
    pub const SECURE_TRANSPORT_REQUIRED: u16 = 3159;
    /// CR_VERSION_ERROR: the client speaks a protocol before 4.1.
    pub const VERSION_ERROR: u16 = 2007;
    /// CR_SERVER_LOST: the backend went away during a command.
    pub const SERVER_LOST: u16 = 2013;
}

/// A failure: code, SQLSTATE and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrPacket<'a> {
    /// `ER_*` or `CR_*`
    pub code: u16,
    /// Five characters; none in a server's packet before the handshake.
    pub sql_state: Option<[u8; 5]>,
    /// What happened, for a person.
    pub message: Cow<'a, [u8]>,
}

impl<'a> ErrPacket<'a> {
    /// The first byte.
    pub const HEADER: u8 = 0xff;
    /// MariaDB's progress reports look like an ERR with this code, and end nothing. Only where they were agreed on:
    /// see [`Capabilities::has_progress_reports`](crate::Capabilities::has_progress_reports).
    pub const PROGRESS_REPORT: u16 = 0xffff;
    /// The SQLSTATE of everything that has none of its own.
    pub const GENERAL_ERROR: [u8; 5] = *b"HY000";

    /// An error of ours.
    pub fn new(code: u16, sql_state: [u8; 5], message: &'a str) -> Self {
        Self {
            code,
            sql_state: Some(sql_state),
            message: Cow::Borrowed(message.as_bytes()),
        }
    }

    /// # Errors
    /// Another header, or a packet without a code.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("ERR_Packet", payload);
        let header = reader.u8("header")?;
        if header != Self::HEADER {
            return Err(reader.invalid("header", header.into()));
        }
        let code = reader.u16("error code")?;
        let rest = reader.rest();
        let (sql_state, message) = match rest {
            [b'#', a, b, c, d, e, message @ ..] => (Some([*a, *b, *c, *d, *e]), message),
            message => (None, message),
        };
        Ok(Self {
            code,
            sql_state,
            message: Cow::Borrowed(message),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(Self::HEADER);
        writer.u16(self.code);
        if let Some(sql_state) = &self.sql_state {
            writer.u8(b'#');
            writer.bytes(sql_state);
        }
        writer.bytes(&self.message);
    }

    /// The text, for a log.
    pub fn message_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_with_and_without_sql_state() {
        for sql_state in [None, Some(*b"28000")] {
            let err = ErrPacket {
                code: 1045,
                sql_state,
                message: Cow::Borrowed(b"Access denied"),
            };
            let mut payload = Vec::new();
            err.encode(&mut payload);
            assert_eq!(ErrPacket::decode(&payload), Ok(err));
            for cut in 0..3 {
                assert!(ErrPacket::decode(&payload[..cut]).is_err());
            }
        }
    }
}
