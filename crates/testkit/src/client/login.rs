//! The connection phase: who logs in, with which flags, and how the password is proved.

use protocol::{
    Capabilities,
    auth::{self, caching_sha2_password, mysql_native_password},
    change_user::ChangeUser,
    connection_phase::{AuthPacket, HandshakeResponse41, HandshakeV10, SslRequest},
    response::ErrPacket,
    wire::Writer,
};

use super::{Client, ClientError};
use crate::Connection;

/// How a login proved its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthPath {
    /// The scramble was enough: mysql_native_password, or an empty password.
    Scramble,
    /// caching_sha2_password with a warm cache.
    Fast,
    /// The password went encrypted under the server's RSA public key.
    Rsa,
    /// The password went in clear through a Unix socket or TLS.
    Clear,
}

/// Who logs in and how.
#[derive(Debug, Clone)]
pub struct Login {
    user: String,
    password: String,
    database: String,
    capabilities: Capabilities,
    plugin: Option<Vec<u8>>,
    attributes: Vec<(String, String)>,
    character_set: u16,
}

/// What ordinary clients ask for.
const ORDINARY: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::PLUGIN_AUTH_LENENC_DATA)
    .union(Capabilities::DEPRECATE_EOF);

/// utf8mb4_general_ci
const CHARACTER_SET: u16 = 45;
const MAX_PACKET_BYTES: u32 = 1 << 30;
/// sha256_password's request for the public key.
const SHA256_REQUEST_PUBLIC_KEY: &[u8] = &[1];

