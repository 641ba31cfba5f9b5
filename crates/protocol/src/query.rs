//! COM_QUERY: a text, behind query attributes where both sides agreed on them. Follows MySQL's "COM_QUERY".

use crate::prepared_statement::ParameterType;
use crate::resultset::{NullBitmap, Value, ValueMismatch};
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
    /// The attributes as they came, for [`QueryAttribute::decode_all`]; empty where there are none.
    pub attributes: &'a [u8],
    /// The statements.
    pub text: &'a [u8],
}

impl<'a> Query<'a> {
    /// A query without attributes.
    pub fn text(text: &'a [u8]) -> Self {
        Self {
            attributes: &[],
            text,
        }
    }

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
        let mut has_attributes = false;
        if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
            has_attributes = !QueryAttribute::read_all(&mut reader)?.is_empty();
        }
        let text = reader.rest();
        let attributes = match has_attributes {
            true => &body[..body.len() - text.len()],
            false => &[],
        };
        Ok(Self { attributes, text })
    }

    /// Appends the payload. The attributes are those of a decoded query, or [`QueryAttribute::encode_all`]'s; they are left out
    /// where none were agreed on.
    pub fn encode(self, capabilities: Capabilities, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(Command::QUERY.0);
        if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
            writer.bytes(match self.attributes {
                [] => &NO_ATTRIBUTES,
                attributes => attributes,
            });
        }
        writer.bytes(self.text);
    }
}

/// What a client says of a query beside its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryAttribute<'a> {
    /// May be empty, and need not be the only one of its name: servers take the first.
    pub name: &'a [u8],
    /// How the value is laid out.
    pub bound: ParameterType,
    /// What it is.
    pub value: Value<'a>,
}

impl<'a> QueryAttribute<'a> {
    /// Reads [`Query::attributes`].
    ///
    /// # Errors
    /// Attributes cut short, or bytes behind them.
    pub fn decode_all(attributes: &'a [u8]) -> Result<Vec<Self>, DecodeError> {
        if attributes.is_empty() {
            return Ok(Vec::new());
        }
        let mut reader = Reader::new(NAME, attributes);
        let all = Self::read_all(&mut reader)?;
        reader.end()?;
        Ok(all)
    }

    /// Appends [`Query::attributes`]; nothing for none.
    ///
    /// # Errors
    /// A value that is not of its type. Nothing is appended then.
    pub fn encode_all(all: &[Self], out: &mut Vec<u8>) -> Result<(), ValueMismatch> {
        if all.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.lenenc_int(all.len() as u64);
        writer.lenenc_int(1);
        writer.bytes(&nulls(all));
        writer.u8(1);
        for attribute in all {
            attribute.bound.encode(&mut writer);
            writer.lenenc_bytes(attribute.name);
        }
        for attribute in all {
            attribute
                .value
                .encode(attribute.bound.column_type, &mut writer)?;
        }
        out.extend_from_slice(&bytes);
        Ok(())
    }

    fn read_all(reader: &mut Reader<'a>) -> Result<Vec<Self>, DecodeError> {
        let count = reader.lenenc_int("parameter count")?;
        reader.lenenc_int("parameter set count")?;
        if count == 0 {
            return Ok(Vec::new());
        }
        if count > ATTRIBUTES_MAX {
            return Err(reader.invalid("parameter count", count));
        }
        let count = count as usize;
        let nulls = NullBitmap::read(reader, count, NullBitmap::PARAMETERS_OFFSET)?;
        reader.u8("new parameters bound flag")?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self {
                bound: ParameterType::decode(reader)?,
                name: reader.lenenc_bytes("parameter name")?,
                value: Value::Null,
            });
        }
        for (index, attribute) in all.iter_mut().enumerate() {
            if !nulls.is_null(index) {
                attribute.value = attribute.bound.value(reader)?;
            }
        }
        Ok(all)
    }
}

fn nulls(all: &[QueryAttribute<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; NullBitmap::bytes_for(all.len(), NullBitmap::PARAMETERS_OFFSET)];
    for (index, attribute) in all.iter().enumerate() {
        if attribute.value == Value::Null {
            NullBitmap::set(&mut bytes, index, NullBitmap::PARAMETERS_OFFSET);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resultset::ColumnType;

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
            plain.encode(capabilities, &mut payload);
            assert_eq!(Query::decode(&payload, capabilities), Ok(plain));
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
        let mut again = Vec::new();
        query.encode(ATTRIBUTES, &mut again);
        assert_eq!(again, payload);
        for cut in 1..=attributes.len() {
            assert!(
                Query::decode(&payload[..cut], ATTRIBUTES).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let attribute = |name: &'static str, column_type, value| QueryAttribute {
            name: name.as_bytes(),
            bound: ParameterType {
                column_type,
                is_unsigned: false,
            },
            value,
        };
        let all = [
            attribute("traceparent", ColumnType::STRING, Value::Bytes(b"00-ab")),
            attribute("nothing", ColumnType::LONG, Value::Null),
            attribute("", ColumnType::LONGLONG, Value::Int(-5)),
            attribute("ratio", ColumnType::DOUBLE, Value::Double(0.5)),
        ];
        let mut attributes = Vec::new();
        QueryAttribute::encode_all(&all, &mut attributes).unwrap();
        assert_eq!(QueryAttribute::decode_all(&attributes).unwrap(), all);
        let (attributes, text) = (attributes.as_slice(), b"SELECT 1".as_slice());
        let mut payload = Vec::new();
        let query = Query { attributes, text };
        query.encode(ATTRIBUTES, &mut payload);
        assert_eq!(Query::decode(&payload, ATTRIBUTES), Ok(query));
        for cut in 1..attributes.len() {
            assert!(QueryAttribute::decode_all(&attributes[..cut]).is_err());
        }
        let mut plain = Vec::new();
        query.encode(Capabilities::empty(), &mut plain);
        assert_eq!(plain, b"\x03SELECT 1");
        let mismatch = [attribute("n", ColumnType::LONG, Value::Bytes(b"1"))];
        assert!(QueryAttribute::encode_all(&mismatch, &mut plain).is_err());
        assert_eq!(plain, b"\x03SELECT 1");
    }

    #[test]
    fn a_claim_of_many_attributes_is_refused() {
        let payload = b"\x03\xfe\0\0\0\0\x01\0\0\0\x01";
        assert!(Query::decode(payload, ATTRIBUTES).is_err());
    }
}
