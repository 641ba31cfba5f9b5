//! COM_QUERY: a text, behind query attributes where both sides agreed on them. Follows MySQL's "COM_QUERY".

use crate::resultset::{ColumnType, NullBitmap, Value};
use crate::wire::{Reader, Writer};
use crate::{Capabilities, Command, DecodeError};

const NAME: &str = "COM_QUERY";
/// The attributes of a query that has none: no parameter, one set of them.
const NO_ATTRIBUTES: [u8; 2] = [0, 1];

/// Attributes of one query; servers take far fewer.
const ATTRIBUTES_MAX: u64 = 65_535;

/// One query, split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// The attributes as they came; empty where they were not agreed on.
    pub attributes: &'a [u8],
    /// The statements.
    pub text: &'a [u8],
}

impl<'a> Query<'a> {
    /// `payload` starts with the command.
    ///
    /// # Errors
    /// Another command, or attributes cut short.
    pub fn decode(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let command = reader.u8("command")?;
        if command != Command::QUERY.0 {
            return Err(reader.invalid("command", command.into()));
        }
        let body = reader.clone().rest();
        if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
            skip_attributes(&mut reader)?;
        }
        let text = reader.rest();
        let attributes = &body[..body.len() - text.len()];
        Ok(Self { attributes, text })
    }

    /// Appends the payload of a query without attributes.
    pub fn encode_text(text: &[u8], capabilities: Capabilities, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(Command::QUERY.0);
        if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
            writer.bytes(&NO_ATTRIBUTES);
        }
        writer.bytes(text);
    }
}

fn skip_attributes(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let count = reader.lenenc_int("parameter count")?;
    reader.lenenc_int("parameter set count")?;
    if count == 0 {
        return Ok(());
    }
    if count > ATTRIBUTES_MAX {
        return Err(reader.invalid("parameter count", count));
    }
    let count = count as usize;
    let nulls = NullBitmap::read(reader, count, NullBitmap::PARAMETERS_OFFSET)?;
    reader.u8("new parameters bound flag")?;
    let mut types = Vec::new();
    for _ in 0..count {
        types.push(ColumnType(reader.u8("parameter type")?));
        reader.u8("parameter flag")?;
        reader.lenenc_bytes("parameter name")?;
    }
    for (index, column_type) in types.into_iter().enumerate() {
        if !nulls.is_null(index) {
            Value::decode(reader, column_type, false)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRIBUTES: Capabilities = Capabilities::QUERY_ATTRIBUTES;

    #[test]
    fn a_text_without_attributes() {
        let plain = Query::decode(b"\x03SELECT 1", Capabilities::empty()).unwrap();
        assert_eq!(
            (plain.attributes, plain.text),
            (b"".as_slice(), b"SELECT 1".as_slice())
        );
        for capabilities in [Capabilities::empty(), ATTRIBUTES] {
            let mut payload = Vec::new();
            Query::encode_text(b"SELECT 1", capabilities, &mut payload);
            assert_eq!(
                Query::decode(&payload, capabilities).unwrap().text,
                b"SELECT 1"
            );
        }
    }

    #[test]
    fn a_text_behind_attributes() {
        // Two attributes: traceparent = 'ab' (string), n = NULL (long).
        let attributes = b"\x02\x01\x02\x01\xfe\0\x0btraceparent\x03\0\x01n\x02ab";
        let payload = [b"\x03".as_slice(), attributes, b"SELECT 1"].concat();
        let query = Query::decode(&payload, ATTRIBUTES).unwrap();
        assert_eq!(query.attributes, attributes);
        assert_eq!(query.text, b"SELECT 1");
        for cut in 1..=attributes.len() {
            assert!(
                Query::decode(&payload[..cut], ATTRIBUTES).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_claim_of_many_attributes_is_refused() {
        let payload = b"\x03\xfe\0\0\0\0\x01\0\0\0\x01";
        assert!(Query::decode(payload, ATTRIBUTES).is_err());
    }
}
