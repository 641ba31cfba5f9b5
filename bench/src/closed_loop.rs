//! The load generator: every connection sends a point select, waits for the whole answer, checks it, and sends the
//! next one.
//!
//! It is made to be cheaper than what it measures: packets are made in advance, a thread serves many connections
//! with epoll, one receive and one send and one look at the clock per query, nothing allocated.

use std::{
    io::{ErrorKind, Read, Write},
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use protocol::{ResponseTracker, command::Layout, response_tracker::Next};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

use crate::{
    client::{ANSWER_DEADLINE, Client, Endpoint},
    point_select::{PointSelects, Xorshift},
    process_usage,
};

/// A response to a point select has some 250 bytes.
const RESPONSE_BYTES_MAX: usize = 2048;
/// Latencies are kept in nanoseconds with this many digits.
const LATENCY_DIGITS: u8 = 3;
/// Cores of the machine for one thread of the generator, which uses far less of a core than it keeps busy elsewhere.
const CORES_PER_THREAD: usize = 4;

const WARM_UP: u8 = 0;
const MEASURE: u8 = 1;
const DRAIN: u8 = 2;

/// What to run against one target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// Where and how to connect.
    pub(crate) endpoint: &'a Endpoint,
    /// How many connections, each with one query outstanding.
    pub(crate) connections: usize,
    /// For how long, not counted.
    pub(crate) warm_up: Duration,
    /// For how long, counted.
    pub(crate) window: Duration,
    /// The process whose CPU time is taken.
    pub(crate) process: Option<u32>,
}

/// What happened in the window.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Answers that came in the window.
    pub(crate) queries: u64,
    /// The window's true length.
    pub(crate) elapsed: Duration,
    /// From send to the last byte of the answer, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// CPU time of the process in the window.
    pub(crate) process_cpu: Option<Duration>,
    /// CPU time of the load generator in the window.
    pub(crate) generator_cpu: Duration,
}

/// Connects, runs the plan, and closes every connection in order.
pub(crate) fn run(plan: &Plan<'_>, selects: &PointSelects) -> Result<Measured> {
    let mut connections = (0..plan.connections)
        .map(|_| Client::login(plan.endpoint).map(Connection::new))
        .collect::<Result<Vec<_>>>()?;
    let phase = AtomicU8::new(WARM_UP);
    let share = connections.len().div_ceil(threads());
    let measured = thread::scope(|scope| {
        let drivers: Vec<_> = connections
            .chunks_mut(share)
            .enumerate()
            .map(|(seed, share)| {
                let phase = &phase;
                scope.spawn(move || Driver::new(selects, seed as u64)?.run(share, phase))
            })
            .collect();
        let window = measure_window(plan, &phase);
        let mut latency = new_histogram()?;
        for driver in drivers {
            let part = driver
                .join()
                .map_err(|_| anyhow::anyhow!("a thread of the load generator panicked"))?;
            latency.add(part?)?;
        }
        let (elapsed, process_cpu, generator_cpu) = window?;
        Ok::<_, anyhow::Error>(Measured {
            queries: latency.len(),
            elapsed,
            latency,
            process_cpu,
            generator_cpu,
        })
    })?;
    for connection in connections {
        connection.quit()?;
    }
    Ok(measured)
}

/// Waits through warm-up and window while the drivers work; takes time and CPU times at both ends of the window.
fn measure_window(
    plan: &Plan<'_>,
    phase: &AtomicU8,
) -> Result<(Duration, Option<Duration>, Duration)> {
    let cpu_times = || {
        let process = plan.process.map(process_usage::cpu_time).transpose()?;
        Ok::<_, anyhow::Error>((process, process_usage::cpu_time(std::process::id())?))
    };
    thread::sleep(plan.warm_up);
    let before = cpu_times();
    let start = Instant::now();
    phase.store(MEASURE, Ordering::Relaxed);
    thread::sleep(plan.window);
    // Whatever failed, the drivers must end.
    phase.store(DRAIN, Ordering::Relaxed);
    let elapsed = start.elapsed();
    let ((process_before, generator_before), (process, generator)) = (before?, cpu_times()?);
    let process_cpu = process
        .zip(process_before)
        .map(|(after, before)| after - before);
    Ok((elapsed, process_cpu, generator - generator_before))
}

fn threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.div_ceil(CORES_PER_THREAD)
}

