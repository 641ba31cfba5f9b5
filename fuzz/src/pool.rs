//! Operations on a pool, one after the other, against [`Model`], a list of what is idle in the order of coming.
//!
//! Of several threads at once nothing is seen here.

mod model;

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use backend::traces::Traces;
use backend::{
    Applicant, Availability, Backend, Backends, Balance, PooledConnection, Role, ServerSession,
    Settings, Stream,
};
use protocol::connection_phase::HandshakeV10;
use protocol::{Capabilities, StatusFlags};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use crate::input::Input;
use model::{Model, Wanted};

/// Connections of others are never handed out; here all are of one.
const GENERATION: u64 = 1;
const USERS: [&str; 4] = ["", "a", "b", "c"];
/// What [`wanted`] gives for lower numbers, it gives for higher ones too.
const WANTED_KINDS: u8 = 16;
/// Files that are open at once.
const CONNECTIONS_MAX: usize = 16;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
}

/// Input: operations, each with the number of what it is done to.
pub(crate) fn run(input: &[u8]) {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let mut input = Input::new(input);
            let mut test = Test::new();
            while !input.is_empty() {
                test.step(input.byte(), input.byte()).await;
                test.check();
            }
            drop(test);
            // A runtime that never waits keeps what it watched.
            tokio::task::yield_now().await;
        });
    });
}

type Waiter = Pin<Box<dyn Future<Output = Option<PooledConnection>>>>;

struct Test {
    backends: Backends,
    backend: Arc<Backend>,
    /// By the number of the connection: the server's end, while it is open.
    servers: Vec<Option<UnixStream>>,
    held: Vec<PooledConnection>,
    waiters: Vec<(usize, Waiter)>,
    model: Model,
}

impl Test {
    fn new() -> Self {
        let address = "db:3306".parse().expect("an address");
        let backends = Backends::new([(address, Role::ReadWrite)], Balance::RoundRobin);
        let backend = backends.get(0).expect("it was just added");
        Self {
            backends,
            backend,
            servers: Vec::new(),
            held: Vec::new(),
            waiters: Vec::new(),
            model: Model::default(),
        }
    }

    async fn step(&mut self, operation: u8, argument: u8) {
        let index = usize::from(argument);
        match operation % 9 {
            0 => self.connect(argument),
            1 if !self.held.is_empty() => {
                let connection = self.held.remove(index % self.held.len());
                let number = number(&connection);
                connection.give_back();
                self.model.give_back(number);
            }
            2 => self.take(argument),
            3 if self.waiters.len() < CONNECTIONS_MAX => self.wait(argument).await,
            4 if !self.waiters.is_empty() => {
                let index = index % self.waiters.len();
                self.poll(index).await;
            }
            5 if !self.waiters.is_empty() => {
                let (waiter, future) = self.waiters.remove(index % self.waiters.len());
                drop(future);
                self.model.leave(waiter);
            }
            6 if !self.servers.is_empty() => {
                let number = index % self.servers.len();
                self.servers[number] = None;
                self.model.die(number);
            }
            7 => {
                let pool = self.backend.pool();
                pool.min_idle
                    .store(i64::from(argument % 4), Ordering::Relaxed);
                self.model.min_idle = usize::from(argument % 4);
            }
            8 => {
                let is_open = !argument.is_multiple_of(4);
                self.backend.set_availability(match is_open {
                    true => Availability::InService,
                    false => Availability::Draining,
                });
                self.model.set_open(is_open);
            }
            _ => {}
        }
    }

