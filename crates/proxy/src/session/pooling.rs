//! The backend's connection as something that a script gives to the pool and takes from there.
//!
//! What a hook did with `proxy.connection.backend_ndx` is settled when it ends. A connection from the pool is made what the
//! client's session was elsewhere before the first command goes there ([`synchronise`]). A question that only another
//! connection could answer is refused.

use protocol::response::ErrPacket;
use script::{Decision, Hold, Hook};
use sql::Recall;
use tracing::{info, warn};

use super::effect::Effect;
use super::error::{Refusal, SessionError};
use super::link::Link;
use super::past::Answer;
use super::script::Script;
use super::synchronise::{self, Step};
use super::unless_expired;
use crate::settings::PoolReset;
use crate::traces::SpanWork;

/// A script gave its server up, and names no other.
pub(super) const NO_SERVER: &str = "I have no server backend, closing connection";

/// Whether a command can be sent.
pub(super) enum Readiness {
    Ready,
    /// The script left the client without a server, and names none.
    NoServer,
    /// The client is told this in answer.
    Refused(Refusal),
}

impl Link {
    /// Calls a hook between two commands, and does what it did with the backend.
    pub(super) async fn call(&mut self, script: &mut Script, hook: Hook<'_>) -> Decision {
        let hold = self.hold();
        self.call_while(hold, script, hook).await
    }

    /// Whether the backend's connection may be given up.
    pub(super) fn hold(&mut self) -> Hold {
        self.pinned().map_or(Hold::Free, Hold::Pinned)
    }

    /// The same where the connection is held.
    pub(super) async fn call_while(
        &mut self,
        hold: Hold,
        script: &mut Script,
        hook: Hook<'_>,
    ) -> Decision {
        script.connection.hold = hold;
        let (name, began) = (hook.name(), self.begin_span());
        let decision = script.call(hook).await;
        if script.connection.has_hook_run {
            self.end_span(began, |_| SpanWork::Hook(name));
        }
        if let Some(reason) = script.connection.pinned_by.take() {
            self.counters().pinned(reason);
        }
        self.settle(script);
        let (wanted, attached) = (script.connection.backend_ndx, self.backend_ndx());
        if self.backend.is_some() && wanted != attached {
            info!(
                "no idle connection to backend {wanted} for this client: it stays with {attached}"
            );
        }
        decision
    }

    /// What a hook gave up goes to its pool, what it took is attached.
    pub(super) fn settle(&mut self, script: &mut Script) {
        if std::mem::take(&mut script.connection.is_released) {
            self.give_back();
        }
        if let Some(idle) = script.take_idle() {
            self.attach(idle);
        }
    }

    /// The backend's connection to its pool.
    fn give_back(&mut self) {
        if let Some(connection) = self.detach() {
            connection.give_back();
        }
    }

    /// Sees to a connection that a command of this effect can be sent on. The answer to it starts with `next_sequence_id`.
    pub(super) async fn ready(
        &mut self,
        script: &mut Script,
        effect: &Effect,
        next_sequence_id: Option<u8>,
    ) -> Result<Readiness, SessionError> {
        // A connection that was never another's has all the answers.
        let is_own = matches!(&self.session, Some(session) if !session.is_shared);
        let questions = match is_own {
            true => Recall::default(),
            false => effect.recall().questions(),
        };
        if self.backend.is_some() && !self.is_from_pool && questions.is_empty() {
            return Ok(Readiness::Ready);
        }
        self.err_sequence_id = next_sequence_id;
        if self.backend.is_none() {
            match self.wait_for_idle(script).await? {
                Readiness::Ready => {}
                other => return Ok(other),
            }
        }
        let is_from_pool = std::mem::take(&mut self.is_from_pool);
        let (way, id) = (self.context().settings.pool_reset, self.id());
        let Some(session) = self.session.as_ref().filter(|_| way != PoolReset::Never) else {
            return Ok(Readiness::Ready);
        };
        let is_anothers = way == PoolReset::Always && session.traces.are_anothers(id);
        let resets = is_from_pool && (is_anothers || session.settings != script.settings);
        let mut traces = session.traces;
        if resets {
            traces.reset();
        }
        let forgetting = match script.past.answer(questions, &traces) {
            Answer::Right => None,
            Answer::AfterForgettingInsertId => Some(Step::ForgetInsertId),
            Answer::AfterForgettingWarnings => Some(Step::ForgetWarnings),
            Answer::Lost(what) => {
                if is_from_pool {
                    self.give_back();
                    script.connection.detach();
                }
                return Ok(Readiness::Refused(lost(what)));
            }
        };
        let mut steps = Vec::new();
        if resets {
            steps = synchronise::resetting(session, &script.settings);
            if let Some(count) = self.count() {
                count.backend().pool().has_reset();
            }
        }
        if is_from_pool && !effect.uses_database() {
            let wanted = &script.connection.client.default_db;
            steps.extend(synchronise::using(&session.default_db, wanted));
        }
        steps.extend(forgetting);
        match self.synchronise(script, &steps).await? {
            None => Ok(Readiness::Ready),
            Some(refusal) => {
                if is_from_pool {
                    self.leave_half_way(script).await?;
                }
                Ok(Readiness::Refused(refusal))
            }
        }
    }

    /// A connection that could not be made the client's: nobody else suffers from that.
    async fn leave_half_way(&mut self, script: &mut Script) -> Result<(), SessionError> {
        match self.synchronise(script, &[Step::Reset]).await? {
            None => self.give_back(),
            Some(_) => drop(self.detach()),
        }
        script.connection.detach();
        Ok(())
    }

    /// For a client without a connection, whose script has named a backend.
    async fn wait_for_idle(&mut self, script: &mut Script) -> Result<Readiness, SessionError> {
        let ndx = script.connection.backend_ndx;
        let context = self.context().clone();
        let patience = context.settings.pool_wait;
        let backend = ndx
            .checked_sub(1)
            .and_then(|index| context.backends.get(index));
        let (Some(backend), Some(login)) = (backend, &script.connection.client.login) else {
            return Ok(Readiness::NoServer);
        };
        if patience.is_zero() {
            return Ok(Readiness::NoServer);
        }
        let wanted = (&*login.username, self.capabilities);
        let waiting = backend.wait_for_idle(wanted, context.generation.number, patience);
        let began = self.begin_span();
        let idle = unless_expired(self.registration(), waiting).await?;
        self.end_span(began, |_| SpanWork::PoolWait(backend.address().clone()));
        let Some(idle) = idle else {
            let address = backend.address();
            let user = String::from_utf8_lossy(&login.username);
            warn!(
                "user {user} got no idle connection to backend {address} within --proxy-pool-wait={patience:?}: its command is refused"
            );
            return Ok(Readiness::Refused(Refusal::new(
                TOO_MANY_CONNECTIONS,
                *b"08004",
                format!("(proxy) no idle connection to backend {address} within {patience:?}"),
            )));
        };
        script.attached(&idle);
        self.attach(idle);
        Ok(Readiness::Ready)
    }
}

/// Too many of the user's clients want a connection at once.
const TOO_MANY_CONNECTIONS: u16 = 1040;

fn lost(what: &str) -> Refusal {
    Refusal::new(
        protocol::response::error_code::UNKNOWN_ERROR,
        ErrPacket::GENERAL_ERROR,
        format!(
            "(proxy) the statement asks for {what}, of a statement before it: that ran on another connection, or others have \
             used this one since. The script has to keep the connection for both"
        ),
    )
}
