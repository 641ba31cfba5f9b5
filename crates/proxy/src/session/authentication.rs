//! The exchange between a client's login (or COM_CHANGE_USER) and the backend's OK or ERR.
//!
//! Packets are relayed as they come, whatever the plugin, each side with its own sequence ids. The client may speak
//! once for each time that the backend has; the backend may speak several times in a row.
//!
//! A transport is secure when nobody can listen: TLS, or a Unix socket. Where exactly one side is, a method that sends the
//! password itself on a secure transport cannot be relayed. Towards a backend that is not secure the password is
//! encrypted with the backend's key, as the client would have done there. A client that is not secure gets a key of ours, and
//! its password goes to the backend as it would have gone from there.

use std::time::Duration;

use backend::Stream;
use backend::packet_io::{Packet, PacketReader, write_packet};
use protocol::StatusFlags;
use protocol::auth::{
    CACHING_SHA2_PASSWORD, DIALOG, MYSQL_CLEAR_PASSWORD, RsaPasswordError, SHA256_PASSWORD,
    caching_sha2_password, encrypt_password,
};
use protocol::connection_phase::{AuthPacket, AuthSwitchRequest};
use protocol::limits::{AUTH_PACKET_BYTES_MAX, LOGIN_PACKET_BYTES_MAX};
use protocol::response::{ErrPacket, OkPacket, error_code};
use rustls_pki_types::ServerName;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use transport::compression::{Compression, Role};

use super::Context;
use super::error::{Party, Refusal, SessionError};
use super::script::Script;
use script::{Hold, Hook};
use sql::Pin;

/// What a backend gets to check a password: it may ask a directory or a person's telephone.
pub(crate) const BACKEND_TIMEOUT: Duration = Duration::from_secs(60);
/// Packets of a backend in one login. Several factors of several packets each stay far below.
pub(crate) const BACKEND_PACKETS_MAX: u8 = 100;

/// Both sides of a login in progress.
pub(super) struct Authentication<'a> {
    client: &'a mut Stream,
    backend: &'a mut Stream,
    client_reader: PacketReader,
    pub(super) backend_reader: PacketReader,
    /// Of the latest packet from or to the client.
    pub(super) client_sequence_id: u8,
    /// Of the latest packet from or to the backend.
    pub(super) backend_sequence_id: u8,
    /// The plugin that speaks.
    pub(super) plugin_name: Vec<u8>,
    /// Its nonce.
    pub(super) nonce: Vec<u8>,
    /// Each wait for the client, to speak or to listen.
    client_timeout: Duration,
    context: &'a Context,
    /// How often the client may speak before the backend does again.
    answers_owed: u8,
    /// The client's next packet is the password itself; the backend gives its key for this packet.
    key_request: Option<u8>,
    /// The client's next packet asks for a key, by this packet, or is encrypted with it.
    key_offer: Option<KeyOffer>,
    /// The password itself, to be encrypted with the key that the backend was asked for.
    pub(super) password: Option<Vec<u8>>,
    /// What the backend was asked for: behind its OK.
    pub(super) backend_compression: Option<Compression>,
    /// The backend spoke last and waits.
    pub(super) is_backend_waiting: bool,
    /// The backend has let the client in.
    pub(super) is_admitted: bool,
    /// Packets of the backend so far.
    backend_packets: u8,
    /// The backend's connection was another's before: it may be about to say that it closes it.
    pub(super) is_reused: bool,
    /// Why nobody else may have the connection after the login.
    pub(super) pin: Option<Pin>,
    /// What the client gets once the backend's connection is in its pool, where the script put it: whoever comes next
    /// shall find it there.
    pub(super) held_back: Vec<Vec<u8>>,
    /// Is asked about every packet of the backend.
    pub(super) script: Option<&'a mut Script>,
}

/// How the backend decided, and the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Accepted(StatusFlags),
    Denied,
}

/// How a client's own packet has to be treated, by its plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstAnswer {
    /// Goes on as it is.
    Relay,
    /// Is the password itself, for a backend that gives its key for this packet.
    Password(u8),
    /// Asks for a key of ours by this packet, for a backend that takes the password itself.
    OfferKey(u8),
}

/// A key of ours for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyOffer {
    /// How it asks for it.
    request: u8,
    is_given: bool,
}

/// Of AuthMoreData.
const MORE_DATA: u8 = 1;

/// `sha256_password`'s request for the key; `caching_sha2_password` has another.
const SHA256_REQUEST_PUBLIC_KEY: u8 = 1;
const CACHING_SHA2_REQUEST_PUBLIC_KEY: u8 = caching_sha2_password::REQUEST_PUBLIC_KEY[0];

