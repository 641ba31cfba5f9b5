//! The client logs in at its backend: the backend's greeting goes to the client, the client's answer back. The proxy
//! knows no password.
//!
//! Both sides end up speaking alike: what the backend offers and we cannot relay as it comes is masked in the greeting. TLS and
//! compression are each side's own.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use backend::abandoned_login::{self, Stage};
use backend::packet_io::{PacketReader, write_packet};
use backend::traces::Traces;
use backend::{ClientCount, PooledConnection, ServerSession, Settings, Stream};
use protocol::change_user::ChangeUser;
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10};
use protocol::query::Query;
use protocol::{Capabilities, StatusFlags};
use script::{Hold, Hook};
use sql::Pin;
use tokio::time::timeout;
use transport::compression::{Compression, Role};

use super::Context;
use super::authentication::{Authentication, Decision};
use super::backend_login::{self, Server};
use super::client_login;
use super::connect::{self, Connected};
use super::error::{Party, SessionError};
use super::origin::Origin;
use super::script::Script;
use super::{last_words, unless_expired};
use crate::compression::{COMPRESSED, agreed};
use crate::register::Registration;

/// What both sides may agree on. The rest needs the proxy's help (TLS, compression) or is unknown to it.
const RELAYED: Capabilities = Capabilities::from_bits_retain(0x3f_ffff_ffff)
    .difference(Capabilities::SSL)
    .difference(COMPRESSED)
    .difference(Capabilities::MARIADB_COM_MULTI);

/// A client that was let in, by its backend or by the script alone.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) client: Stream,
    pub(super) username: Vec<u8>,
    /// Empty for none.
    pub(super) database: Vec<u8>,
    /// `None` where the script is the server.
    pub(super) backend: Option<(Stream, ClientCount)>,
    /// What the backend holds of the client; `None` without a script, which alone gives connections to others.
    pub(super) session: Option<Box<ServerSession>>,
    pub(super) capabilities: Capabilities,
    pub(super) status: StatusFlags,
    pub(super) nonce: Vec<u8>,
    /// What the client sent behind its login.
    pub(super) rest: Vec<u8>,
    /// The client logs in at its backend under TLS of theirs: nothing can be seen of it.
    pub(super) is_tunnel: bool,
}

/// What came of the exchange with one backend.
enum Admission {
    Backend(ClientLogin, StatusFlags),
    /// `read_auth` let the client in without one.
    Script(ClientLogin),
    /// The client logs in on another connection.
    Elsewhere(Elsewhere),
    /// Client and backend go on under TLS of theirs.
    Tunnel,
}

/// A client that has been greeted and has said who it is.
#[derive(Default)]
struct ClientLogin {
    response: HandshakeResponse41,
    /// What was agreed on with it.
    capabilities: Capabilities,
    /// Begins behind the OK.
    compression: Option<Compression>,
    /// Of its packet.
    sequence_id: u8,
    /// The script has replaced the login by one of other capabilities.
    replaced: Option<Pin>,
}

/// Another connection for it.
struct Elsewhere {
    login: ClientLogin,
    /// The backend's.
    index: usize,
    place: Place,
}

enum Place {
    /// An idle connection, which the script took.
    Taken(Box<PooledConnection>),
    /// An idle connection if there is one that suits, else a new one.
    Any,
    /// A new one.
    New,
}

/// How the exchange with a backend begins.
enum Start {
    /// The client gets this greeting.
    Greeting(Vec<u8>),
    /// The client has been greeted in another one's name.
    Greeted(ClientLogin),
}

/// An authentication plugin that no account has: a backend that reads this name asks again, with the account's plugin and
/// a nonce of its own. An answer to another backend's nonce would be of no use to it.
const UNKNOWN_PLUGIN: &[u8] = b"mysql_proxy_switch";

const REPLACED: Pin = Pin::ForGood("a login that the script has replaced");

