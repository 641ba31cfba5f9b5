//! Addresses: `src` and `dst` of a socket object, `dst` of a backend. Read-only.

use std::os::unix::ffi::OsStrExt;

use mlua::{IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};

use crate::Endpoint;
use crate::api::{self, Field, Object};
use crate::callback;

/// The numbers of the operating system, which scripts compare `type` with.
const AF_UNIX: i64 = 1;
const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;

/// An address object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// The end of a connection.
    Known(Endpoint),
    /// A host's name that was not looked up yet, and its port as configured: all that is known is `name`.
    Unresolved(String),
}

/// `src`, `dst`
pub(crate) const OBJECT: Object = Object {
    path: "client.src, client.dst, backend.dst",
    class: "mysql_proxy.Address",
    text: "The end of a connection.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read(
        "type",
        "integer|nil",
        "The address family: 1 for a Unix socket, 2 for IPv4, 10 for IPv6. nil while the name was not looked up.",
    ),
    Field::read(
        "name",
        "string",
        "`ip:port`, `[ip6]:port` or the socket's path; of a backend that was never reached, the name as configured.",
    ),
    Field::read(
        "address",
        "string|nil",
        "The IP address, or the socket's path; empty for a client of a Unix socket.",
    ),
    Field::read("port", "integer|nil", "nil for a Unix socket."),
];

impl UserData for Address {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, read);
    }
}

fn read(lua: &Lua, address: &Address, key: Value) -> Result<Value> {
    match api::readable(FIELDS, &key) {
        Some("type") => address.family().into_lua(lua),
        Some("name") => address.name(lua),
        Some("address") => address.host(lua),
        Some("port") => address.port().into_lua(lua),
        _ => Ok(Value::Nil),
    }
}

impl Address {
    fn family(&self) -> Option<i64> {
        match self {
            Self::Known(Endpoint::Unix(_)) => Some(AF_UNIX),
            Self::Known(Endpoint::Ip(ip)) if ip.is_ipv4() => Some(AF_INET),
            Self::Known(Endpoint::Ip(_)) => Some(AF_INET6),
            Self::Unresolved(_) => None,
        }
    }

    fn name(&self, lua: &Lua) -> Result<Value> {
        match self {
            Self::Known(Endpoint::Ip(ip)) => ip.to_string().into_lua(lua),
            Self::Known(Endpoint::Unix(_)) => self.host(lua),
            Self::Unresolved(name) => name.as_str().into_lua(lua),
        }
    }

    fn host(&self, lua: &Lua) -> Result<Value> {
        match self {
            Self::Known(Endpoint::Ip(ip)) => ip.ip().to_string().into_lua(lua),
            Self::Known(Endpoint::Unix(path)) => lua
                .create_string(path.as_os_str().as_bytes())?
                .into_lua(lua),
            Self::Unresolved(_) => Ok(Value::Nil),
        }
    }

    fn port(&self) -> Option<u16> {
        match self {
            Self::Known(Endpoint::Ip(ip)) => Some(ip.port()),
            Self::Known(Endpoint::Unix(_)) | Self::Unresolved(_) => None,
        }
    }
}