impl Login {
    /// A login with ordinary flags, no database and the plugin that the server names.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            database: String::new(),
            capabilities: ORDINARY,
            plugin: None,
            attributes: Vec::new(),
            character_set: CHARACTER_SET,
        }
    }

    /// The collation's number, instead of utf8mb4_general_ci. Numbers beyond 255 are for COM_CHANGE_USER.
    pub fn character_set(mut self, number: u16) -> Self {
        self.character_set = number;
        self
    }

    /// The default database.
    pub fn database(mut self, database: &str) -> Self {
        self.database = database.to_owned();
        self.capabilities |= Capabilities::CONNECT_WITH_DB;
        self
    }

    /// Also asks for these flags. What the server does not offer is never sent.
    pub fn with(mut self, capabilities: Capabilities) -> Self {
        self.capabilities |= capabilities;
        self
    }

    /// Does not ask for these flags.
    pub fn without(mut self, capabilities: Capabilities) -> Self {
        self.capabilities -= capabilities;
        self
    }

    /// Starts with this authentication plugin instead of the server's default.
    pub fn plugin(mut self, name: &[u8]) -> Self {
        self.plugin = Some(name.to_vec());
        self
    }

    /// Asks for TLS, and takes no login without.
    pub fn tls(mut self) -> Self {
        self.capabilities |= Capabilities::SSL;
        self
    }

    /// Sends a connection attribute.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self.capabilities |= Capabilities::CONNECT_ATTRS;
        self
    }

    /// Logs in.
    pub fn connect(&self, mut connection: Connection) -> Result<Client, ClientError> {
        let (sequence_id, payload) = connection.read_payload(0)?;
        if payload.first() == Some(&ErrPacket::HEADER) {
            return Err(ClientError::from_err_packet(&payload));
        }
        let greeting = HandshakeV10::decode(&payload)?;
        let capabilities = self.capabilities & greeting.capabilities;
        let mut client = Client {
            connection,
            greeting,
            capabilities,
            auth_path: AuthPath::Scramble,
            sequence_id,
        };
        let (plugin, nonce) = self.first_plugin(&client);
        let response = self.handshake_response(capabilities, &plugin, &nonce);
        if self.capabilities.contains(Capabilities::SSL) {
            if !capabilities.contains(Capabilities::SSL) {
                return Err(ClientError::Unexpected("no TLS is offered".to_owned()));
            }
            client.send_auth(&response[..SslRequest::BYTES])?;
            client.connection.start_tls()?;
        }
        client.send_auth(&response)?;
        self.authenticate(&mut client, plugin, nonce)?;
        Ok(client)
    }

    /// COM_CHANGE_USER: logs in on a connection that has a login. Flags stay what they are.
    pub fn change_user(&self, client: &mut Client) -> Result<(), ClientError> {
        let (plugin, nonce) = self.first_plugin(client);
        let mut attributes = Vec::new();
        if client.capabilities.contains(Capabilities::CONNECT_ATTRS) {
            Writer::new(&mut attributes).lenenc_bytes(&encode_attributes(&self.attributes));
        }
        let change = ChangeUser {
            username: self.user.as_bytes(),
            auth_response: &self.scramble(&plugin, &nonce),
            database: self.database.as_bytes(),
            character_set: Some(self.character_set),
            auth_plugin_name: &plugin,
            rest: &attributes,
        };
        let mut payload = Vec::new();
        change.encode(client.capabilities, &mut payload);
        client.sequence_id = 0;
        client.auth_path = AuthPath::Scramble;
        client.send_auth(&payload)?;
        self.authenticate(client, plugin, nonce)
    }

    /// The plugin that answers unasked, and its nonce.
    fn first_plugin(&self, client: &Client) -> (Vec<u8>, Vec<u8>) {
        let greeting = &client.greeting;
        let plugin = self.plugin.as_ref().unwrap_or(&greeting.auth_plugin_name);
        (plugin.clone(), greeting.auth_plugin_data.clone())
    }

    fn authenticate(
        &self,
        client: &mut Client,
        mut plugin: Vec<u8>,
        mut nonce: Vec<u8>,
    ) -> Result<(), ClientError> {
        loop {
            let payload = client.read_payload()?;
            match AuthPacket::decode(&payload)? {
                AuthPacket::Ok => return Ok(()),
                AuthPacket::SwitchRequest(request) => {
                    plugin = request.plugin_name.to_vec();
                    nonce = request.plugin_data.to_vec();
                    client.send_auth(&self.scramble(&plugin, &nonce))?;
                }
                AuthPacket::MoreData(caching_sha2_password::FAST_AUTH_SUCCESS) => {
                    client.auth_path = AuthPath::Fast;
                }
                AuthPacket::MoreData(caching_sha2_password::PERFORM_FULL_AUTHENTICATION) => {
                    self.prove_in_full(client, &plugin)?;
                }
                AuthPacket::MoreData(key) if key.starts_with(b"-----BEGIN") => {
                    let encrypted = auth::encrypt_password(self.password.as_bytes(), &nonce, key);
                    let encrypted =
                        encrypted.map_err(|error| ClientError::Unexpected(error.to_string()))?;
                    client.auth_path = AuthPath::Rsa;
                    client.send_auth(&encrypted)?;
                }
                other => {
                    return Err(ClientError::Unexpected(format!(
                        "during the login: {other:?}"
                    )));
                }
            }
        }
    }

    /// The password itself where the transport is safe, else the request for a key to encrypt it with.
    fn prove_in_full(&self, client: &mut Client, plugin: &[u8]) -> Result<(), ClientError> {
        let answer = self.full_answer(plugin, client.connection.is_secure());
        if client.connection.is_secure() {
            client.auth_path = AuthPath::Clear;
        }
        client.send_auth(&answer)
    }

    fn full_answer(&self, plugin: &[u8], is_secure: bool) -> Vec<u8> {
        if is_secure {
            return [self.password.as_bytes(), &[0]].concat();
        }
        if plugin == auth::SHA256_PASSWORD {
            return SHA256_REQUEST_PUBLIC_KEY.to_vec();
        }
        caching_sha2_password::REQUEST_PUBLIC_KEY.to_vec()
    }

    fn scramble(&self, plugin: &[u8], nonce: &[u8]) -> Vec<u8> {
        let password = self.password.as_bytes();
        match plugin {
            auth::MYSQL_NATIVE_PASSWORD => mysql_native_password::scramble(password, nonce),
            auth::CACHING_SHA2_PASSWORD => caching_sha2_password::scramble(password, nonce),
            // It has no scramble: the password itself, or the exchange starts with the request for the key.
            auth::SHA256_PASSWORD if self.capabilities.contains(Capabilities::SSL) => {
                [password, &[0]].concat()
            }
            auth::SHA256_PASSWORD => SHA256_REQUEST_PUBLIC_KEY.to_vec(),
            // The server's answer to an unknown plugin is to name the account's own.
            _ => Vec::new(),
        }
    }

    fn handshake_response(
        &self,
        capabilities: Capabilities,
        plugin: &[u8],
        nonce: &[u8],
    ) -> Vec<u8> {
        let response = HandshakeResponse41 {
            capabilities,
            max_packet_bytes: MAX_PACKET_BYTES,
            character_set: self.character_set as u8,
            username: self.user.clone().into_bytes(),
            auth_response: self.scramble(plugin, nonce),
            database: self.database.clone().into_bytes(),
            auth_plugin_name: plugin.to_vec(),
            connection_attributes: capabilities
                .contains(Capabilities::CONNECT_ATTRS)
                .then(|| encode_attributes(&self.attributes)),
            zstd_level: None,
            rest: Vec::new(),
        };
        let mut payload = Vec::new();
        response.encode(&mut payload);
        payload
    }
}

impl Client {
    fn send_auth(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.sequence_id = self.connection.send_payload(self.sequence_id, payload)?;
        Ok(())
    }
}

fn encode_attributes(attributes: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    for (name, value) in attributes {
        writer.lenenc_bytes(name.as_bytes());
        writer.lenenc_bytes(value.as_bytes());
    }
    bytes
}
