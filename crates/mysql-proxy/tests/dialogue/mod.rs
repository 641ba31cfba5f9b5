//! Dialogues with a server, had directly and through the proxy: packet by packet the server must say the same.
//!
//! Where a response ends is found without the proxy's knowledge: had directly, each step is followed at once by
//! COM_STATISTICS, whose answer nothing else looks like. What stands before it is the response.

use std::{net::SocketAddr, slice};

use protocol::{Capabilities, Command, packet::put_payload};
use testkit::{Client, Connection, Direction, FaultLink, Faults, Login, ProxyProcess, Server};

use crate::scripted::{BINARY, ScriptFile, TRANSPARENT};

/// How COM_STATISTICS is answered.
const STATISTICS: &[u8] = b"Uptime: ";
/// Longer responses than this in all are not had byte by byte, which takes four system calls for each.
const SINGLE_BYTES_MAX: usize = 32 * 1024;

/// What a client says, step by step.
#[derive(Debug, Clone)]
pub(crate) struct Dialogue {
    name: &'static str,
    capabilities: Capabilities,
    /// Each with at most one response: only its last command may have one.
    steps: Vec<Vec<Vec<u8>>>,
}

/// A packet's sequence id and payload.
type Packet = (u8, Vec<u8>);

impl Dialogue {
    /// `capabilities` are those that both sides speak: some commands look different under some of them.
    pub(crate) fn new(name: &'static str, capabilities: Capabilities) -> Self {
        Self {
            name,
            capabilities,
            steps: Vec::new(),
        }
    }

    /// Commands of which only the last has a response.
    pub(crate) fn step(mut self, payloads: Vec<Vec<u8>>) -> Self {
        self.steps.push(payloads);
        self
    }

    /// A command and what follows its code.
    pub(crate) fn command(self, command: Command, arguments: &[u8]) -> Self {
        self.step(vec![[&[command.0], arguments].concat()])
    }

    /// COM_QUERY
    pub(crate) fn query(self, sql: &str) -> Self {
        let mut arguments = Vec::new();
        if self.capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
            // No attributes, one set of them.
            arguments.extend_from_slice(&[0, 1]);
        }
        arguments.extend_from_slice(sql.as_bytes());
        self.command(Command::QUERY, &arguments)
    }

    /// COM_QUERY for each.
    pub(crate) fn queries(self, statements: &[&str]) -> Self {
        statements.iter().fold(self, |said, sql| said.query(sql))
    }
}

/// The ways to one server: the direct one, and several through proxies.
#[derive(Debug)]
pub(crate) struct Routes {
    /// The server at the end of all of them.
    pub(crate) server: Server,
    plain: ProxyProcess,
    /// What happens on the way, and the proxy that it happens in.
    scripted: Vec<(&'static str, ProxyProcess, ScriptFile)>,
    /// Before and behind `_single_bytes`: each byte comes alone.
    single_bytes: FaultLink,
    _single_bytes: ProxyProcess,
    _to_server: FaultLink,
}

impl Routes {
    /// Starts the proxies.
    pub(crate) fn to(server: Server) -> Self {
        let plain = proxy(server.address());
        let to_server = single_bytes(server.address());
        let behind_link = proxy(to_server.address());
        let scripted = TRANSPARENT.map(|(what, script)| {
            let script = ScriptFile::new(script);
            let proxy = script.proxy(&[&server], &[]);
            (what, proxy, script)
        });
        Self {
            server,
            plain,
            scripted: scripted.into(),
            single_bytes: single_bytes(behind_link.address()),
            _single_bytes: behind_link,
            _to_server: to_server,
        }
    }

    /// The capabilities that a login ends up with, which are the same on every way.
    pub(crate) fn capabilities(&self, login: &Login) -> Capabilities {
        let direct = connect(login, self.server.address()).capabilities();
        assert_eq!(
            direct,
            connect(login, self.plain.address()).capabilities(),
            "the proxy's offer for {login:?}"
        );
        direct
    }

