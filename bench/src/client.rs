//! A blocking client for what is not the hot loop: logins, statements that prepare the data, large results.
//!
//! It logs in with mysql_native_password and with caching_sha2_password, as long as the server has that account's password
//! in its cache or TLS hides it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use protocol::{
    Capabilities, Command, ResponseTracker,
    auth::{
        CACHING_SHA2_PASSWORD, MYSQL_NATIVE_PASSWORD, caching_sha2_password, mysql_native_password,
    },
    command::Layout,
    connection_phase::{AuthPacket, HandshakeResponse41, HandshakeV10, SslRequest},
    limits::AUTH_PACKET_BYTES_MAX,
    packet::{PacketHeader, PayloadDecoder, put_payload},
    response::ErrPacket,
    response_tracker::Next,
};
use transport::compression::Compression;

use crate::{
    encryption::{Begin, ClientTls},
    stream::Stream,
    traffic::{Mode, Traffic},
};

/// Longer than any pause of a machine under load; a peer that lets a client wait longer has failed.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The account that exists on the server with its rights on [`DATABASE`].
pub(crate) const USER: &str = "app";
/// Its password.
pub(crate) const PASSWORD: &str = "app";
/// Where the tables are.
pub(crate) const DATABASE: &str = "sbtest";

/// utf8mb4_general_ci
const CHARACTER_SET: u8 = 45;

/// Where to connect, and what to speak there.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Where.
    pub(crate) address: SocketAddr,
    /// Whether and how to encrypt.
    pub(crate) tls: Option<ClientTls>,
    /// Whether and how to compress.
    pub(crate) compression: Option<Compression>,
}

impl Endpoint {
    /// Neither encrypted nor compressed.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            compression: None,
        }
    }

    /// As this traffic has it.
    pub(crate) fn new(address: SocketAddr, traffic: Traffic, begin: Begin) -> Result<Self> {
        let resumes = traffic == Traffic::TlsResumed;
        let tls = match traffic.mode() {
            Mode::Plain => None,
            Mode::Tls | Mode::Passthrough => Some(ClientTls::new(begin, resumes)?),
        };
        Ok(Self {
            address,
            tls,
            compression: traffic.compression(),
        })
    }
}

/// A client that is logged in.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Stream,
    capabilities: Capabilities,
}

impl Client {
    /// Connects and logs in.
    pub(crate) fn login(endpoint: &Endpoint) -> Result<Self> {
        Self::try_login(endpoint).with_context(|| format!("cannot log in at {}", endpoint.address))
    }

    fn try_login(endpoint: &Endpoint) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&endpoint.address, ANSWER_DEADLINE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_DEADLINE))?;
        socket.set_write_timeout(Some(ANSWER_DEADLINE))?;
        Login::new(Stream::new(socket)).run(endpoint)
    }

    /// What both sides agreed to.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// What the socket is used through.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Runs a statement and returns its response as it came. A response that is an ERR packet is an error.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<u8>> {
        let mut response = Vec::new();
        let mut buffer = [0; 4096];
        self.exchange(&query_packet(sql), &mut buffer, |bytes| {
            response.extend_from_slice(bytes);
        })?;
        check_no_err(&response).with_context(|| sql.chars().take(80).collect::<String>())?;
        Ok(response)
    }

    /// Sends a command and hands over the bytes of its response as they come, up to its end.
    pub(crate) fn exchange(
        &mut self,
        command: &[u8],
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<()> {
        self.stream.write_all(command)?;
        let mut tracker = ResponseTracker::new(Layout::Resultsets, self.capabilities);
        loop {
            let bytes = read(&mut self.stream, buffer)?;
            take(bytes);
            let progress = tracker.feed(bytes)?;
            match progress.next {
                Next::Bytes => {}
                Next::End if progress.consumed == bytes.len() => return Ok(()),
                Next::End => bail!("bytes follow the end of the response"),
                Next::LocalInfile => bail!("the server asks for a file"),
            }
        }
    }

    /// Says COM_QUIT and waits until the peer has closed the connection.
    pub(crate) fn quit(mut self) -> Result<()> {
        self.stream.write_all(&[1, 0, 0, 0, Command::QUIT.0])?;
        match self.stream.read(&mut [0; 16]) {
            Ok(0) => Ok(()),
            Ok(_) => bail!("bytes follow COM_QUIT"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error).context("the peer does not close after COM_QUIT"),
        }
    }
}

/// A COM_QUERY packet.
pub(crate) fn query_packet(sql: &str) -> Vec<u8> {
    let mut payload = vec![Command::QUERY.0];
    payload.extend_from_slice(sql.as_bytes());
    let mut packet = Vec::new();
    put_payload(&mut packet, 0, &payload);
    packet
}

/// Turns a response that starts with an ERR packet into an error with its text.
pub(crate) fn check_no_err(response: &[u8]) -> Result<()> {
    let payload = response.get(PacketHeader::BYTES..).unwrap_or_default();
    check_no_err_payload(payload)
}

fn check_no_err_payload(payload: &[u8]) -> Result<()> {
    if payload.first() == Some(&ErrPacket::HEADER) {
        let err = ErrPacket::decode(payload)?;
        bail!("ERROR {}: {}", err.code, err.message_lossy());
    }
    Ok(())
}

fn read<'a>(stream: &mut Stream, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let bytes = stream.read(buffer).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => anyhow::anyhow!("no answer within {ANSWER_DEADLINE:?}"),
        _ => error.into(),
    })?;
    ensure!(bytes > 0, "the peer closed the connection");
    Ok(&buffer[..bytes])
}

