//! The Lua states of a proxy. Every scripted session belongs to one; a state serves one hook at a time, and a worker never
//! blocks on it: who has to wait, waits asynchronously while others are served.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use script::{Options, State};
use tracing::{error, warn};

use crate::shutdown::Shutdown;
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

/// All states, with the settings that some sessions began with.
pub(crate) struct Scripts {
    pub(crate) settings: ScriptSettings,
    shared: Arc<States>,
}

struct States {
    list: Vec<Mutex<SharedState>>,
    next_connection: AtomicU64,
    /// The latest. A state has them from the next connection that is opened in it.
    options: RwLock<Arc<Options>>,
}

/// A state, as the sessions that belong to it have it.
pub(crate) type SharedState = Arc<Turns<State>>;

impl Scripts {
    /// Reads no script: that is done when a client connects.
    pub(crate) fn new(settings: ScriptSettings) -> Result<Self, script::StateError> {
        let states = (0..settings.states.get())
            .map(|_| create(settings.options.clone()).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        let shared = States {
            list: states,
            next_connection: AtomicU64::new(1),
            options: RwLock::new(Arc::new(settings.options.clone())),
        };
        Ok(Self {
            settings,
            shared: Arc::new(shared),
        })
    }

    /// The same, for scripts that may end the proxy.
    pub(crate) fn start(settings: &ScriptSettings, shutdown: &Shutdown) -> io::Result<Self> {
        let (mut settings, shutdown) = (settings.clone(), shutdown.clone());
        settings.options.shutdown = script::Shutdown::new(move || shutdown.drain());
        Self::new(settings).map_err(io::Error::other)
    }

    /// The same states. What they were made with stays: their number, `proxy.shared` and where modules are.
    pub(crate) fn with(&self, settings: &ScriptSettings) -> Self {
        let mut settings = settings.clone();
        settings.states = self.settings.states;
        settings.options = self.settings.options.adopting(&settings.options);
        let mut options = self
            .shared
            .options
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *options = Arc::new(settings.options.clone());
        drop(options);
        let shared = Arc::clone(&self.shared);
        Self { settings, shared }
    }

    /// New clients have none any more.
    pub(crate) fn without_script(&self) -> Self {
        Self {
            settings: ScriptSettings {
                script: None,
                ..self.settings.clone()
            },
            shared: Arc::clone(&self.shared),
        }
    }

    /// Names a connection in its state.
    pub(crate) fn connection_id(&self) -> u64 {
        self.shared.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// The state for a new connection that `worker` serves, one of so many `workers`. A state that is worn out keeps the
    /// connections that it has, and ends with the last.
    pub(crate) async fn state_for(
        &self,
        connection_id: u64,
        worker: usize,
        workers: NonZeroUsize,
    ) -> SharedState {
        let list = &self.shared.list;
        let place = &list[place(list.len(), connection_id, worker, workers)];
        let state = Arc::clone(&place.lock().unwrap_or_else(PoisonError::into_inner));
        let options = self.shared.options();
        let adopt = |state: &mut State| {
            state.adopt(&options);
            state.is_worn_out()
        };
        match state.with(adopt).await {
            false => state,
            true => self.replace(place, &state),
        }
    }

    /// All states, in order.
    pub(crate) fn states(&self) -> impl Iterator<Item = SharedState> {
        let lock = |place: &Mutex<SharedState>| {
            Arc::clone(&place.lock().unwrap_or_else(PoisonError::into_inner))
        };
        self.shared.list.iter().map(lock)
    }

    fn replace(&self, place: &Mutex<SharedState>, worn_out: &SharedState) -> SharedState {
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        // Unless somebody else was here first.
        if Arc::ptr_eq(&place, worn_out) {
            let options = self.shared.options();
            let memory_limit = options.memory_limit;
            match create(Options::clone(&options)) {
                Ok(fresh) => {
                    warn!(
                        "a Lua state has used up --lua-memory-limit={}: new connections get a fresh one, with the script \
                         loaded anew; the old one ends with its last connection",
                        memory_limit
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

impl States {
    fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn create(options: Options) -> Result<SharedState, script::StateError> {
    Ok(Arc::new(Turns::new(State::new(options)?)))
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
