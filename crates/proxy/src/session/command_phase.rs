//! Command by command. A client's bytes are forwarded as they were read, one write for each read; only headers and the
//! command byte are looked at.
//!
//! Half-duplex, as a server is: bytes behind a command wait until its response has ended, so clients may pipeline.
//! Commands without a response go on in the same write as the next one.
//!
//! What is rare is boxed: thousands of sessions wait in this code.

use protocol::ResponseTracker;
use protocol::command::{Command, Layout, ResponseKind};
use protocol::packet::{PacketHeader, PayloadScanner};

use super::error::{Party, SessionError};
use super::link::{Heard, Link};
use super::{change_user, response, stream};
use crate::buffer::Buffer;

/// Commands that are forwarded in one write: all but the last have no response.
#[derive(Debug)]
pub(super) struct Batch {
    /// Bytes of the client's that are there.
    pub(super) bytes: usize,
    pub(super) last: Command,
    /// What follows it.
    pub(super) response: ResponseKind,
    /// Where the last command goes on, when not all of it is there.
    pub(super) scanner: PayloadScanner,
    pub(super) is_complete: bool,
}

/// Runs until the client has said goodbye. `rest` is what it sent behind its login.
///
/// # Errors
/// Any other end.
pub(super) async fn run(link: &mut Link, rest: Vec<u8>) -> Result<(), SessionError> {
    let mut input = Buffer::from(rest);
    loop {
        while let Some(batch) = Batch::find(input.bytes()) {
            let (last, response) = (batch.last, batch.response);
            link.begin(last);
            exchange(link, &mut input, batch).await?;
            if last == Command::QUIT {
                return Ok(());
            }
            if response != ResponseKind::None {
                link.answered();
            }
        }
        // Whoever may wait for long holds no memory.
        input.release_if_empty();
        match wait(link, &mut input).await? {
            Heard::Backend => return Box::pin(response::relay_last_words(link)).await,
            Heard::Client(0) if input.is_empty() => return Ok(()),
            Heard::Client(0) => return Err(SessionError::Closed(Party::Client)),
            Heard::Client(_) => {}
        }
    }
}

/// Between two commands. An ERR of ours is read as the answer to the next one.
pub(super) async fn wait(link: &mut Link, input: &mut Buffer) -> Result<Heard, SessionError> {
    link.err_sequence_id = Some(1);
    let heard = link.hear_idle(input).await?;
    link.err_sequence_id = None;
    Ok(heard)
}

/// One batch to the backend and its response to the client.
pub(super) async fn exchange(
    link: &mut Link,
    input: &mut Buffer,
    batch: Batch,
) -> Result<(), SessionError> {
    let last = batch.last;
    let kind = batch.response;
    if kind == ResponseKind::Authentication {
        return Box::pin(change_user::relay(link, input)).await.map(drop);
    }
    say(link, &input.bytes()[..batch.bytes]);
    let (sequence_id, is_sent) = forward(link, input, batch).await?;
    link.err_sequence_id = Some(sequence_id.wrapping_add(1));
    match kind {
        ResponseKind::None | ResponseKind::Authentication => {}
        ResponseKind::Tracked(layout) => {
            let tracker = ResponseTracker::new(layout, link.capabilities).following(sequence_id);
            response::relay(link, input, tracker).await?;
        }
        ResponseKind::Stream => return Box::pin(stream::relay(link, input)).await,
    }
    link.err_sequence_id = None;
    if !is_sent && last != Command::QUIT {
        // It answered what it had not heard to the end: its next answer would be to the wrong question.
        return Box::pin(response::relay_last_words(link)).await;
    }
    Ok(())
}

/// The batch's bytes to the backend, those to come included. Its last packet's sequence id, and whether the backend
/// took all of it; one that does not has something to say.
async fn forward(
    link: &mut Link,
    input: &mut Buffer,
    batch: Batch,
) -> Result<(u8, bool), SessionError> {
    let Batch {
        mut bytes,
        mut scanner,
        mut is_complete,
        ..
    } = batch;
    loop {
        let is_full = input.is_full();
        let written = link.write_backend(&input.bytes()[..bytes]).await?;
        input.consume(bytes);
        if written < bytes || is_complete {
            return Ok((scanner.sequence_id(), written == bytes));
        }
        if is_full {
            input.grow();
        }
        match link.read_rest_of_command(input).await? {
            None => return Ok((scanner.sequence_id(), false)),
            Some(_) => (bytes, is_complete) = scanner.feed(input.bytes()),
        }
        link.say_more(&input.bytes()[..bytes], is_complete);
    }
}

/// Tells the link what goes to the server, command by command; the last one may go on.
fn say(link: &mut Link, mut commands: &[u8]) {
    if !link.is_listened_to() {
        return;
    }
    while let Some(first) = Batch::first(commands) {
        let (packets, rest) = commands.split_at(first.bytes);
        link.say(packets, first.is_complete);
        commands = rest;
    }
}

