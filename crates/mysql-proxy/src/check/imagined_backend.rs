//! A backend that nobody uses, to see whether a script's body runs when there is one.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use backend::Role;
use script::{Applicant, BackendState, BackendView, Endpoint, Taken};

/// It was never reached, and has no idle connections.
#[derive(Debug)]
pub(super) struct ImaginedBackend {
    role: Role,
    state: AtomicU8,
    idle_limits: [AtomicI64; 2],
}

impl ImaginedBackend {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            state: AtomicU8::new(BackendState::Unknown as u8),
            idle_limits: Default::default(),
        }
    }
}

impl BackendView for ImaginedBackend {
    fn connected_clients(&self) -> usize {
        0
    }

    fn dst(&self) -> Option<Endpoint> {
        None
    }

    fn configured_address(&self) -> String {
        "127.0.0.1:3306".to_owned()
    }

    fn state(&self) -> BackendState {
        match self.state.load(Ordering::Relaxed) {
            1 => BackendState::Up,
            2 => BackendState::Down,
            _ => BackendState::Unknown,
        }
    }

    fn set_state(&self, state: BackendState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    fn is_read_only(&self) -> bool {
        self.role == Role::ReadOnly
    }

    fn uuid(&self) -> Option<Vec<u8>> {
        None
    }

    fn set_uuid(&self, _: Option<Vec<u8>>) {}

    fn idle_limits(&self) -> (&AtomicI64, &AtomicI64) {
        let [min, max] = &self.idle_limits;
        (min, max)
    }

    fn idle_connections(&self, _: &Applicant<'_>) -> usize {
        0
    }

    fn take_idle(&self, _: &Applicant<'_>) -> Option<Taken> {
        None
    }

    fn put_back(&self, _: Taken) {}
}
