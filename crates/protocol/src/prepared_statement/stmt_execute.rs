//! `COM_STMT_EXECUTE`: a statement's parameters. Their number is in no packet: it is the statement's. Their types
//! are there the first time only, and what came by COM_STMT_SEND_LONG_DATA has no value here. Query attributes stand behind
//! them, as parameters with names.

use crate::query::QueryAttribute;
use crate::resultset::{ColumnType, NullBitmap, Value};
use crate::wire::{Reader, Writer};
use crate::{Command, DecodeError};

const NAME: &str = "COM_STMT_EXECUTE";
const UNSIGNED: u8 = 0x80;
/// `CURSOR_TYPE_READ_ONLY`, `_FOR_UPDATE`, `_SCROLLABLE`
const CURSOR_TYPES: u8 = 0x07;

/// What a parameter is bound as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterType {
    /// How its value is laid out.
    pub column_type: ColumnType,
    /// An integer without sign.
    pub is_unsigned: bool,
}

/// How the client wants the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorType {
    /// All of them, at once.
    None,
    /// By COM_STMT_FETCH. A server may send them all at once nevertheless.
    ReadOnly,
}

/// One execution.
#[derive(Debug, Clone, PartialEq)]
pub struct StmtExecute<'a> {
    /// The number that COM_STMT_PREPARE gave.
    pub statement_id: u32,
    /// How the client wants the rows.
    pub cursor_type: CursorType,
    /// What the parameters are bound as, to be kept for the next execution.
    pub types: Vec<ParameterType>,
    /// The parameters; `None` for one that came as long data.
    pub values: Vec<Option<Value<'a>>>,
    /// What came behind the parameters.
    pub attributes: Vec<QueryAttribute<'a>>,
}

impl<'a> StmtExecute<'a> {
    /// The flag of a client that knows query attributes: parameters are counted, and have names.
    pub const PARAMETER_COUNT_AVAILABLE: u8 = 0x08;

    /// The number alone, to find the statement by. `payload` starts with the command.
    ///
    /// # Errors
    /// Another command, or a payload cut short.
    pub fn decode_statement_id(payload: &[u8]) -> Result<u32, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let command = reader.u8("command")?;
        if command != Command::STMT_EXECUTE.0 {
            return Err(reader.invalid("command", command.into()));
        }
        reader.u32("statement id")
    }

    /// `payload` starts with the command; `parameters` is the statement's number of them, `bound` their types of the
    /// last execution (empty before the first one), and `is_long` says which came as long data.
    ///
    /// # Errors
    /// Values cut short, bytes behind the last one, or no types where none are bound yet.
    pub fn decode(
        payload: &'a [u8],
        parameters: u16,
        bound: &[ParameterType],
        is_long: impl Fn(usize) -> bool,
    ) -> Result<Self, DecodeError> {
        let statement_id = Self::decode_statement_id(payload)?;
        let mut reader = Reader::new(NAME, payload);
        reader.bytes(5, "statement id")?;
        let flags = reader.u8("flags")?;
        let cursor_type = match flags & CURSOR_TYPES {
            0 => CursorType::None,
            _ => CursorType::ReadOnly,
        };
        reader.u32("iteration count")?;
        let mut execute = Self {
            statement_id,
            cursor_type,
            types: Vec::new(),
            values: Vec::new(),
            attributes: Vec::new(),
        };
        let has_names = flags & Self::PARAMETER_COUNT_AVAILABLE != 0;
        let parameters = usize::from(parameters);
        let count = match has_names {
            true => counted(&mut reader, parameters)?,
            false => parameters,
        };
        if count > 0 {
            let nulls = NullBitmap::read(&mut reader, count, NullBitmap::PARAMETERS_OFFSET)?;
            let (types, names) = types(&mut reader, count, has_names, bound)?;
            for (index, bound) in types.iter().enumerate() {
                let value = match () {
                    () if index < parameters && is_long(index) => None,
                    () if nulls.is_null(index) => Some(Value::Null),
                    () => Some(bound.value(&mut reader)?),
                };
                match (value, names.get(index)) {
                    (Some(value), Some(&name)) if index >= parameters => {
                        let bound = *bound;
                        execute
                            .attributes
                            .push(QueryAttribute { name, bound, value });
                    }
                    _ => execute.values.push(value),
                }
            }
            execute.types = types;
            execute.types.truncate(parameters);
        }
        reader.end()?;
        Ok(execute)
    }
}

