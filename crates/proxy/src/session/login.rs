//! The client logs in at its backend: the backend's greeting goes to the client, the client's answer back. The proxy
//! knows no password.
//!
//! Both sides end up speaking alike: what the backend offers and we cannot relay as it comes is masked in the greeting.

use backend::abandoned_login::{self, Stage};
use backend::packet_io::PacketReader;
use backend::{ClientCount, Greeted, Stream};
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10, SslRequest};
use protocol::limits::LOGIN_PACKET_BYTES_MAX;
use protocol::packet::put_payload;
use protocol::response::{ErrPacket, OkPacket, error_code};
use protocol::{Capabilities, DecodeError, StatusFlags};
use script::Hook;
use tokio::io::AsyncWriteExt;

use super::Context;
use super::authentication::{Authentication, Decision, FirstAnswer};
use super::connect::{self, Connected};
use super::error::{Party, Refusal, SessionError};
use super::script::Script;
use super::{last_words, unless_expired};
use crate::shutdown::Registration;

/// What both sides may agree on. The rest needs the proxy's help (TLS, compression) or is unknown to it.
const RELAYED: Capabilities = Capabilities::from_bits_retain(0x3f_ffff_ffff)
    .difference(Capabilities::SSL)
    .difference(Capabilities::COMPRESS)
    .difference(Capabilities::ZSTD_COMPRESSION)
    .difference(Capabilities::MARIADB_COM_MULTI);

/// A client that was let in, by its backend or by the script alone.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) client: Stream,
    /// `None` where the script is the server.
    pub(super) backend: Option<(Stream, ClientCount)>,
    pub(super) capabilities: Capabilities,
    pub(super) status: StatusFlags,
    pub(super) nonce: Vec<u8>,
    /// What the client sent behind its login.
    pub(super) rest: Vec<u8>,
}

/// What came of the exchange with one backend.
enum Admission {
    Backend(Capabilities, StatusFlags),
    /// `read_auth` let the client in without one.
    Script(Capabilities),
    /// `read_auth` chose another one.
    Elsewhere(Choice),
}

/// Another backend for a client that has been greeted, and has said who it is.
struct Choice {
    index: usize,
    response: HandshakeResponse41,
    /// What was agreed on with the client.
    capabilities: Capabilities,
}

/// How the exchange with a backend begins.
enum Start {
    /// The client gets this greeting.
    Greeting(Vec<u8>),
    /// The client has been greeted in another one's name.
    Choice(Choice),
}

/// An authentication plugin that no account has: a backend that reads this name asks again, with the account's plugin and
/// a nonce of its own. An answer to another backend's nonce would be of no use to it.
const UNKNOWN_PLUGIN: &[u8] = b"mysql_proxy_switch";
/// Of the client's own packet.
const LOGIN_SEQUENCE_ID: u8 = 1;

/// Relays the login.
///
/// # Errors
/// Whatever ends it. The client has been told, and the backend holds nothing against our host.
pub(super) async fn log_in(
    mut client: Stream,
    mut connected: Connected,
    context: &Context,
    (registration, mut script): (&Registration, Option<&mut Script>),
) -> Result<LoggedIn, SessionError> {
    let mut start = Start::Greeting(std::mem::take(&mut connected.greeted.payload));
    let mut reader = PacketReader::default();
    loop {
        let with = (context, registration, script.as_deref_mut());
        let exchange = exchange((&mut client, reader), connected, start, with);
        let (admission, left) = exchange.await?;
        let (capabilities, status, backend) = match admission {
            Admission::Backend(capabilities, status) => (capabilities, status, left.backend),
            Admission::Script(capabilities) => (capabilities, StatusFlags::AUTOCOMMIT, None),
            Admission::Elsewhere(choice) => {
                reader = left.reader;
                connected = connect_elsewhere(&mut client, context, &choice).await?;
                start = Start::Choice(choice);
                continue;
            }
        };
        return Ok(LoggedIn {
            client,
            backend,
            capabilities,
            status,
            nonce: left.nonce,
            rest: left.reader.into_rest(),
        });
    }
}

/// What an exchange leaves behind.
struct Left {
    /// The backend that let the client in.
    backend: Option<(Stream, ClientCount)>,
    /// What the client has sent behind it.
    reader: PacketReader,
    nonce: Vec<u8>,
}

