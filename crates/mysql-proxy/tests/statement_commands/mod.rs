//! The commands of prepared statements as payloads.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program that includes this uses a part of it"
)]

use protocol::{Capabilities, Command, wire::Writer};

/// The flag of COM_STMT_EXECUTE that says how many parameters there are, where attributes may be among them.
const PARAMETER_COUNT_AVAILABLE: u8 = 0x08;

/// A table with a column of each type that both servers have.
pub(crate) const TYPES: [&str; 2] = [
    "CREATE TABLE test.types (a TINYINT, b TINYINT UNSIGNED, c SMALLINT, d MEDIUMINT, e INT UNSIGNED, f BIGINT, \
     g BIGINT UNSIGNED, h FLOAT, i DOUBLE, j DECIMAL(20, 5), k BIT(10), l YEAR, m DATE, n TIME(6), o DATETIME(6), \
     p TIMESTAMP(3) NULL, q CHAR(5), r VARCHAR(300), s VARBINARY(10), t TINYBLOB, u MEDIUMTEXT, v LONGBLOB, \
     w ENUM('a', 'b'), x SET('a', 'b', 'c'), y GEOMETRY, z JSON)",
    "INSERT INTO test.types VALUES (-1, 255, -32768, -8388608, 4294967295, -9223372036854775808, \
     18446744073709551615, 1.5, -2.25e300, -123456789012345.67891, 0x3ff, 2155, '1999-12-31', \
     '-838:59:58.999999', '9999-12-31 23:59:59.999999', '2020-02-02 02:02:02.123', 'c', REPEAT('v', 300), 0x00ff, \
     0xfe, 'text', 0xfbfcfdfeff, 'b', 'a,c', ST_GeomFromText('POINT(1 2)'), '[1, null]'), \
     (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2000, '2000-01-01', '00:00:00', '2000-01-01', '2000-01-01 01:00:00', \
     '', '', '', '', '', '', 'a', '', NULL, '{}'), \
     (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
];

/// A parameter: its type, its flag, and its value in the binary protocol; `None` is NULL.
pub(crate) type Parameter<'a> = (u8, u8, Option<&'a [u8]>);

/// A COM_STMT_EXECUTE.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Execution<'a> {
    pub(crate) statement_id: u32,
    /// The kind of cursor.
    pub(crate) flags: u8,
    pub(crate) parameters: &'a [Parameter<'a>],
    /// Query attributes by name. They are sent where both sides speak them.
    pub(crate) attributes: &'a [(&'a str, Parameter<'a>)],
    /// Types are left out: those of the last execution go on.
    pub(crate) is_rebound: bool,
}

impl Execution<'_> {
    pub(crate) fn payload(&self, capabilities: Capabilities) -> Vec<u8> {
        let has_names = capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        let unnamed = self.parameters.iter().map(|parameter| ("", *parameter));
        let named = self.attributes.iter().copied().filter(|_| has_names);
        let parameters: Vec<_> = unnamed.chain(named).collect();
        let mut payload = on_statement(Command::STMT_EXECUTE, self.statement_id, None);
        let has_attributes = parameters.len() > self.parameters.len();
        let mut writer = Writer::new(&mut payload);
        writer.u8(self.flags | (PARAMETER_COUNT_AVAILABLE * u8::from(has_attributes)));
        writer.u32(1);
        if parameters.is_empty() {
            return payload;
        }
        if has_names {
            writer.lenenc_int(parameters.len() as u64);
        }
        put_values(&mut writer, &parameters, has_names, self.is_rebound);
        payload
    }
}

/// COM_QUERY with attributes, where both sides speak them.
pub(crate) fn query(
    capabilities: Capabilities,
    sql: &[u8],
    attributes: &[(&str, Parameter<'_>)],
) -> Vec<u8> {
    let mut payload = vec![Command::QUERY.0];
    let mut writer = Writer::new(&mut payload);
    if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
        writer.lenenc_int(attributes.len() as u64);
        writer.lenenc_int(1);
        if !attributes.is_empty() {
            put_values(&mut writer, attributes, true, false);
        }
    }
    writer.bytes(sql);
    payload
}

fn put_values(
    writer: &mut Writer<'_>,
    parameters: &[(&str, Parameter<'_>)],
    has_names: bool,
    is_rebound: bool,
) {
    let mut nulls = vec![0; parameters.len().div_ceil(8)];
    for (n, (_, parameter)) in parameters.iter().enumerate() {
        nulls[n / 8] |= u8::from(parameter.2.is_none()) << (n % 8);
    }
    writer.bytes(&nulls);
    writer.u8(u8::from(!is_rebound));
    for (name, (column_type, flag, _)) in parameters.iter().filter(|_| !is_rebound) {
        writer.bytes(&[*column_type, *flag]);
        if has_names {
            writer.lenenc_bytes(name.as_bytes());
        }
    }
    for value in parameters.iter().filter_map(|parameter| parameter.1.2) {
        writer.bytes(value);
    }
}

/// The statement's number and, for COM_STMT_FETCH, how many rows.
pub(crate) fn on_statement(command: Command, statement_id: u32, rows: Option<u32>) -> Vec<u8> {
    let mut payload = vec![command.0];
    payload.extend_from_slice(&statement_id.to_le_bytes());
    payload.extend(rows.into_iter().flat_map(u32::to_le_bytes));
    payload
}

pub(crate) fn long_data_of(statement_id: u32, parameter: u16, data: &[u8]) -> Vec<u8> {
    let mut payload = on_statement(Command::STMT_SEND_LONG_DATA, statement_id, None);
    payload.extend_from_slice(&parameter.to_le_bytes());
    payload.extend_from_slice(data);
    payload
}