    /// Has the dialogues directly and in each way through a proxy: step by step, all at once, byte by byte.
    ///
    /// # Panics
    /// When a packet differs, is missing, or is one too many.
    pub(crate) fn compare(&self, login: &Login, dialogues: &[Dialogue]) {
        for dialogue in dialogues {
            let direct = directly(&mut connect(login, self.server.address()), dialogue);
            let said = |how: &str| format!("`{}` {how} by {login:?}", dialogue.name);
            let mut client = connect(login, self.plain.address());
            step_by_step(&mut client, dialogue, &direct, &said("step by step"));
            let mut client = connect(login, self.plain.address());
            at_once(&mut client, dialogue, &direct, &said("at once"));
            for (how, proxy, _) in &self.scripted {
                let mut client = connect(login, proxy.address());
                step_by_step(&mut client, dialogue, &direct, &said(how));
                let mut client = connect(login, proxy.address());
                let how = format!("at once, {how}");
                at_once(&mut client, dialogue, &direct, &said(&how));
            }
            let packets = direct.iter().flatten();
            if packets.map(|packet| packet.1.len()).sum::<usize>() <= SINGLE_BYTES_MAX {
                let mut client = connect(login, self.single_bytes.address());
                step_by_step(&mut client, dialogue, &direct, &said("byte by byte"));
            }
        }
    }
}

fn proxy(backend: SocketAddr) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={backend}");
    ProxyProcess::start(BINARY, &[&backend])
}

fn single_bytes(target: SocketAddr) -> FaultLink {
    let link = FaultLink::to(target);
    for direction in [Direction::ToServer, Direction::ToClient] {
        let single_bytes = true;
        link.set(
            direction,
            Faults {
                single_bytes,
                ..Faults::default()
            },
        );
    }
    link
}

fn connect(login: &Login, address: SocketAddr) -> Client {
    let connection = Connection::tcp(address).expect("it listens");
    let client = login.connect(connection);
    client.unwrap_or_else(|error| panic!("{login:?}: {error}"))
}

/// The responses, one list of packets for each step.
fn directly(client: &mut Client, dialogue: &Dialogue) -> Vec<Vec<Packet>> {
    let responses = dialogue.steps.iter().map(|step| {
        send(client, slice::from_ref(step));
        let mut response = Vec::new();
        loop {
            let packet = read(client, &format!("`{}` directly", dialogue.name));
            if packet.1.starts_with(STATISTICS) {
                return response;
            }
            response.push(packet);
        }
    });
    responses.collect()
}

/// The next command is said when the response is there; the answer to COM_STATISTICS proves its end.
fn step_by_step(client: &mut Client, dialogue: &Dialogue, direct: &[Vec<Packet>], what: &str) {
    for (n, (step, expected)) in dialogue.steps.iter().zip(direct).enumerate() {
        let bytes = wire(step);
        client
            .connection()
            .send_bytes(&bytes)
            .expect("it can be sent");
        expect(client, expected, &format!("step {n} of {what}"));
        send(client, &[]);
        expect_statistics(client, &format!("step {n} of {what}"));
    }
}

/// All commands are there before the first response is read.
fn at_once(client: &mut Client, dialogue: &Dialogue, direct: &[Vec<Packet>], what: &str) {
    send(client, &dialogue.steps);
    for (n, expected) in direct.iter().enumerate() {
        expect(client, expected, &format!("step {n} of {what}"));
        expect_statistics(client, &format!("step {n} of {what}"));
    }
}

/// Each step followed by COM_STATISTICS, all in one write.
fn send(client: &mut Client, steps: &[Vec<Vec<u8>>]) {
    let statistics = wire(&[vec![Command::STATISTICS.0]]);
    let mut bytes = Vec::new();
    for step in steps {
        bytes.extend(wire(step));
        bytes.extend_from_slice(&statistics);
    }
    if steps.is_empty() {
        bytes = statistics;
    }
    client
        .connection()
        .send_bytes(&bytes)
        .expect("it can be sent");
}

/// Commands as packets, each with sequence ids from 0.
fn wire(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in payloads {
        put_payload(&mut bytes, 0, payload);
    }
    bytes
}

fn expect(client: &mut Client, expected: &[Packet], what: &str) {
    for (n, expected) in expected.iter().enumerate() {
        let got = read(client, &format!("packet {n} of {what}"));
        assert!(
            got == *expected,
            "packet {n} of {what}:\n{}\nand directly:\n{}",
            text(&got),
            text(expected)
        );
    }
}

fn expect_statistics(client: &mut Client, what: &str) {
    let got = read(client, &format!("what is behind {what}"));
    let is_expected = got.0 == 1 && got.1.starts_with(STATISTICS);
    assert!(is_expected, "behind {what}:\n{}", text(&got));
}

fn read(client: &mut Client, what: &str) -> Packet {
    let packet = client.connection().read_packet();
    packet.unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn text((sequence_id, payload): &Packet) -> String {
    format!("{sequence_id}: {}", payload.escape_ascii())
}
