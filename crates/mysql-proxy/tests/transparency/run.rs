//! One session had with a server, directly or through a proxy: all packets that came.
//!
//! Where a response ends is found without the proxy's knowledge: had directly, each step is followed at once by
//! COM_STATISTICS, whose answer nothing else looks like. What stands before it is the response. Through the proxy so many
//! packets are awaited.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use protocol::Command;
use protocol::packet::put_payload;
use protocol::prepared_statement::StmtPrepareOk;
use testkit::{Client, ClientError, Connection, Recording};

use crate::session::{Numbers, Say, Session, Step};

/// How COM_STATISTICS is answered.
pub(crate) const STATISTICS: &[u8] = b"Uptime: ";
const LOCAL_INFILE: u8 = 0xfb;
const PREPARE_OK_BYTES: usize = 12;
/// A server that says nothing for so long says nothing more.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A packet's sequence id and payload.
pub(crate) type Packet = (u8, Vec<u8>);

/// What came in answer to one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) packets: Vec<Packet>,
    pub(crate) then: Then,
}

/// What stands behind packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Then {
    /// The session goes on.
    #[default]
    Open,
    /// No session: the login was refused.
    Refused,
    /// The connection is closed, in whichever way.
    Closed,
    /// Something was awaited and did not come.
    Silence,
    /// The last packet is not what it should be: no more were read.
    Wrong,
}

/// All of a session: the login, each step, the ending.
pub(crate) type Transcript = Vec<Part>;

/// Whether a packet is what it should be: the number of its part, its own number in there, itself.
pub(crate) type Check<'a> = &'a dyn Fn(usize, usize, &Packet) -> bool;

/// How the ends of responses are known.
#[derive(Clone, Copy)]
pub(crate) enum Ends<'a> {
    /// By COM_STATISTICS.
    Found,
    /// So many packets; it stops at the first one that is wrong. COM_STATISTICS follows where `is_proved` says so for a
    /// step's number.
    Known {
        direct: &'a Transcript,
        is_right: Check<'a>,
        is_proved: &'a dyn Fn(usize) -> bool,
    },
}

/// Has the session. `between` is called between two steps.
pub(crate) fn run(
    session: &Session,
    address: SocketAddr,
    database: &str,
    ends: Ends<'_>,
    between: &mut dyn FnMut(),
) -> Transcript {
    let mut connection = Connection::tcp(address).expect("it listens");
    connection.set_timeout(TIMEOUT).expect("it is a socket");
    let recording = connection.record();
    let login = session.login.login(database).connect(connection);
    let mut transcript = vec![Part {
        packets: recording.take(),
        then: then(login.as_ref().err()),
    }];
    let Ok(client) = login else {
        return transcript;
    };
    let mut run = Run {
        numbers: Numbers {
            capabilities: client.capabilities(),
            thread_id: client.greeting().thread_id,
            statements: HashMap::new(),
        },
        client,
        recording,
        database,
        ends,
        part: Part::default(),
    };
    for (n, step) in session.steps.iter().enumerate() {
        between();
        let had = run.step(n + 1, step);
        transcript.push(run.take_part(had));
        if transcript
            .last()
            .is_some_and(|part| part.then != Then::Open)
        {
            return transcript;
        }
    }
    between();
    let had = run.end(session);
    transcript.push(run.take_part(had));
    transcript
}

