//! One client's session: the login, then one command after the other.

mod execute;
mod prepared;
mod response;
mod set;
mod show;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use protocol::change_user::ChangeUser;
use protocol::resultset::ColumnDefinition41;
use protocol::wire::Reader;
use protocol::{Capabilities, Command, DecodeError};
use rusqlite::types::Value;

use self::prepared::PreparedStatements;
use crate::failure::Failure;
use crate::limits::{IDLE_TIMEOUT, LOGIN_TIMEOUT};
use crate::login::{self, Login, known_database};
use crate::packet_stream::{PacketStream, StreamError};
use crate::server::Shared;
use crate::session_handle::SessionHandle;
use crate::sql::{Code, SqlError, SqlSession, SystemVariables};

/// A logged-in client and all that the server remembers of it.
pub(crate) struct Session<'a> {
    shared: &'a Shared,
    handle: Arc<SessionHandle>,
    stream: PacketStream,
    capabilities: Capabilities,
    sql: SqlSession,
    system_variables: SystemVariables,
    user_variables: BTreeMap<String, Value>,
    prepared: PreparedStatements,
    /// What SHOW WARNINGS shows.
    last_error: Option<SqlError>,
}

/// What comes after a command.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Command,
    End,
}

impl<'a> Session<'a> {
    /// From the greeting to the end of the connection.
    ///
    /// # Errors
    /// A client that could not log in, or whose connection broke.
    pub(crate) fn serve(
        stream: TcpStream,
        shared: &'a Shared,
        handle: Arc<SessionHandle>,
    ) -> Result<(), Failure> {
        let host = stream.peer_addr().map(|peer| peer.ip().to_string());
        let host = host.map_err(StreamError::Io)?;
        let mut stream = PacketStream::of_server(stream).map_err(StreamError::Io)?;
        let deadline = Instant::now() + LOGIN_TIMEOUT;
        let login = login::login(&mut stream, handle.id(), &host, deadline);
        let logged_in = login.and_then(|login| {
            let sql = shared.database().connect(&handle)?;
            Ok((login, sql))
        });
        let (login, sql) = match logged_in {
            Ok(logged_in) => logged_in,
            Err(Failure::Refused(error)) => {
                response::write_error(&mut stream, &error)?;
                stream.flush()?;
                return Err(error.into());
            }
            Err(failure) => return Err(failure),
        };
        stream.logged_in();
        let Login {
            capabilities,
            user,
            database,
        } = login;
        handle.set_user(&user);
        handle.set_database(database.as_deref());
        let mut session = Self {
            shared,
            system_variables: SystemVariables::new(shared.name(), handle.id(), shared.port()),
            handle,
            stream,
            capabilities,
            sql,
            user_variables: BTreeMap::new(),
            prepared: PreparedStatements::default(),
            last_error: None,
        };
        session.write_ok()?;
        session.stream.flush()?;
        session.commands(&host)
    }

    fn commands(&mut self, host: &str) -> Result<(), Failure> {
        loop {
            let deadline = Instant::now() + IDLE_TIMEOUT;
            let payload = match self.stream.read_command(deadline) {
                Ok(payload) => payload,
                Err(StreamError::Closed | StreamError::TimedOut) => return Ok(()),
                Err(StreamError::Malformed(error)) => return self.complain(error),
                Err(error) => return Err(error.into()),
            };
            self.handle.start_statement();
            let done = self.command(&payload, host);
            let next = match done {
                Ok(next) => next,
                Err(Failure::Refused(error)) => {
                    response::write_error(&mut self.stream, &error)?;
                    self.last_error = Some(error);
                    // Whoever fails to become another user is nobody.
                    match payload.first() {
                        Some(&byte) if Command(byte) == Command::CHANGE_USER => Next::End,
                        _ => Next::Command,
                    }
                }
                Err(failure) => return Err(failure),
            };
            self.stream.flush()?;
            if next == Next::End {
                return Ok(());
            }
        }
    }

    /// Says why the connection ends; where the client's next packet starts is not known any more.
    fn complain(&mut self, error: DecodeError) -> Result<(), Failure> {
        let code = match error {
            DecodeError::OutOfOrder { .. } => Code::PACKETS_OUT_OF_ORDER,
            _ => Code::PACKET_TOO_LARGE,
        };
        let told = SqlError::new(code, error.to_string());
        self.stream.answer_unread();
        response::write_error(&mut self.stream, &told)?;
        self.stream.flush()?;
        Err(StreamError::Malformed(error).into())
    }