/// Relays the login.
///
/// # Errors
/// Whatever ends it. The client has been told, and the backend holds nothing against our host.
pub(super) async fn log_in(
    mut client: Stream,
    mut connected: Connected,
    (context, origin): (&Context, &Origin),
    (registration, mut script): (&Registration, Option<&mut Script>),
) -> Result<LoggedIn, SessionError> {
    let mut start = Start::Greeting(std::mem::take(&mut connected.greeting));
    let mut reader = PacketReader::default();
    loop {
        let with = (context, registration, script.as_deref_mut());
        let exchange = exchange((&mut client, reader), connected, start, with);
        let (admission, left) = exchange.await?;
        let mut is_tunnel = false;
        let (login, status) = match admission {
            Admission::Backend(login, status) => (login, status),
            Admission::Script(login) => (login, StatusFlags::AUTOCOMMIT),
            Admission::Tunnel => {
                is_tunnel = true;
                (ClientLogin::default(), StatusFlags::AUTOCOMMIT)
            }
            Admission::Elsewhere(elsewhere) => {
                reader = left.reader;
                let Elsewhere {
                    login,
                    index,
                    place,
                } = elsewhere;
                let elsewhere = connect_elsewhere((context, origin), &login, (index, place));
                let elsewhere = unless_expired(registration, Box::pin(elsewhere)).await;
                connected = match elsewhere.flatten() {
                    Ok(connected) => connected,
                    Err(error) => {
                        last_words::tell(&mut client, login.sequence_id, &error, "").await;
                        return Err(error);
                    }
                };
                start = Start::Greeted(login);
                continue;
            }
        };
        let mut rest = left.reader.into_rest();
        if let Some(compression) = login.compression {
            client.compress(Role::Server, compression, std::mem::take(&mut rest));
        }
        return Ok(LoggedIn {
            client,
            username: login.response.username,
            database: login.response.database,
            backend: left.backend,
            session: left.session,
            capabilities: login.capabilities,
            status,
            nonce: left.nonce,
            rest,
            is_tunnel,
        });
    }
}

/// What an exchange leaves behind.
struct Left {
    /// The backend that let the client in.
    backend: Option<(Stream, ClientCount)>,
    session: Option<Box<ServerSession>>,
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
    connected.shown_in(registration);
    let Connected {
        count,
        stream: mut backend,
        handshake,
        session,
        ..
    } = connected;
    if let Some(script) = script.as_deref_mut() {
        script.greeted(count.backend(), &backend, &handshake);
        script.connection.hold = Hold::Pinned("the login is not done");
    }
    let nonce = session.as_ref().map(|session| session.nonce.clone());
    let mut login = Authentication::new(
        (client, reader),
        &mut backend,
        nonce.unwrap_or_else(|| handshake.auth_plugin_data.clone()),
        context,
        script.as_deref_mut(),
    );
    let before = (traces_behind_login(session.as_deref()), session.is_some());
    let settings = (&context.settings.tls, &context.settings.compression);
    let server = Server::new(count.backend(), settings, &handshake, session.as_deref());
    let attempt = attempt(&mut login, start, server);
    let outcome = unless_expired(registration, attempt).await.flatten();
    let sequence_id = login.client_sequence_id;
    let leaving = Leaving::after(&mut login, session, &handshake);
    let held_back = std::mem::take(&mut login.held_back);
    let (reader, nonce) = login.into_rest();
    let mut left = Left {
        backend: None,
        session: None,
        reader,
        nonce,
    };
    match outcome {
        Ok(Admission::Backend(login, status)) => {
            left.session = script
                .is_some()
                .then(|| login.session(&handshake, status, before, context.generation.number));
            left.backend = Some((backend, count));
            if script.is_some_and(|script| std::mem::take(&mut script.connection.is_released)) {
                left.give_back();
            }
            let deadline = context.settings.login_timeout;
            tell(client, sequence_id, &held_back, deadline).await?;
            Ok((Admission::Backend(login, status), left))
        }
        Ok(Admission::Tunnel) => {
            left.backend = Some((backend, count));
            Ok((Admission::Tunnel, left))
        }
        Ok(admission) => {
            leaving.leave(backend, count).await;
            Ok((admission, left))
        }
        Err(SessionError::Denied) => {
            last_words::linger(client).await;
            Err(SessionError::Denied)
        }
        Err(error) => {
            let address = count.backend().address().to_string();
            let told = last_words::tell(client, sequence_id, &error, &address);
            tokio::join!(told, leaving.leave(backend, count));
            Err(error)
        }
    }
}

/// What is left of those before on a connection that is used again.
fn traces_behind_login(session: Option<&ServerSession>) -> Traces {
    let mut traces = session.map_or_else(Traces::default, |session| session.traces);
    traces.reset();
    traces
}

