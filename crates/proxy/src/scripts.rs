//! The Lua states of a proxy. Every scripted session belongs to one; a state serves one hook at a time, and a worker never
//! blocks on it: who has to wait, waits asynchronously while others are served.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use script::{Options, State};
use tracing::{error, warn};

use crate::turn::Turns;

/// What a script needs to know beside its own options.
#[derive(Debug, Clone)]
pub struct ScriptSettings {
    /// What Lua finds its modules by, and its limits.
    pub options: Options,
    /// The script of clients, absolute; `None` where only operators have one.
    pub script: Option<PathBuf>,
    /// Lua states. With one, `proxy.global` is everyone's; with more, it is each state's own.
    pub states: NonZeroUsize,
    /// Bytes of one response that are kept for `read_query_result`.
    pub result_bytes_max: usize,
    /// Bytes of one command that are joined for `read_query`.
    pub command_bytes_max: usize,
}

impl ScriptSettings {
    /// The defaults of the command line, but for the paths where modules are looked for.
    pub fn new(script: Option<PathBuf>) -> Self {
        Self {
            options: Options::new(),
            script,
            states: NonZeroUsize::MIN,
            result_bytes_max: 256 << 20,
            command_bytes_max: 1 << 30,
        }
    }
}

/// All states.
pub(crate) struct Scripts {
    pub(crate) settings: ScriptSettings,
    states: Vec<Mutex<SharedState>>,
    next_connection: AtomicU64,
}

/// A state, as the sessions that belong to it have it.
pub(crate) type SharedState = Arc<Turns<State>>;

impl Scripts {
    /// Reads no script: that is done when a client connects.
    pub(crate) fn new(settings: ScriptSettings) -> Result<Self, script::StateError> {
        let states = (0..settings.states.get())
            .map(|_| create(&settings).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            states,
            next_connection: AtomicU64::new(1),
        })
    }

    /// Names a connection in its state.
    pub(crate) fn connection_id(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// The state for a new connection that `worker` serves, one of so many `workers`. A state that is worn out keeps the
    /// connections that it has, and ends with the last.
    pub(crate) async fn state_for(
        &self,
        connection_id: u64,
        worker: usize,
        workers: NonZeroUsize,
    ) -> SharedState {
        let place = &self.states[place(self.states.len(), connection_id, worker, workers)];
        let state = Arc::clone(&place.lock().unwrap_or_else(PoisonError::into_inner));
        match state.with(|state| state.is_worn_out()).await {
            false => state,
            true => self.replace(place, &state),
        }
    }

    /// All states, in order.
    pub(crate) fn states(&self) -> impl Iterator<Item = SharedState> {
        let lock = |place: &Mutex<SharedState>| {
            Arc::clone(&place.lock().unwrap_or_else(PoisonError::into_inner))
        };
        self.states.iter().map(lock)
    }

    fn replace(&self, place: &Mutex<SharedState>, worn_out: &SharedState) -> SharedState {
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        // Unless somebody else was here first.
        if Arc::ptr_eq(&place, worn_out) {
            match create(&self.settings) {
                Ok(fresh) => {
                    warn!(
                        "a Lua state has used up --lua-memory-limit={}: new connections get a fresh one, with the script \
                         loaded anew; the old one ends with its last connection",
                        self.settings.options.memory_limit
                    );
                    *place = fresh;
                }
                Err(error) => error!("a Lua state has used up its memory and stays: {error}"),
            }
        }
        Arc::clone(&place)
    }
}

/// States belong to workers: a hook that waits for something holds up its worker, and is to hold up nobody of another
/// state. Where there are more states than workers, each worker's sessions are dealt out to its own.
fn place(states: usize, connection_id: u64, worker: usize, workers: NonZeroUsize) -> usize {
    let first = worker % states;
    let own = (states - first).div_ceil(workers.get()) as u64;
    first + workers.get() * (connection_id % own) as usize
}

fn create(settings: &ScriptSettings) -> Result<SharedState, script::StateError> {
    Ok(Arc::new(Turns::new(State::new(settings.options.clone())?)))
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_shared_out_among_workers() {
        let of_worker = |states, workers: usize, worker| {
            let workers = NonZeroUsize::new(workers).expect("there are some");
            let mut places: Vec<_> = (0..12)
                .map(|id| place(states, id, worker, workers))
                .collect();
            places.sort_unstable();
            places.dedup();
            places
        };
        assert_eq!([0, 1, 2].map(|worker| of_worker(1, 3, worker)), [[0]; 3]);
        assert_eq!(
            [0, 1, 2, 3].map(|worker| of_worker(2, 4, worker)),
            [[0], [1], [0], [1]]
        );
        assert_eq!([0, 1].map(|worker| of_worker(2, 2, worker)), [[0], [1]]);
        assert_eq!(
            [0, 1].map(|worker| of_worker(5, 2, worker)),
            [vec![0, 2, 4], vec![1, 3]]
        );
        assert_eq!(of_worker(3, 1, 0), [0, 1, 2]);
    }
}
