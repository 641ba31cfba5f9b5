//! `inj.resultset.fields`: the columns. They are decoded when a script asks for them, and are its own from then on.

use std::sync::Arc;

use mlua::{Error, MetaMethod, UserData, UserDataFields, UserDataMethods, Value};
use protocol::resultset::ColumnDefinition41;

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
    fn get(&self, number: f64) -> Option<FieldObject> {
        // A fraction is cut off, and a number below 1 is none.
        let index = (number as u64).checked_sub(1)?;
        (index < self.columns).then(|| FieldObject {
            definitions: Arc::clone(&self.definitions),
            index: index as usize,
        })
    }
}

impl UserData for FieldsObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Len, |_, this, ()| Ok(this.columns));
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            let got = key.type_name();
            match lua.coerce_number(key)? {
                Some(number) => Ok(this.get(number)),
                None => Err(Error::runtime(format!(
                    "bad argument to fields[...] (number expected, got {got})"
                ))),
            }
        });
    }
}

impl FieldObject {
    /// Scripts know an empty name as nil.
    fn text(&self, lua: &mlua::Lua, name: Name) -> mlua::Result<Option<mlua::LuaString>> {
        let text = self.definitions.get(self.index).map(name);
        text.filter(|text| !text.is_empty())
            .map(|text| lua.create_string(text))
            .transpose()
    }
}

type Name = fn(&ColumnDefinition41) -> &Vec<u8>;

impl UserData for FieldObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("type", |_, this| {
            let definition = this.definitions.get(this.index);
            Ok(definition.map(|definition| definition.column_type.0))
        });
        let names: [(_, Name); 4] = [
            ("name", |definition| &definition.name),
            ("org_name", |definition| &definition.org_name),
            ("table", |definition| &definition.table),
            ("org_table", |definition| &definition.org_table),
        ];
        for (key, name) in names {
            fields.add_field_method_get(key, move |lua, this| this.text(lua, name));
        }
    }
}
