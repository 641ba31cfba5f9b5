//! Endless streams in both directions: a replica's binlog dump with its acknowledgements, a clone. Bytes are copied and
//! nothing is looked at, to the end of the session.

use protocol::ResponseTracker;
use protocol::command::Layout;
use protocol::packet::PacketHeader;
use protocol::response::ErrPacket;

use super::error::{Party, SessionError};
use super::link::{Heard, Link};
use super::response;
use crate::buffer::Buffer;
use crate::shutdown::Phase;

/// Copies until one side closes, or until the proxy stops: a replica connects again by itself. Returns when the backend
/// refuses the command with an ERR: then commands go on.
pub(super) async fn relay(link: &mut Link, input: &mut Buffer) -> Result<(), SessionError> {
    let mut output = Buffer::default();
    if is_refused(link, input, &mut output).await? {
        let tracker = ResponseTracker::new(Layout::Generic, link.capabilities);
        return response::relay_rest(link, input, output, tracker).await;
    }
    link.err_sequence_id = None;
    loop {
        link.write_client(output.bytes()).await?;
        give_up(&mut output);
        send(link, input).await?;
        match link.hear(input, Phase::Draining).await? {
            Heard::Client(0) => return Err(SessionError::Closed(Party::Client)),
            Heard::Client(_) => {}
            Heard::Backend => hear_backend(link, &mut output).await?,
        }
    }
}

/// Copies what client and backend say under TLS of theirs, until one of them closes. Whether they are busy is not seen: a
/// proxy that stops lets them go on for as long as any.
pub(super) async fn tunnel(link: &mut Link) -> Result<(), SessionError> {
    let mut input = Buffer::default();
    let mut output = Buffer::default();
    loop {
        let has_ended = match link.hear(&mut input, Phase::Expired).await? {
            Heard::Client(bytes) => bytes == 0,
            Heard::Backend => link.read_backend(&mut output).await? == 0,
        };
        if has_ended {
            return Ok(());
        }
        link.write_client(output.bytes()).await?;
        give_up(&mut output);
        send(link, &mut input).await?;
        input.release_if_empty();
    }
}

/// Waits for the first bytes of the first packet.
async fn is_refused(
    link: &mut Link,
    input: &Buffer,
    output: &mut Buffer,
) -> Result<bool, SessionError> {
    while output.bytes().len() <= PacketHeader::BYTES {
        link.read_response(output, input, true).await?;
    }
    Ok(output.bytes()[PacketHeader::BYTES] == ErrPacket::HEADER)
}

/// What was sent. A stream that filled its buffer gets a larger one; one that did not may be quiet for long.
fn give_up(output: &mut Buffer) {
    let is_full = output.is_full();
    output.clear();
    match is_full {
        true => output.grow(),
        false => output.release_if_empty(),
    }
}

/// The client's bytes, all of them, while the backend is heard as soon as it does not take them.
async fn send(link: &mut Link, input: &mut Buffer) -> Result<(), SessionError> {
    let mut said = Buffer::default();
    while !input.is_empty() {
        let written = link.write_backend(input.bytes()).await?;
        input.consume(written);
        if !input.is_empty() {
            hear_backend(link, &mut said).await?;
            link.write_client(said.bytes()).await?;
            said.clear();
        }
    }
    Ok(())
}

async fn hear_backend(link: &mut Link, output: &mut Buffer) -> Result<(), SessionError> {
    match link.read_backend(output).await? {
        0 => Err(SessionError::Closed(Party::Backend)),
        _ => Ok(()),
    }
}
