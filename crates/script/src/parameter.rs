//! Values of the binary protocol as scripts see them: numbers, and everything else as text.

use mlua::{IntoLua, Lua, Result, Value};
use protocol::resultset::{ColumnType, DateTime, Time, Value as Parameter};

/// nil for NULL, and for one that came as long data.
pub(crate) fn lua_value(
    lua: &Lua,
    value: Option<Parameter<'_>>,
    column_type: ColumnType,
) -> Result<Value> {
    match value {
        None | Some(Parameter::Null) => Ok(Value::Nil),
        Some(Parameter::Int(number)) => number.into_lua(lua),
        Some(Parameter::UInt(number)) => number.into_lua(lua),
        Some(Parameter::Float(number)) => number.into_lua(lua),
        Some(Parameter::Double(number)) => number.into_lua(lua),
        Some(Parameter::DateTime(date)) if column_type == ColumnType::DATE => {
            date.date_text().into_lua(lua)
        }
        Some(Parameter::DateTime(value)) => date_time_text(value).into_lua(lua),
        Some(Parameter::Time(value)) => time_text(value).into_lua(lua),
        Some(Parameter::Bytes(bytes)) => lua.create_string(bytes)?.into_lua(lua),
    }
}

/// The fraction is microseconds in nine digits, as scripts know it.
fn date_time_text(value: DateTime) -> String {
    let (date, hour, minute, second) = (value.date_text(), value.hour, value.minute, value.second);
    let fraction = value.microsecond;
    format!("{date} {hour:02}:{minute:02}:{second:02}.{fraction:09}")
}

/// Days apart, and the fraction as in [`date_time_text`].
fn time_text(value: Time) -> String {
    let sign = if value.is_negative { "-" } else { "" };
    let (days, hours, minutes, seconds) = (value.days, value.hours, value.minutes, value.seconds);
    let fraction = value.microseconds;
    format!("{sign}{days} {hours:02}:{minutes:02}:{seconds:02}.{fraction:09}")
}
