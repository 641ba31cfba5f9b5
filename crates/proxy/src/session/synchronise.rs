//! Makes a server's session that of another client: its settings, its default database. All steps go out at once.

use backend::{Restoring, ServerSession, Settings};
use protocol::command::ResponseKind;
use protocol::packet::put_payload;
use protocol::query::Query;
use protocol::response::{ErrPacket, error_code};
use protocol::response_tracker::Next;
use protocol::{Capabilities, Command, ResponseTracker};
use tracing::info;

use super::error::{Party, Refusal, SessionError};
use super::link::Link;
use super::script::Script;
use crate::buffer::Buffer;
use crate::traces::SpanWork;

/// What a client without a default database gets where the connection has another client's, which no server takes away:
/// nobody's rows are there.
const NOBODYS_DATABASE: &[u8] = b"information_schema";

/// A command that has no result but OK.
pub(super) enum Step {
    /// COM_RESET_CONNECTION
    Reset,
    /// One of the settings.
    Set(Restoring),
    /// The default database.
    Use(Vec<u8>),
    /// The client has no last insert id.
    ForgetInsertId,
    /// The client's last statement gave no warnings.
    ForgetWarnings,
}

/// Gives the session these settings, and nothing else.
pub(super) fn resetting(session: &ServerSession, settings: &Settings) -> Vec<Step> {
    let restoring = session.restoring(settings).into_iter().map(Step::Set);
    std::iter::once(Step::Reset).chain(restoring).collect()
}

/// From the default database that the server has to the one that the client wants.
pub(super) fn using(has: &[u8], wants: &[u8]) -> Option<Step> {
    let database = match wants {
        [] if has.is_empty() => has,
        [] => NOBODYS_DATABASE,
        _ => wants,
    };
    (database != has).then(|| Step::Use(database.to_vec()))
}

impl Step {
    fn command(&self) -> Command {
        match self {
            Self::Reset => Command::RESET_CONNECTION,
            Self::Use(_) => Command::INIT_DB,
            Self::Set(_) | Self::ForgetInsertId | Self::ForgetWarnings => Command::QUERY,
        }
    }

    /// Behind the command.
    fn text(&self) -> &[u8] {
        match self {
            Self::Reset => b"",
            Self::Set(statement) => &statement.sql,
            Self::Use(database) => database,
            Self::ForgetInsertId => b"SET last_insert_id = 0",
            // MariaDB keeps them until a statement reads a table.
            Self::ForgetWarnings => b"DO (SELECT 0 FROM (SELECT 0) AS nobody)",
        }
    }

    fn payload(&self, capabilities: Capabilities) -> Vec<u8> {
        let mut payload = Vec::new();
        match self.command() {
            Command::QUERY => Query::text(self.text()).encode(capabilities, &mut payload),
            command => {
                payload.push(command.0);
                payload.extend_from_slice(self.text());
            }
        }
        payload
    }

    fn may_fail(&self) -> bool {
        matches!(self, Self::Set(statement) if statement.may_fail)
    }

    /// It is done.
    fn apply(&self, session: &mut ServerSession, script: &mut Script) {
        match self {
            Self::Reset => session.reset(),
            Self::Use(database) => {
                session.default_db.clone_from(database);
                script.server_uses_db(database);
            }
            Self::ForgetInsertId => session.traces.insert_id = None,
            Self::ForgetWarnings => session.traces.forget_warnings(),
            Self::Set(_) => {}
        }
    }

    fn refusal(&self) -> Refusal {
        let text = String::from_utf8_lossy(self.text());
        let what = match self.command() {
            Command::QUERY => text,
            command => format!("{command} {text}").into(),
        };
        Refusal::new(
            error_code::UNKNOWN_ERROR,
            ErrPacket::GENERAL_ERROR,
            format!(
                "(proxy) the session cannot be moved to another connection: the server refuses `{}`",
                what.trim_end()
            ),
        )
    }
}

impl Link {
    /// Runs the steps. The refusal is of the first that failed.
    pub(super) async fn synchronise(
        &mut self,
        script: &mut Script,
        steps: &[Step],
    ) -> Result<Option<Refusal>, SessionError> {
        if steps.is_empty() {
            return Ok(None);
        }
        let began = self.begin_span();
        let failures = self.run_all(steps).await?;
        self.end_span(began, |link| SpanWork::Synchronise(link.backend_address()));
        let mut failed = None;
        if let Some(session) = &mut self.session {
            // Warnings and counts are the steps' own now.
            session.traces.statement = None;
            for (step, is_err) in steps.iter().zip(failures) {
                match is_err {
                    false => step.apply(session, script),
                    true if step.may_fail() => {}
                    true => failed = failed.or(Some(step)),
                }
            }
            if failed.is_none() && steps.iter().any(|step| matches!(step, Step::Set(_))) {
                session.settings.clone_from(&script.settings);
            }
        }
        let refusal = failed.map(Step::refusal);
        if let Some(refusal) = &refusal {
            info!("backend {}: {}", self.backend_name(), refusal.message);
        }
        Ok(refusal)
    }

    /// Which of them failed.
    async fn run_all(&mut self, steps: &[Step]) -> Result<Vec<bool>, SessionError> {
        let mut bytes = Vec::new();
        for step in steps {
            put_payload(&mut bytes, 0, &step.payload(self.capabilities));
        }
        let mut output = self.write_while_it_speaks(&bytes).await?;
        let mut failures = Vec::new();
        for step in steps {
            failures.push(self.receive(step.command(), &mut output).await?);
        }
        match output.bytes().len() {
            0 => Ok(failures),
            unsolicited => Err(SessionError::Unsolicited(unsolicited)),
        }
    }

    /// All of `bytes`, with what the backend says before it has them: it may take nothing more until that is read.
    async fn write_while_it_speaks(&mut self, bytes: &[u8]) -> Result<Buffer, SessionError> {
        let mut output = Buffer::take();
        let mut written = self.write_backend(bytes).await?;
        while written < bytes.len() {
            if output.is_full() {
                output.grow();
            }
            let unread = Buffer::default();
            self.read_response(&mut output, &unread, false).await?;
            written += self.write_backend(&bytes[written..]).await?;
        }
        Ok(output)
    }

    /// One response, of which only the end matters. True for an ERR.
    async fn receive(
        &mut self,
        command: Command,
        output: &mut Buffer,
    ) -> Result<bool, SessionError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn database(has: &[u8], wants: &[u8]) -> Option<Vec<u8>> {
        using(has, wants).map(|step| step.text().to_vec())
    }

    #[test]
    fn a_database_of_nobody_takes_the_place_of_anothers() {
        assert_eq!(database(b"", b""), None);
        assert_eq!(database(b"shop", b"shop"), None);
        assert_eq!(database(b"", b"shop").as_deref(), Some(&b"shop"[..]));
        assert_eq!(database(b"shop", b"").as_deref(), Some(NOBODYS_DATABASE));
        assert_eq!(database(NOBODYS_DATABASE, b""), None);
    }
}