/// How a backend is left that did not let the client in.
struct Leaving<'a> {
    /// Of an idle connection that goes back.
    session: Option<Box<ServerSession>>,
    stage: Stage<'a>,
    reader: PacketReader,
}

impl<'a> Leaving<'a> {
    fn after(
        login: &mut Authentication<'_>,
        session: Option<Box<ServerSession>>,
        handshake: &'a HandshakeV10,
    ) -> Self {
        Self {
            // Nobody has said a word on it.
            session: session.filter(|_| login.is_untouched()),
            stage: match () {
                () if login.is_untouched() => Stage::Greeted(handshake),
                () if login.is_admitted => Stage::Admitted,
                () => Stage::Answered {
                    sequence_id: login.backend_sequence_id,
                    server_waits: login.is_backend_waiting,
                },
            },
            reader: std::mem::take(&mut login.backend_reader),
        }
    }

    async fn leave(self, backend: Stream, count: ClientCount) {
        match self.session {
            Some(session) => PooledConnection {
                count,
                stream: backend,
                session,
            }
            .give_back(),
            None => abandoned_login::end(backend, self.reader, self.stage).await,
        }
    }
}

/// What the client gets of a login behind the packet with `sequence_id`.
async fn tell(
    client: &mut Stream,
    mut sequence_id: u8,
    payloads: &[Vec<u8>],
    deadline: Duration,
) -> Result<(), SessionError> {
    for payload in payloads {
        sequence_id = sequence_id.wrapping_add(1);
        timeout(deadline, write_packet(client, sequence_id, payload))
            .await
            .map_err(|_| SessionError::Stuck(Party::Client, deadline))?
            .map_err(|error| SessionError::Io(Party::Client, error))?;
    }
    Ok(())
}

impl Left {
    /// The connection goes to its pool.
    fn give_back(&mut self) {
        if let Some((stream, count)) = self.backend.take()
            && let Some(mut session) = self.session.take()
        {
            session.nonce = std::mem::take(&mut self.nonce);
            PooledConnection {
                count,
                stream,
                session,
            }
            .give_back();
        }
    }
}

impl ClientLogin {
    /// Why nobody else may have the connection afterwards.
    fn pin(&self, handshake: &HandshakeV10) -> Option<Pin> {
        let character_set = self.response.character_set.into();
        self.replaced
            .or(backend::pin_of_login(handshake, character_set))
    }

    /// What the backend holds after it, with what is left of those before.
    fn session(
        &self,
        handshake: &Arc<HandshakeV10>,
        status: StatusFlags,
        (traces, is_shared): (Traces, bool),
        generation: u64,
    ) -> Box<ServerSession> {
        let character_set = self.response.character_set.into();
        Box::new(ServerSession {
            handshake: Arc::clone(handshake),
            username: self.response.username.clone(),
            capabilities: self.capabilities,
            default_db: self.response.database.clone(),
            character_set,
            settings: Settings::of_login(character_set),
            statements: HashSet::new(),
            pin: self.pin(handshake),
            status,
            nonce: Vec::new(),
            traces,
            is_shared,
            generation,
        })
    }
}

async fn attempt(
    login: &mut Authentication<'_>,
    start: Start,
    server: Server<'_>,
) -> Result<Admission, SessionError> {
    match start {
        Start::Greeting(greeting) => greet(login, greeting, server).await,
        Start::Greeted(client) => switch(login, client, server).await,
    }
}

