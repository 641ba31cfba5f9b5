//! What scripts see, as data: each object declares its fields beside its code, which looks them up here. What is not declared
//! cannot be read, and the reference and the editors' annotations are made of what is (`tests/reference.rs`).

use mlua::Value;

/// A field of an object, or a function of a module.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// As scripts write it.
    pub name: &'static str,
    /// As annotations of the Lua language server write it.
    pub lua_type: &'static str,
    /// What scripts may do with it.
    pub access: Access,
    /// What it is, its unit, and when it is nil.
    pub text: &'static str,
}

/// What scripts may do with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writing raises an error.
    Read,
    /// Both.
    ReadWrite,
    /// It reads nil.
    Write,
}

/// An object, a table or a module.
#[derive(Debug, Clone, Copy)]
pub struct Object {
    /// How scripts get at it: `proxy.connection.client`.
    pub path: &'static str,
    /// Its name in annotations.
    pub class: &'static str,
    /// What it is.
    pub text: &'static str,
    /// In the order of the documentation.
    pub fields: &'static [Field],
}

/// A name that older programs had. Nobody has it now.
#[derive(Debug, Clone, Copy)]
pub struct Retired {
    /// [`Object::class`] of what had it.
    pub class: &'static str,
    /// As scripts write it.
    pub name: &'static str,
    /// What scripts write now.
    pub instead: &'static str,
    /// Reading it raises an error; else it reads nil.
    pub raises: bool,
}

/// A hook.
#[derive(Debug, Clone, Copy)]
pub struct HookDeclaration {
    /// The function's name in the script.
    pub name: &'static str,
    /// Names and types of its arguments.
    pub parameters: &'static [(&'static str, &'static str)],
    /// When it is called.
    pub when: &'static str,
    /// What there is to read, and what to change.
    pub uses: &'static str,
    /// What its return values do.
    pub returns: &'static [(&'static str, &'static str)],
    /// What happens when it raises an error.
    pub on_error: &'static str,
}

/// Numbers of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Constants {
    /// What they are.
    pub text: &'static str,
    /// Names and values.
    pub values: &'static [(&'static str, i64)],
}

impl HookDeclaration {
    /// The names of its arguments, as a call has them.
    pub fn parameter_names(&self) -> String {
        let names: Vec<_> = self.parameters.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

impl Field {
    pub(crate) const fn read(
        name: &'static str,
        lua_type: &'static str,
        text: &'static str,
    ) -> Self {
        let access = Access::Read;
        Self {
            name,
            lua_type,
            access,
            text,
        }
    }

    pub(crate) const fn read_write(
        name: &'static str,
        lua_type: &'static str,
        text: &'static str,
    ) -> Self {
        let access = Access::ReadWrite;
        Self {
            name,
            lua_type,
            access,
            text,
        }
    }

    pub(crate) const fn write(
        name: &'static str,
        lua_type: &'static str,
        text: &'static str,
    ) -> Self {
        let access = Access::Write;
        Self {
            name,
            lua_type,
            access,
            text,
        }
    }
}

/// The declared name that `key` is, if it may be read.
pub(crate) fn readable(fields: &'static [Field], key: &Value) -> Option<&'static str> {
    find(fields, key, Access::Write)
}

/// The declared name that `key` is, if it may be written.
pub(crate) fn writable(fields: &'static [Field], key: &Value) -> Option<&'static str> {
    find(fields, key, Access::Read)
}

fn find(fields: &'static [Field], key: &Value, other_than: Access) -> Option<&'static str> {
    let Value::String(key) = key else {
        return None;
    };
    let key = key.as_bytes();
    let mut fields = fields.iter();
    let field = fields.find(|field| field.name.as_bytes() == &*key)?;
    (field.access != other_than).then_some(field.name)
}

/// All objects, in the order of the documentation.
pub fn objects() -> Vec<Object> {
    use crate::{
        chassis, fields, glib2, injection_object, lfs, mysql_password, mysql_proto,
        mysql_tokenizer, object, posix, proxy_modules, proxy_table, response,
    };
    let mut objects = vec![
        proxy_table::PROXY,
        object::connection::OBJECT,
        object::socket::OBJECT,
        object::address::OBJECT,
        proxy_table::GLOBAL,
        object::backends::OBJECT,
        object::pool::OBJECT,
        object::pool::USER,
        object::queries::OBJECT,
        response::OBJECT,
        response::RESULTSET,
        response::COLUMN,
        injection_object::OBJECT,
        injection_object::RESULTSET,
        injection_object::FLAGS,
        injection_object::SESSION_STATE,
        fields::OBJECT,
        object::shared::OBJECT,
        mysql_proto::MODULE,
        mysql_password::MODULE,
        mysql_tokenizer::MODULE,
        mysql_tokenizer::TOKEN,
    ];
    objects.extend(proxy_modules::MODULES.iter().map(|module| module.object));
    objects.extend([chassis::MODULE, lfs::MODULE, posix::MODULE, glib2::MODULE]);
    objects
}

/// Whether scripts keep keys of their own in it: one that is not declared may be there all the same.
pub fn keeps_other_keys(object: &Object) -> bool {
    let is_written_by_scripts = |field: &Field| field.access == Access::ReadWrite;
    matches!(object.path, "proxy" | "proxy.global")
        || object.fields.iter().all(is_written_by_scripts)
}

/// Names of older programs that scripts may still use.
pub fn retired() -> &'static [Retired] {
    crate::retired::RETIRED
}

/// All hooks, in the order of a connection's life.
pub fn hooks() -> [HookDeclaration; 7] {
    crate::hook::DECLARATIONS
}

/// The constants in `proxy`.
pub fn constants() -> &'static [Constants] {
    crate::constants::CONSTANTS
}