impl<'a> Authentication<'a> {
    /// Nobody has spoken yet. `nonce` is that of the backend's greeting.
    pub(super) fn new(
        (client, client_reader): (&'a mut Stream, PacketReader),
        backend: &'a mut Stream,
        nonce: Vec<u8>,
        context: &'a Context,
        script: Option<&'a mut Script>,
    ) -> Self {
        Self {
            client,
            backend,
            client_reader,
            backend_reader: PacketReader::default(),
            // The greeting has the id 0.
            client_sequence_id: u8::MAX,
            backend_sequence_id: 0,
            plugin_name: Vec::new(),
            nonce,
            client_timeout: context.settings.login_timeout,
            context,
            answers_owed: 0,
            key_request: None,
            key_offer: None,
            password: None,
            backend_compression: None,
            is_backend_waiting: true,
            is_admitted: false,
            backend_packets: 0,
            is_reused: false,
            pin: None,
            held_back: Vec::new(),
            script,
        }
    }

    /// Relays until the backend decides.
    ///
    /// # Errors
    /// Either side leaves, keeps silent or speaks what is no packet; or the login cannot be relayed.
    pub(super) async fn run(&mut self) -> Result<Decision, SessionError> {
        loop {
            let (party, packet) = self.next().await?;
            match party {
                Party::Client => self.client_says(packet).await?,
                Party::Backend => {
                    if let Some(decision) = self.backend_says(packet).await? {
                        return Ok(decision);
                    }
                }
            }
        }
    }

    /// What to do with an answer of `plugin_name` that comes unasked: in the login itself or in COM_CHANGE_USER.
    ///
    /// # Errors
    /// One side is secure, the other is not, and the password cannot cross.
    pub(super) fn first_answer(
        &self,
        plugin_name: &[u8],
        answer: &[u8],
    ) -> Result<FirstAnswer, SessionError> {
        match self.kind_of_answer(plugin_name)? {
            FirstAnswer::Password(key_request) if !is_password(answer, key_request) => {
                Ok(FirstAnswer::Relay)
            }
            FirstAnswer::OfferKey(_) if is_empty(answer) => Ok(FirstAnswer::Relay),
            FirstAnswer::OfferKey(request) if answer != [request] => {
                Err(cannot_cross(&RsaPasswordError::NotOurs))
            }
            kind => Ok(kind),
        }
    }

    /// What a client of `plugin_name` answers a challenge with.
    fn kind_of_answer(&self, plugin_name: &[u8]) -> Result<FirstAnswer, SessionError> {
        let is_mixed = self.is_mixed();
        match plugin_name {
            // Its clients and servers ask for a key on Unix sockets, too.
            SHA256_PASSWORD => Ok(match (self.client.is_tls(), self.backend.is_tls()) {
                (false, true) => FirstAnswer::OfferKey(SHA256_REQUEST_PUBLIC_KEY),
                (true, false) => FirstAnswer::Password(SHA256_REQUEST_PUBLIC_KEY),
                (false, false) | (true, true) => FirstAnswer::Relay,
            }),
            MYSQL_CLEAR_PASSWORD | DIALOG if is_mixed && self.client.is_secure() => {
                Err(needs_tls(&String::from_utf8_lossy(plugin_name)))
            }
            _ => Ok(FirstAnswer::Relay),
        }
    }

    /// The password that a client hides behind the key that it asks for. It is the answer to the challenge so far.
    pub(super) async fn password_under_our_key(&mut self) -> Result<Vec<u8>, SessionError> {
        self.give_key().await?;
        let packet = self.client_packet().await?;
        self.decrypt(&packet.payload).await
    }

    async fn give_key(&mut self) -> Result<(), SessionError> {
        let key = self.context.password_key().await;
        let key = key.map_err(|error| cannot_cross(&error))?;
        let data = [&[MORE_DATA], key.public_pem()].concat();
        self.send_client(&data).await
    }

    /// Some clients send the password as it is, or something else. A server refuses that as a wrong password, in its own
    /// words: it gets its nonce, which is nobody's.
    async fn decrypt(&self, encrypted: &[u8]) -> Result<Vec<u8>, SessionError> {
        let key = self.context.password_key().await;
        match key.and_then(|key| key.decrypt(encrypted, &self.nonce)) {
            Err(error @ RsaPasswordError::NotOurs) => {
                let [client, backend] = [self.client.peer_address(), self.backend.peer_address()]
                    .map(|address| address.map_or_else(String::new, |known| known.to_string()));
                tracing::warn!(
                    "client {client}: its password cannot be read, {error}; backend {backend} will refuse the login"
                );
                Ok([&self.nonce, &[0][..]].concat())
            }
            password => password.map_err(|error| cannot_cross(&error)),
        }
    }

    /// TLS with the client from here on. Nothing of it was read.
    pub(super) async fn accept_tls(&mut self, acceptor: &TlsAcceptor) -> Result<(), SessionError> {
        let accepted = timeout(self.client_timeout, self.client.accept_tls(acceptor)).await;
        let outcome = outcome(self.client);
        self.context.counters.tls_handshake("client", outcome);
        accepted
            .map_err(|_| SessionError::Silent(Party::Client, self.client_timeout))?
            .map_err(|error| SessionError::Tls(Party::Client, error))
    }

    /// TLS with the backend from here on. `request` is an SSLRequest.
    pub(super) async fn connect_tls(
        &mut self,
        request: &[u8],
        connector: &TlsConnector,
        name: ServerName<'static>,
    ) -> Result<(), SessionError> {
        self.send_backend(request).await?;
        let connected = timeout(BACKEND_TIMEOUT, self.backend.connect_tls(connector, name)).await;
        let outcome = outcome(self.backend);
        self.context.counters.tls_handshake("backend", outcome);
        connected
            .map_err(|_| SessionError::Silent(Party::Backend, BACKEND_TIMEOUT))?
            .map_err(|error| SessionError::Tls(Party::Backend, error))?;
        self.is_backend_waiting = true;
        Ok(())
    }

    /// What the backend was asked for begins behind its OK, where nothing was read yet.
    pub(super) fn compress_backend(&mut self) {
        if let Some(compression) = self.backend_compression.take() {
            self.backend.compress(Role::Client, compression, Vec::new());
        }
    }

    /// Both sides' connections.
    pub(super) fn streams(&self) -> (&Stream, &Stream) {
        (self.client, self.backend)
    }

    /// What follows the client's next packet may belong to TLS: it is left where it is.
    pub(super) fn expect_tls(&mut self, is_expected: bool) {
        self.client_reader.set_exact(is_expected);
    }

    /// Nothing was said on the backend's connection.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_backend_waiting && !self.has_backend_spoken()
    }