/// With one backend. One that does not let the client in is left as it wants to be left.
async fn exchange(
    (client, reader): (&mut Stream, PacketReader),
    connected: Connected,
    start: Start,
    (context, registration, mut script): (&Context, &Registration, Option<&mut Script>),
) -> Result<(Admission, Left), SessionError> {
    let Connected { count, greeted } = connected;
    let Greeted {
        stream: mut backend,
        handshake,
        ..
    } = greeted;
    if let Some(script) = script.as_deref_mut() {
        script.greeted(count.backend(), &backend, &handshake);
    }
    let mut login = Authentication::new(
        (client, reader),
        &mut backend,
        handshake.auth_plugin_data.clone(),
        context.settings.login_timeout,
        script,
    );
    let outcome = unless_expired(registration, attempt(&mut login, start, &handshake)).await;
    let outcome = outcome.unwrap_or(Err(SessionError::Shutdown));
    let client_sequence_id = login.client_sequence_id;
    let stage = match login.backend_sequence_id {
        0 => Stage::Greeted(&handshake),
        sequence_id => Stage::Answered {
            sequence_id,
            server_waits: login.is_backend_waiting,
        },
    };
    let backend_reader = std::mem::take(&mut login.backend_reader);
    let (reader, nonce) = login.into_rest();
    let left = |backend| Left {
        backend,
        reader,
        nonce,
    };
    match outcome {
        Ok(admission @ Admission::Backend(..)) => Ok((admission, left(Some((backend, count))))),
        Ok(admission) => {
            abandoned_login::end(backend, backend_reader, stage).await;
            Ok((admission, left(None)))
        }
        Err(SessionError::Denied) => {
            last_words::linger(client).await;
            Err(SessionError::Denied)
        }
        Err(error) => {
            let address = count.backend().address().to_string();
            let told = last_words::tell(client, client_sequence_id, &error, &address);
            let ended = abandoned_login::end(backend, backend_reader, stage);
            tokio::join!(told, ended);
            Err(error)
        }
    }
}

async fn attempt(
    login: &mut Authentication<'_>,
    start: Start,
    handshake: &HandshakeV10,
) -> Result<Admission, SessionError> {
    match start {
        Start::Greeting(greeting) => greet(login, greeting, handshake).await,
        Start::Choice(choice) => switch(login, choice, handshake).await,
    }
}

async fn greet(
    login: &mut Authentication<'_>,
    mut greeting: Vec<u8>,
    handshake: &HandshakeV10,
) -> Result<Admission, SessionError> {
    let offered = handshake.capabilities & RELAYED;
    HandshakeV10::patch_capabilities(&mut greeting, offered)
        .map_err(|error| SessionError::Malformed(Party::Backend, error))?;
    if let Some(script) = &mut login.script
        && let script::Decision::SendResult(response) = script.call(Hook::ReadHandshake).await
    {
        return Err(SessionError::Answered(response.payloads));
    }
    login.send_client(&greeting).await?;
    let mut payload = client_login(login).await?;
    let mut response = decode(&payload)?;
    // What was not offered is not for the backend to see; the rest stays the client's business.
    let masked = handshake.capabilities - offered;
    response.capabilities -= masked;
    let capabilities = response.capabilities & offered;
    HandshakeResponse41::patch_capabilities(&mut payload, response.capabilities)
        .map_err(|error| SessionError::Malformed(Party::Client, error))?;
    match ask_script(login, &response, capabilities).await? {
        ReadAuth::Forward => {}
        ReadAuth::Replace(packet) => {
            response = decode(&packet)?;
            payload = packet;
        }
        ReadAuth::Admit => return Ok(Admission::Script(capabilities)),
        ReadAuth::Elsewhere(index) => {
            return Ok(Admission::Elsewhere(Choice {
                index,
                response,
                capabilities,
            }));
        }
    }
    send_login(login, payload, response).await?;
    decide(login, capabilities).await
}

