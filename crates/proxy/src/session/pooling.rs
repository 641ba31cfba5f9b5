//! The backend's connection as something that a script gives to the pool and takes from there.
//!
//! What a hook did with `proxy.connection.backend_ndx` is settled when it ends. A connection from the pool is made what the
//! client's session was elsewhere before the first command goes there: its settings and its default database.

use backend::Settings;
use protocol::command::ResponseKind;
use protocol::packet::put_payload;
use protocol::query::Query;
use protocol::response::ErrPacket;
use protocol::response_tracker::Next;
use protocol::{Command, ResponseTracker};
use script::{Decision, Hold, Hook};
use tracing::{info, warn};

use super::error::{Party, Refusal, SessionError};
use super::link::Link;
use super::script::Script;
use super::unless_expired;
use crate::buffer::Buffer;

/// A script gave its server up, and names no other.
pub(super) const NO_SERVER: &str = "I have no server backend, closing connection";

/// Whether a command can be sent.
pub(super) enum Readiness {
    Ready,
    /// The script left the client without a server, and names none.
    NoServer,
    /// The client is told this in answer.
    Refused(Refusal),
}

impl Link {
    /// Calls a hook between two commands, and does what it did with the backend.
    pub(super) async fn call(&mut self, script: &mut Script, hook: Hook<'_>) -> Decision {
        let hold = self.hold();
        self.call_while(hold, script, hook).await
    }

    /// Whether the backend's connection may be given up.
    pub(super) fn hold(&mut self) -> Hold {
        self.pinned().map_or(Hold::Free, Hold::Pinned)
    }

    /// The same where the connection is held.
    pub(super) async fn call_while(
        &mut self,
        hold: Hold,
        script: &mut Script,
        hook: Hook<'_>,
    ) -> Decision {
        script.connection.hold = hold;
        let decision = script.call(hook).await;
        self.settle(script);
        let (wanted, attached) = (script.connection.backend_ndx, self.backend_ndx());
        if self.backend.is_some() && wanted != attached {
            info!(
                "no idle connection to backend {wanted} for this client: it stays with {attached}"
            );
        }
        decision
    }

    /// What a hook gave up goes to its pool, what it took is attached.
    pub(super) fn settle(&mut self, script: &mut Script) {
        if std::mem::take(&mut script.connection.is_released)
            && let Some((count, stream, session)) = self.detach()
        {
            let backend = count.backend().clone();
            drop(count);
            backend.pool().put(stream, session);
        }
        if let Some((index, (stream, session))) = script.take_idle()
            && let Some(backend) = self.context().backends.get(index)
        {
            self.attach(&backend, stream, session);
        }
    }

    /// Sees to a connection that `command` can be sent on. The answer to it starts with `next_sequence_id`.
    pub(super) async fn ready(
        &mut self,
        script: &mut Script,
        command: Command,
        next_sequence_id: Option<u8>,
    ) -> Result<Readiness, SessionError> {
        if self.backend.is_some() && !self.is_from_pool {
            return Ok(Readiness::Ready);
        }
        self.err_sequence_id = next_sequence_id;
        if self.backend.is_none() {
            match self.wait_for_idle(script).await? {
                Readiness::Ready => {}
                other => return Ok(other),
            }
        }
        self.is_from_pool = false;
        match self.context().settings.pool_resets {
            true => self.synchronise(script, command).await,
            false => Ok(Readiness::Ready),
        }
    }

    /// For a client without a connection, whose script has named a backend.
    async fn wait_for_idle(&mut self, script: &mut Script) -> Result<Readiness, SessionError> {
        let ndx = script.connection.backend_ndx;
        let context = self.context().clone();
        let patience = context.settings.pool_wait;
        let backend = ndx
            .checked_sub(1)
            .and_then(|index| context.backends.get(index));
        let (Some(backend), Some(login)) = (backend, &script.connection.client.login) else {
            return Ok(Readiness::NoServer);
        };
        if patience.is_zero() {
            return Ok(Readiness::NoServer);
        }
        let waiting = backend
            .pool()
            .wait(&login.username, self.capabilities, patience);
        let idle = unless_expired(self.registration(), waiting).await?;
        let Some((stream, session)) = idle else {
            let address = backend.address();
            let user = String::from_utf8_lossy(&login.username);
            warn!(
                "user {user} got no idle connection to backend {address} within --proxy-pool-wait={patience:?}: its command is refused"
            );
            return Ok(Readiness::Refused(Refusal::new(
                TOO_MANY_CONNECTIONS,
                *b"08004",
                format!("(proxy) no idle connection to backend {address} within {patience:?}"),
            )));
        };
        script.attached(&backend, &stream, &session);
        self.attach(&backend, stream, session);
        Ok(Readiness::Ready)
    }

