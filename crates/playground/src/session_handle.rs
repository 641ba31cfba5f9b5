//! What others may know of a session and do to it: KILL, the end of its server, the SQL functions about it.

use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::STATEMENT_TIMEOUT;

/// Shared by the session's thread, its SQLite connection and its server.
#[derive(Debug)]
pub(crate) struct SessionHandle {
    id: u32,
    host: String,
    stream: TcpStream,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    is_killed: bool,
    is_query_killed: bool,
    statement_deadline: Instant,
    user: String,
    database: Option<String>,
    last_insert_id: u64,
}

impl State {
    fn must_stop(&self) -> bool {
        self.is_killed || self.is_query_killed || Instant::now() >= self.statement_deadline
    }
}

impl SessionHandle {
    /// `stream` is another descriptor of the session's socket.
    pub(crate) fn new(id: u32, host: String, stream: TcpStream) -> Self {
        Self {
            id,
            host,
            stream,
            state: Mutex::new(State {
                is_killed: false,
                is_query_killed: false,
                statement_deadline: Instant::now() + STATEMENT_TIMEOUT,
                user: String::new(),
                database: None,
                last_insert_id: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// `CONNECTION_ID()`
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// `USER()`
    pub(crate) fn account(&self) -> String {
        format!("{}@{}", self.state().user, self.host)
    }

    /// `DATABASE()`
    pub(crate) fn database(&self) -> Option<String> {
        self.state().database.clone()
    }

    /// `LAST_INSERT_ID()`
    pub(crate) fn last_insert_id(&self) -> u64 {
        self.state().last_insert_id
    }

    pub(crate) fn set_user(&self, user: &str) {
        self.state().user = user.to_owned();
    }

    pub(crate) fn set_database(&self, database: Option<&str>) {
        self.state().database = database.map(str::to_owned);
    }

    pub(crate) fn set_last_insert_id(&self, last_insert_id: u64) {
        self.state().last_insert_id = last_insert_id;
    }

    /// A statement starts: it gets its time.
    pub(crate) fn start_statement(&self) {
        let mut state = self.state();
        state.is_query_killed = false;
        state.statement_deadline = Instant::now() + STATEMENT_TIMEOUT;
    }

    /// True when the running statement is to end now.
    pub(crate) fn must_stop(&self) -> bool {
        self.state().must_stop()
    }

    /// `SLEEP()`: true when it was cut short.
    pub(crate) fn sleep(&self, seconds: f64) -> bool {
        let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
        let wake = Instant::now() + duration.min(STATEMENT_TIMEOUT);
        let mut state = self.state();
        while !state.must_stop() {
            let left = wake.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// `KILL QUERY`
    pub(crate) fn kill_query(&self) {
        self.state().is_query_killed = true;
        self.changed.notify_all();
    }

    /// Cuts the connection and ends what it runs.
    pub(crate) fn kill(&self) {
        self.state().is_killed = true;
        self.changed.notify_all();
        // The peer may have closed it already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