/// The login of a client that was greeted by another backend.
async fn switch(
    login: &mut Authentication<'_>,
    choice: Choice,
    handshake: &HandshakeV10,
) -> Result<Admission, SessionError> {
    let Choice {
        mut response,
        capabilities,
        ..
    } = choice;
    let missing = (capabilities | Capabilities::PLUGIN_AUTH) - handshake.capabilities;
    if !missing.is_empty() || !capabilities.contains(Capabilities::PLUGIN_AUTH) {
        return Err(refused(format!(
            "(proxy) the backend that the script chose does not speak as the one that greeted: {missing:?}"
        )));
    }
    login.client_sequence_id = LOGIN_SEQUENCE_ID;
    response.capabilities = capabilities;
    response.auth_plugin_name = UNKNOWN_PLUGIN.to_vec();
    response.auth_response.clear();
    let mut payload = Vec::new();
    response.encode(&mut payload);
    login.send_backend(&payload).await?;
    decide(login, capabilities).await
}

async fn decide(
    login: &mut Authentication<'_>,
    capabilities: Capabilities,
) -> Result<Admission, SessionError> {
    match login.run().await? {
        Decision::Accepted(status) => Ok(Admission::Backend(capabilities, status)),
        Decision::Denied => Err(SessionError::Denied),
    }
}

/// The client is told when that backend is not there.
async fn connect_elsewhere(
    client: &mut Stream,
    context: &Context,
    choice: &Choice,
) -> Result<Connected, SessionError> {
    let number = choice.index + 1;
    let connected = match context.backends.take(choice.index) {
        Some(count) => connect::connect_to_one(count, context).await,
        None => Err("it is down".to_owned()),
    };
    match connected {
        Ok(connected) => Ok(connected),
        Err(reason) => {
            let error = refused(format!(
                "(proxy) no way to backend {number}, which the script chose: {reason}"
            ));
            last_words::tell(client, LOGIN_SEQUENCE_ID, &error, "").await;
            Err(error)
        }
    }
}

fn refused(message: String) -> SessionError {
    SessionError::Refused(Refusal::new(
        error_code::UNKNOWN_ERROR,
        ErrPacket::GENERAL_ERROR,
        message,
    ))
}

/// What `read_auth` decided.
enum ReadAuth {
    Forward,
    Replace(Vec<u8>),
    Admit,
    /// At the backend of this index.
    Elsewhere(usize),
}

async fn ask_script(
    login: &mut Authentication<'_>,
    response: &HandshakeResponse41,
    capabilities: Capabilities,
) -> Result<ReadAuth, SessionError> {
    let Some(script) = &mut login.script else {
        return Ok(ReadAuth::Forward);
    };
    script.logged_in(response, capabilities);
    let attached = script.connection.backend_ndx;
    match script.call(Hook::ReadAuth).await {
        script::Decision::SendResult(answer) if answer.is_err() => {
            Err(SessionError::Answered(answer.payloads))
        }
        script::Decision::SendResult(answer) => {
            for payload in &answer.payloads {
                login.send_client(payload).await?;
            }
            Ok(ReadAuth::Admit)
        }
        script::Decision::SendQuery => Ok(match script.connection.queries.pop_front() {
            Some(injection) => ReadAuth::Replace(injection.packet),
            None => ReadAuth::Forward,
        }),
        script::Decision::Default | script::Decision::IgnoreResult => {
            Ok(match script.chosen_backend(attached) {
                Some(index) => ReadAuth::Elsewhere(index),
                None => ReadAuth::Forward,
            })
        }
    }
}

/// The client's own packet has the id 1 here as there.
async fn send_login(
    login: &mut Authentication<'_>,
    mut payload: Vec<u8>,
    mut response: HandshakeResponse41,
) -> Result<(), SessionError> {
    login.plugin_name.clone_from(&response.auth_plugin_name);
    let answer = login.first_answer(&response.auth_plugin_name, &response.auth_response)?;
    if let FirstAnswer::Password(key_request) = answer {
        let password = std::mem::replace(&mut response.auth_response, vec![key_request]);
        login.password = Some(password);
        payload.clear();
        response.encode(&mut payload);
    }
    login.send_backend(&payload).await
}

