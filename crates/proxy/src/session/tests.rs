//! Sessions over sockets in memory, with a clock that stands still: a test plays the client and the backend.

use std::time::Duration;

use backend::Availability;
use protocol::auth::MYSQL_NATIVE_PASSWORD;
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10};
use protocol::packet::{PacketHeader, put_payload};
use protocol::response::{ErrPacket, OkPacket};
use protocol::{Capabilities, Command, StatusFlags};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::control::Control;
use crate::live::Live;
use crate::register::Activity;
use crate::scripts::ScriptSettings;
use crate::settings::Settings;

const CAPABILITIES: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::DEPRECATE_EOF);

/// A logged-in session between two sockets that the test holds.
struct Played {
    client: UnixStream,
    backend: UnixStream,
    shutdown: Shutdown,
    session: JoinHandle<()>,
}

impl Played {
    fn start() -> Self {
        let (client, near_client) = UnixStream::pair().unwrap();
        let (backend, near_backend) = UnixStream::pair().unwrap();
        let context = context();
        let shutdown = context.shutdown.clone();
        let login = LoggedIn {
            client: Stream::Unix(near_client),
            username: b"sakila".to_vec(),
            database: b"film".to_vec(),
            backend: Some((
                Stream::Unix(near_backend),
                context.backends.choose(&[]).unwrap(),
            )),
            capabilities: CAPABILITIES,
            status: StatusFlags::AUTOCOMMIT,
            session: None,
            nonce: vec![],
            rest: vec![],
            is_tunnel: false,
        };
        let session = tokio::spawn(async move {
            let waker = poll_fn(|task| Poll::Ready(task.waker().clone())).await;
            let registration = context.shutdown.register(None, waker);
            let mut link = Box::new(Link::new(login, registration, Arc::clone(&context), 0));
            if let Err(error) = command_phase::run(&mut link, vec![]).await {
                last_words::say(link, &error).await;
            }
        });
        Self {
            client,
            backend,
            shutdown,
            session,
        }
    }

    async fn ask(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
        assert_eq!(read(&mut self.backend, bytes.len()).await, bytes);
    }

    async fn answer(&mut self, bytes: &[u8]) {
        let write = self.backend.write_all(bytes);
        let (written, arrived) = tokio::join!(write, read(&mut self.client, bytes.len()));
        written.unwrap();
        assert_eq!(arrived, bytes);
    }

    /// The session ended and the client got exactly `last_words` before the end.
    async fn ends_with(mut self, last_words: Option<ErrPacket<'_>>) {
        let mut rest = Vec::new();
        self.client.read_to_end(&mut rest).await.unwrap();
        let err = rest.get(PacketHeader::BYTES..);
        assert_eq!(err.map(|err| ErrPacket::decode(err).unwrap()), last_words);
        drop(self.client);
        self.session.await.unwrap();
    }
}

fn context() -> Arc<Context> {
    let address: backend::Address = "sakila:3306".parse().unwrap();
    let servers = vec![(address.clone(), backend::Role::ReadWrite)];
    let settings = Settings::new(Some(address), servers.clone());
    let backends = Backends::new(servers, settings.balance);
    Arc::new(Context::new(settings, backends, Shutdown::new(), None))
}

async fn read(stream: &mut UnixStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    timeout(Duration::from_secs(60), stream.read_exact(&mut buffer))
        .await
        .expect("bytes did not arrive")
        .unwrap();
    buffer
}

fn packet(sequence_id: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_payload(&mut bytes, sequence_id, payload);
    bytes
}

fn query(text: &str) -> Vec<u8> {
    packet(0, &[&[Command::QUERY.0], text.as_bytes()].concat())
}

fn ok(status: StatusFlags) -> Vec<u8> {
    let mut payload = Vec::new();
    let ok = OkPacket {
        status,
        ..OkPacket::default()
    };
    ok.encode(OkPacket::HEADER, CAPABILITIES, &mut payload);
    packet(1, &payload)
}

