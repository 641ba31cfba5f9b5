//! Sessions made of seeds, had directly and through proxies that change nothing: the client hears the same, packet by
//! packet, whether there is a script, and whether the connection is its own or from a pool.
//!
//! `TRANSPARENCY_SESSIONS` says how many sessions each server has, `TRANSPARENCY_SEED` is the first one's seed (the clock
//! otherwise), and the others' follow it.
//!
//! * [`generator`], [`statements`], [`parameters`]: from a seed to a session
//! * [`session`]: a session as data
//! * [`run`]: what a client hears in one
//! * [`routes`]: the ways to have it
//! * [`difference`]: what may differ, and what does
//! * [`shrink`]: fewer steps that show the same

mod difference;
mod generator;
mod parameters;
mod routes;
mod run;
#[path = "../scripted/mod.rs"]
mod scripted;
mod session;
mod shrink;
#[path = "../statement_commands/mod.rs"]
mod statement_commands;
mod statements;

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use progress::Progress;
use testkit::{MariaDb, Mysql97, Server};

use difference::{Comparison, Difference};
use routes::{Lane, Mode, Routes};
use run::Transcript;
use session::Session;

/// Databases are made and dropped all the time.
const NO_SYNC: &str = "--innodb-flush-method=nosync";
/// For each server; each is had once directly and once in every mode.
const SESSIONS: u64 = 500;
/// Sessions at once.
const LANES: usize = 4;
/// One step of so many is followed by COM_STATISTICS through the proxy too.
const PROVED: u64 = 3;

#[test]
fn mariadb_is_heard_as_it_is() {
    // Without cached threads every connection counts its statements from 1.
    let options = ["--thread-cache-size=0", "--debug-no-sync", NO_SYNC];
    compare(MariaDb::start(&options), "mariadb");
}

#[test]
fn mysql97_is_heard_as_it_is() {
    if let Some(server) = Mysql97::start(&[NO_SYNC]) {
        compare(server, "mysql97");
    }
}

fn compare(server: Server, name: &str) {
    let routes = Routes::to(server);
    let number = |name: &str| env::var(name).ok()?.parse().ok();
    let sessions = number("TRANSPARENCY_SESSIONS").unwrap_or(SESSIONS);
    let first = number("TRANSPARENCY_SEED").unwrap_or_else(|| {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        time.unwrap_or_default().as_nanos() as u64
    });
    let seeds = Mutex::new((0..sessions).map(|number| first.wrapping_add(number)));
    let found = Mutex::new(None);
    let progress = Progress::new(name, sessions);
    let next = || locked(&seeds).next();
    let have = |number: usize| {
        let mut lane = routes.lane(number);
        while let Some(seed) = next() {
            progress.at(seed.wrapping_sub(first), "sessions");
            let is_mariadb = name == "mariadb";
            if let Some(finding) = Finding::of(&mut lane, seed, is_mariadb) {
                locked(&found).get_or_insert(finding);
                // The others end, too.
                locked(&seeds).by_ref().for_each(drop);
            }
        }
    };
    thread::scope(|scope| {
        for number in 0..LANES {
            let have = &have;
            scope.spawn(move || have(number));
        }
    });
    if let Some(finding) = locked(&found).take() {
        let seed = finding.seed;
        let again = format!(
            "TRANSPARENCY_SEED={seed} TRANSPARENCY_SESSIONS=1 cargo test -p mysql-proxy --test transparency {name}"
        );
        panic!(
            "{}\nAgain:\n{again}",
            finding.shrunk(&mut routes.lane(LANES))
        );
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that is not the same in some mode.
struct Finding {
    seed: u64,
    session: Session,
    mode: Mode,
    difference: Difference,
}

impl Finding {
    /// Has the session of this seed.
    fn of(lane: &mut Lane<'_>, seed: u64, is_mariadb: bool) -> Option<Self> {
        let session = generator::session(seed, is_mariadb);
        let direct = lane.directly(&session);
        let can_have = |mode: &Mode| difference::cannot_have(*mode, &session).is_none();
        let mut modes = Mode::ALL.into_iter().filter(can_have);
        let (mode, difference) = modes
            .find_map(|mode| Some((mode, difference(lane, seed, (&session, mode, &direct))?)))?;
        Some(Self {
            seed,
            session,
            mode,
            difference,
        })
    }

    /// In as few steps as show it.
    fn shrunk(self, lane: &mut Lane<'_>) -> String {
        let Self {
            seed,
            session,
            mode,
            difference: mut shown,
        } = self;
        let steps = session.steps.len();
        let session = shrink::shrink(session, |session| {
            let direct = lane.directly(session);
            let found = difference(lane, seed, (session, mode, &direct));
            found.map(|found| shown = found).is_some()
        });
        let left = session.steps.len();
        format!("{mode:?} differs at {shown}in {left} of {steps} steps:\n{session}")
    }
}

/// What a pooled session gets no answer to is left out of both sides.
fn difference(
    lane: &mut Lane<'_>,
    seed: u64,
    (session, mode, direct): (&Session, Mode, &Transcript),
) -> Option<Difference> {
    let comparison = Comparison {
        session,
        mode,
        direct,
    };
    let is_proved = |step: usize| seed.wrapping_add(step as u64).is_multiple_of(PROVED);
    let found = comparison.difference(&lane.proxied(comparison, &is_proved))?;
    let Some(step) = found
        .unanswered_step(session)
        .filter(|_| mode == Mode::Pooled)
    else {
        return Some(found);
    };
    let mut session = session.clone();
    session.steps.remove(step);
    let direct = lane.directly(&session);
    difference(lane, seed, (&session, mode, &direct))
}
