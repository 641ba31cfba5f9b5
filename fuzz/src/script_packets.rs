//! What scripts get of a peer's bytes, and what becomes of what they answer: `inj.resultset`, `mysql.proto`,
//! `mysql.tokenizer`, `proxy.response`. The script is in `script_packets.lua`.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use protocol::Capabilities;
use protocol::command::Layout;
use protocol::packet::put_payload;
use protocol::query::Query;
use protocol::response_tracker::{Next, ResponseTracker};
use script::{
    Buffered, Connection, Decision, Hook, Injection, InjectionResult, Loaded, Options, State,
    Statistics,
};

use crate::input::Input;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/script_packets.lua");

/// Far beyond what an input needs.
const STATE_BYTES_MAX: usize = 256 << 20;

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(Session::new());
}

/// A state with the script, and a connection that has an environment there.
struct Session {
    state: State,
    connection: Box<Connection>,
}

impl Session {
    fn new() -> Self {
        let mut options = Options::new();
        options.hook_timeout = None;
        options.memory_limit = STATE_BYTES_MAX;
        let mut state = State::new(options).expect("a state");
        let mut connection = Box::new(Connection {
            id: 1,
            ..Connection::default()
        });
        let loaded = state.open(Path::new(SCRIPT), &mut connection);
        assert_eq!(loaded, Ok(Loaded::Scripted));
        Self { state, connection }
    }

    /// Every call of ours ends with an answer: without one there was an error.
    fn call(&mut self, hook: Hook<'_>) -> Vec<Vec<u8>> {
        match self.state.call(&mut self.connection, hook) {
            Decision::SendResult(response) => response.payloads,
            decision => panic!("the script failed: {decision:?}"),
        }
    }
}

/// Input: what the bytes are, capabilities, bytes.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let kind = input.byte();
    let capabilities = input.capabilities();
    let bytes = input.rest();
    SESSION.with_borrow_mut(|session| match kind % 4 {
        0 => query(session, bytes, capabilities),
        1 => answer(session, bytes, capabilities),
        kind => result(session, bytes, capabilities, kind == 3),
    });
}

/// A client's command, with its attributes where it is a query that has some.
fn query(session: &mut Session, payload: &[u8], capabilities: Capabilities) {
    let query = Query::decode(payload, capabilities);
    session.connection.query_attributes =
        query.map_or(Vec::new(), |query| query.attributes.to_vec());
    session.call(Hook::ReadQuery(payload));
}

/// What the script makes of the bytes is a whole response.
fn answer(session: &mut Session, bytes: &[u8], capabilities: Capabilities) {
    session.connection.capabilities = capabilities;
    let payloads = session.call(Hook::ReadAuthResult(bytes));
    let mut packets = Vec::new();
    let mut sequence_id = 1;
    for payload in payloads {
        sequence_id = put_payload(&mut packets, sequence_id, &payload);
    }
    let mut tracker = ResponseTracker::new(Layout::Resultsets, capabilities);
    let progress = tracker.feed(&packets).expect("it is a response");
    assert_eq!(
        (progress.next, progress.consumed),
        (Next::End, packets.len())
    );
    assert!(!tracker.summary().is_out_of_sequence);
}

/// A server's response, kept for the script.
fn result(session: &mut Session, packets: &[u8], capabilities: Capabilities, is_binary: bool) {
    let buffered = Buffered {
        packets: packets.to_vec(),
        capabilities,
        is_binary,
    };
    let result = InjectionResult {
        injection: Injection {
            id: 1,
            packet: b"\x03SELECT 1".to_vec(),
            attributes: None,
            resultset_is_needed: true,
            queued_at: Instant::now(),
        },
        query_time: Duration::ZERO,
        response_time: Duration::ZERO,
        statistics: Statistics::default(),
        session_state: packets.to_vec(),
        buffered: Some(buffered.into()),
    };
    session.call(Hook::ReadQueryResult(Box::new(result)));
}