    /// A login.
    fn connect(&mut self, argument: u8) {
        if self.servers.iter().flatten().count() >= CONNECTIONS_MAX {
            return;
        }
        let Some(count) = self.backends.choose(&[]) else {
            return;
        };
        let wanted = wanted(argument);
        let (near, far) = UnixStream::pair().expect("two files");
        let number = self.servers.len();
        self.servers.push(Some(far));
        let session = Box::new(ServerSession {
            handshake: Arc::new(HandshakeV10::default()),
            generation: GENERATION,
            username: wanted.username.into(),
            character_set: 45,
            capabilities: wanted.capabilities,
            default_db: Vec::new(),
            settings: Settings::of_login(45),
            statements: HashSet::new(),
            pin: None,
            status: StatusFlags::AUTOCOMMIT,
            // Tells connections apart.
            nonce: number.to_le_bytes().to_vec(),
            traces: Traces::default(),
            is_shared: false,
        });
        self.held.push(PooledConnection {
            count,
            stream: Stream::Unix(near),
            session,
        });
        self.model.connect(wanted);
    }

    fn take(&mut self, argument: u8) {
        let wanted = wanted(argument);
        let taken = self.backend.take_idle(&wanted.applicant());
        self.hold(taken, wanted, |model| model.take(wanted));
    }

    async fn wait(&mut self, argument: u8) {
        let backend = Arc::clone(&self.backend);
        let wanted = Wanted {
            logs_in: false,
            ..wanted(argument)
        };
        let waiter = self.model.wait(wanted);
        let future = async move {
            let patience = Duration::from_secs(3600);
            let username = wanted.username.as_bytes();
            backend
                .wait_for_idle((username, wanted.capabilities), GENERATION, patience)
                .await
        };
        self.waiters.push((waiter, Box::pin(future)));
        self.poll(self.waiters.len() - 1).await;
    }

    async fn poll(&mut self, index: usize) {
        let (waiter, future) = &mut self.waiters[index];
        let waiter = *waiter;
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        let wanted = self.model.wanted_by(waiter);
        let taken = match polled {
            Poll::Ready(taken) => {
                assert!(taken.is_some(), "an hour has not passed");
                drop(self.waiters.remove(index));
                taken
            }
            Poll::Pending => None,
        };
        self.hold(taken, wanted, |model| model.poll(waiter));
    }

    /// What was handed out is what the model hands out, and the applicant may have it.
    fn hold(
        &mut self,
        taken: Option<PooledConnection>,
        wanted: Wanted,
        expected: impl FnOnce(&mut Model) -> Option<usize>,
    ) {
        assert_eq!(taken.as_ref().map(number), expected(&mut self.model));
        let Some(taken) = taken else {
            return;
        };
        assert!(
            self.held.iter().all(|held| number(held) != number(&taken)),
            "handed to two"
        );
        assert!(wanted.logs_in || taken.session.username == wanted.username.as_bytes());
        assert!(taken.session.suits(wanted.capabilities));
        assert!(self.servers[number(&taken)].is_some(), "it is dead");
        self.held.push(taken);
    }

    fn check(&self) {
        let pool = self.backend.pool();
        assert_eq!(
            self.backend.clients(),
            self.held.len() + self.model.delivered()
        );
        assert_eq!(pool.idle_by_user(), self.model.idle_by_user());
        assert_eq!(pool.waiting(), self.model.waiting());
        for wanted in (0..WANTED_KINDS).map(wanted) {
            assert_eq!(pool.count(&wanted.applicant()), self.model.count(wanted));
        }
    }
}

impl Wanted {
    fn applicant(&self) -> Applicant<'_> {
        Applicant {
            username: self.username.as_bytes(),
            capabilities: Some(self.capabilities),
            logs_in: self.logs_in,
            generation: GENERATION,
        }
    }
}

fn wanted(argument: u8) -> Wanted {
    let flavors = [Capabilities::empty(), Capabilities::DEPRECATE_EOF];
    Wanted {
        username: USERS[usize::from(argument & 3)],
        capabilities: flavors[usize::from(argument >> 2 & 1)],
        logs_in: argument & 8 != 0,
    }
}

fn number(connection: &PooledConnection) -> usize {
    let bytes = connection.session.nonce.first_chunk();
    usize::from_le_bytes(*bytes.expect("each has one"))
}