    fn command(&mut self, payload: &[u8], host: &str) -> Result<Next, Failure> {
        let (&command, arguments) = payload
            .split_first()
            .ok_or_else(|| SqlError::new(Code::UNKNOWN_COMMAND, "the command is empty"))?;
        let command = Command(command);
        match command {
            Command::QUIT => return Ok(Next::End),
            Command::QUERY => self.query(arguments)?,
            Command::PING => self.write_ok()?,
            Command::INIT_DB => {
                let changed = self.use_database(arguments)?;
                self.write_outcome(changed)?;
            }
            Command::STATISTICS => self.statistics()?,
            Command::FIELD_LIST => self.field_list(arguments)?,
            Command::SET_OPTION => self.set_option(arguments)?,
            Command::RESET_CONNECTION => {
                self.reset()?;
                self.write_ok()?;
            }
            Command::CHANGE_USER => self.change_user(payload, host)?,
            Command::STMT_PREPARE => self.prepare(arguments)?,
            Command::STMT_EXECUTE => self.execute_prepared(payload)?,
            Command::STMT_SEND_LONG_DATA => self.take_long_data(arguments),
            Command::STMT_FETCH => self.fetch(arguments)?,
            Command::STMT_RESET => self.reset_prepared(arguments)?,
            Command::STMT_CLOSE => self.close_prepared(arguments),
            other => {
                let message = format!("the playground does not know {other}");
                return Err(SqlError::new(Code::UNKNOWN_COMMAND, message).into());
            }
        }
        Ok(Next::Command)
    }

    fn statistics(&mut self) -> Result<(), Failure> {
        let threads = self.shared.sessions().len();
        let uptime = self.shared.uptime().as_secs();
        let text = format!("Uptime: {uptime}  Threads: {threads}");
        Ok(self.stream.write_payload(text.as_bytes())?)
    }

    /// `string<NUL>` table, `string<EOF>` wildcard
    fn field_list(&mut self, arguments: &[u8]) -> Result<(), Failure> {
        let mut reader = Reader::new("COM_FIELD_LIST", arguments);
        let table = String::from_utf8_lossy(reader.nul_bytes("table")?).into_owned();
        let quoted = table.replace('`', "``");
        let statement = self.sql.prepare(&format!("SELECT * FROM `{quoted}`"))?;
        let mut payload = Vec::new();
        for column in &statement.result.columns {
            payload.clear();
            ColumnDefinition41::encode_with_default(column, None, &mut payload);
            self.stream.write_payload(&payload)?;
        }
        self.write_end(self.status())
    }

    /// `int<2>`: 0 for multi-statements, 1 for none
    fn set_option(&mut self, arguments: &[u8]) -> Result<(), Failure> {
        let option = Reader::new("COM_SET_OPTION", arguments).u16("option")?;
        let is_on = match option {
            0 => true,
            1 => false,
            _ => return Err(SqlError::new(Code::UNKNOWN_COMMAND, "unknown option").into()),
        };
        self.capabilities.set(Capabilities::MULTI_STATEMENTS, is_on);
        self.write_end(self.status())
    }

    fn change_user(&mut self, payload: &[u8], host: &str) -> Result<(), Failure> {
        let change = ChangeUser::decode(payload, self.capabilities)?;
        let deadline = Instant::now() + LOGIN_TIMEOUT;
        login::change_user(&mut self.stream, &change, host, deadline)?;
        let database = known_database(change.database)?;
        self.reset()?;
        let user = String::from_utf8_lossy(change.username);
        self.handle.set_user(&user);
        self.handle.set_database(database.as_deref());
        self.write_ok()
    }

    /// As after a fresh login; the database stays.
    fn reset(&mut self) -> Result<(), SqlError> {
        let (handle, shared) = (&self.handle, self.shared);
        // A new connection has no transaction and no temporary table.
        self.sql = shared.database().connect(handle)?;
        self.system_variables = SystemVariables::new(shared.name(), handle.id(), shared.port());
        self.user_variables.clear();
        self.prepared = PreparedStatements::default();
        self.last_error = None;
        self.handle.set_last_insert_id(0);
        Ok(())
    }
}
