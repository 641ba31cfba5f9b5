//! Socket objects: `proxy.connection.client` and `proxy.connection.server`. Read-only; a new one at every access.

use mlua::{Error, IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};
use tracing::error;

use crate::api::{self, Field, Object, Retired};
use crate::callback::{self, key_text};
use crate::lent::{self, Lent};
use crate::object::address::Address;
use crate::{Connection, Endpoint, Peer, retired};

/// One side of a connection, by the connection's number.
#[derive(Debug)]
pub(crate) enum Socket {
    /// `proxy.connection.client`
    Client {
        /// The connection's number.
        connection: u64,
    },
    /// `proxy.connection.server`
    Server {
        /// The connection's number.
        connection: u64,
        /// Which of the servers that the connection has in its life.
        identity: Identity,
    },
}

/// Our end of a connection to a server, and the server's number for it: another connection differs in one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    src: Option<Endpoint>,
    dst: Option<Endpoint>,
    thread_id: Option<u32>,
}

impl Identity {
    /// Of a server that is attached.
    pub(crate) fn of(server: &Peer) -> Self {
        Self {
            src: server.src.clone(),
            dst: server.dst.clone(),
            thread_id: server.greeting.as_ref().map(|greeting| greeting.thread_id),
        }
    }
}

/// `proxy.connection.client`, `proxy.connection.server`
pub(crate) const OBJECT: Object = Object {
    path: "proxy.connection.client, proxy.connection.server",
    class: "mysql_proxy.Socket",
    text: "One side of the connection. What is not known yet reads nil, and the log says so.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read(
        "src",
        "mysql_proxy.Address",
        "Where the connection comes from.",
    ),
    Field::read("dst", "mysql_proxy.Address", "Where it goes to."),
    Field::read(
        "default_db",
        "string",
        "The default database: of the login, COM_INIT_DB and `USE`; empty for none.",
    ),
    Field::read(
        "username",
        "string",
        "Who logs in. Known from `read_auth` on.",
    ),
    Field::read(
        "scrambled_password",
        "string",
        "The answer to the challenge, as it was sent. Known from `read_auth` on.",
    ),
    Field::read(
        "auth_plugin_name",
        "string",
        "The authentication plugin: of the login, and before it of the greeting. Empty for none.",
    ),
    Field::read(
        "mysqld_version",
        "integer",
        "The server's version, two digits a part: 50099 for 5.0.99. Known from `read_handshake` on.",
    ),
    Field::read(
        "thread_id",
        "integer",
        "The server's number for the connection, as in SHOW PROCESSLIST. Known from `read_handshake` on.",
    ),
    Field::read(
        "scramble_buffer",
        "string",
        "The challenge. Known from `read_handshake` on.",
    ),
];

impl UserData for Socket {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, read);
    }
}

fn read(lua: &Lua, socket: &Socket, key: Value) -> Result<Value> {
    let Some(name) = api::readable(FIELDS, &key) else {
        return undeclared(lua, socket, &key);
    };
    match socket {
        Socket::Client { connection } => lent::with(lua, *connection, |lent| {
            field(lua, &lent.connection, &lent.connection.client, name)
        }),
        Socket::Server {
            connection,
            identity,
        } => lent::with(lua, *connection, |lent| {
            field(lua, &lent.connection, attached(lent, identity)?, name)
        }),
    }
}

fn undeclared(lua: &Lua, socket: &Socket, key: &Value) -> Result<Value> {
    let (Socket::Client { connection } | Socket::Server { connection, .. }) = socket;
    lent::with(lua, *connection, |lent| {
        if let Socket::Server { identity, .. } = socket {
            attached(lent, identity)?;
        }
        let name = key_text(key);
        match retired::raising(OBJECT.class, &name) {
            Some(Retired { name, instead, .. }) => Err(Error::RuntimeError(format!(
                ".{name} is deprecated. Use {instead} instead"
            ))),
            None => Ok(unknown(&lent.connection, &name)),
        }
    })
}

fn unknown(connection: &Connection, name: &str) -> Value {
    error!(
        client = connection.client_name(),
        "a socket object's .{name} is not known, or not yet: it reads nil"
    );
    Value::Nil
}

/// The server that the object was made for, while it is still this connection's.
fn attached<'a>(lent: &'a Lent, identity: &Identity) -> Result<&'a Peer> {
    let server = lent.connection.server.as_ref();
    server
        .filter(|server| Identity::of(server) == *identity)
        .ok_or_else(|| {
            Error::runtime("this proxy.connection.server is no longer the connection's server")
        })
}

fn field(lua: &Lua, connection: &Connection, peer: &Peer, key: &str) -> Result<Value> {
    match key {
        "default_db" => bytes(lua, &peer.default_db),
        "src" => address(lua, peer.src.as_ref()),
        "dst" => address(lua, peer.dst.as_ref()),
        _ => Ok(login_field(lua, peer, key)?
            .or(greeting_field(lua, peer, key)?)
            .unwrap_or_else(|| unknown(connection, key))),
    }
}

/// Known once the client logged in.
fn login_field(lua: &Lua, peer: &Peer, key: &str) -> Result<Option<Value>> {
    let Some(login) = &peer.login else {
        return Ok(None);
    };
    Ok(Some(match key {
        "username" => bytes(lua, &login.username)?,
        "scrambled_password" => bytes(lua, &login.auth_response)?,
        "auth_plugin_name" => bytes(lua, &login.auth_plugin_name)?,
        _ => return Ok(None),
    }))
}

/// Known once the server greeted.
fn greeting_field(lua: &Lua, peer: &Peer, key: &str) -> Result<Option<Value>> {
    let Some(greeting) = &peer.greeting else {
        return Ok(None);
    };
    Ok(Some(match key {
        "mysqld_version" => version_number(&greeting.server_version).into_lua(lua)?,
        "thread_id" => greeting.thread_id.into_lua(lua)?,
        "scramble_buffer" => bytes(lua, &greeting.auth_plugin_data)?,
        "auth_plugin_name" => bytes(lua, &greeting.auth_plugin_name)?,
        _ => return Ok(None),
    }))
}

/// An address object; nil for a side that has no socket yet.
fn address(lua: &Lua, endpoint: Option<&Endpoint>) -> Result<Value> {
    let address = endpoint.map(|endpoint| Address::Known(endpoint.clone()));
    address.into_lua(lua)
}

fn bytes(lua: &Lua, bytes: &[u8]) -> Result<Value> {
    lua.create_string(bytes)?.into_lua(lua)
}

/// `5.0.99-log` is 50099: two digits a part. `None` when it does not begin with three numbers.
fn version_number(text: &[u8]) -> Option<u32> {
    let mut number: u32 = 0;
    let mut rest = text;
    for position in 0..3 {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let part: u32 = str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        number = number.checked_mul(100)?.checked_add(part)?;
        rest = &rest[digits..];
        if position < 2 {
            rest = rest.strip_prefix(b".")?;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn a_version_is_two_digits_a_part() {
        assert_eq!(version_number(b"5.0.99-agent"), Some(50_099));
        assert_eq!(version_number(b"5.5.5-10.11.6-MariaDB"), Some(50_505));
        assert_eq!(version_number(b"10.11.6-MariaDB"), Some(101_106));
        assert_eq!(version_number(b"9.7.0"), Some(90_700));
    }

    #[test]
    fn what_is_no_version_has_no_number() {
        for text in [
            "",
            "5",
            "5.1",
            "5.1.",
            "x.1.2",
            "4294967296.0.0",
            "99999999.1.1",
        ] {
            assert_eq!(version_number(text.as_bytes()), None, "{text}");
        }
    }
}
