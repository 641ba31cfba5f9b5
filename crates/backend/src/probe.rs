//! Takes back servers that are down: each is tried until it greets.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use crate::Backend;
use crate::abandoned_login::{self, Stage};
use crate::connector::{ConnectError, Timeouts, connect};
use crate::packet_io::PacketReader;

/// Between two tries of a server that is down. Documented: it is tried again after 4 s at the latest.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a try keeps the next one waiting.
const PATIENCE: Duration = Duration::from_secs(3);
/// Tries at once of a server that takes connections and does not greet.
const ATTEMPTS_MAX: usize = 5;

/// Watches one backend for ever. Costs nothing while the backend is up, or is not wanted. `settings` are asked before each
/// try: how long it waits, and what is said first on the connection.
pub async fn watch(backend: Arc<Backend>, settings: impl Fn() -> (Timeouts, Vec<u8>)) {
    let mut attempts = JoinSet::new();
    loop {
        while !backend.is_wanted_up() {
            backend.went_down.notified().await;
        }
        sleep(PROBE_INTERVAL).await;
        if let Some(until) = backend.held_down_until() {
            sleep_until(until).await;
        }
        while attempts.try_join_next().is_some() {}
        if attempts.len() < ATTEMPTS_MAX {
            let (timeouts, header) = settings();
            attempts.spawn(try_once(Arc::clone(&backend), timeouts, header));
        }
        // A server that looks up our name first may greet late: the attempt goes on beside the next one.
        let _ended_or_slow = timeout(PATIENCE, attempts.join_next()).await;
    }
}

/// A server that refuses us with an ERR lives: clients are to hear that from it.
async fn try_once(backend: Arc<Backend>, timeouts: Timeouts, header: Vec<u8>) {
    let begun = Instant::now();
    let connected = connect(&backend, timeouts, &header).await;
    backend.counters.probed(begun.elapsed());
    match connected {
        Ok(greeted) => {
            backend.mark_up(Instant::now());
            let stage = Stage::Greeted(&greeted.handshake);
            abandoned_login::end(greeted.stream, PacketReader::default(), stage).await;
        }
        Err(ConnectError::Refused(_)) => backend.mark_up(Instant::now()),
        Err(ConnectError::Shortage(reason)) => {
            debug!("backend ({}) cannot be tried: {reason}", backend.address());
        }
        // A later attempt had its greeting already.
        Err(ConnectError::Unreachable(_)) if backend.is_up() => {}
        Err(ConnectError::Unreachable(reason)) => {
            debug!("backend ({}) is still down: {reason}", backend.address());
            backend.mark_down(Instant::now(), &reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use protocol::Capabilities;
    use protocol::connection_phase::HandshakeV10;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;
    use crate::{Backends, Balance, Role};

    const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(2),
        greeting: Duration::from_secs(10),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A server, and the probe of the backend that it is, which is down.
    fn server(directory: &Path) -> (UnixListener, Arc<Backend>) {
        let path = directory.join("server.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let address = path.to_str().unwrap().parse().unwrap();
        let backends = Backends::new([(address, Role::ReadWrite)], Balance::RoundRobin);
        let backend = backends.get(0).unwrap();
        backend.mark_down(Instant::now(), "a test");
        tokio::spawn(watch(Arc::clone(&backend), || (TIMEOUTS, Vec::new())));
        (listener, backend)
    }

    async fn accept(listener: &UnixListener) -> UnixStream {
        let accepted = timeout(seconds(60), listener.accept()).await;
        accepted.expect("the server is tried").unwrap().0
    }

    async fn greet(stream: &mut UnixStream) {
        let handshake = HandshakeV10 {
            server_version: b"8.4.0".to_vec(),
            thread_id: 1,
            auth_plugin_data: vec![b'x'; 20],
            capabilities: Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION,
            character_set: 45,
            status: protocol::StatusFlags::AUTOCOMMIT,
            auth_plugin_name: Vec::new(),
        };
        let (mut payload, mut packet) = (Vec::new(), Vec::new());
        handshake.encode(&mut payload);
        protocol::packet::put_payload(&mut packet, 0, &payload);
        stream.write_all(&packet).await.unwrap();
    }

    /// The client leaves only after it has answered the greeting: nothing is held against its host.
    async fn answers_and_leaves(mut stream: UnixStream) {
        let mut said = Vec::new();
        let read = timeout(seconds(60), stream.read_to_end(&mut said)).await;
        read.expect("it leaves").unwrap();
        assert!(!said.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_greet_is_tried_every_4_s_at_most_a_few_times_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (listener, backend) = server(directory.path());
        let mut last = Instant::now();
        let mut open = Vec::new();
        for _ in 0..20 {
            open.push(accept(&listener).await);
            assert!(last.elapsed() <= seconds(4), "{:?}", last.elapsed());
            last = Instant::now();
            let mut byte = [0];
            open.retain(|stream| stream.try_read(&mut byte).is_err());
            assert!(open.len() <= ATTEMPTS_MAX);
        }
        assert!(!backend.is_up());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_greets_late_is_up_when_it_does() {
        let directory = tempfile::tempdir().unwrap();
        let (listener, backend) = server(directory.path());
        let mut first = accept(&listener).await;
        sleep(seconds(9)).await;
        assert!(!backend.is_up());
        let mut second = accept(&listener).await;
        greet(&mut first).await;
        answers_and_leaves(first).await;
        assert!(backend.is_up());
        greet(&mut second).await;
        answers_and_leaves(second).await;
        assert!(backend.is_up());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_script_marked_is_left_alone_for_4_s() {
        let directory = tempfile::tempdir().unwrap();
        let (listener, backend) = server(directory.path());
        greet(&mut accept(&listener).await).await;
        while !backend.is_up() {
            sleep(seconds(1)).await;
        }
        let marked = Instant::now();
        backend.hold_down(marked);
        let mut tried = accept(&listener).await;
        let elapsed = marked.elapsed();
        assert!(
            elapsed >= seconds(4) && elapsed <= seconds(6),
            "{elapsed:?}"
        );
        greet(&mut tried).await;
        while !backend.is_up() {
            sleep(seconds(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_fails_late_takes_nothing_back() {
        let directory = tempfile::tempdir().unwrap();
        let (listener, backend) = server(directory.path());
        let first = accept(&listener).await;
        let mut second = accept(&listener).await;
        greet(&mut second).await;
        answers_and_leaves(second).await;
        drop(first);
        sleep(seconds(30)).await;
        assert!(backend.is_up());
    }
}
