//! An operator's connection, command by command: the script is asked first, what it says nothing to is a statement of ours.

use std::io;
use std::time::Duration;

use backend::Stream;
use backend::packet_io::{Packet, PacketError, PacketReader};
use protocol::packet::put_payload;
use protocol::response::error_code;
use protocol::{Capabilities, Command};
use proxy::{OperatorConnection, OperatorScript, ScriptAnswer, ScriptSource};
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::limits::{COMMAND_BYTES_MAX, READ_TIMEOUT, WRITE_TIMEOUT};
use crate::login::LoggedIn;
use crate::resultset::Answer;
use crate::settings::{Context, Interface};
use crate::statement::{self, Statement};

/// The script of the debug interface.
const DEBUG: &str = include_str!("debug.lua");

/// Of an ERR that names no other.
const SQL_STATE: [u8; 5] = *b"07000";
/// What tools know: nobody has an answer.
const NO_ANSWER: &str = "need a resultset + proxy.PROXY_SEND_RESULT";
/// What tools know: the script's answer makes no sense here.
const NONSENSE: &str = "need a resultset + proxy.PROXY_SEND_RESULT ... got something else";
/// What tools know: another command than COM_QUERY.
const ONLY_QUERIES: &str = "[admin] we only handle text-based queries (COM_QUERY)";

/// A logged-in operator.
pub(crate) struct Session<'a> {
    stream: Stream,
    reader: PacketReader,
    capabilities: Capabilities,
    context: &'a Context,
    script: Option<OperatorScript>,
}

/// An end that is not the operator's own goodbye.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error("{0}")]
    Packet(#[from] PacketError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    #[error("it took no bytes for {0:?}")]
    Stuck(Duration),
}

/// What to do with a command.
enum Reply {
    Packets(Vec<Vec<u8>>),
    /// The connection ends behind them.
    Last(Vec<Vec<u8>>),
    Goodbye,
}

impl<'a> Session<'a> {
    /// Serves until the operator leaves.
    ///
    /// # Errors
    /// Any other end.
    pub(crate) async fn serve(
        stream: Stream,
        logged_in: LoggedIn,
        id: u32,
        context: &'a Context,
    ) -> Result<(), SessionError> {
        let LoggedIn {
            capabilities,
            reader,
        } = logged_in;
        let mut session = Self {
            stream,
            reader,
            capabilities,
            context,
            script: None,
        };
        let opened = session.open_script().await;
        let outcome = session.run(opened.err(), id).await;
        if let Some(script) = session.script {
            script.close().await;
        }
        outcome
    }

    /// An error is what the operator is told instead of anything else.
    async fn open_script(&mut self) -> Result<(), String> {
        let source = match &self.context.settings.interface {
            Interface::Admin { script: None } => return Ok(()),
            Interface::Admin { script: Some(path) } => ScriptSource::File(path),
            Interface::Debug => ScriptSource::BuiltIn {
                name: "debug",
                text: DEBUG,
            },
        };
        let connection = OperatorConnection {
            username: self.context.settings.account.username.clone().into_bytes(),
            capabilities: self.capabilities,
            src: self.stream.peer_address(),
            dst: self.stream.local_address(),
        };
        let opened = self.context.control.open_script(source, connection).await;
        self.script = opened.map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn run(&mut self, fault: Option<String>, id: u32) -> Result<(), SessionError> {
        loop {
            let packet = self.receive().await?;
            let reply = match &fault {
                Some(text) if packet.payload.first() != Some(&Command::QUIT.0) => {
                    Reply::Packets(self.error(text))
                }
                _ => self.reply(&packet.payload, id).await,
            };
            let (payloads, is_last) = match reply {
                Reply::Packets(payloads) => (payloads, false),
                Reply::Last(payloads) => (payloads, true),
                Reply::Goodbye => return Ok(()),
            };
            self.send(packet.sequence_id.wrapping_add(1), &payloads)
                .await?;
            let script = self.script.as_ref();
            if is_last || script.is_some_and(OperatorScript::wants_to_close) {
                return Ok(());
            }
        }
    }

    async fn reply(&mut self, packet: &[u8], id: u32) -> Reply {
        let (&byte, body) = packet.split_first().unwrap_or((&Command::SLEEP.0, &[]));
        let command = Command(byte);
        if let Some(script) = &mut self.script {
            match script.read_query(packet).await {
                ScriptAnswer::Packets(_) if command == Command::QUIT => return Reply::Goodbye,
                ScriptAnswer::Packets(payloads) => return Reply::Packets(payloads),
                ScriptAnswer::Nonsense => return Reply::Last(self.error(NONSENSE)),
                ScriptAnswer::Nothing => {}
            }
        }
        let answer = match command {
            Command::QUIT => return Reply::Goodbye,
            Command::QUERY => return self.query(body, id).await,
            // What clients say by themselves.
            Command::PING | Command::INIT_DB | Command::RESET_CONNECTION => Answer::Ok(0),
            _ => Answer::Err(
                error_code::UNKNOWN_ERROR,
                SQL_STATE,
                ONLY_QUERIES.to_owned(),
            ),
        };
        Reply::Packets(answer.payloads(self.capabilities))
    }

    async fn query(&self, text: &[u8], id: u32) -> Reply {
        if matches!(self.context.settings.interface, Interface::Debug) {
            return Reply::Last(self.error(NO_ANSWER));
        }
        let answer = match Statement::parse(text) {
            Ok(statement) => {
                let operator = statement::Operator {
                    id,
                    control: &self.context.control,
                    username: &self.context.settings.account.username,
                    configuration: &self.context.configuration,
                };
                operator.execute(statement).await
            }
            // A script that should have known it gets what tools know; a slip of the finger ends nothing.
            Err(error) if self.script.is_some() => {
                return Reply::Packets(self.error(&format!("{NO_ANSWER}; {error}")));
            }
            Err(error) => Answer::Err(error_code::UNKNOWN_ERROR, SQL_STATE, error.to_string()),
        };
        Reply::Packets(answer.payloads(self.capabilities))
    }

    fn error(&self, text: &str) -> Vec<Vec<u8>> {
        let answer = Answer::Err(error_code::UNKNOWN_ERROR, SQL_STATE, text.to_owned());
        answer.payloads(self.capabilities)
    }

    async fn receive(&mut self) -> Result<Packet, SessionError> {
        let read = self
            .reader
            .read(&mut self.stream, "command", COMMAND_BYTES_MAX);
        let read = timeout(READ_TIMEOUT, read).await;
        match read.map_err(|_| SessionError::Silent(READ_TIMEOUT))? {
            Ok(packet) => Ok(packet),
            // As good as a goodbye.
            Err(PacketError::Closed) => Ok(Packet {
                sequence_id: 0,
                payload: vec![Command::QUIT.0],
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn send(
        &mut self,
        mut sequence_id: u8,
        payloads: &[Vec<u8>],
    ) -> Result<(), SessionError> {
        let mut bytes = Vec::new();
        for payload in payloads {
            sequence_id = put_payload(&mut bytes, sequence_id, payload);
        }
        let written = timeout(WRITE_TIMEOUT, self.stream.write_all(&bytes)).await;
        Ok(written.map_err(|_| SessionError::Stuck(WRITE_TIMEOUT))??)
    }
}