/// How many parameters and attributes there are.
fn counted(reader: &mut Reader<'_>, parameters: usize) -> Result<usize, DecodeError> {
    let count = reader.lenenc_int("parameter count")?;
    match usize::try_from(count) {
        Ok(n) if (parameters..=usize::from(u16::MAX)).contains(&n) => Ok(n),
        _ => Err(reader.invalid("parameter count", count)),
    }
}

/// What `count` values are bound as, and their names where types have names.
fn types<'a>(
    reader: &mut Reader<'a>,
    count: usize,
    has_names: bool,
    bound: &[ParameterType],
) -> Result<(Vec<ParameterType>, Vec<&'a [u8]>), DecodeError> {
    let new_types = reader.u8("new parameters bound flag")?;
    if new_types == 0 {
        if bound.len() != count {
            return Err(reader.invalid("new parameters bound flag", 0));
        }
        return Ok((bound.to_vec(), Vec::new()));
    }
    let (mut types, mut names) = (Vec::new(), Vec::new());
    for _ in 0..count {
        types.push(ParameterType::decode(reader)?);
        if has_names {
            names.push(reader.lenenc_bytes("parameter name")?);
        }
    }
    Ok((types, names))
}

impl ParameterType {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            column_type: ColumnType(reader.u8("parameter type")?),
            is_unsigned: reader.u8("parameter flag")? & UNSIGNED != 0,
        })
    }

    /// Reads a value of this type that is not NULL.
    pub(crate) fn value<'a>(self, reader: &mut Reader<'a>) -> Result<Value<'a>, DecodeError> {
        match self.column_type {
            // Types of columns, not of parameters: servers read text.
            ColumnType::YEAR | ColumnType::INT24 => {
                Ok(Value::Bytes(reader.lenenc_bytes(Value::FIELD)?))
            }
            column_type => Value::decode(reader, column_type, self.is_unsigned),
        }
    }

    /// Appends the two bytes of a type.
    pub fn encode(self, writer: &mut Writer<'_>) {
        writer.u8(self.column_type.0);
        writer.u8(if self.is_unsigned { UNSIGNED } else { 0 });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resultset::DateTime;

    #[test]
    fn parameters_of_types_that_only_columns_have_are_text() {
        for column_type in [ColumnType::YEAR, ColumnType::INT24] {
            let bound = ParameterType {
                column_type,
                is_unsigned: false,
            };
            let mut reader = Reader::new(NAME, b"\x042024");
            assert_eq!(bound.value(&mut reader), Ok(Value::Bytes(b"2024")));
            reader.end().unwrap();
        }
    }

    const TINY: ParameterType = ParameterType {
        column_type: ColumnType::TINY,
        is_unsigned: true,
    };
    const TEXT: ParameterType = ParameterType {
        column_type: ColumnType::VAR_STRING,
        is_unsigned: false,
    };

    fn payload(nulls: u8, types: &[ParameterType], values: &[u8]) -> Vec<u8> {
        let mut payload = b"\x17\x07\0\0\0\0\x01\0\0\0".to_vec();
        payload.extend_from_slice(&[nulls, u8::from(!types.is_empty())]);
        let mut writer = Writer::new(&mut payload);
        types.iter().for_each(|bound| bound.encode(&mut writer));
        writer.bytes(values);
        payload
    }

    #[test]
    fn types_come_once_and_are_remembered() {
        let first = payload(0, &[TINY, TEXT], b"\xff\x03abc");
        let first = StmtExecute::decode(&first, 2, &[], |_| false).unwrap();
        assert_eq!(first.statement_id, 7);
        assert_eq!(
            first.values,
            [Some(Value::UInt(255)), Some(Value::Bytes(b"abc"))]
        );
        let second = payload(0b01, &[], b"\x01x");
        let second = StmtExecute::decode(&second, 2, &first.types, |_| false).unwrap();
        assert_eq!(second.values, [Some(Value::Null), Some(Value::Bytes(b"x"))]);
        let unbound = payload(0, &[], b"\x01x");
        assert!(StmtExecute::decode(&unbound, 2, &[], |_| false).is_err());
    }

    #[test]
    fn long_data_has_no_value() {
        let payload = payload(0, &[TEXT, TINY], b"\x05");
        let execute = StmtExecute::decode(&payload, 2, &[], |index| index == 0).unwrap();
        assert_eq!(execute.values, [None, Some(Value::UInt(5))]);
    }

    #[test]
    fn no_parameters_no_bitmap() {
        let payload = b"\x17\x01\0\0\0\x01\x01\0\0\0";
        let execute = StmtExecute::decode(payload, 0, &[], |_| false).unwrap();
        assert_eq!(execute.cursor_type, CursorType::ReadOnly);
        assert!(StmtExecute::decode(b"\x16\x01\0\0\0\0\x01\0\0\0", 0, &[], |_| false).is_err());
    }

    #[test]
    fn attributes_stand_behind_parameters() {
        // As a client that knows query attributes sends them: one parameter without name, one attribute.
        let head = b"\x17\x07\0\0\0\x08\x01\0\0\0";
        let payload = [
            head.as_slice(),
            b"\x02\0\x01\x01\0\0\xfe\0\x05trace\x2a\x02ab",
        ]
        .concat();
        let execute = StmtExecute::decode(&payload, 1, &[], |_| false).unwrap();
        assert_eq!(execute.cursor_type, CursorType::None);
        assert_eq!(execute.values, [Some(Value::Int(42))]);
        assert_eq!(execute.types.len(), 1);
        let [attribute] = execute.attributes.as_slice() else {
            panic!("not one attribute: {execute:?}");
        };
        assert_eq!(
            (attribute.name, attribute.value),
            (b"trace".as_slice(), Value::Bytes(b"ab"))
        );
        for cut in head.len()..payload.len() {
            assert!(StmtExecute::decode(&payload[..cut], 1, &[], |_| false).is_err());
        }
        let none = [head.as_slice(), b"\0"].concat();
        let execute = StmtExecute::decode(&none, 0, &[], |_| false).unwrap();
        assert!(execute.values.is_empty() && execute.attributes.is_empty());
        assert!(StmtExecute::decode(&none, 1, &[], |_| false).is_err());
    }

    #[test]
    fn cuts_and_trailing_bytes_are_noticed() {
        let date = ParameterType {
            column_type: ColumnType::DATETIME,
            is_unsigned: false,
        };
        let mut values = Vec::new();
        let value = DateTime {
            year: 2024,
            month: 2,
            day: 29,
            hour: 1,
            ..DateTime::default()
        };
        let value = Value::DateTime(value);
        value
            .encode(ColumnType::DATETIME, &mut Writer::new(&mut values))
            .unwrap();
        let mut payload = payload(0b10, &[date, TEXT], &values);
        let execute = StmtExecute::decode(&payload, 2, &[], |_| false).unwrap();
        assert_eq!(execute.values, [Some(value), Some(Value::Null)]);
        for cut in 0..payload.len() {
            let error = StmtExecute::decode(&payload[..cut], 2, &[], |_| false).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{cut}");
        }
        payload.push(0);
        assert!(StmtExecute::decode(&payload, 2, &[], |_| false).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail: Vec<u8>, parameters: u16, long: bool) {
            let mut payload = vec![0x17];
            payload.extend_from_slice(&tail);
            let _ = StmtExecute::decode(&payload, parameters, &[TINY], |_| long);
        }
    }
}
