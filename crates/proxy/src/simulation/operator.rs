//! Everything that happens to servers as a whole, and what the operator does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backend::{Availability, Balance};
use testkit::Random;
use tokio::time::{Instant, sleep};

use super::server::Weather;
use super::world::{Fault, World};
use crate::control::Control;
use crate::settings::PoolReset;

/// What a session gets that is to end: its client is told, and so is its server.
const ENDING: Duration = Duration::from_secs(6);

/// What the operator wants gone, and since when.
#[derive(Default)]
struct Wishes {
    /// By id.
    sessions: BTreeMap<u64, Instant>,
    /// By index: the sessions of backends that are taken away.
    backends: BTreeMap<usize, Instant>,
}

/// Until it is stopped.
pub(super) async fn run(world: Arc<World>) {
    let mut random = world.random(600);
    let mut wishes = Wishes::default();
    loop {
        sleep(Duration::from_millis(200 + random.below(6000) as u64)).await;
        if world.plan.has(Fault::Weather) {
            change_weather(&world, &mut random);
        }
        if world.plan.has(Fault::Operator) {
            operate(&world, &mut wishes, &mut random);
        }
        if world.plan.has(Fault::Reload) && random.one_in(3) {
            reload(&world, &mut random);
        }
        wishes.check(&world);
    }
}

impl Wishes {
    fn check(&self, world: &World) {
        for session in world.live.shutdown.sessions() {
            let id = session.id;
            let is_late = |since: Option<&Instant>| since.is_some_and(|at| at.elapsed() > ENDING);
            if is_late(self.sessions.get(&id)) {
                world
                    .trace
                    .wrong(format_args!("session {id} was killed and lives"));
            }
            let backend = session.backend.unwrap_or(usize::MAX);
            if is_late(self.backends.get(&backend)) {
                world.trace.wrong(format_args!(
                    "session {id} is at backend {backend}, which is taken away"
                ));
            }
        }
    }
}

fn change_weather(world: &World, random: &mut Random) {
    let server = &world.servers[random.below(world.servers.len())];
    match random.below(6) {
        0 => server.set_weather(world, Weather::Down),
        1 => {
            server.set_weather(world, Weather::Down);
            server.kill_all(world);
        }
        2 => server.set_weather(world, Weather::Silent),
        3 => server.kill_all(world),
        _ => server.set_weather(world, Weather::Fine),
    }
}

/// Any servers out of those that there are, in other roles now and then, and other ways of doing things.
fn reload(world: &World, random: &mut Random) {
    let mut settings = world.live.context().settings.clone();
    settings.pool_reset = match random.one_in(2) {
        true => PoolReset::Auto,
        false => PoolReset::Always,
    };
    settings.balance = match random.one_in(2) {
        true => Balance::RoundRobin,
        false => Balance::LeastConnections,
    };
    // Connections of before are of no use to those who come.
    settings.tls.server_fingerprint += u64::from(random.one_in(2));
    if random.one_in(2) {
        let servers = world.servers.iter().enumerate();
        let servers =
            servers.map(|(index, server)| (server.address(), world.plan.script.role(index)));
        settings.backends = servers.filter(|_| !random.one_in(4)).collect();
        world
            .trace
            .note(format_args!("a reload: {:?}", settings.backends));
    }
    let outcomes = Control::new(Arc::clone(&world.live)).reload(settings);
    let outcomes = outcomes.expect("there is room for all");
    world.trace.note(format_args!("a reload: {outcomes:?}"));
}

fn operate(world: &Arc<World>, wishes: &mut Wishes, random: &mut Random) {
    let control = Control::new(Arc::clone(&world.live));
    let backends = control.backends().all();
    let backend = &backends[random.below(backends.len())];
    match random.below(8) {
        0 => {
            let sessions = control.sessions();
            if let Some(session) = sessions.get(random.below(sessions.len().max(1))) {
                world.harm(&format!("the operator kills session {}", session.id));
                control.kill(session.id);
                wishes
                    .sessions
                    .entry(session.id)
                    .or_insert_with(Instant::now);
            }
        }
        1 => set(world, &control, backend, Availability::OutOfService),
        2 => set(world, &control, backend, Availability::Draining),
        3 => set(world, &control, backend, Availability::Removed),
        _ if backend.availability() == Availability::Removed => {
            world.harm(&format!("the operator adds {}", backend.address()));
            let _ = control.add_backend(backend.address().clone(), backend.role());
        }
        _ => set(world, &control, backend, Availability::InService),
    }
    match backend.availability() {
        Availability::InService | Availability::Draining | Availability::Leaving => {
            wishes.backends.remove(&backend.index());
        }
        Availability::OutOfService | Availability::Removed => {
            let since = wishes.backends.entry(backend.index());
            since.or_insert_with(Instant::now);
        }
    }
}

fn set(world: &World, control: &Control, backend: &backend::Backend, availability: Availability) {
    if backend.availability() != availability {
        world.harm(&format!(
            "the operator: {} is {availability}",
            backend.address()
        ));
        control.set_availability(backend, availability);
    }
}
