//! A directory with a script, a state that loads it, backends made of numbers, and what was logged.

use std::fmt::{Debug, Write};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protocol::{Capabilities, StatusFlags};
use script::{
    Applicant, BackendState, BackendView, Buffered, Connection, Decision, Endpoint, Hook,
    Injection, InjectionResult, LoadError, Loaded, Options, Peer, Response, Shared, State,
    Statistics, Taken,
};
use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// A script's file and a state for it.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) state: State,
    next_id: u64,
}

impl Bench {
    /// The default policy.
    pub(crate) fn new(script: &str) -> Self {
        Self::with(script, |_| {})
    }

    pub(crate) fn with(script: &str, change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("script.lua"), script).expect("a script to write");
        let pattern = |suffix| format!("{}/?.{suffix}", directory.path().display());
        let mut options = Options::new();
        options.lua_path = Some(pattern("lua"));
        options.lua_cpath = Some(pattern("so"));
        options.hook_timeout = None;
        options.shared = Arc::new(Shared::new(10_000));
        change(&mut options);
        Self {
            directory,
            state: State::new(options).expect("a state"),
            next_id: 1,
        }
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.directory.path().join("script.lua")
    }

    pub(crate) fn write(&self, script: &str) {
        fs::write(self.script(), script).expect("a script to write");
    }

    /// A file beside the script, for `require`.
    pub(crate) fn module(&self, name: &str, source: &str) {
        fs::write(self.directory.path().join(format!("{name}.lua")), source)
            .expect("a module to write");
    }

    /// A connection that was not opened.
    pub(crate) fn connection(&mut self) -> Box<Connection> {
        let id = self.next_id;
        self.next_id += 1;
        Box::new(Connection {
            id,
            capabilities: Capabilities::PROTOCOL_41,
            ..Connection::default()
        })
    }

    pub(crate) fn try_open(&mut self) -> (Box<Connection>, Result<Loaded, LoadError>) {
        let mut connection = self.connection();
        let script = self.script();
        let loaded = self.state.open(&script, &mut connection);
        (connection, loaded)
    }

    /// A connection with an environment.
    pub(crate) fn open(&mut self) -> Box<Connection> {
        let (connection, loaded) = self.try_open();
        assert_eq!(loaded, Ok(Loaded::Scripted));
        connection
    }

    /// `read_query` with a COM_QUERY of this text.
    pub(crate) fn query(&mut self, connection: &mut Box<Connection>, text: &str) -> Decision {
        let packet = [b"\x03", text.as_bytes()].concat();
        self.state.call(connection, Hook::ReadQuery(&packet))
    }

    /// What a script's `read_query` answers by `proxy.response` of type RAW, as text.
    pub(crate) fn answer(&mut self, connection: &mut Box<Connection>, text: &str) -> String {
        raw_text(self.query(connection, text))
    }
}

/// The first payload of an answer.
#[track_caller]
pub(crate) fn raw_text(decision: Decision) -> String {
    let Decision::SendResult(Response { payloads }) = decision else {
        panic!("no answer but {decision:?}");
    };
    String::from_utf8_lossy(&payloads[0]).into_owned()
}

/// A script that answers each query with what the Lua expression in it is, as `tostring` has it, or with its error.
pub(crate) const CALCULATOR: &str = "
function calculate(packet)
  local chunk = assert(loadstring('return ' .. packet:sub(2)))
  local results = { pcall(setfenv(chunk, getfenv(1))) }
  for i = 1, 4 do results[i] = tostring(results[i]) end
  local text = results[1] == 'true' and results[2] or 'error: ' .. results[2]
  proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { text } }
  return proxy.PROXY_SEND_RESULT
end
read_query = calculate
";

/// `read_query_result`'s argument.
pub(crate) fn injection_result(is_buffered: bool) -> Box<InjectionResult> {
    Box::new(InjectionResult {
        injection: Injection {
            id: 7,
            packet: b"\x03SELECT 1".to_vec(),
            attributes: None,
            resultset_is_needed: is_buffered,
            queued_at: Instant::now(),
        },
        query_time: Duration::from_micros(10),
        response_time: Duration::from_micros(20),
        session_state: Vec::new(),
        statistics: Statistics {
            status: StatusFlags::AUTOCOMMIT,
            affected_rows: Some(3),
            insert_id: Some(0),
            query_status: Some(0),
            ..Statistics::default()
        },
        buffered: is_buffered.then(|| {
            Buffered {
                packets: vec![7, 0, 0, 1, 0, 3, 0, 2, 0, 0, 0],
                capabilities: Capabilities::PROTOCOL_41,
                is_binary: false,
            }
            .into()
        }),
    })
}

