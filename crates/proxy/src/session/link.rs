//! A logged-in session's two connections, with every wait that the command phase has: each with its deadline, each
//! ended early when the proxy stops, each watching the other side for what matters meanwhile.
//!
//! * [`accounting`]: what of that is counted, logged and traced

mod accounting;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use backend::{Address, ClientCount, PooledConnection, ServerSession, Stream};
use protocol::response_tracker::Summary;
use protocol::{Capabilities, ResponseTracker, StatusFlags};
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::Context;
use super::error::{Party, SessionError};
use super::login::LoggedIn;
use super::statements::Statements;
use crate::buffer::Buffer;
use crate::register::{Activity, Registration, Why};
use crate::shutdown::Phase;
use crate::timer::Timer;

/// Both connections and what was agreed on at the login.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: Stream,
    /// `None` where the script is the server.
    pub(super) backend: Option<Stream>,
    pub(super) capabilities: Capabilities,
    /// What the server said last of the session.
    pub(super) status: StatusFlags,
    /// The server's latest nonce: a COM_CHANGE_USER may need it where the two sides are not equally secure.
    pub(super) nonce: Vec<u8>,
    /// The sequence id of an ERR of ours, while one may stand in the stream to the client: after a command, between two
    /// packets of its response.
    pub(super) err_sequence_id: Option<u8>,
    half_close: HalfClose,
    timer: Timer,
    /// What was seen of the latest response.
    pub(super) summary: Summary,
    /// What the backend holds of the session; only where a script may give the connection to others.
    pub(super) session: Option<Box<ServerSession>>,
    /// What the client says; only where somebody wants to know.
    statements: Option<Box<Statements>>,
    /// The connection came from a pool, and nothing was said on it since.
    pub(super) is_from_pool: bool,
    count: Option<ClientCount>,
    activity: Activity,
    /// When the latest command was there.
    begun_at: Instant,
    /// When the response that is awaited was first waited for.
    asked_at: Option<Instant>,
    registration: Registration,
    context: Arc<Context>,
    /// Whose counters it writes.
    worker: usize,
}

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// So many bytes were read; 0 for the client's end.
    Client(usize),
    /// There is something to read: bytes, the end, or an error.
    Backend,
}

/// The client's end of what it says: it half-closed its connection, or is gone, which looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HalfClose {
    None,
    Seen,
    /// The backend knows too.
    PassedOn,
}

/// What a wait that took too long is called.
type TimeoutError = fn(Party, Duration) -> SessionError;

impl Link {
    pub(super) fn new(
        login: LoggedIn,
        registration: Registration,
        context: Arc<Context>,
        worker: usize,
    ) -> Self {
        let now = Instant::now();
        let timer = Timer::new(now + context.settings.read_timeout);
        let (backend, count) = login.backend.unzip();
        registration.known_as(&login.username);
        let statements = match login.is_tunnel {
            true => None,
            false => {
                let names = (&*login.username, &*login.database);
                Statements::new(&context, (worker, registration.id()), names)
            }
        };
        match &count {
            Some(count) => registration.has_backend(count.backend()),
            None => registration.at_backend(None),
        }
        Self {
            client: login.client,
            backend,
            capabilities: login.capabilities,
            status: login.status,
            nonce: login.nonce,
            err_sequence_id: None,
            half_close: HalfClose::None,
            timer,
            summary: Summary::default(),
            session: login.session,
            statements,
            is_from_pool: false,
            count,
            activity: Activity::Idle,
            begun_at: now,
            asked_at: None,
            registration,
            context,
            worker,
        }
    }

    /// Counts sessions from 1, for the log.
    pub(super) fn id(&self) -> u64 {
        self.registration.id()
    }

    /// The backend's place in what scripts see, from 1; 0 for none.
    pub(super) fn backend_ndx(&self) -> usize {
        self.count
            .as_ref()
            .map_or(0, |count| count.backend().index() + 1)
    }

