//! The connection phase: greeting, the client's answer, and the proof of its password.
//!
//! The server knows the password, so that a scramble always suffices: caching_sha2_password takes its fast path, and no
//! password ever crosses the wire.

use std::time::Instant;

use aws_lc_rs::rand;
use protocol::auth::{
    CACHING_SHA2_PASSWORD, MYSQL_NATIVE_PASSWORD, caching_sha2_password, mysql_native_password,
};
use protocol::connection_phase::{AuthSwitchRequest, HandshakeResponse41, HandshakeV10};
use protocol::resultset::collation;
use protocol::{Capabilities, StatusFlags};

use crate::failure::Failure;
use crate::packet_stream::PacketStream;
use crate::sql::{Code, SqlError, VERSION};
use crate::{DATABASE, PASSWORD, USER};

/// What a client may ask for.
const OFFERED: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::FOUND_ROWS)
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::IGNORE_SPACE)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::INTERACTIVE)
    .union(Capabilities::IGNORE_SIGPIPE)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::PLUGIN_AUTH_LENENC_DATA)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::DEPRECATE_EOF);

const NONCE_BYTES: usize = 20;

/// Of AuthMoreData.
const MORE_DATA: u8 = 1;

/// Who logged in.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) capabilities: Capabilities,
    pub(crate) user: String,
    pub(crate) database: Option<String>,
}

/// Greets and asks until the client is known. The OK that ends a login is the caller's to send.
pub(crate) fn login(
    stream: &mut PacketStream,
    session_id: u32,
    host: &str,
    deadline: Instant,
) -> Result<Login, Failure> {
    let nonce = nonce()?;
    let greeting = HandshakeV10 {
        server_version: VERSION.into(),
        thread_id: session_id,
        auth_plugin_data: nonce.to_vec(),
        capabilities: OFFERED,
        character_set: collation::UTF8MB4_GENERAL_CI as u8,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin_name: CACHING_SHA2_PASSWORD.to_vec(),
    };
    let mut payload = Vec::new();
    greeting.encode(&mut payload);
    stream.write_payload(&payload)?;
    stream.flush()?;
    let payload = stream.read_payload(deadline)?;
    let response = HandshakeResponse41::decode(&payload)
        .map_err(|error| SqlError::new(Code::HANDSHAKE, error.to_string()))?;
    let capabilities = response.capabilities & OFFERED;
    let plugin = match capabilities.contains(Capabilities::PLUGIN_AUTH) {
        true => response.auth_plugin_name.as_slice(),
        false => MYSQL_NATIVE_PASSWORD,
    };
    let account = Account {
        user: &response.username,
        host,
    };
    let needs_no_switch =
        plugin == greeting.auth_plugin_name || !capabilities.contains(Capabilities::PLUGIN_AUTH);
    if needs_no_switch {
        account.check(stream, plugin, &nonce, &response.auth_response)?;
    } else {
        account.switch(stream, plugin, deadline)?;
    }
    Ok(Login {
        capabilities,
        user: String::from_utf8_lossy(&response.username).into_owned(),
        database: known_database(&response.database)?,
    })
}

/// Asks again on a connection that is logged in: COM_CHANGE_USER. The client always gets a fresh nonce.
pub(crate) fn change_user(
    stream: &mut PacketStream,
    change: &protocol::change_user::ChangeUser<'_>,
    host: &str,
    deadline: Instant,
) -> Result<(), Failure> {
    let account = Account {
        user: change.username,
        host,
    };
    account.switch(stream, change.auth_plugin_name, deadline)
}

/// The name of the database; none for an empty one.
pub(crate) fn known_database(name: &[u8]) -> Result<Option<String>, SqlError> {
    if name.is_empty() {
        return Ok(None);
    }
    if name.eq_ignore_ascii_case(DATABASE.as_bytes()) {
        return Ok(Some(DATABASE.to_owned()));
    }
    let name = String::from_utf8_lossy(name);
    let message = format!("unknown database '{name}'; there is only '{DATABASE}'");
    Err(SqlError::new(Code::UNKNOWN_DATABASE, message))
}

/// Who wants to log in from where.
#[derive(Debug, Clone, Copy)]
struct Account<'a> {
    user: &'a [u8],
    host: &'a str,
}

impl Account<'_> {
    /// Asks for the proof by `plugin`, or by the greeting's where that is not one of ours.
    fn switch(
        self,
        stream: &mut PacketStream,
        plugin: &[u8],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let plugin_name = match plugin {
            MYSQL_NATIVE_PASSWORD => MYSQL_NATIVE_PASSWORD,
            _ => CACHING_SHA2_PASSWORD,
        };
        let nonce = nonce()?;
        let request = AuthSwitchRequest {
            plugin_name,
            plugin_data: &nonce,
        };
        let mut payload = Vec::new();
        request.encode(&mut payload);
        stream.write_payload(&payload)?;
        stream.flush()?;
        let proof = stream.read_payload(deadline)?;
        self.check(stream, plugin_name, &nonce, &proof)
    }

    fn check(
        self,
        stream: &mut PacketStream,
        plugin: &[u8],
        nonce: &[u8],
        proof: &[u8],
    ) -> Result<(), Failure> {
        let password = PASSWORD.as_bytes();
        let is_native = plugin == MYSQL_NATIVE_PASSWORD;
        // A client without password says so with a lone zero in caching_sha2_password.
        let is_proved = match is_native {
            true => mysql_native_password::verify(password, nonce, proof),
            false => caching_sha2_password::verify(password, nonce, proof),
        };
        if self.user != USER.as_bytes() || !is_proved {
            return Err(self.denied(!matches!(proof, [] | [0])).into());
        }
        if !is_native {
            let mut payload = vec![MORE_DATA];
            payload.extend_from_slice(caching_sha2_password::FAST_AUTH_SUCCESS);
            stream.write_payload(&payload)?;
        }
        Ok(())
    }

    fn denied(self, with_password: bool) -> SqlError {
        let user = String::from_utf8_lossy(self.user);
        let using = if with_password { "YES" } else { "NO" };
        let host = self.host;
        SqlError::new(
            Code::ACCESS_DENIED,
            format!("access denied for user '{user}'@'{host}' (using password: {using})"),
        )
    }
}

/// Printable, as the servers' own: a zero would end it.
fn nonce() -> Result<[u8; NONCE_BYTES], SqlError> {
    let mut nonce = [0; NONCE_BYTES];
    rand::fill(&mut nonce)
        .map_err(|_| SqlError::new(Code::UNKNOWN_ERROR, "the system gives no random bytes"))?;
    Ok(nonce.map(|byte| b'!' + byte % 94))
}
