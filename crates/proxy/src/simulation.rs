//! Whole runs of the proxy against simulated servers and clients, with faults, from a seed: what happens in a run is the same
//! each time.
//!
//! Everything is one thread and its paused clock: sessions, probes and pools of the proxy are the real ones, servers and
//! clients are tasks beside them, and what connects them are Unix sockets, which are memory when both ends are in one thread.
//! The runtime looks at them before it moves its clock, so time passes only when everybody waits.
//!
//! * [`world`]: the plan that a seed makes, and what all share; [`trace`]: what happened
//! * [`server`], [`client`], [`operator`]: who takes part; [`script`]: what the proxy runs
//! * [`session_state`]: what a session is, on either side; [`wire`]: how bytes go, or do not
//!
//! Left out: TCP, TLS, compression, PROXY headers, several threads. Those are for the tests of the whole proxy.

mod client;
mod operator;
mod script;
mod server;
mod session_state;
mod trace;
mod wire;
mod world;

use std::env;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backend::{Availability, Backends};
use progress::Progress;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing_subscriber::layer::SubscriberExt;

use self::server::{Server, Weather};
use self::trace::Trace;
use self::world::{Fault, Plan, READ_TIMEOUT, WRITE_TIMEOUT, World};
use crate::scripts::{ScriptSettings, Scripts};
use crate::session::Context;
use crate::settings::Settings;
use crate::shutdown::Shutdown;

/// No run takes longer, by its own clock.
const RUN: Duration = Duration::from_secs(7200);
/// What a backend that answers again may stay down: documented are 4 s, behind attempts that a silent server holds up.
const TAKEN_BACK: Duration = Duration::from_secs(20);
/// More than any login takes that is brought to its refusal.
const ABANDONED: Duration = Duration::from_secs(30);

/// One run: what happened, and what was wrong.
fn simulate(seed: u64, directory: &Path) -> (Vec<String>, Result<(), String>) {
    let trace = Trace::new(directory.to_str().expect("UTF-8"));
    let log = tracing_subscriber::registry().with(trace.clone());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    tracing::subscriber::with_default(log, || {
        runtime.block_on(async {
            trace.start();
            let plan = Plan::new(seed);
            trace.note(format_args!("{plan:?}"));
            if timeout(RUN, run(plan, &trace, directory)).await.is_err() {
                trace.wrong("the run does not end");
            }
        });
        drop(runtime);
    });
    (trace.lines(), trace.verdict())
}

async fn run(plan: Plan, trace: &Trace, directory: &Path) {
    let world = world(plan, trace, directory);
    let servers: Vec<_> = world
        .servers
        .iter()
        .map(|server| tokio::spawn(Arc::clone(server).run(Arc::clone(&world))))
        .collect();
    let watch = tokio::spawn(crate::watch_backends(Arc::clone(&world.live)));
    let operator = tokio::spawn(operator::run(Arc::clone(&world)));
    let mut clients = JoinSet::new();
    for number in 0..world.plan.clients {
        clients.spawn(client::run(Arc::clone(&world), number));
    }
    if !world.plan.has(Fault::EarlyDrain) {
        while clients.join_next().await.is_some() {}
    }
    operator.abort();
    let _ = operator.await;
    taken_back(&world).await;
    drain(&world).await;
    while clients.join_next().await.is_some() {}
    nothing_is_left(&world, servers.len()).await;
    watch.abort();
}

fn world(plan: Plan, trace: &Trace, directory: &Path) -> Arc<World> {
    let path = |index: usize| directory.join(format!("s{index}"));
    let servers: Vec<_> = (0..plan.servers)
        .map(|index| {
            let _ = fs::remove_file(path(index));
            Arc::new(Server::new(index, path(index)))
        })
        .collect();
    let addresses: Vec<_> = servers
        .iter()
        .enumerate()
        .map(|(index, server)| (server.address(), plan.script.role(index)))
        .collect();
    let mut settings = Settings::new(None, addresses.clone());
    settings.read_timeout = READ_TIMEOUT;
    settings.write_timeout = WRITE_TIMEOUT;
    settings.pool_reset = plan.pool_reset;
    settings.balance = plan.balance;
    let scripts = plan.script.text().map(|text| {
        let file = directory.join("script.lua");
        fs::write(&file, text).expect("the directory is ours");
        Scripts::new(ScriptSettings::new(Some(file))).expect("a Lua state")
    });
    let backends = Backends::new(addresses, settings.balance);
    let context = Context::new(settings, backends, Shutdown::new(), scripts);
    Arc::new(World::new(plan, trace.clone(), Arc::new(context), servers))
}

/// Once all is well again, all backends are.
async fn taken_back(world: &Arc<World>) {
    if world.plan.has(Fault::EarlyDrain) {
        return sleep(Duration::from_millis(world.random(500).below(8000) as u64)).await;
    }
    for server in &world.servers {
        server.set_weather(world, Weather::Fine);
    }
    sleep(TAKEN_BACK).await;
    for server in &world.servers {
        let Some(backend) = server.backend(world) else {
            continue;
        };
        if server.fine_for() >= TAKEN_BACK
            && !backend.is_up()
            && backend.availability() != Availability::Removed
        {
            world
                .trace
                .wrong(format_args!("{} is still down", backend.address()));
        }
    }
}