async fn greet(
    login: &mut Authentication<'_>,
    mut greeting: Vec<u8>,
    server: Server<'_>,
) -> Result<Admission, SessionError> {
    let mut offered = server.handshake.capabilities & RELAYED;
    let offers_tls = server
        .tls
        .is_offered(login.streams().1, server.handshake.capabilities);
    offered.set(Capabilities::SSL, offers_tls);
    offered |= server.offered_compression();
    HandshakeV10::patch_capabilities(&mut greeting, offered)
        .map_err(|error| SessionError::Malformed(Party::Backend, error))?;
    // A greeting that is said again was shown before.
    if server.session.is_none()
        && let Some(script) = &mut login.script
        && let script::Decision::SendResult(response) = script.call(Hook::ReadHandshake).await
    {
        return Err(SessionError::Answered(response.payloads));
    }
    login.send_client(&greeting).await?;
    let Some(mut payload) = client_login::read(login, server.tls, offers_tls).await? else {
        return Ok(Admission::Tunnel);
    };
    let mut response = client_login::decode(&payload)?;
    let compression = agreed(response.capabilities & offered, response.zstd_level);
    // What was not offered is not for the backend to see; the rest stays the client's business.
    let masked = server.handshake.capabilities - offered;
    response.capabilities -= masked | Capabilities::SSL | COMPRESSED;
    let spoken = response.capabilities & offered;
    let capabilities = server.tls.pool_key(login.streams().0, spoken);
    let sequence_id = login.client_sequence_id;
    match response.zstd_level.take() {
        // A flag with a field.
        Some(_) => backend_login::encode(&response, &mut payload),
        None => HandshakeResponse41::patch_capabilities(&mut payload, response.capabilities)
            .map_err(|error| SessionError::Malformed(Party::Client, error))?,
    }
    let decision = ask_script(login, &response, capabilities).await?;
    let mut replaced = None;
    if let ReadAuth::Replace(packet) = &decision {
        response = client_login::decode(packet)?;
        let said = response.capabilities & (offered - Capabilities::SSL - COMPRESSED);
        replaced = (said != spoken).then_some(REPLACED);
        payload.clone_from(packet);
    }
    let client = ClientLogin {
        response,
        capabilities,
        compression,
        sequence_id,
        replaced,
    };
    match decision {
        ReadAuth::Forward | ReadAuth::Replace(_) => {}
        ReadAuth::Admit => return Ok(Admission::Script(client)),
        ReadAuth::Elsewhere(index, place) => {
            return Ok(Admission::Elsewhere(Elsewhere {
                login: client,
                index,
                place,
            }));
        }
    }
    login.pin = client.pin(server.handshake);
    match server.session {
        Some(session) => reuse(login, client, (server.index, session)).await,
        None => {
            let said = (&client.response, client.compression);
            backend_login::send(login, payload, said, server).await?;
            decide(login, client).await
        }
    }
}

/// The login of a client that was greeted in another connection's name.
async fn switch(
    login: &mut Authentication<'_>,
    client: ClientLogin,
    server: Server<'_>,
) -> Result<Admission, SessionError> {
    login.client_sequence_id = client.sequence_id;
    login.pin = client.pin(server.handshake);
    if let Some(session) = server.session {
        return reuse(login, client, (server.index, session)).await;
    }
    let capabilities = client.capabilities;
    let needed = (capabilities | Capabilities::PLUGIN_AUTH) - Capabilities::SSL;
    let missing = needed - server.handshake.capabilities;
    if !missing.is_empty() || !capabilities.contains(Capabilities::PLUGIN_AUTH) {
        return Err(SessionError::refused(format!(
            "(proxy) the backend that the script chose does not speak as the one that greeted: {missing:?}"
        )));
    }
    let mut payload = Vec::new();
    HandshakeResponse41 {
        capabilities: capabilities - Capabilities::SSL,
        auth_plugin_name: UNKNOWN_PLUGIN.to_vec(),
        auth_response: Vec::new(),
        ..client.response.clone()
    }
    .encode(&mut payload);
    backend_login::ask_for_compression(login, &mut payload, (client.compression, server))?;
    backend_login::secure(login, &mut payload, server).await?;
    login.send_backend(&payload).await?;
    decide(login, client).await
}

/// The client takes the place of whoever was logged in. The server asks it for its password: with an empty answer it
/// gets a nonce of its own. One that does not speak as the connection does, or finds it dead, gets another.
async fn reuse(
    login: &mut Authentication<'_>,
    client: ClientLogin,
    (index, session): (usize, &ServerSession),
) -> Result<Admission, SessionError> {
    let another = |login, place| {
        Ok(Admission::Elsewhere(Elsewhere {
            login,
            index,
            place,
        }))
    };
    if !session.suits(client.capabilities) {
        return another(client, Place::Any);
    }
    match take_over(login, &client.response, session).await {
        Err(SessionError::Closed(Party::Backend) | SessionError::Io(Party::Backend, _))
            if !login.has_backend_spoken() =>
        {
            another(client, Place::New)
        }
        outcome => decided(outcome?, client),
    }
}

