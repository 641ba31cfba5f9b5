//! LOAD DATA LOCAL INFILE: the client's file to the backend, up to its empty packet. The backend may speak meanwhile:
//! progress reports, or an early ERR, behind which the client still sends its file to the end.

use protocol::ResponseTracker;
use protocol::packet::{PayloadScanner, put_payload};
use protocol::response::OkPacket;
use protocol::response_tracker::Next;

use super::error::{Party, SessionError};
use super::link::{Heard, Link};
use super::response;
use crate::buffer::Buffer;
use crate::shutdown::Phase;

/// Returns what the response needs next once the file is sent.
pub(super) async fn relay(
    link: &mut Link,
    input: &mut Buffer,
    output: &mut Buffer,
    tracker: &mut ResponseTracker,
) -> Result<Next, SessionError> {
    tracker.local_infile_started();
    // Both sides count on from here, and nobody knows how far the other is.
    link.err_sequence_id = None;
    let mut file = File::default();
    let mut next = Next::Bytes;
    loop {
        let (bytes, is_sent) = file.feed(input.bytes());
        next = send(link, &input.bytes()[..bytes], output, tracker, next).await?;
        input.consume(bytes);
        if is_sent {
            return Ok(next);
        }
        if input.is_full() {
            input.grow();
        }
        match link.hear(input, Phase::Expired).await? {
            Heard::Backend => next = hear(link, output, tracker, next).await?,
            Heard::Client(0) => return Err(SessionError::Closed(Party::Client)),
            Heard::Client(_) => {}
        }
    }
}

/// No file: its end alone, in the client's place.
pub(super) async fn decline(
    link: &mut Link,
    tracker: &mut ResponseTracker,
) -> Result<Next, SessionError> {
    let mut end = Vec::new();
    put_payload(&mut end, tracker.sequence_id().wrapping_add(1), b"");
    tracker.local_infile_started();
    // A backend that does not take it has something to say instead.
    link.write_backend(&end).await?;
    Ok(Next::Bytes)
}

/// A file that nobody wants, of a client that was asked for it: an OK follows its end.
pub(super) async fn discard(link: &mut Link, input: &mut Buffer) -> Result<(), SessionError> {
    let mut file = File::default();
    loop {
        let (bytes, is_sent) = file.feed(input.bytes());
        input.consume(bytes);
        if is_sent {
            break;
        }
        input.release_if_empty();
        match link.hear(input, Phase::Expired).await? {
            Heard::Backend => return Err(SessionError::Closed(Party::Backend)),
            Heard::Client(0) => return Err(SessionError::Closed(Party::Client)),
            Heard::Client(_) => {}
        }
    }
    let ok = OkPacket {
        status: link.status,
        ..OkPacket::default()
    };
    let mut payload = Vec::new();
    ok.encode(OkPacket::HEADER, link.capabilities, &mut payload);
    let mut packet = Vec::new();
    put_payload(&mut packet, file.last_sequence_id.wrapping_add(1), &payload);
    link.write_client(&packet).await
}

/// A part of the file, with whatever the backend says in between.
async fn send(
    link: &mut Link,
    bytes: &[u8],
    output: &mut Buffer,
    tracker: &mut ResponseTracker,
    mut next: Next,
) -> Result<Next, SessionError> {
    let mut written = link.write_backend(bytes).await?;
    while written < bytes.len() {
        next = hear(link, output, tracker, next).await?;
        written += link.write_backend(&bytes[written..]).await?;
    }
    Ok(next)
}

/// The backend has something to say while the client is sending.
async fn hear(
    link: &mut Link,
    output: &mut Buffer,
    tracker: &mut ResponseTracker,
    next: Next,
) -> Result<Next, SessionError> {
    if link.read_backend(output).await? == 0 {
        return Err(SessionError::Closed(Party::Backend));
    }
    match next {
        Next::Bytes => response::pass_on(link, output, tracker).await,
        // It has answered already.
        Next::End | Next::LocalInfile => Err(SessionError::Unsolicited(output.bytes().len())),
    }
}

/// A file on its way: payloads up to an empty one.
#[derive(Debug, Default)]
struct File {
    payload: PayloadScanner,
    /// Of the latest payload that is complete.
    last_sequence_id: u8,
}

impl File {
    /// How many of `bytes` belong to the file, and whether it ends with them.
    fn feed(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            let (consumed, is_payload_complete) = self.payload.feed(&bytes[at..]);
            at += consumed;
            if is_payload_complete {
                let payload = std::mem::take(&mut self.payload);
                self.last_sequence_id = payload.sequence_id();
                if payload.payload_bytes() == 0 {
                    return (at, true);
                }
            }
        }
        (at, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_with_an_empty_packet() {
        let mut bytes = Vec::new();
        let next = put_payload(&mut bytes, 2, b"1,2\n3,4\n");
        let next = put_payload(&mut bytes, next, b"5,6\n");
        put_payload(&mut bytes, next, b"");
        let end = bytes.len();
        bytes.extend_from_slice(b"next command");
        for cut in 0..end {
            let mut file = File::default();
            assert_eq!(file.feed(&bytes[..cut]), (cut, false));
            assert_eq!(file.feed(&bytes[cut..]), (end - cut, true));
        }
    }
}