async fn drain(world: &Arc<World>) {
    let shutdown = &world.live.shutdown;
    world.drain();
    crate::drain(&world.live.context()).await;
    if shutdown.clients() > 0 {
        let left = shutdown.sessions();
        world
            .trace
            .wrong(format_args!("sessions are left behind the drain: {left:?}"));
    }
}

async fn nothing_is_left(world: &Arc<World>, own_tasks: usize) {
    let wrong = |what: String| world.trace.wrong(what);
    let context = &world.live;
    if !context.shutdown.sessions().is_empty() {
        wrong(format!(
            "left in the register: {:?}",
            context.shutdown.sessions()
        ));
    }
    let backends = context.backends.all();
    for backend in backends.iter() {
        let (clients, waiting) = (backend.clients(), backend.pool().waiting());
        let idle: usize = backend
            .pool()
            .idle_by_user()
            .iter()
            .map(|(_, idle)| idle)
            .sum();
        world
            .trace
            .note(format_args!("{}: {idle} idle", backend.address()));
        if clients > 0 || waiting > 0 || (idle > 0 && !world.plan.script.is_sharing()) {
            wrong(format!(
                "{}: {clients} clients, {waiting} wait, {idle} idle",
                backend.address()
            ));
        }
        // Those of earlier generations went with the last session that could have used them.
        let generation = world.live.context().generation.number;
        backend.pool().forget(generation);
        if !backend
            .pool()
            .idle_by_user()
            .iter()
            .all(|(_, idle)| *idle == 0)
        {
            wrong(format!(
                "{}: an idle connection of before a reload",
                backend.address()
            ));
        }
        backend.set_availability(Availability::Removed);
    }
    // Then its connections are closed, which their servers notice.
    sleep(ABANDONED + READ_TIMEOUT * 3).await;
    let connections = world.connections.load(Ordering::Relaxed);
    if connections > 0 {
        wrong(format!("{connections} connections to servers are left"));
    }
    // Each backend has its probe and its reaper, one task watches for more.
    let expected = own_tasks + 2 * backends.len() + 1;
    let tasks = Handle::current().metrics().num_alive_tasks();
    if tasks != expected {
        wrong(format!("{tasks} tasks are left instead of {expected}"));
    }
}

/// The seeds of a run without a wish: half a minute on two cores.
const SEEDS: u64 = 3000;
/// They are dealt out to tests that run beside each other.
const PARTS: u64 = 4;
/// More failures are no help.
const FAILURES_MAX: usize = 3;
/// Are run twice.
const REPEATED_SEEDS: usize = 60;

/// `SIMULATION_SEED` is the first seed, `SIMULATION_SEEDS` how many there are.
fn seeds() -> Range<u64> {
    let first = number("SIMULATION_SEED", 1);
    first..first + number("SIMULATION_SEEDS", SEEDS)
}

fn number(variable: &str, default: u64) -> u64 {
    let value = env::var(variable).ok();
    value.map_or(default, |value| value.parse().expect("a number of seeds"))
}

fn simulate_part(part: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let all = seeds();
    let progress = Progress::new(&format!("part {part}"), all.end - all.start);
    let seeds = all.clone().filter(|seed| seed % PARTS == part);
    let failed = seeds.filter(|&seed| {
        progress.at(seed - all.start, "seeds");
        let (_, verdict) = simulate(seed, directory.path());
        verdict.inspect_err(|what| explain(seed, what)).is_err()
    });
    let failed: Vec<_> = failed.take(FAILURES_MAX).collect();
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}

fn explain(seed: u64, what: &str) {
    eprintln!("\nseed {seed}:\n{what}");
    eprintln!(
        "again: SIMULATION_SEED={seed} SIMULATION_SEEDS=1 cargo nextest run -p proxy simulation"
    );
}

#[test]
fn seeds_of_part_0() {
    simulate_part(0);
}

#[test]
fn seeds_of_part_1() {
    simulate_part(1);
}

#[test]
fn seeds_of_part_2() {
    simulate_part(2);
}

#[test]
fn seeds_of_part_3() {
    simulate_part(3);
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in seeds().take(REPEATED_SEEDS) {
        let [once, again] = [(); 2].map(|()| {
            let directory = tempfile::tempdir().expect("a directory");
            simulate(seed, directory.path()).0
        });
        let differs = once
            .iter()
            .zip(&again)
            .position(|(one, other)| one != other);
        if let Some(at) = differs {
            let before = once[at.saturating_sub(30)..at].join("\n");
            panic!(
                "seed {seed}:\n{before}\nfirst  {}\nsecond {}",
                once[at], again[at]
            );
        }
        assert_eq!(once.len(), again.len(), "seed {seed}");
    }
}