/// What is behind an error.
fn then(error: Option<&ClientError>) -> Then {
    match error {
        None => Then::Open,
        Some(ClientError::Io(error)) if is_silence(error) => Then::Silence,
        Some(ClientError::Server { .. }) => Then::Refused,
        Some(_) => Then::Closed,
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

struct Run<'a> {
    client: Client,
    recording: Recording,
    numbers: Numbers,
    database: &'a str,
    ends: Ends<'a>,
    /// What came in answer to this step so far.
    part: Part,
}

impl Run<'_> {
    /// What came of a step that was `had` in this way.
    fn take_part(&mut self, had: Result<(), ClientError>) -> Part {
        let mut part = std::mem::take(&mut self.part);
        self.recording.take();
        if part.then == Then::Open {
            part.then = then(had.err().as_ref());
        }
        part
    }

    fn step(&mut self, n: usize, step: &Step) -> Result<(), ClientError> {
        match step {
            Step::Commands(commands) => self.commands(n, commands),
            Step::LoadData {
                sql,
                file,
                piece_bytes,
            } => {
                let query = Say::Query(sql.into(), Vec::new());
                self.send(&[query.payload(&self.numbers)])?;
                self.read(n)?;
                let request = self.part.packets.last().cloned().unwrap_or_default();
                if request.1.first() == Some(&LOCAL_INFILE) {
                    self.send_file(request.0.wrapping_add(1), &file.0, *piece_bytes)?;
                }
                if self.is_proved(n) {
                    self.send(&[vec![Command::STATISTICS.0]])?;
                }
                self.receive(n, 0)
            }
            Step::ChangeUser(choice) => {
                let login = choice.login(self.database);
                let changed = login.change_user(&mut self.client);
                self.part.packets = self.recording.take();
                match changed {
                    // The server decides what becomes of the session.
                    Err(ClientError::Server { .. }) => Ok(()),
                    other => other,
                }
            }
        }
    }

    fn commands(&mut self, n: usize, commands: &[Say]) -> Result<(), ClientError> {
        let payload = |say: &Say| say.payload(&self.numbers);
        let mut payloads: Vec<_> = commands.iter().map(payload).collect();
        if self.is_proved(n) {
            payloads.push(vec![Command::STATISTICS.0]);
        }
        self.send(&payloads)?;
        let statistics = commands.iter().filter(|say| say.is_statistics()).count();
        let received = self.receive(n, statistics);
        if let (Some(Say::Prepare { slot, .. }), Some((_, ok))) =
            (commands.first(), self.part.packets.first())
        {
            // A byte for left-out definitions may follow.
            match StmtPrepareOk::decode(&ok[..ok.len().min(PREPARE_OK_BYTES)]) {
                Ok(ok) => self.numbers.statements.insert(*slot, ok.statement_id),
                Err(_) => self.numbers.statements.remove(slot),
            };
        }
        received
    }

    fn end(&mut self, session: &Session) -> Result<(), ClientError> {
        match session.ending.payload(&self.numbers) {
            Some(payload) => self.send(&[payload])?,
            None => self.client.connection().shutdown_write()?,
        }
        // Up to the server's end; all of it is compared afterwards.
        loop {
            let packet = self.client.connection().read_packet()?;
            self.part.packets.push(packet);
        }
    }

    /// Whether COM_STATISTICS follows.
    fn is_proved(&self, n: usize) -> bool {
        match &self.ends {
            Ends::Found => true,
            Ends::Known { is_proved, .. } => is_proved(n),
        }
    }

    fn send(&mut self, payloads: &[Vec<u8>]) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        for payload in payloads {
            put_payload(&mut bytes, 0, payload);
        }
        Ok(self.client.connection().send_bytes(&bytes)?)
    }

    /// In pieces, and an empty packet behind them.
    fn send_file(
        &mut self,
        mut next: u8,
        file: &[u8],
        piece_bytes: usize,
    ) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        for piece in file.chunks(piece_bytes) {
            next = put_payload(&mut bytes, next, piece);
        }
        put_payload(&mut bytes, next, b"");
        Ok(self.client.connection().send_bytes(&bytes)?)
    }

    /// The rest of a step's packets, among them the answers to so many COM_STATISTICS of its own.
    fn receive(&mut self, n: usize, statistics: usize) -> Result<(), ClientError> {
        if let Ends::Known { direct, .. } = &self.ends {
            let direct = &direct[n];
            let expected =
                direct.packets.len() + usize::from(self.is_proved(n) && direct.then == Then::Open);
            while self.part.packets.len() < expected || direct.then != Then::Open {
                self.read(n)?;
            }
        } else {
            let is_answer = |packet: &&Packet| packet.1.starts_with(STATISTICS);
            while self.part.packets.iter().filter(is_answer).count() <= statistics {
                self.read(n)?;
            }
        }
        if self.is_proved(n) {
            self.part.packets.pop();
        }
        Ok(())
    }

    /// One packet, which must be right.
    fn read(&mut self, n: usize) -> Result<(), ClientError> {
        let packet = self.client.connection().read_packet()?;
        self.recording.take();
        let is_right = match &self.ends {
            Ends::Found => true,
            Ends::Known { is_right, .. } => is_right(n, self.part.packets.len(), &packet),
        };
        self.part.packets.push(packet);
        if is_right {
            return Ok(());
        }
        self.part.then = Then::Wrong;
        Err(ClientError::Unexpected("it is another packet".to_owned()))
    }
}