    /// Makes the server's session the client's.
    async fn synchronise(
        &mut self,
        script: &mut Script,
        command: Command,
    ) -> Result<Readiness, SessionError> {
        let Some(session) = &mut self.session else {
            return Ok(Readiness::Ready);
        };
        let mut packets = Vec::new();
        if session.settings != script.settings {
            packets.push(vec![Command::RESET_CONNECTION.0]);
            session.reset();
            packets.extend(statements(&script.settings));
            session.settings.clone_from(&script.settings);
        }
        // What the server has for a client that has none cannot be taken away.
        let database = &script.connection.client.default_db;
        let is_named = !database.is_empty() && command != Command::INIT_DB;
        if is_named && (*database != session.default_db || !packets.is_empty()) {
            packets.push([&[Command::INIT_DB.0], database.as_slice()].concat());
            session.default_db.clone_from(database);
            script.use_db(&database.clone());
        }
        if packets.is_empty() {
            return Ok(Readiness::Ready);
        }
        match self.run_all(&packets).await? {
            None => Ok(Readiness::Ready),
            Some(refusal) => {
                info!(
                    "an idle connection to {} is closed: {}",
                    self.backend_name(),
                    refusal.message
                );
                self.detach();
                script.connection.detach();
                Ok(Readiness::Refused(refusal))
            }
        }
    }

    /// Runs commands that have no result but OK. The first one that fails is the refusal.
    async fn run_all(&mut self, packets: &[Vec<u8>]) -> Result<Option<Refusal>, SessionError> {
        let mut bytes = Vec::new();
        for packet in packets {
            match packet.split_first() {
                Some((&byte, text)) if Command(byte) == Command::QUERY => {
                    let mut payload = Vec::new();
                    Query::encode_text(text, self.capabilities, &mut payload);
                    put_payload(&mut bytes, 0, &payload);
                }
                _ => {
                    put_payload(&mut bytes, 0, packet);
                }
            }
        }
        self.write_backend(&bytes).await?;
        let mut output = Buffer::take();
        let mut failed = None;
        for packet in packets {
            let is_err = self.receive(packet, &mut output).await?;
            if is_err && failed.is_none() {
                failed = Some(refused(packet));
            }
        }
        match output.bytes().len() {
            0 => Ok(failed),
            unsolicited => Err(SessionError::Unsolicited(unsolicited)),
        }
    }

    /// One response, of which only the end matters. True for an ERR.
    async fn receive(&mut self, packet: &[u8], output: &mut Buffer) -> Result<bool, SessionError> {
        let command = packet.first().copied().map_or(Command::SLEEP, Command);
        let ResponseKind::Tracked(layout) = command.response_kind() else {
            return Ok(false);
        };
        let mut tracker = ResponseTracker::new(layout, self.capabilities).following(0);
        let unread = Buffer::default();
        loop {
            let progress = tracker
                .feed(output.bytes())
                .map_err(|error| SessionError::Malformed(Party::Backend, error))?;
            output.consume(progress.consumed);
            match progress.next {
                Next::End => break,
                Next::Bytes => self.read_response(output, &unread, false).await?,
                Next::LocalInfile => return Err(SessionError::Unsolicited(progress.consumed)),
            };
        }
        self.responded(&tracker);
        Ok(tracker.summary().is_err)
    }
}

/// Too many of the user's clients want a connection at once.
const TOO_MANY_CONNECTIONS: u16 = 1040;

fn statements(settings: &Settings) -> impl Iterator<Item = Vec<u8>> {
    settings
        .statements()
        .map(|sql| [&[Command::QUERY.0], sql.as_slice()].concat())
}

fn refused(packet: &[u8]) -> Refusal {
    let what = match packet.split_first() {
        Some((&byte, text)) if Command(byte) == Command::QUERY => {
            String::from_utf8_lossy(text).into_owned()
        }
        Some((&byte, _)) => Command(byte).to_string(),
        None => String::new(),
    };
    Refusal::new(
        protocol::response::error_code::UNKNOWN_ERROR,
        ErrPacket::GENERAL_ERROR,
        format!(
            "(proxy) the session cannot be moved to another connection: the server refuses `{what}`"
        ),
    )
}