impl Batch {
    /// The commands at the start of `bytes`; `None` while not even the first one's command byte is there.
    /// COM_CHANGE_USER is always alone: the login that it is is not relayed as bytes.
    fn find(bytes: &[u8]) -> Option<Self> {
        let mut batch = Self::first(bytes)?;
        while batch.may_go_on() {
            match Self::first(&bytes[batch.bytes..]) {
                Some(next) if next.last != Command::CHANGE_USER => {
                    batch = Self {
                        bytes: batch.bytes + next.bytes,
                        ..next
                    };
                }
                Some(_) | None => break,
            }
        }
        Some(batch)
    }

    /// The first command alone.
    pub(super) fn first(bytes: &[u8]) -> Option<Self> {
        let last = command_at(bytes)?;
        let response = response_at(last, bytes)?;
        let mut scanner = PayloadScanner::default();
        let (bytes, is_complete) = scanner.feed(bytes);
        Some(Self {
            bytes,
            last,
            response,
            scanner,
            is_complete,
        })
    }

    fn may_go_on(&self) -> bool {
        self.is_complete && self.response == ResponseKind::None && self.last != Command::QUIT
    }
}

/// What follows the command whose packets start `bytes`: an execution says in its flags whether it asks for a cursor.
/// `None` until they are there.
pub(super) fn response_at(command: Command, bytes: &[u8]) -> Option<ResponseKind> {
    /// Behind the header: command, `int<4>` statement id.
    const FLAGS_AT: usize = PacketHeader::BYTES + 5;
    /// CURSOR_TYPE_READ_ONLY, CURSOR_TYPE_FOR_UPDATE, CURSOR_TYPE_SCROLLABLE
    const CURSOR_TYPES: u8 = 0x07;
    let header = PacketHeader::peek(bytes)?;
    if command != Command::STMT_EXECUTE || PacketHeader::BYTES + header.length <= FLAGS_AT {
        return Some(command.response_kind());
    }
    match bytes.get(FLAGS_AT)? & CURSOR_TYPES {
        0 => Some(command.response_kind()),
        _ => Some(ResponseKind::Tracked(Layout::Cursor)),
    }
}

/// The command byte behind the header. A packet of no bytes is read by servers as COM_SLEEP.
fn command_at(bytes: &[u8]) -> Option<Command> {
    match PacketHeader::peek(bytes)? {
        PacketHeader { length: 0, .. } => Some(Command::SLEEP),
        _ => bytes.get(PacketHeader::BYTES).copied().map(Command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(command: Command, length: usize) -> Vec<u8> {
        let mut payload = vec![0; length];
        payload[0] = command.0;
        let mut bytes = Vec::new();
        protocol::packet::put_payload(&mut bytes, 0, &payload);
        bytes
    }

    fn find(packets: &[Vec<u8>]) -> Option<(usize, Command, bool)> {
        let batch = Batch::find(&packets.concat())?;
        Some((batch.bytes, batch.last, batch.is_complete))
    }

    #[test]
    fn silent_commands_go_with_the_next_one() {
        let close = packet(Command::STMT_CLOSE, 5);
        let long_data = packet(Command::STMT_SEND_LONG_DATA, 100);
        let query = packet(Command::QUERY, 9);
        assert_eq!(
            find(&[close.clone(), long_data, query.clone(), query.clone()]),
            Some((9 + 104 + 13, Command::QUERY, true))
        );
        assert_eq!(
            find(&[close.clone(), query[..4].to_vec()]),
            Some((9, Command::STMT_CLOSE, true))
        );
        assert_eq!(
            find(&[close, packet(Command::CHANGE_USER, 20)]),
            Some((9, Command::STMT_CLOSE, true))
        );
        assert_eq!(
            find(&[packet(Command::QUIT, 1), query]),
            Some((5, Command::QUIT, true))
        );
    }

    #[test]
    fn a_command_may_be_cut_anywhere_behind_its_first_byte() {
        let query = packet(Command::QUERY, 9);
        for cut in 0..5 {
            assert_eq!(find(&[query[..cut].to_vec()]), None);
        }
        for cut in 5..13 {
            assert_eq!(
                find(&[query[..cut].to_vec()]),
                Some((cut, Command::QUERY, false))
            );
        }
    }

    #[test]
    fn an_execution_is_known_by_its_flags() {
        let response = |flags: u8, length: usize| {
            let mut bytes = packet(Command::STMT_EXECUTE, 10);
            bytes[PacketHeader::BYTES + 5] = flags;
            Batch::first(&bytes[..length]).map(|batch| batch.response)
        };
        let resultsets = ResponseKind::Tracked(Layout::Resultsets);
        let cursor = ResponseKind::Tracked(Layout::Cursor);
        assert_eq!(response(0, 14), Some(resultsets));
        assert_eq!(response(8, 14), Some(resultsets));
        assert_eq!(response(1, 14), Some(cursor));
        assert_eq!(response(1, 10), Some(cursor));
        assert_eq!(response(1, 9), None);
    }

    #[test]
    fn an_empty_packet_is_a_command_of_its_own() {
        assert_eq!(find(&[vec![0; 4]]), Some((4, Command::SLEEP, true)));
    }
}
