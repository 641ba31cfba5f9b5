//! A large result read by one client as fast as it comes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    client::{self, Client},
    metric::{Quantity, Results},
    point_select::Xorshift,
    process_usage,
    proxy::Instance,
    target::Target,
    traffic::Traffic,
};

/// A row's text is this one, repeated, or a row of the table.
const CHUNK_BYTES: usize = 1_000;

/// A shape of result, and its figures.
struct Shape {
    text: Text,
    rows: usize,
    row_bytes: usize,
    /// The header and the length in front of each row's text.
    overhead_bytes: usize,
    /// Results in a row, so that the time measured is long enough.
    repetitions: usize,
    cpu: Quantity,
    speed: Quantity,
}

/// What the rows hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// One letter: nothing looks at it.
    Letters,
    /// What [`create_table`] made: compresses as data do, to something less than a half.
    Digits,
}

const SHAPES: [Shape; 2] = [
    Shape {
        text: Text::Letters,
        rows: 100_000,
        row_bytes: CHUNK_BYTES,
        overhead_bytes: 4 + 3,
        repetitions: 2,
        cpu: Quantity::CpuPerGigabyteOfRows,
        speed: Quantity::GigabytesOfRowsPerSecond,
    },
    Shape {
        text: Text::Letters,
        rows: 100,
        row_bytes: 1_000 * CHUNK_BYTES,
        overhead_bytes: 4 + 4,
        repetitions: 2,
        cpu: Quantity::CpuPerGigabyteOfBlobs,
        speed: Quantity::GigabytesOfBlobsPerSecond,
    },
];

const COMPRESSED_SHAPES: [Shape; 1] = [Shape {
    text: Text::Digits,
    rows: DIGITS_ROWS,
    row_bytes: CHUNK_BYTES,
    overhead_bytes: 4 + 3,
    repetitions: 10,
    cpu: Quantity::CpuPerGigabyteOfDigits,
    speed: Quantity::GigabytesOfDigitsPerSecond,
}];

/// Of the table.
const DIGITS_ROWS: usize = 5_000;
/// Rows of one INSERT.
const ROWS_PER_INSERT: usize = 1_000;

/// Column count, definition and ends are far below.
const METADATA_BYTES_MAX: usize = 1_000;
/// The client shall not be what limits.
const BUFFER_BYTES: usize = 256 * 1024;

/// Creates the table of the results that are compressed, and fills it.
pub(crate) fn create_table(client: &mut Client) -> Result<()> {
    client.query("CREATE TABLE digits (id INT PRIMARY KEY, t TEXT NOT NULL) ENGINE=InnoDB")?;
    let mut random = Xorshift::new(0);
    let mut digit = || char::from(b'0' + (random.next() % 10) as u8);
    for first in (0..DIGITS_ROWS).step_by(ROWS_PER_INSERT) {
        let rows: Vec<_> = (first..first + ROWS_PER_INSERT)
            .map(|id| {
                let text: String = (0..CHUNK_BYTES).map(|_| digit()).collect();
                format!("({id},'{text}')")
            })
            .collect();
        client.query(&format!("INSERT INTO digits VALUES {}", rows.join(",")))?;
    }
    Ok(())
}

pub(super) fn pass(order: &[&Target], traffic: Traffic, results: &mut Results) -> Result<()> {
    let shapes = match traffic.compression() {
        Some(_) => &COMPRESSED_SHAPES[..],
        None => &SHAPES,
    };
    for shape in shapes {
        for target in order {
            let Some(instance) = target.instance(traffic) else {
                continue;
            };
            let (cpu, elapsed) = measure(instance, shape).with_context(|| target.name.clone())?;
            let gigabytes = (shape.repetitions * shape.result_bytes()) as f64 / 1e9;
            let mut record = |quantity: Quantity, value| {
                results.record(quantity.of(traffic, 1), &target.name, value);
            };
            record(shape.speed, gigabytes / elapsed.as_secs_f64());
            if let Some(cpu) = cpu {
                record(shape.cpu, cpu.as_secs_f64() / gigabytes);
            }
        }
    }
    Ok(())
}

/// CPU time of the process, and time.
fn measure(instance: &Instance, shape: &Shape) -> Result<(Option<Duration>, Duration)> {
    let packet = client::query_packet(&shape.statement());
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut client = Client::login(&instance.endpoint)?;
    let cpu_time = || instance.pid.map(process_usage::cpu_time).transpose();
    let (start, cpu_before) = (Instant::now(), cpu_time()?);
    for _ in 0..shape.repetitions {
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
    /// Without the metadata.
    fn result_bytes(&self) -> usize {
        self.rows * (self.row_bytes + self.overhead_bytes)
    }

    fn statement(&self) -> String {
        if self.text == Text::Digits {
            return "SELECT t FROM digits".to_owned();
        }
        let (chunk, rows) = ("x".repeat(CHUNK_BYTES), self.rows);
        let repetitions = self.row_bytes / CHUNK_BYTES;
        // Any table that has enough rows with itself.
        format!(
            "SELECT REPEAT('{chunk}', {repetitions}) FROM sbtest1 AS a, sbtest1 AS b LIMIT {rows}"
        )
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
