//! One event as a line of text and as a JSON object.

use std::fmt::{self, Write};

use jiff::{Timestamp, Zoned};
use serde_json::{Map, Value, json};
use tracing::Event;
use tracing::field::{Field, Visit};

use crate::log::Level;

/// An event at its time.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) level: Level,
    /// The message and, behind it, ` name=value` for each field; no control characters.
    pub(super) text: String,
    time: Zoned,
    message: String,
    fields: Map<String, Value>,
}

impl Record {
    pub(super) fn new(event: &Event<'_>, level: Level) -> Self {
        let mut parts = Parts::default();
        event.record(&mut parts);
        Self::of(level, parts.message, parts.fields)
    }

    /// A record without fields.
    pub(super) fn plain(level: Level, message: String) -> Self {
        Self::of(level, message, Map::new())
    }

    fn of(level: Level, message: String, fields: Map<String, Value>) -> Self {
        let mut text = one_line(&message);
        for (name, value) in &fields {
            let value = value.as_str().map_or_else(|| value.to_string(), one_line);
            // Writing to a String does not fail.
            let _ = write!(text, " {name}={value}");
        }
        Self {
            level,
            text,
            time: Zoned::now(),
            message,
            fields,
        }
    }

    pub(super) fn timestamp(&self) -> Timestamp {
        self.time.timestamp()
    }

    /// `2026-01-31 13:05:00: (level) text`
    pub(super) fn stamped(&self) -> String {
        let time = self.time.strftime("%Y-%m-%d %H:%M:%S");
        format!("{time}: ({}) {}", self.level.name(), self.text)
    }

    /// An object with `timestamp` (RFC 3339, UTC), `level`, `message` and, where there are any, `fields`.
    pub(super) fn json(&self) -> String {
        let mut object = json!({
            "timestamp": self.time.timestamp().to_string(),
            "level": self.level.name(),
            "message": self.message,
        });
        if !self.fields.is_empty() {
            object["fields"] = Value::Object(self.fields.clone());
        }
        object.to_string()
    }
}

/// What peers sent may stand in a message, so that no byte of it may open a line of its own or move a cursor.
fn one_line(text: &str) -> String {
    let escaped = |c: char| match c {
        '\t' => vec![c],
        _ if c.is_control() => c.escape_default().collect(),
        _ => vec![c],
    };
    text.chars().flat_map(escaped).collect()
}

#[derive(Default)]
struct Parts {
    message: String,
    fields: Map<String, Value>,
}

impl Parts {
    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str, fields: Value) -> Record {
        let Value::Object(fields) = fields else {
            panic!("an object is needed");
        };
        Record::of(Level::Warning, message.to_owned(), fields)
    }

    #[test]
    fn text_is_stamped_in_local_time() {
        let mut record = record("gone", json!({"backend": "db1:3306", "tries": 2}));
        let time: Zoned = "2026-01-31T13:05:09+09:00[+09:00]".parse().unwrap();
        record.time = time;
        assert_eq!(
            record.stamped(),
            "2026-01-31 13:05:09: (warning) gone backend=db1:3306 tries=2"
        );
    }

    #[test]
    fn a_peer_cannot_forge_lines() {
        let record = record("a\r\nb\x1b[2J\tc", json!({"user": "x\ny"}));
        assert_eq!(record.text, "a\\r\\nb\\u{1b}[2J\tc user=x\\ny");
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let mut record = record("a\n\"b\"", json!({"tries": 2}));
        record.time = "2026-01-31T13:05:09.5+09:00[+09:00]".parse().unwrap();
        let expected = json!({
            "timestamp": "2026-01-31T04:05:09.5Z", "level": "warning", "message": "a\n\"b\"", "fields": {"tries": 2}
        });
        assert_eq!(
            serde_json::from_str::<Value>(&record.json()).unwrap(),
            expected
        );
        assert!(!record.json().contains('\n'));
    }
}