/// A resultset of one row, of `bytes` bytes in all.
fn resultset(bytes: usize) -> Vec<u8> {
    let start = [packet(1, &[1]), packet(2, b"\x03def")].concat();
    let end = packet(4, &[0xfe, 0, 0, 2, 0, 0, 0]);
    let row = vec![b'x'; bytes - start.len() - end.len() - PacketHeader::BYTES];
    [start, packet(3, &row), end].concat()
}

fn server_lost(text: &'static str) -> Option<ErrPacket<'static>> {
    Some(ErrPacket::new(2013, *b"HY000", text))
}

const SHUTTING_DOWN: &str = "(proxy) the proxy is shutting down";

#[tokio::test(start_paused = true)]
async fn responses_of_any_size_up_to_and_beyond_a_buffer() {
    let mut played = Played::start();
    for bytes in (16_380..16_390).chain([65_536, 65_536 + 16_384, 1 << 20]) {
        played.ask(&query("SELECT 1")).await;
        played.answer(&resultset(bytes)).await;
    }
    drop(played.client);
    played.session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bytes_one_by_one() {
    let mut played = Played::start();
    for byte in query("SELECT 1") {
        played.client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let bytes = query("SELECT 1");
    assert_eq!(read(&mut played.backend, bytes.len()).await, bytes);
    for byte in resultset(100) {
        played.answer(&[byte]).await;
    }
    played.ask(&query("SELECT 2")).await;
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_command_waits_for_the_response_before_it() {
    let mut played = Played::start();
    let close = packet(0, &[Command::STMT_CLOSE.0, 1, 0, 0, 0]);
    let first = [close.clone(), query("SELECT 1")].concat();
    let second = [close, query("SELECT 22")].concat();
    let both = [first.clone(), second.clone()].concat();
    played.client.write_all(&both).await.unwrap();
    assert_eq!(read(&mut played.backend, first.len()).await, first);
    let mut early = [0; 1];
    let nothing = timeout(Duration::from_secs(60), played.backend.read(&mut early)).await;
    assert!(nothing.is_err(), "the second command came too early");
    played.answer(&ok(StatusFlags::AUTOCOMMIT)).await;
    assert_eq!(read(&mut played.backend, second.len()).await, second);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_dies_between_packets_is_named() {
    let mut played = Played::start();
    played.ask(&query("SELECT 1")).await;
    let response = resultset(100);
    played.answer(&response[..5]).await;
    drop(std::mem::replace(
        &mut played.backend,
        UnixStream::pair().unwrap().0,
    ));
    let text = "(proxy) lost connection to backend sakila:3306: backend closed the connection";
    played.ends_with(server_lost(text)).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_dies_inside_a_packet_is_a_bare_close() {
    let mut played = Played::start();
    played.ask(&query("SELECT 1")).await;
    played.answer(&resultset(100)[..50]).await;
    drop(std::mem::replace(
        &mut played.backend,
        UnixStream::pair().unwrap().0,
    ));
    played.ends_with(None).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_may_say_why_it_closes() {
    let mut played = Played::start();
    let mut payload = Vec::new();
    let err = ErrPacket::new(4031, *b"HY000", "disconnected because of inactivity");
    err.encode(&mut payload);
    played.answer(&packet(0, &payload)).await;
    drop(std::mem::replace(
        &mut played.backend,
        UnixStream::pair().unwrap().0,
    ));
    played.ends_with(None).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_a_response_end_the_session() {
    let mut played = Played::start();
    played.ask(&query("SELECT 1")).await;
    let twice = [ok(StatusFlags::AUTOCOMMIT), ok(StatusFlags::AUTOCOMMIT)].concat();
    played.answer(&twice).await;
    played.ends_with(None).await;
}

#[tokio::test(start_paused = true)]
async fn malformed_responses_are_not_passed_on() {
    let mut played = Played::start();
    played.ask(&query("SELECT 1")).await;
    played.backend.write_all(&packet(1, b"")).await.unwrap();
    let text = "(proxy) lost connection to backend sakila:3306: backend: malformed response: first byte is 0";
    played.ends_with(server_lost(text)).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_half_a_command_is_the_last() {
    let mut played = Played::start();
    let command = packet(0, &vec![Command::QUERY.0; 1 << 20]);
    played.client.write_all(&command[..1000]).await.unwrap();
    assert_eq!(read(&mut played.backend, 1000).await, command[..1000]);
    let mut payload = Vec::new();
    let err = ErrPacket::new(1153, *b"08S01", "packet bigger than 'max_allowed_packet'");
    err.encode(&mut payload);
    played.answer(&packet(1, &payload)).await;
    drop(std::mem::replace(
        &mut played.backend,
        UnixStream::pair().unwrap().0,
    ));
    played.ends_with(None).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_client_gets_its_answer_and_the_backend_hears_of_it() {
    let mut played = Played::start();
    let bytes = query("SELECT SLEEP(1)");
    played.client.write_all(&bytes).await.unwrap();
    played.client.shutdown().await.unwrap();
    assert_eq!(read(&mut played.backend, bytes.len()).await, bytes);
    assert_eq!(played.backend.read(&mut [0; 1]).await.unwrap(), 0);
    played.answer(&resultset(100)).await;
    played.ends_with(None).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_has_its_deadline() {
    let start = Instant::now();
    let played = Played::start();
    let text = "(proxy) nothing came from the client for 28800s";
    played
        .ends_with(Some(ErrPacket::new(1159, *b"08S01", text)))
        .await;
    let hours = Duration::from_secs(8 * 3600);
    assert!((hours..hours + Duration::from_secs(5)).contains(&start.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_has_its_deadline() {
    let mut played = Played::start();
    played.ask(&query("SELECT SLEEP(1000000)")).await;
    let text = "(proxy) lost connection to backend sakila:3306: backend sent nothing for 28800s";
    played.ends_with(server_lost(text)).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_idle_sessions_at_once() {
    let mut played = Played::start();
    played.ask(&query("SELECT 1")).await;
    played.answer(&ok(StatusFlags::AUTOCOMMIT)).await;
    tokio::task::yield_now().await;
    played.shutdown.drain();
    let err = ErrPacket::new(1053, *b"08S01", SHUTTING_DOWN);
    played.ends_with(Some(err)).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_transactions_finish() {
    let mut played = Played::start();
    played.ask(&query("BEGIN")).await;
    played.answer(&ok(StatusFlags::IN_TRANS)).await;
    played.shutdown.drain();
    played.ask(&query("COMMIT")).await;
    played.answer(&ok(StatusFlags::AUTOCOMMIT)).await;
    let err = ErrPacket::new(1053, *b"08S01", SHUTTING_DOWN);
    played.ends_with(Some(err)).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_over_ends_everyone_between_packets() {
    let mut played = Played::start();
    played.ask(&query("SELECT 1")).await;
    played.answer(&resultset(100)[..5]).await;
    played.shutdown.expire();
    let err = ErrPacket::new(1053, *b"08S01", SHUTTING_DOWN);
    played.ends_with(Some(err)).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_killed_ends_wherever_it_is() {
    for first in ["BEGIN", "SELECT 1"] {
        let mut played = Played::start();
        played.ask(&query(first)).await;
        if first == "BEGIN" {
            played.answer(&ok(StatusFlags::IN_TRANS)).await;
            tokio::task::yield_now().await;
        }
        assert!(played.shutdown.kill(1));
        let text = "(proxy) the session was killed by the operator";
        let err = ErrPacket::new(1317, *b"70100", text);
        played.ends_with(Some(err)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_backend_that_is_taken_away_end() {
    let mut played = Played::start();
    played.ask(&query("SELECT 1")).await;
    assert_eq!(played.shutdown.end_those_at(1), 0);
    assert_eq!(played.shutdown.end_those_at(0), 1);
    let text = "(proxy) backend sakila:3306 was taken out of service";
    let err = ErrPacket::new(1053, *b"08S01", text);
    played.ends_with(Some(err)).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_shows_what_it_does() {
    let mut played = Played::start();
    let shown = |played: &Played| {
        let session = played.shutdown.sessions().remove(0);
        (session.activity, session.commands, session.backend)
    };
    played.ask(&query("SELECT 1")).await;
    tokio::task::yield_now().await;
    let query = Activity::Command(Command::QUERY);
    assert_eq!(shown(&played), (query, 1, Some(0)));
    played.answer(&ok(StatusFlags::AUTOCOMMIT)).await;
    tokio::task::yield_now().await;
    assert_eq!(shown(&played), (Activity::Idle, 1, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_binlog_stream_goes_both_ways_and_a_drain_ends_it_at_once() {
    let mut played = Played::start();
    played.ask(&packet(0, &[Command::BINLOG_DUMP.0, 4])).await;
    for _ in 0..3 {
        played.answer(&packet(1, b"\0event")).await;
        played.ask(&packet(0, b"\xefack")).await;
    }
    played.shutdown.drain();
    played.ends_with(None).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_binlog_dump_is_a_command_like_others() {
    let mut played = Played::start();
    played.ask(&packet(0, &[Command::BINLOG_DUMP.0, 4])).await;
    let mut payload = Vec::new();
    ErrPacket::new(1227, *b"42000", "Access denied").encode(&mut payload);
    played.answer(&packet(1, &payload)).await;
    tokio::task::yield_now().await;
    played.shutdown.drain();
    let err = ErrPacket::new(1053, *b"08S01", SHUTTING_DOWN);
    played.ends_with(Some(err)).await;
}

#[tokio::test(start_paused = true)]
async fn a_steady_reader_is_not_stuck_however_long_it_takes() {
    let mut played = Played::start();
    played.ask(&query("SELECT 1")).await;
    let response = resultset(8 << 20);
    let (mut sent, mut got) = (0, 0);
    // Far more than the write timeout in all, and far less between two reads.
    while got < response.len() {
        while sent < response.len() {
            match played.backend.try_write(&response[sent..]) {
                Ok(n) => sent += n,
                Err(_) => break,
            }
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let mut piece = vec![0; 64 * 1024];
        let n = played.client.read(&mut piece).await.unwrap();
        assert!(n > 0, "cut after {got} bytes");
        got += n;
    }
    played.ask(&query("SELECT 2")).await;
}

/// Thousands of sessions wait most of the time: what the login or a script needs is boxed while it is needed.
#[tokio::test]
async fn a_session_that_waits_is_small() {
    let (_client, near_client) = UnixStream::pair().unwrap();
    let session = run(Stream::Unix(near_client), None, context(), 0);
    let bytes = size_of_val(&session);
    assert!(bytes <= 1536, "{bytes} bytes");
}

/// A client that logs in, and the servers that it may be sent to.
struct LoggingIn {
    client: UnixStream,
    servers: Vec<UnixListener>,
    context: Arc<Context>,
    session: JoinHandle<()>,
    _directory: TempDir,
}

impl LoggingIn {
    /// With so many servers and this script.
    fn start(servers: usize, script: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: String| directory.path().join(name);
        let paths: Vec<_> = (0..servers).map(|index| path(index.to_string())).collect();
        let addresses = paths.iter().map(|path| {
            let address = path.to_str().unwrap().parse().unwrap();
            (address, backend::Role::ReadWrite)
        });
        let settings = Settings::new(None, addresses.collect());
        let scripts = script.map(|text| {
            let file = path("script.lua".to_owned());
            std::fs::write(&file, text).unwrap();
            Scripts::new(ScriptSettings::new(Some(file))).unwrap()
        });
        let backends = Backends::new(settings.backends.clone(), settings.balance);
        let context = Arc::new(Context::new(settings, backends, Shutdown::new(), scripts));
        let (client, near_client) = UnixStream::pair().unwrap();
        let servers = paths.iter().map(|path| UnixListener::bind(path).unwrap());
        Self {
            client,
            servers: servers.collect(),
            session: tokio::spawn(run(
                Stream::Unix(near_client),
                None,
                Arc::clone(&context),
                0,
            )),
            context,
            _directory: directory,
        }
    }

    /// The first server greets, and the client says who it is. The server's end.
    async fn log_in(&mut self) -> UnixStream {
        let mut server = accept(&self.servers[0]).await;
        server.write_all(&greeting()).await.unwrap();
        read(&mut self.client, greeting().len()).await;
        let mut payload = Vec::new();
        HandshakeResponse41 {
            capabilities: OFFERED,
            username: b"app".to_vec(),
            auth_plugin_name: MYSQL_NATIVE_PASSWORD.to_vec(),
            ..HandshakeResponse41::default()
        }
        .encode(&mut payload);
        self.client.write_all(&packet(1, &payload)).await.unwrap();
        server
    }
}

const OFFERED: Capabilities = CAPABILITIES
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH);

fn greeting() -> Vec<u8> {
    let mut payload = Vec::new();
    HandshakeV10 {
        server_version: b"9.7.0".to_vec(),
        auth_plugin_data: vec![b'x'; 20],
        auth_plugin_name: MYSQL_NATIVE_PASSWORD.to_vec(),
        capabilities: OFFERED,
        ..HandshakeV10::default()
    }
    .encode(&mut payload);
    packet(0, &payload)
}

async fn accept(listener: &UnixListener) -> UnixStream {
    let accepted = timeout(Duration::from_secs(60), listener.accept()).await;
    accepted.expect("the server is connected to").unwrap().0
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_at_its_ok_leaves_a_server_that_waits_for_commands() {
    let mut logging_in = LoggingIn::start(1, None);
    let mut server = logging_in.log_in().await;
    drop(logging_in.client);
    server.read_buf(&mut Vec::new()).await.unwrap();
    server
        .write_all(&packet(2, &[0, 0, 0, 2, 0, 0, 0]))
        .await
        .unwrap();
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, packet(0, &[Command::QUIT.0]));
    logging_in.session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_the_backend_of_its_script_is_ended() {
    let script = "function read_auth() proxy.connection.backend_ndx = 2 end";
    let mut logging_in = LoggingIn::start(2, Some(script));
    let _first = logging_in.log_in().await;
    let _silent = accept(&logging_in.servers[1]).await;
    let start = Instant::now();
    assert!(logging_in.context.shutdown.kill(1));
    let mut said = Vec::new();
    logging_in.client.read_to_end(&mut said).await.unwrap();
    let err = ErrPacket::decode(&said[PacketHeader::BYTES..]).unwrap();
    assert_eq!((err.code, said[3]), (1317, 2));
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(logging_in.client);
    logging_in.session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_taken_away_before_it_greets_gets_no_client() {
    let mut logging_in = LoggingIn::start(1, None);
    let mut server = accept(&logging_in.servers[0]).await;
    let control = Control::new(Arc::new(Live::new(Arc::clone(&logging_in.context))));
    let backend = control.backends().get(0).unwrap();
    control.set_availability(&backend, Availability::OutOfService);
    server.write_all(&greeting()).await.unwrap();
    let mut said = Vec::new();
    logging_in.client.read_to_end(&mut said).await.unwrap();
    let err = ErrPacket::decode(&said[PacketHeader::BYTES..]).unwrap();
    assert_eq!((err.code, said[3]), (1053, 0));
}
