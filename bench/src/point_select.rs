//! The table of the point selects, the statements as packets made in advance, and the check of their answers.

use anyhow::{Context, Result, bail, ensure};
use protocol::{Capabilities, packet::PacketHeader};

use crate::client::{self, Client};

/// Rows of the table. All keys have five digits, so that all packets and all responses have one length.
const ROWS: usize = 10_000;
const FIRST_ID: usize = 10_000;
/// Rows of one INSERT.
const ROWS_PER_INSERT: usize = 1_000;
/// `c` is ten groups of eleven digits with dashes between them, as in sysbench.
const VALUE_BYTES: usize = 10 * 11 + 9;

/// Every statement and its answer.
#[derive(Debug)]
pub(crate) struct PointSelects {
    packets: Vec<u8>,
    packet_bytes: usize,
    values: Vec<[u8; VALUE_BYTES]>,
}

impl PointSelects {
    /// Makes the statements; the table is the same in every run.
    pub(crate) fn new() -> Self {
        let packets: Vec<_> = (0..ROWS)
            .map(|row| client::query_packet(&statement(row)))
            .collect();
        Self {
            packet_bytes: packets[0].len(),
            packets: packets.concat(),
            values: (0..ROWS).map(value).collect(),
        }
    }

    /// Creates the table on the server and fills it.
    pub(crate) fn create_table(&self, client: &mut Client) -> Result<()> {
        client.query(
            "CREATE TABLE sbtest1 (id INT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, \
             pad CHAR(60) NOT NULL, KEY k_1 (k)) ENGINE=InnoDB",
        )?;
        for first in (0..ROWS).step_by(ROWS_PER_INSERT) {
            let rows: Vec<_> = (first..first + ROWS_PER_INSERT)
                .map(|row| {
                    let value = String::from_utf8_lossy(&self.values[row]);
                    format!("({},{row},'{value}','{}')", FIRST_ID + row, &value[..59])
                })
                .collect();
            client.query(&format!("INSERT INTO sbtest1 VALUES {}", rows.join(",")))?;
        }
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The COM_QUERY packet of the statement with this index.
    pub(crate) fn packet(&self, index: usize) -> &[u8] {
        &self.packets[index * self.packet_bytes..][..self.packet_bytes]
    }

    /// Checks that `response`, a whole one, holds the row that the statement with this index asks for.
    pub(crate) fn check(
        &self,
        index: usize,
        capabilities: Capabilities,
        response: &[u8],
    ) -> Result<()> {
        client::check_no_err(response)?;
        let definitions_eof = !capabilities.contains(Capabilities::DEPRECATE_EOF);
        // The column count, one column definition, and where it is not deprecated an EOF stand before the row.
        let row = nth_payload(response, 2 + usize::from(definitions_eof))
            .context("the response has no row")?;
        let Some((&length, value)) = row.split_first() else {
            bail!("the row is empty");
        };
        ensure!(
            usize::from(length) == VALUE_BYTES && value == self.values[index],
            "wrong answer to {:?}: {:?}",
            statement(index),
            String::from_utf8_lossy(value)
        );
        Ok(())
    }
}

fn statement(row: usize) -> String {
    format!("SELECT c FROM sbtest1 WHERE id={}", FIRST_ID + row)
}

/// A text that is different for every row and the same in every run.
fn value(row: usize) -> [u8; VALUE_BYTES] {
    let mut random = Xorshift::new(row as u64);
    std::array::from_fn(|at| match at % 12 {
        11 => b'-',
        _ => b'0' + (random.next() % 10) as u8,
    })
}

fn nth_payload(mut packets: &[u8], n: usize) -> Option<&[u8]> {
    for _ in 0..n {
        let header = PacketHeader::peek(packets)?;
        packets = packets.get(PacketHeader::BYTES + header.length..)?;
    }
    let header = PacketHeader::peek(packets)?;
    packets.get(PacketHeader::BYTES..PacketHeader::BYTES + header.length)
}

/// Marsaglia's xorshift64: cheap, and the same sequence in every run.
#[derive(Debug)]
pub(crate) struct Xorshift(u64);

impl Xorshift {
    pub(crate) fn new(seed: u64) -> Self {
        // The state must not be zero; the multiplier spreads small seeds over all bits.
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use protocol::packet::put_payload;

    use super::*;

    fn response(value: &[u8], eof: bool) -> Vec<u8> {
        let mut row = vec![value.len() as u8];
        row.extend_from_slice(value);
        let mut payloads: Vec<&[u8]> = vec![&[1], b"a column definition"];
        if eof {
            payloads.push(&[0xfe, 0, 0, 2, 0]);
        }
        payloads.extend_from_slice(&[&row, &[0xfe, 0, 0, 2, 0]]);
        let mut bytes = Vec::new();
        let mut sequence_id = 1;
        for payload in payloads {
            sequence_id = put_payload(&mut bytes, sequence_id, payload);
        }
        bytes
    }

    #[test]
    fn packets_hold_their_statements() {
        let selects = PointSelects::new();
        assert_eq!(selects.len(), ROWS);
        let packet = selects.packet(42);
        assert_eq!(&packet[5..], b"SELECT c FROM sbtest1 WHERE id=10042");
        assert_eq!(packet[..5], [packet.len() as u8 - 4, 0, 0, 0, 3]);
    }

    #[test]
    fn the_right_row_passes_and_any_other_answer_fails() {
        let selects = PointSelects::new();
        let both = [
            (Capabilities::empty(), true),
            (Capabilities::DEPRECATE_EOF, false),
        ];
        for (capabilities, eof) in both {
            let right = response(&selects.values[7], eof);
            assert!(selects.check(7, capabilities, &right).is_ok());
            let error = selects
                .check(8, capabilities, &right)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("wrong answer to \"SELECT c"), "{error}");
            for cut in 0..right.len() - 10 {
                assert!(
                    selects.check(7, capabilities, &right[..cut]).is_err(),
                    "cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn an_err_packet_is_told() {
        let mut bytes = Vec::new();
        put_payload(&mut bytes, 1, b"\xff\x51\x04#HY000all backends are down");
        let error = PointSelects::new()
            .check(0, Capabilities::empty(), &bytes)
            .unwrap_err();
        assert_eq!(error.to_string(), "ERROR 1105: all backends are down");
    }

    #[test]
    fn values_look_like_sysbench_and_differ() {
        let text = String::from_utf8(value(3).to_vec()).unwrap();
        assert_eq!(text.split('-').count(), 10);
        assert!(
            text.split('-')
                .all(|group| group.len() == 11 && group.parse::<u64>().is_ok())
        );
        assert_ne!(value(3), value(4));
    }
}