    /// The backend has answered something.
    pub(super) fn has_backend_spoken(&self) -> bool {
        self.backend_packets > 0
    }

    /// Sends a packet of the exchange to the backend.
    pub(super) async fn send_backend(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        self.is_backend_waiting = false;
        self.backend_sequence_id = self.backend_sequence_id.wrapping_add(1);
        let write = write_packet(self.backend, self.backend_sequence_id, payload);
        let written = timeout(BACKEND_TIMEOUT, write).await;
        written
            .map_err(|_| SessionError::Stuck(Party::Backend, BACKEND_TIMEOUT))?
            .map_err(|error| SessionError::Io(Party::Backend, error))
    }

    /// COM_CHANGE_USER starts the exchange on the backend's side.
    pub(super) async fn start_command(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        self.backend_sequence_id = u8::MAX;
        self.send_backend(payload).await
    }

    /// A statement before the exchange or behind it, on a connection that was another's. Whether it succeeds is not looked at.
    pub(super) async fn run_statement(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        self.start_command(payload).await?;
        let answer = self
            .backend_reader
            .read(self.backend, "OK packet", AUTH_PACKET_BYTES_MAX);
        let packet = timeout(BACKEND_TIMEOUT, answer)
            .await
            .map_err(|_| SessionError::Silent(Party::Backend, BACKEND_TIMEOUT))?
            .map_err(|error| SessionError::packet(Party::Backend, error))?;
        match packet.sequence_id {
            1 => Ok(()),
            _ => Err(SessionError::Closed(Party::Backend)),
        }
    }

    /// Says a packet to the client, with the sequence id that is next.
    pub(super) async fn send_client(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        self.client_sequence_id = self.client_sequence_id.wrapping_add(1);
        let write = write_packet(self.client, self.client_sequence_id, payload);
        let written = timeout(self.client_timeout, write).await;
        written
            .map_err(|_| SessionError::Stuck(Party::Client, self.client_timeout))?
            .map_err(|error| SessionError::Io(Party::Client, error))
    }

    /// The client's next packet within its deadline.
    pub(super) async fn client_packet(&mut self) -> Result<Packet, SessionError> {
        let read =
            self.client_reader
                .read(self.client, "HandshakeResponse41", LOGIN_PACKET_BYTES_MAX);
        let packet = timeout(self.client_timeout, read)
            .await
            .map_err(|_| SessionError::Silent(Party::Client, self.client_timeout))?
            .map_err(|error| SessionError::packet(Party::Client, error))?;
        self.client_sequence_id = packet.sequence_id;
        Ok(packet)
    }

