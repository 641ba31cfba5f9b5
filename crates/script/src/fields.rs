//! `inj.resultset.fields`: the columns. They are decoded when a script asks for them, and are its own from then on.

use std::sync::Arc;

use mlua::{IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};
use protocol::resultset::ColumnDefinition41;

use crate::api::{self, Field, Object};
use crate::callback::{self, bad_argument};

/// `fields[i]`, `#fields`
pub(crate) struct FieldsObject {
    columns: u64,
    /// Empty where the server left them out.
    definitions: Arc<[ColumnDefinition41]>,
}

/// `fields[i]`; all of it is nil where the server left definitions out.
struct FieldObject {
    definitions: Arc<[ColumnDefinition41]>,
    index: usize,
}

impl FieldsObject {
    pub(crate) fn new(columns: u64, definitions: Vec<ColumnDefinition41>) -> Self {
        Self {
            columns,
            definitions: definitions.into(),
        }
    }

    /// `number` counts from 1.
    fn get(&self, number: i64) -> Option<FieldObject> {
        let index = u64::try_from(number).ok()?.checked_sub(1)?;
        (index < self.columns).then(|| FieldObject {
            definitions: Arc::clone(&self.definitions),
            index: index as usize,
        })
    }
}

impl UserData for FieldsObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, element);
        callback::metamethod(fields, MetaMethod::Len, len);
    }
}

/// `#fields`
fn len(_: &Lua, this: &FieldsObject, (): ()) -> Result<u64> {
    Ok(this.columns)
}

/// `fields[i]`, from 1; nil beyond the last.
fn element(lua: &Lua, this: &FieldsObject, key: Value) -> Result<Option<FieldObject>> {
    let number =
        callback::integer(lua, &key).ok_or_else(|| bad_argument(2, "fields", "number", &key))?;
    Ok(this.get(number))
}

/// `fields[i]`
pub(crate) const OBJECT: Object = Object {
    path: "inj.resultset.fields[i]",
    class: "mysql_proxy.ResultsetField",
    text: "A column of a result. All is nil where the client and the server agreed to leave descriptions out.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read("name", "string|nil", "The column's alias."),
    Field::read("type", "integer|nil", "`proxy.MYSQL_TYPE_*`"),
    Field::read(
        "org_name",
        "string|nil",
        "The column's name; nil for an expression.",
    ),
    Field::read("table", "string|nil", "The table's alias."),
    Field::read("org_table", "string|nil", "The table's name."),
];

impl UserData for FieldObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, read);
    }
}

fn read(lua: &Lua, this: &FieldObject, key: Value) -> Result<Value> {
    let Some(definition) = this.definitions.get(this.index) else {
        return Ok(Value::Nil);
    };
    let text = match api::readable(FIELDS, &key) {
        Some("type") => return definition.column_type.0.into_lua(lua),
        Some("name") => &definition.name,
        Some("org_name") => &definition.org_name,
        Some("table") => &definition.table,
        Some("org_table") => &definition.org_table,
        _ => return Ok(Value::Nil),
    };
    match text.is_empty() {
        // Scripts know an empty name as nil.
        true => Ok(Value::Nil),
        false => lua.create_string(text)?.into_lua(lua),
    }
}