/// A script that greets by itself: whoever answers is let in unless `read_auth` says otherwise.
pub(super) async fn log_in_at_script(
    mut client: Stream,
    greeting: Vec<Vec<u8>>,
    context: &Context,
    script: &mut Script,
) -> Result<LoggedIn, SessionError> {
    let mut exchange = ScriptLogin {
        client: &mut client,
        reader: PacketReader::default(),
        sequence_id: u8::MAX,
    };
    let outcome = exchange.run(greeting, context, script).await;
    let (sequence_id, rest) = (exchange.sequence_id, exchange.reader.into_rest());
    match outcome {
        Ok(capabilities) => Ok(LoggedIn {
            client,
            backend: None,
            capabilities,
            status: StatusFlags::AUTOCOMMIT,
            nonce: Vec::new(),
            rest,
        }),
        Err(error) => {
            last_words::tell(&mut client, sequence_id, &error, "(script)").await;
            Err(error)
        }
    }
}

/// A login without a backend.
struct ScriptLogin<'a> {
    client: &'a mut Stream,
    reader: PacketReader,
    /// Of the latest packet in either direction.
    sequence_id: u8,
}

impl ScriptLogin<'_> {
    async fn run(
        &mut self,
        greeting: Vec<Vec<u8>>,
        context: &Context,
        script: &mut Script,
    ) -> Result<Capabilities, SessionError> {
        let handshake = greeting
            .first()
            .map(|payload| HandshakeV10::decode(payload));
        let Some(Ok(handshake)) = handshake else {
            return Err(SessionError::Answered(greeting));
        };
        script.greeted_itself(&handshake);
        self.send(&greeting).await?;
        let timeout = context.settings.login_timeout;
        let read = self
            .reader
            .read(self.client, "HandshakeResponse41", LOGIN_PACKET_BYTES_MAX);
        let packet = tokio::time::timeout(timeout, read)
            .await
            .map_err(|_| SessionError::Silent(Party::Client, timeout))?
            .map_err(|error| SessionError::packet(Party::Client, error))?;
        self.sequence_id = packet.sequence_id;
        let response = decode(&packet.payload)?;
        let capabilities = response.capabilities & handshake.capabilities;
        script.logged_in(&response, capabilities);
        let answer = match script.call(Hook::ReadAuth).await {
            script::Decision::SendResult(answer) if answer.is_err() => {
                return Err(SessionError::Answered(answer.payloads));
            }
            script::Decision::SendResult(answer) => answer.payloads,
            _ => vec![ok(capabilities)],
        };
        self.send(&answer).await?;
        Ok(capabilities)
    }

    async fn send(&mut self, payloads: &[Vec<u8>]) -> Result<(), SessionError> {
        let mut bytes = Vec::new();
        for payload in payloads {
            let next = self.sequence_id.wrapping_add(1);
            self.sequence_id = put_payload(&mut bytes, next, payload).wrapping_sub(1);
        }
        self.client
            .write_all(&bytes)
            .await
            .map_err(|error| SessionError::Io(Party::Client, error))
    }
}

fn ok(capabilities: Capabilities) -> Vec<u8> {
    let mut payload = Vec::new();
    let ok = OkPacket {
        status: StatusFlags::AUTOCOMMIT,
        ..OkPacket::default()
    };
    ok.encode(OkPacket::HEADER, capabilities, &mut payload);
    payload
}

/// The client's first packet; garbage is answered as a server answers it.
async fn client_login(login: &mut Authentication<'_>) -> Result<Vec<u8>, SessionError> {
    match login.client_packet().await {
        Ok(packet) => Ok(packet.payload),
        Err(SessionError::Malformed(Party::Client, error)) => Err(bad_handshake(&error)),
        Err(error) => Err(error),
    }
}

fn decode(payload: &[u8]) -> Result<HandshakeResponse41, SessionError> {
    if SslRequest::is(payload) {
        return Err(SessionError::Refused(Refusal::new(
            error_code::HANDSHAKE_ERROR,
            *b"08S01",
            "(proxy) TLS was asked for, but the greeting does not offer it",
        )));
    }
    HandshakeResponse41::decode(payload).map_err(|error| match error {
        DecodeError::Invalid {
            field: "client flags",
            ..
        } => SessionError::Refused(Refusal::new(
            error_code::VERSION_ERROR,
            *b"08S01",
            "4.0 protocol is not supported",
        )),
        error => bad_handshake(&error),
    })
}

fn bad_handshake(error: &DecodeError) -> SessionError {
    SessionError::Refused(Refusal::new(
        error_code::HANDSHAKE_ERROR,
        *b"08S01",
        format!("Bad handshake: {error}"),
    ))
}