    async fn next(&mut self) -> Result<(Party, Packet), SessionError> {
        let (slowest, patience) = match self.answers_owed {
            0 => (Party::Backend, BACKEND_TIMEOUT),
            _ => (Party::Client, self.client_timeout),
        };
        let (party, packet) = tokio::select! {
            biased;
            packet = self.backend_reader.read(self.backend, "authentication packet", AUTH_PACKET_BYTES_MAX) => {
                (Party::Backend, packet)
            }
            packet = self.client_reader.read(self.client, "authentication packet", LOGIN_PACKET_BYTES_MAX),
                if self.answers_owed > 0 =>
            {
                (Party::Client, packet)
            }
            () = sleep(patience) => return Err(SessionError::Silent(slowest, patience)),
        };
        let packet = packet.map_err(|error| SessionError::packet(party, error))?;
        Ok((party, packet))
    }

    async fn client_says(&mut self, packet: Packet) -> Result<(), SessionError> {
        self.client_sequence_id = packet.sequence_id;
        self.answers_owed -= 1;
        if let Some(offer) = self.key_offer.take() {
            return self.client_says_under_our_key(offer, packet).await;
        }
        match self.key_request.take() {
            Some(request) if is_password(&packet.payload, request) => {
                self.ask_for_key(request, packet.payload).await
            }
            Some(_) | None => self.send_backend(&packet.payload).await,
        }
    }

    async fn client_says_under_our_key(
        &mut self,
        offer: KeyOffer,
        packet: Packet,
    ) -> Result<(), SessionError> {
        if offer.is_given {
            let password = self.decrypt(&packet.payload).await?;
            return self.send_backend(&password).await;
        }
        if packet.payload == [offer.request] {
            self.key_offer = Some(KeyOffer {
                is_given: true,
                ..offer
            });
            self.owe_answer();
            return self.give_key().await;
        }
        let answer = match is_empty(&packet.payload) {
            true => packet.payload,
            false => self.decrypt(&packet.payload).await?,
        };
        self.send_backend(&answer).await
    }

    /// The backend's answer is the key, which [`Self::backend_says`] encrypts `password` with.
    async fn ask_for_key(&mut self, request: u8, password: Vec<u8>) -> Result<(), SessionError> {
        self.password = Some(password);
        self.send_backend(&[request]).await
    }

    async fn backend_says(&mut self, packet: Packet) -> Result<Option<Decision>, SessionError> {
        let is_answer = packet.sequence_id == self.backend_sequence_id.wrapping_add(1);
        if self.is_reused && self.backend_packets == 0 && !is_answer {
            // Said before it heard us: why it closes.
            return Err(SessionError::Closed(Party::Backend));
        }
        self.backend_packets += 1;
        if self.backend_packets > BACKEND_PACKETS_MAX {
            return Err(SessionError::Endless(Party::Backend));
        }
        self.backend_sequence_id = packet.sequence_id;
        self.is_backend_waiting = true;
        let payload = packet.payload;
        let malformed = |error| SessionError::Malformed(Party::Backend, error);
        let mut decision = None;
        match AuthPacket::decode(&payload).map_err(malformed)? {
            AuthPacket::Ok => {
                let head = OkPacket::decode_head(&payload).map_err(malformed)?;
                decision = Some(Decision::Accepted(head.status));
                self.is_admitted = true;
            }
            AuthPacket::Err => decision = Some(Decision::Denied),
            AuthPacket::SwitchRequest(request) | AuthPacket::NextFactor(request) => {
                self.switch(request)?;
                self.owe_answer();
            }
            AuthPacket::MoreData(data) => {
                if let Some(password) = self.password.take() {
                    return self.encrypt(&password, data).await.map(|()| None);
                }
                self.more_data(data)?;
            }
            AuthPacket::OldSwitchRequest | AuthPacket::Other => self.owe_answer(),
        }
        self.answer_client(&payload, decision).await?;
        match (decision, self.backend_reader.unread_bytes()) {
            (Some(Decision::Accepted(_)), unsolicited @ 1..) => {
                Err(SessionError::Unsolicited(unsolicited))
            }
            _ => Ok(decision),
        }
    }

    /// A backend may speak on without end.
    fn owe_answer(&mut self) {
        self.answers_owed = self.answers_owed.saturating_add(1);
    }

