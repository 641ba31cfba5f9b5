//! A large result read by one client as fast as it comes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    client::{self, Client},
    metric::{Quantity, Results},
    process_usage,
    target::{Instance, Target},
};

/// Every result has these bytes of text.
const TEXT_BYTES: usize = 100_000_000;
/// A row's text is this one, repeated.
const CHUNK_BYTES: usize = 1_000;

/// A shape of result, and its figures.
struct Shape {
    row_bytes: usize,
    /// The header and the length in front of each row's text.
    overhead_bytes: usize,
    cpu: Quantity,
    speed: Quantity,
}

const SHAPES: [Shape; 2] = [
    Shape {
        row_bytes: CHUNK_BYTES,
        overhead_bytes: 4 + 3,
        cpu: Quantity::CpuPerGigabyteOfRows,
        speed: Quantity::GigabytesOfRowsPerSecond,
    },
    Shape {
        row_bytes: 1_000 * CHUNK_BYTES,
        overhead_bytes: 4 + 4,
        cpu: Quantity::CpuPerGigabyteOfBlobs,
        speed: Quantity::GigabytesOfBlobsPerSecond,
    },
];

/// Column count, definition and ends are far below.
const METADATA_BYTES_MAX: usize = 1_000;
/// Results in a row, so that the time measured is long enough.
const REPETITIONS: usize = 2;
/// The client shall not be what limits.
const BUFFER_BYTES: usize = 256 * 1024;

pub(super) fn pass(order: &[&Target], results: &mut Results) -> Result<()> {
    for shape in &SHAPES {
        for target in order {
            let (cpu, elapsed) =
                measure(target.instance(), shape).with_context(|| target.name.clone())?;
            let gigabytes = (REPETITIONS * shape.result_bytes()) as f64 / 1e9;
            results.record(
                shape.speed,
                1,
                &target.name,
                gigabytes / elapsed.as_secs_f64(),
            );
            if let Some(cpu) = cpu {
                results.record(shape.cpu, 1, &target.name, cpu.as_secs_f64() / gigabytes);
            }
        }
    }
    Ok(())
}

/// CPU time of the process, and time.
fn measure(instance: &Instance, shape: &Shape) -> Result<(Option<Duration>, Duration)> {
    let packet = client::query_packet(&shape.statement());
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut client = Client::login(instance.address)?;
    let cpu_time = || instance.pid.map(process_usage::cpu_time).transpose();
    let (start, cpu_before) = (Instant::now(), cpu_time()?);
    for _ in 0..REPETITIONS {
        let mut bytes = 0;
        client.exchange(&packet, &mut buffer, |part| bytes += part.len())?;
        shape.check(bytes)?;
    }
    let (elapsed, cpu_after) = (start.elapsed(), cpu_time()?);
    client.quit()?;
    let cpu = cpu_after
        .zip(cpu_before)
        .map(|(after, before)| after - before);
    Ok((cpu, elapsed))
}

impl Shape {
    fn rows(&self) -> usize {
        TEXT_BYTES / self.row_bytes
    }

    /// Without the metadata.
    fn result_bytes(&self) -> usize {
        self.rows() * (self.row_bytes + self.overhead_bytes)
    }

    fn statement(&self) -> String {
        let (chunk, rows) = ("x".repeat(CHUNK_BYTES), self.rows());
        let repetitions = self.row_bytes / CHUNK_BYTES;
        format!("SELECT REPEAT('{chunk}', {repetitions}) FROM seq_1_to_{rows}")
    }

    /// All rows must be there.
    fn check(&self, bytes: usize) -> Result<()> {
        let expected = self.result_bytes();
        ensure!(
            (expected..expected + METADATA_BYTES_MAX).contains(&bytes),
            "the result has {bytes} bytes instead of {expected} and a few"
        );
        Ok(())
    }
}
