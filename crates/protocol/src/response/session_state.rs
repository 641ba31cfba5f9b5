//! What a server says of the session's state in an OK under SESSION_TRACK. Follows MySQL's "Session State Information".

use crate::DecodeError;
use crate::wire::{Reader, Writer};

const NAME: &str = "session state changes";

const SYSTEM_VARIABLES: u8 = 0;
const SCHEMA: u8 = 1;
const STATE_CHANGE: u8 = 2;
const GTIDS: u8 = 3;
const TRANSACTION_CHARACTERISTICS: u8 = 4;
const TRANSACTION_STATE: u8 = 5;

/// `SESSION_TRACK_*`: one change, in the server's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStateChange<'a> {
    /// Name and value
    SystemVariable(&'a [u8], &'a [u8]),
    /// The default database
    Schema(&'a [u8]),
    /// Whether anything of the session's state has changed
    StateChange(bool),
    /// Those of the transactions that the command committed
    Gtids(&'a [u8]),
    /// The statements that start the open transaction again; empty for none
    TransactionCharacteristics(&'a [u8]),
    /// Eight letters or underscores
    TransactionState(&'a [u8]),
    /// A type that is not known here, and its data
    Unknown(u8, &'a [u8]),
}

impl<'a> SessionStateChange<'a> {
    /// Reads all that one OK, or several, say.
    ///
    /// # Errors
    /// A change cut short.
    pub fn decode_all(bytes: &'a [u8]) -> Result<Vec<Self>, DecodeError> {
        let mut reader = Reader::new(NAME, bytes);
        let mut all = Vec::new();
        while !reader.is_empty() {
            let kind = reader.u8("type")?;
            let data = reader.lenenc_bytes("data")?;
            Self::decode_one(kind, data, &mut all)?;
        }
        Ok(all)
    }

    /// Several variables may stand in one.
    fn decode_one(kind: u8, data: &'a [u8], all: &mut Vec<Self>) -> Result<(), DecodeError> {
        let mut reader = Reader::new(NAME, data);
        all.push(match kind {
            SYSTEM_VARIABLES => {
                while !reader.is_empty() {
                    let name = reader.lenenc_bytes("variable name")?;
                    let value = reader.lenenc_bytes("variable value")?;
                    all.push(Self::SystemVariable(name, value));
                }
                return Ok(());
            }
            SCHEMA => Self::Schema(reader.lenenc_bytes("schema")?),
            STATE_CHANGE => Self::StateChange(reader.lenenc_bytes("state change")? == b"1"),
            GTIDS => {
                reader.u8("GTIDs' encoding")?;
                Self::Gtids(reader.lenenc_bytes("GTIDs")?)
            }
            TRANSACTION_CHARACTERISTICS => {
                let statements = reader.lenenc_bytes("transaction characteristics")?;
                Self::TransactionCharacteristics(statements)
            }
            TRANSACTION_STATE => Self::TransactionState(reader.lenenc_bytes("transaction state")?),
            unknown => Self::Unknown(unknown, data),
        });
        Ok(())
    }

    /// Appends the change to [`OkPacket::session_state`](super::OkPacket::session_state).
    pub fn encode(self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        let mut writer = Writer::new(&mut data);
        let kind = match self {
            Self::SystemVariable(name, value) => {
                writer.lenenc_bytes(name);
                writer.lenenc_bytes(value);
                SYSTEM_VARIABLES
            }
            Self::Schema(name) => {
                writer.lenenc_bytes(name);
                SCHEMA
            }
            Self::StateChange(has_changed) => {
                writer.lenenc_bytes(if has_changed { b"1" } else { b"0" });
                STATE_CHANGE
            }
            Self::Gtids(gtids) => {
                writer.u8(0);
                writer.lenenc_bytes(gtids);
                GTIDS
            }
            Self::TransactionCharacteristics(statements) => {
                writer.lenenc_bytes(statements);
                TRANSACTION_CHARACTERISTICS
            }
            Self::TransactionState(state) => {
                writer.lenenc_bytes(state);
                TRANSACTION_STATE
            }
            Self::Unknown(kind, data) => {
                writer.bytes(data);
                kind
            }
        };
        let mut writer = Writer::new(out);
        writer.u8(kind);
        writer.lenenc_bytes(&data);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_change_round_trips() {
        let all = [
            SessionStateChange::SystemVariable(b"autocommit", b"OFF"),
            SessionStateChange::Schema(b"shop"),
            SessionStateChange::StateChange(true),
            SessionStateChange::Gtids(b"3E11FA47-71CA-11E1-9E33-C80AA9429562:23"),
            SessionStateChange::TransactionCharacteristics(b"START TRANSACTION READ ONLY;"),
            SessionStateChange::TransactionState(b"T_______"),
            SessionStateChange::Unknown(77, b"later"),
        ];
        let mut bytes = Vec::new();
        for change in all {
            let whole = bytes.len();
            change.encode(&mut bytes);
            for cut in whole + 1..bytes.len() {
                assert!(SessionStateChange::decode_all(&bytes[..cut]).is_err());
            }
        }
        assert_eq!(SessionStateChange::decode_all(&bytes).unwrap(), all);
    }

    #[test]
    fn several_variables_may_stand_in_one_change() {
        let all = SessionStateChange::decode_all(b"\0\x08\x01a\x01b\x01c\x01d").unwrap();
        let variable = SessionStateChange::SystemVariable;
        assert_eq!(all, [variable(b"a", b"b"), variable(b"c", b"d")]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = SessionStateChange::decode_all(&bytes);
        }
    }
}