    /// The backend's connection, for its pool. The session goes on without one.
    pub(super) fn detach(&mut self) -> Option<PooledConnection> {
        let mut session = self.session.take()?;
        let (count, stream) = self.count.take().zip(self.backend.take())?;
        session.status = self.status;
        session.nonce = std::mem::take(&mut self.nonce);
        self.status = StatusFlags::AUTOCOMMIT;
        self.registration.at_backend(None);
        Some(PooledConnection {
            count,
            stream,
            session,
        })
    }

    /// An idle connection takes its place.
    pub(super) fn attach(&mut self, mut idle: PooledConnection) {
        idle.session.is_shared = true;
        self.status = idle.session.status;
        self.nonce.clone_from(&idle.session.nonce);
        self.registration.gets_it_by(Why::Pool);
        self.registration.has_backend(idle.count.backend());
        self.backend = Some(idle.stream);
        self.count = Some(idle.count);
        self.session = Some(idle.session);
        self.is_from_pool = true;
    }

    /// Why others may not have the backend's connection now.
    pub(super) fn pinned(&mut self) -> Option<&'static str> {
        let session = self.session.as_mut()?;
        if self.half_close == HalfClose::PassedOn {
            return Some("the client half-closed its connection");
        }
        session.status = self.status;
        session.pinned()
    }

    /// As configured.
    pub(super) fn backend_name(&self) -> String {
        match &self.count {
            Some(count) => count.backend().address().to_string(),
            None => "(script)".to_owned(),
        }
    }

    /// The client has half-closed its connection, or is gone.
    pub(super) fn has_client_left(&self) -> bool {
        self.half_close != HalfClose::None
    }

    /// The server that the session is with, as configured.
    pub(super) fn backend_address(&self) -> Option<Address> {
        let count = self.count.as_ref()?;
        Some(count.backend().address().clone())
    }

    /// Of the backend's clients it is one.
    pub(super) fn count(&self) -> Option<&ClientCount> {
        self.count.as_ref()
    }

    /// Tells others what the session does, where no wait of the link does.
    pub(super) fn show(&mut self) {
        self.registration.show(self.activity, Instant::now());
    }

    /// Waits between two commands. An open transaction is finished before the session is.
    pub(super) async fn hear_idle(&mut self, input: &mut Buffer) -> Result<Heard, SessionError> {
        self.activity = Activity::Idle;
        let until = match self.status.contains(StatusFlags::IN_TRANS) {
            true => Phase::Expired,
            false => Phase::Draining,
        };
        self.hear(input, until).await
    }

    /// Waits for either side to say something, until the proxy is in phase `until`. The client's bytes are read into
    /// `input`, which holds no memory before they come; the backend's are left to be read.
    pub(super) async fn hear(
        &mut self,
        input: &mut Buffer,
        until: Phase,
    ) -> Result<Heard, SessionError> {
        self.arm_read();
        poll_fn(|task| {
            if self.has_backend_spoken(task) {
                return Poll::Ready(Ok(Heard::Backend));
            }
            while self.client.poll_read_ready(task).is_ready() {
                if let Poll::Ready(read) = self.poll_read(task, Party::Client, input) {
                    return Poll::Ready(read.map(Heard::Client));
                }
                input.release_if_empty();
            }
            self.poll_silent(task, until, Party::Client).map(Err)
        })
        .await
    }

    /// The rest of a command that came in pieces. `None` when the backend speaks before it has all of it.
    pub(super) async fn read_rest_of_command(
        &mut self,
        buffer: &mut Buffer,
    ) -> Result<Option<usize>, SessionError> {
        self.arm_read();
        poll_fn(|task| match self.poll_read(task, Party::Client, buffer) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(SessionError::Closed(Party::Client))),
            Poll::Ready(read) => Poll::Ready(read.map(Some)),
            Poll::Pending if self.has_backend_spoken(task) => Poll::Ready(Ok(None)),
            Poll::Pending => self
                .poll_silent(task, Phase::Expired, Party::Client)
                .map(Err),
        })
        .await
    }

    /// Bytes of the backend's response; its end is an error. A client that hangs up meanwhile is noticed, and a client
    /// that half-closes is passed on as just that, unless some of what it said is still `unsent`, or a script has more to
    /// say: then this is not its `is_last` response.
    pub(super) async fn read_response(
        &mut self,
        buffer: &mut Buffer,
        unsent: &Buffer,
        is_last: bool,
    ) -> Result<usize, SessionError> {
        let now = self.arm_read();
        self.asked_at.get_or_insert(now);
        let mut is_watching = self.half_close == HalfClose::None && unsent.is_empty();
        poll_fn(|task| {
            match self.poll_read(task, Party::Backend, buffer) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(SessionError::Closed(Party::Backend)));
                }
                Poll::Ready(read) => return Poll::Ready(read),
                Poll::Pending => {}
            }
            if is_watching && let Poll::Ready(has_bytes) = self.client.poll_peek(task) {
                is_watching = false;
                self.heard_early(has_bytes)?;
            }
            if is_last && self.half_close == HalfClose::Seen {
                self.pass_half_close_on(task);
            }
            self.poll_silent(task, Phase::Expired, Party::Backend)
                .map(Err)
        })
        .await
        .inspect(|_| self.see_first_byte())
    }

    /// Bytes of a backend that has been heard; 0 for its end.
    pub(super) async fn read_backend(
        &mut self,
        buffer: &mut Buffer,
    ) -> Result<usize, SessionError> {
        self.arm_read();
        poll_fn(|task| match self.poll_read(task, Party::Backend, buffer) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => self
                .poll_silent(task, Phase::Expired, Party::Backend)
                .map(Err),
        })
        .await
    }

    /// All of `bytes` to the client.
    pub(super) async fn write_client(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let mut written = 0;
        let mut is_armed = false;
        poll_fn(|task| {
            while written < bytes.len() {
                match Pin::new(&mut self.client).poll_write(task, &bytes[written..]) {
                    Poll::Ready(Ok(n)) => (written, is_armed) = (written + n, false),
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(SessionError::Io(Party::Client, error)));
                    }
                    Poll::Pending => {
                        return self.poll_stuck(task, Party::Client, &mut is_armed).map(Err);
                    }
                }
            }
            match Pin::new(&mut self.client).poll_flush(task) {
                Poll::Ready(flushed) => {
                    Poll::Ready(flushed.map_err(|error| SessionError::Io(Party::Client, error)))
                }
                Poll::Pending => self.poll_stuck(task, Party::Client, &mut is_armed).map(Err),
            }
        })
        .await
    }

    /// `bytes` to the backend: how many it took before it spoke, or all of them. A backend that is gone counts as one
    /// that has spoken: what it said before may still be there to read.
    pub(super) async fn write_backend(&mut self, bytes: &[u8]) -> Result<usize, SessionError> {
        let mut written = 0;
        let mut is_armed = false;
        poll_fn(|task| {
            while written < bytes.len() {
                let Some(backend) = &mut self.backend else {
                    break;
                };
                match Pin::new(backend).poll_write(task, &bytes[written..]) {
                    Poll::Ready(Ok(n)) => (written, is_armed) = (written + n, false),
                    Poll::Ready(Err(_)) => break,
                    Poll::Pending if self.has_backend_spoken(task) => break,
                    Poll::Pending => {
                        return self
                            .poll_stuck(task, Party::Backend, &mut is_armed)
                            .map(Err);
                    }
                }
            }
            self.poll_flush_backend(task, &mut is_armed)
                .map_ok(|()| written)
        })
        .await
    }

    /// What a backend took that is gone, or speaks, may be lost: what it says tells.
    fn poll_flush_backend(
        &mut self,
        task: &mut Task<'_>,
        is_armed: &mut bool,
    ) -> Poll<Result<(), SessionError>> {
        let Some(backend) = &mut self.backend else {
            return Poll::Ready(Ok(()));
        };
        match Pin::new(backend).poll_flush(task) {
            Poll::Ready(_) => Poll::Ready(Ok(())),
            Poll::Pending if self.has_backend_spoken(task) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll_stuck(task, Party::Backend, is_armed).map(Err),
        }
    }

    /// Both connections and what ends a session that only copies between them.
    pub(super) fn parts(&mut self) -> Option<(&mut Stream, &mut Stream, &Registration)> {
        let backend = self.backend.as_mut()?;
        Some((&mut self.client, backend, &self.registration))
    }

    /// A response ended: what it said of the session. Where it may be none to what was asked, the next may not either.
    pub(super) fn responded(&mut self, tracker: &ResponseTracker) {
        self.summary = *tracker.summary();
        self.count_response();
        if self.summary.is_out_of_sequence
            && let Some(session) = &mut self.session
        {
            session.add_pin(Some(sql::Pin::ForGood("a packet out of sequence")));
        }
        if let Some(status) = tracker.status() {
            self.status = status;
        }
    }

    /// What all sessions share.
    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// What ends a session that waits for something else than its connections.
    pub(super) fn registration(&self) -> &Registration {
        &self.registration
    }

    fn poll_read(
        &mut self,
        task: &mut Task<'_>,
        party: Party,
        buffer: &mut Buffer,
    ) -> Poll<Result<usize, SessionError>> {
        let stream = match (party, &mut self.backend) {
            (Party::Client, _) => &mut self.client,
            (Party::Backend, Some(backend)) => backend,
            (Party::Backend, None) => return Poll::Ready(Err(SessionError::Closed(party))),
        };
        let read = ready!(poll_read_buf(Pin::new(stream), task, buffer.room()));
        Poll::Ready(read.map_err(|error| SessionError::Io(party, error)))
    }

    /// True when there is something to read of the backend: bytes, its end, or an error.
    fn has_backend_spoken(&mut self, task: &mut Task<'_>) -> bool {
        let backend = self.backend.as_mut();
        backend.is_some_and(|backend| backend.poll_peek(task).is_ready())
    }

    /// The client said something during a response: its next command, which waits, or its end.
    fn heard_early(&mut self, has_bytes: io::Result<bool>) -> Result<(), SessionError> {
        match has_bytes {
            Ok(true) => {}
            Ok(false) => self.half_close = HalfClose::Seen,
            Err(error) => return Err(SessionError::Io(Party::Client, error)),
        }
        Ok(())
    }

    fn pass_half_close_on(&mut self, task: &mut Task<'_>) {
        self.half_close = HalfClose::PassedOn;
        // A backend that is gone is found out by the read that waits for it.
        if let Some(backend) = &mut self.backend {
            let _ = Pin::new(backend).poll_shutdown(task);
        }
    }

    fn poll_silent(
        &mut self,
        task: &mut Task<'_>,
        until: Phase,
        party: Party,
    ) -> Poll<SessionError> {
        let timeout = self.context.settings.read_timeout;
        self.poll_interrupted(task, until, (SessionError::Silent, party, timeout))
    }

    fn poll_stuck(
        &mut self,
        task: &mut Task<'_>,
        party: Party,
        is_armed: &mut bool,
    ) -> Poll<SessionError> {
        let timeout = self.context.settings.write_timeout;
        if !std::mem::replace(is_armed, true) {
            self.timer.set(Instant::now() + timeout);
        }
        self.poll_interrupted(task, Phase::Expired, (SessionError::Stuck, party, timeout))
    }

    fn poll_interrupted(
        &mut self,
        task: &mut Task<'_>,
        until: Phase,
        (error, party, timeout): (TimeoutError, Party, Duration),
    ) -> Poll<SessionError> {
        if self.registration.phase() >= until {
            return Poll::Ready(self.registration.end());
        }
        self.timer.poll(task).map(|()| error(party, timeout))
    }

    /// Returns the time, which is read anyway.
    fn arm_read(&mut self) -> Instant {
        let now = Instant::now();
        self.registration.show(self.activity, now);
        self.timer.set(now + self.context.settings.read_timeout);
        now
    }
}