/// A connection during its connection phase.
struct Login {
    stream: Stream,
    decoder: PayloadDecoder,
}

impl Login {
    fn new(stream: Stream) -> Self {
        let decoder = PayloadDecoder::new("login packet", 0, AUTH_PACKET_BYTES_MAX);
        Self { stream, decoder }
    }

    fn run(mut self, endpoint: &Endpoint) -> Result<Client> {
        let begin = endpoint.tls.as_ref().map(|tls| tls.begin);
        if begin == Some(Begin::AtOnce) {
            self.encrypt(endpoint)?;
        }
        let greeting = self.payload()?;
        check_no_err_payload(&greeting)?;
        let greeting = HandshakeV10::decode(&greeting)?;
        let wanted = wanted(endpoint);
        // MariaDB leaves LONG_PASSWORD out to say that it has extended flags; a client without those sets it.
        let capabilities = wanted & (greeting.capabilities | Capabilities::LONG_PASSWORD);
        let must = Capabilities::SSL | Capabilities::COMPRESS | Capabilities::ZSTD_COMPRESSION;
        let missing = (wanted & must) - capabilities;
        ensure!(missing.is_empty(), "{missing:?} is not offered");
        let response = handshake_response(&greeting, capabilities, endpoint.compression)?;
        if begin == Some(Begin::InBand) {
            self.send(&response[..SslRequest::BYTES])?;
            self.encrypt(endpoint)?;
        }
        self.send(&response)?;
        self.read_auth_result(begin.is_some())?;
        ensure!(
            self.decoder.pending() == 0,
            "bytes follow the end of the login"
        );
        if let Some(compression) = endpoint.compression {
            self.stream.compress(compression);
        }
        Ok(Client {
            stream: self.stream,
            capabilities,
        })
    }

    fn encrypt(&mut self, endpoint: &Endpoint) -> Result<()> {
        if let Some(tls) = &endpoint.tls {
            self.stream.encrypt(tls.connection()?);
        }
        Ok(())
    }

    fn read_auth_result(&mut self, is_hidden: bool) -> Result<()> {
        loop {
            let payload = self.payload()?;
            check_no_err_payload(&payload)?;
            match AuthPacket::decode(&payload)? {
                AuthPacket::Ok => return Ok(()),
                AuthPacket::SwitchRequest(request) => {
                    let answer = scramble(request.plugin_name, request.plugin_data)?;
                    self.send(&answer)?;
                }
                AuthPacket::MoreData(caching_sha2_password::FAST_AUTH_SUCCESS) => {}
                AuthPacket::MoreData(caching_sha2_password::PERFORM_FULL_AUTHENTICATION)
                    if is_hidden =>
                {
                    self.send(format!("{PASSWORD}\0").as_bytes())?;
                }
                other => bail!("the login goes on with {other:?}, which is not spoken here"),
            }
        }
    }

    fn send(&mut self, payload: &[u8]) -> Result<()> {
        let mut packet = Vec::new();
        let next = put_payload(&mut packet, self.decoder.sequence_id(), payload);
        self.stream.write_all(&packet)?;
        self.decoder.set_sequence_id(next);
        Ok(())
    }

    fn payload(&mut self) -> Result<Vec<u8>> {
        let mut buffer = [0; 1024];
        loop {
            if let Some(payload) = self.decoder.next_payload()? {
                return Ok(payload);
            }
            let bytes = read(&mut self.stream, &mut buffer)?;
            self.decoder.feed(bytes);
        }
    }
}

fn wanted(endpoint: &Endpoint) -> Capabilities {
    let mut wanted = Capabilities::LONG_PASSWORD
        | Capabilities::LONG_FLAG
        | Capabilities::CONNECT_WITH_DB
        | Capabilities::PROTOCOL_41
        | Capabilities::TRANSACTIONS
        | Capabilities::SECURE_CONNECTION
        | Capabilities::MULTI_RESULTS
        | Capabilities::PLUGIN_AUTH
        | Capabilities::DEPRECATE_EOF;
    if let Some(compression) = endpoint.compression {
        wanted |= compression.algorithm.capability();
    }
    if let Some(ClientTls {
        begin: Begin::InBand,
        ..
    }) = endpoint.tls
    {
        wanted |= Capabilities::SSL;
    }
    wanted
}

fn handshake_response(
    greeting: &HandshakeV10,
    capabilities: Capabilities,
    compression: Option<Compression>,
) -> Result<Vec<u8>> {
    let plugin = &greeting.auth_plugin_name;
    let mut response = Vec::new();
    HandshakeResponse41 {
        capabilities,
        max_packet_bytes: 1 << 24,
        character_set: CHARACTER_SET,
        username: USER.into(),
        auth_response: scramble(plugin, &greeting.auth_plugin_data)?,
        database: DATABASE.into(),
        auth_plugin_name: plugin.clone(),
        zstd_level: compression.map(|compression| compression.level),
        ..HandshakeResponse41::default()
    }
    .encode(&mut response);
    Ok(response)
}

fn scramble(plugin: &[u8], nonce: &[u8]) -> Result<Vec<u8>> {
    let password = PASSWORD.as_bytes();
    match plugin {
        MYSQL_NATIVE_PASSWORD => Ok(mysql_native_password::scramble(password, nonce)),
        CACHING_SHA2_PASSWORD => Ok(caching_sha2_password::scramble(password, nonce)),
        other => bail!("{} is not spoken here", String::from_utf8_lossy(other)),
    }
}