/// A backend that is only its numbers.
#[derive(Debug)]
pub(crate) struct FakeBackend {
    pub(crate) dst: Option<Endpoint>,
    pub(crate) is_read_only: bool,
    pub(crate) connected_clients: usize,
    pub(crate) state: AtomicU8,
    pub(crate) uuid: Mutex<Option<Vec<u8>>>,
    /// `min_idle_connections`, `max_idle_connections`
    pub(crate) limits: (AtomicI64, AtomicI64),
    /// The users of idle connections, oldest first.
    pub(crate) idle: Mutex<Vec<&'static str>>,
}

impl FakeBackend {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            dst: Some(Endpoint::Ip(address.parse().expect("an address"))),
            is_read_only: false,
            connected_clients: 5,
            state: AtomicU8::new(0),
            uuid: Mutex::default(),
            limits: Default::default(),
            idle: Mutex::default(),
        }
    }
}

/// The state that makes [`FakeBackend`] panic when a script sets it.
pub(crate) const PANICS: BackendState = BackendState::Down;

impl BackendView for FakeBackend {
    fn connected_clients(&self) -> usize {
        self.connected_clients
    }

    fn dst(&self) -> Option<Endpoint> {
        self.dst.clone()
    }

    fn configured_address(&self) -> String {
        "db.example:3306".into()
    }

    fn state(&self) -> BackendState {
        match self.state.load(Ordering::Relaxed) {
            1 => BackendState::Up,
            2 => BackendState::Down,
            _ => BackendState::Unknown,
        }
    }

    fn set_state(&self, state: BackendState) {
        assert_ne!(state, PANICS, "the panic that was asked for");
        self.state.store(state as u8, Ordering::Relaxed);
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn uuid(&self) -> Option<Vec<u8>> {
        self.uuid.lock().expect("no thread panicked").clone()
    }

    fn set_uuid(&self, uuid: Option<Vec<u8>>) {
        *self.uuid.lock().expect("no thread panicked") = uuid;
    }

    fn idle_limits(&self) -> (&AtomicI64, &AtomicI64) {
        (&self.limits.0, &self.limits.1)
    }

    fn idle_connections(&self, applicant: &Applicant<'_>) -> usize {
        let idle = self.idle.lock().expect("no thread panicked");
        let suiting = idle.iter().filter(|user| suits(user, applicant));
        suiting.count()
    }

    fn take_idle(&self, applicant: &Applicant<'_>) -> Option<Taken> {
        let mut idle = self.idle.lock().expect("no thread panicked");
        let at = idle.iter().position(|user| suits(user, applicant))?;
        let user = idle.remove(at);
        Some(Taken {
            backend: 0,
            peer: Peer {
                default_db: user.into(),
                ..Peer::default()
            },
            connection: Box::new(user),
        })
    }

    fn put_back(&self, taken: Taken) {
        let user = taken.connection.downcast::<&str>().expect("ours");
        self.idle.lock().expect("no thread panicked").push(*user);
    }
}

fn suits(user: &str, applicant: &Applicant<'_>) -> bool {
    applicant.logs_in || user.as_bytes() == applicant.username
}

/// What `run` logs: `LEVEL message field=value`, in order; nothing below INFO.
pub(crate) fn logged<R>(run: impl FnOnce() -> R) -> (R, Vec<String>) {
    logged_from(Level::INFO, run)
}

/// As [`logged`], but from this level up.
pub(crate) fn logged_from<R>(level: Level, run: impl FnOnce() -> R) -> (R, Vec<String>) {
    let lines = Lines {
        level,
        lines: Arc::default(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let result = tracing::subscriber::with_default(subscriber, run);
    let lines = lines.lines.lock().expect("no thread panicked").clone();
    (result, lines)
}

#[derive(Clone)]
struct Lines {
    level: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > self.level || !event.metadata().target().starts_with("script") {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let text = format!("{level} {}{}", line.message, line.fields);
        self.lines.lock().expect("no thread panicked").push(text);
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => write!(self.fields, " {name}={value:?}").expect("a string takes it"),
        }
    }
}