    /// The backend's packet, or what the script says instead. What happens next is the backend's decision, but a client
    /// that was told of an error is not let in.
    async fn answer_client(
        &mut self,
        payload: &[u8],
        decision: Option<Decision>,
    ) -> Result<(), SessionError> {
        let Some(script) = &mut self.script else {
            return self.send_client(payload).await;
        };
        script.share_login();
        if let Some(Decision::Accepted(status)) = decision {
            script.connection.is_logged_in = true;
            let pin = self.pin.map(Pin::reason);
            script.connection.hold = backend::pinned_by(status)
                .or(pin)
                .map_or(Hold::Free, Hold::Pinned);
        }
        let (payloads, is_err) = match script.call(Hook::ReadAuthResult(payload)).await {
            script::Decision::SendResult(response) => {
                let is_err = response.is_err();
                (response.payloads, is_err)
            }
            _ => (vec![payload.to_vec()], false),
        };
        script.connection.is_released &= !is_err;
        if script.connection.is_released {
            self.held_back = payloads;
            return Ok(());
        }
        for payload in &payloads {
            self.send_client(payload).await?;
        }
        match is_err {
            true => Err(SessionError::Denied),
            false => Ok(()),
        }
    }

    fn switch(&mut self, request: AuthSwitchRequest<'_>) -> Result<(), SessionError> {
        self.plugin_name = request.plugin_name.to_vec();
        self.nonce = request.plugin_data.to_vec();
        let kind = self.kind_of_answer(request.plugin_name)?;
        self.key_request = match kind {
            FirstAnswer::Password(key_request) => Some(key_request),
            FirstAnswer::Relay | FirstAnswer::OfferKey(_) => None,
        };
        self.key_offer = match kind {
            FirstAnswer::OfferKey(request) => Some(KeyOffer {
                request,
                is_given: false,
            }),
            FirstAnswer::Relay | FirstAnswer::Password(_) => None,
        };
        Ok(())
    }

    fn more_data(&mut self, data: &[u8]) -> Result<(), SessionError> {
        if self.plugin_name != CACHING_SHA2_PASSWORD {
            self.owe_answer();
            return Ok(());
        }
        match data {
            // OK follows at once.
            caching_sha2_password::FAST_AUTH_SUCCESS => {
                self.is_backend_waiting = false;
                return Ok(());
            }
            caching_sha2_password::PERFORM_FULL_AUTHENTICATION if self.is_mixed() => {
                let request = CACHING_SHA2_REQUEST_PUBLIC_KEY;
                match self.backend.is_secure() {
                    true => {
                        self.key_offer = Some(KeyOffer {
                            request,
                            is_given: false,
                        });
                    }
                    false => self.key_request = Some(request),
                }
            }
            _ => {}
        }
        self.owe_answer();
        Ok(())
    }

    async fn encrypt(&mut self, password: &[u8], key: &[u8]) -> Result<(), SessionError> {
        let password = password.strip_suffix(&[0]).unwrap_or(password);
        let encrypted = encrypt_password(password, &self.nonce, key);
        let encrypted = encrypted.map_err(|error| cannot_cross(&error))?;
        self.send_backend(&encrypted).await
    }

    /// What the client sent behind the exchange, and the nonce that a next one starts from.
    pub(super) fn into_rest(self) -> (PacketReader, Vec<u8>) {
        (self.client_reader, self.nonce)
    }

    fn is_mixed(&self) -> bool {
        self.client.is_secure() != self.backend.is_secure()
    }
}

/// A client may ask for the key itself, and an empty password needs no secrecy.
fn is_password(payload: &[u8], key_request: u8) -> bool {
    payload.iter().any(|&byte| byte != 0) && payload != [key_request]
}

/// The client has no password.
fn is_empty(answer: &[u8]) -> bool {
    matches!(answer, [] | [0])
}

/// Of a TLS handshake that was begun on this connection, as it is counted.
fn outcome(stream: &Stream) -> &'static str {
    stream.tls_version().unwrap_or("failed")
}

fn cannot_cross(error: &RsaPasswordError) -> SessionError {
    SessionError::Refused(Refusal::new(
        error_code::HANDSHAKE_ERROR,
        *b"08S01",
        format!("(proxy) the password cannot be sent to the backend: {error}"),
    ))
}

fn needs_tls(plugin_name: &str) -> SessionError {
    SessionError::Refused(Refusal::new(
        error_code::UNKNOWN_ERROR,
        ErrPacket::GENERAL_ERROR,
        format!(
            "(proxy) {plugin_name} sends the password itself, and the proxy's connection to the backend is not encrypted: \
             see --server-ssl-mode"
        ),
    ))
}