fn new_histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(
        1,
        10 * ANSWER_DEADLINE.as_nanos() as u64,
        LATENCY_DIGITS,
    )?)
}

/// One thread of the generator.
struct Driver<'a> {
    selects: &'a PointSelects,
    random: Xorshift,
    latency: Histogram<u64>,
}

impl<'a> Driver<'a> {
    fn new(selects: &'a PointSelects, seed: u64) -> Result<Self> {
        Ok(Self {
            selects,
            random: Xorshift::new(seed),
            latency: new_histogram()?,
        })
    }

    /// Keeps a query outstanding on every connection until the phase says to drain, then takes the last answers.
    fn run(mut self, connections: &mut [Connection], phase: &AtomicU8) -> Result<Histogram<u64>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, connection) in connections.iter_mut().enumerate() {
            let stream = connection.client.stream();
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &*stream, data, epoll::EventFlags::IN)?;
            connection.send(self.selects, self.random.next(), Instant::now())?;
        }
        let deadline = Timespec::try_from(ANSWER_DEADLINE)?;
        let mut events = Vec::with_capacity(connections.len());
        let mut outstanding = connections.len();
        while outstanding > 0 {
            events.clear();
            epoll::wait(&epoll, spare_capacity(&mut events), Some(&deadline))?;
            ensure!(
                !events.is_empty(),
                "{outstanding} of {} connections got no answer within {ANSWER_DEADLINE:?}",
                connections.len()
            );
            for event in &events {
                let connection = &mut connections[event.data.u64() as usize];
                outstanding -= usize::from(self.serve(connection, phase)?);
            }
        }
        Ok(self.latency)
    }

    /// Takes what came. Returns true when the connection has done its last query.
    fn serve(&mut self, connection: &mut Connection, phase: &AtomicU8) -> Result<bool> {
        if !connection.receive(self.selects)? {
            return Ok(false);
        }
        let now = Instant::now();
        let phase = phase.load(Ordering::Relaxed);
        if phase == MEASURE {
            self.latency
                .saturating_record((now - connection.sent_at).as_nanos() as u64);
        }
        if phase == DRAIN {
            return Ok(true);
        }
        connection.send(self.selects, self.random.next(), now)?;
        Ok(false)
    }
}

/// A connection with one query outstanding.
struct Connection {
    client: Client,
    tracker: ResponseTracker,
    response: Box<[u8; RESPONSE_BYTES_MAX]>,
    received: usize,
    index: usize,
    sent_at: Instant,
}

impl Connection {
    fn new(client: Client) -> Self {
        Self {
            tracker: ResponseTracker::new(Layout::Resultsets, client.capabilities()),
            client,
            response: Box::new([0; RESPONSE_BYTES_MAX]),
            received: 0,
            index: 0,
            sent_at: Instant::now(),
        }
    }

    fn send(&mut self, selects: &PointSelects, random: u64, now: Instant) -> Result<()> {
        self.index = (random % selects.len() as u64) as usize;
        self.tracker = ResponseTracker::new(Layout::Resultsets, self.client.capabilities());
        self.received = 0;
        self.sent_at = now;
        let packet = selects.packet(self.index);
        let sent = self
            .client
            .stream()
            .write(packet)
            .context("cannot send a query")?;
        ensure!(sent == packet.len(), "a query was sent only in part");
        Ok(())
    }

    /// Takes what came. Returns true when the answer is complete, and right.
    fn receive(&mut self, selects: &PointSelects) -> Result<bool> {
        let free = &mut self.response[self.received..];
        ensure!(
            !free.is_empty(),
            "a response has more than {RESPONSE_BYTES_MAX} bytes"
        );
        let bytes = match self.client.stream().read(free) {
            // TLS has said something for itself, or only part of a record came.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            read => read.context("cannot receive an answer")?,
        };
        ensure!(
            bytes > 0,
            "the peer closed the connection with a query outstanding"
        );
        let progress = self.tracker.feed(&free[..bytes])?;
        self.received += bytes;
        match progress.next {
            Next::Bytes => return Ok(false),
            Next::End if progress.consumed == bytes => {}
            Next::End => bail!("bytes follow the end of the response"),
            Next::LocalInfile => bail!("the server asks for a file"),
        }
        selects.check(
            self.index,
            self.client.capabilities(),
            &self.response[..self.received],
        )?;
        Ok(true)
    }

    fn quit(mut self) -> Result<()> {
        self.client.stream().set_nonblocking(false)?;
        self.client.quit()
    }
}
