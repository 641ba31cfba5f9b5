//! The Lua states of a proxy. Every scripted session belongs to one; a state serves one hook at a time, and a worker never
//! blocks on it: who has to wait, waits asynchronously while others are served.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use script::{Options, State};

use crate::turn::Turns;

/// What a script needs to know beside its own options.
#[derive(Debug, Clone)]
pub struct ScriptSettings {
    /// The script and what Lua finds its modules by.
    pub options: Options,
    /// Lua states. With one, `proxy.global` is everyone's; with more, it is each state's own.
    pub states: NonZeroUsize,
    /// Bytes of one response that are kept for `read_query_result`.
    pub result_bytes_max: usize,
    /// Bytes of one command that are joined for `read_query`.
    pub command_bytes_max: usize,
}

/// All states.
pub(crate) struct Scripts {
    pub(crate) settings: ScriptSettings,
    states: Vec<Turns<State>>,
    next_connection: AtomicU64,
}

impl Scripts {
    /// Reads no script: that is done when a client connects.
    pub(crate) fn new(settings: ScriptSettings) -> Result<Self, script::StateError> {
        let states = (0..settings.states.get())
            .map(|_| State::new(settings.options.clone()).map(Turns::new))
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

    /// Lends the state of a connection, for one hook.
    pub(crate) async fn with_state<R>(
        &self,
        connection_id: u64,
        visit: impl FnOnce(&mut State) -> R,
    ) -> R {
        let index = connection_id % self.states.len() as u64;
        self.states[index as usize].with(visit).await
    }
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