async fn take_over(
    login: &mut Authentication<'_>,
    response: &HandshakeResponse41,
    session: &ServerSession,
) -> Result<Decision, SessionError> {
    if session.handshake.is_mariadb() {
        // COM_CHANGE_USER leaves the role of the user before in force for one who has none by default.
        run_statement(login, session, b"SET ROLE NONE").await?;
    }
    let decision = change_user(login, response, session).await?;
    if let Decision::Accepted(_) = decision {
        for sql in session.restoring_flags() {
            run_statement(login, session, sql).await?;
        }
    }
    Ok(decision)
}

async fn run_statement(
    login: &mut Authentication<'_>,
    session: &ServerSession,
    sql: &[u8],
) -> Result<(), SessionError> {
    let mut payload = Vec::new();
    Query::text(sql).encode(session.capabilities, &mut payload);
    login.run_statement(&payload).await
}

async fn change_user(
    login: &mut Authentication<'_>,
    response: &HandshakeResponse41,
    session: &ServerSession,
) -> Result<Decision, SessionError> {
    let has = |capability| session.capabilities.contains(capability);
    // Without plugins the answer to the nonce in the greeting is all there is.
    let auth_response: &[u8] = match has(Capabilities::PLUGIN_AUTH) {
        true => &[],
        false => &response.auth_response,
    };
    let mut attributes = Vec::new();
    if has(Capabilities::CONNECT_ATTRS) {
        let attributes_given = response.connection_attributes.as_deref();
        ChangeUser::encode_attributes(attributes_given.unwrap_or_default(), &mut attributes);
    }
    let mut payload = Vec::new();
    ChangeUser {
        username: &response.username,
        auth_response: auth_response.get(..255).unwrap_or(auth_response),
        database: &response.database,
        character_set: Some(response.character_set.into()),
        auth_plugin_name: &response.auth_plugin_name,
        rest: &attributes,
    }
    .encode(session.capabilities, &mut payload);
    login.plugin_name.clone_from(&response.auth_plugin_name);
    login.is_reused = true;
    login.start_command(&payload).await?;
    login.run().await
}

async fn decide(
    login: &mut Authentication<'_>,
    client: ClientLogin,
) -> Result<Admission, SessionError> {
    let decision = login.run().await?;
    if let Decision::Accepted(_) = decision {
        login.compress_backend();
    }
    decided(decision, client)
}

fn decided(decision: Decision, client: ClientLogin) -> Result<Admission, SessionError> {
    match decision {
        Decision::Accepted(status) => Ok(Admission::Backend(client, status)),
        Decision::Denied => Err(SessionError::Denied),
    }
}

/// The error is for the client to be told.
async fn connect_elsewhere(
    (context, origin): (&Context, &Origin),
    login: &ClientLogin,
    (index, place): (usize, Place),
) -> Result<Connected, SessionError> {
    let number = index + 1;
    let applicant = backend::Applicant {
        username: &login.response.username,
        capabilities: Some(login.capabilities),
        logs_in: true,
        generation: context.generation.number,
    };
    let idle = match (place, context.backends.get(index)) {
        (Place::Taken(idle), _) => Some(*idle),
        (Place::Any, Some(backend)) => backend.take_idle(&applicant),
        _ => None,
    };
    if let Some(idle) = idle {
        return Ok(Connected::reused(idle));
    }
    let connected = match context.backends.take(index) {
        Some(count) => connect::connect_to_one(count, (context, origin)).await,
        None => Err("it is down".to_owned()),
    };
    connected.map_err(|reason| {
        SessionError::refused(format!(
            "(proxy) no way to backend {number}, which the script chose: {reason}"
        ))
    })
}

/// What `read_auth` decided.
enum ReadAuth {
    Forward,
    Replace(Vec<u8>),
    Admit,
    /// At the backend of this index.
    Elsewhere(usize, Place),
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
    script.connection.hold = Hold::Choosing;
    let decision = script.call(Hook::ReadAuth).await;
    script.connection.hold = Hold::Pinned("the login is not done");
    // Which connection is left is for the login to say.
    script.connection.is_released = false;
    let taken = match decision {
        script::Decision::Default | script::Decision::IgnoreResult => script.take_idle(),
        _ => None,
    };
    script.connection.give_back_taken();
    match decision {
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
            if let Some(idle) = taken {
                let index = idle.count.backend().index();
                return Ok(ReadAuth::Elsewhere(index, Place::Taken(Box::new(idle))));
            }
            Ok(match script.chosen_backend(attached) {
                Some(index) => ReadAuth::Elsewhere(index, Place::New),
                None => ReadAuth::Forward,
            })
        }
    }
}
