//! A response from the backend to the client, as it was read: only its end is looked for.

use std::time::Duration;

use protocol::ResponseTracker;
use protocol::response_tracker::Next;
use tokio::time::timeout;

use super::error::{Party, SessionError};
use super::link::Link;
use super::local_infile;
use crate::buffer::Buffer;

/// From a backend's unasked word to its close.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Relays up to the response's end. `input` holds what the client sent behind its command; when that is nothing, its
/// memory is used.
pub(super) fn relay(
    link: &mut Link,
    input: &mut Buffer,
    tracker: ResponseTracker,
) -> impl Future<Output = Result<(), SessionError>> {
    let output = match input.is_empty() {
        true => std::mem::take(input),
        false => Buffer::take(),
    };
    // Not awaited here: a session that waits has the tracker once.
    relay_rest(link, input, output, tracker)
}

/// The same with the first bytes of the response in `output` already.
pub(super) async fn relay_rest(
    link: &mut Link,
    input: &mut Buffer,
    mut output: Buffer,
    mut tracker: ResponseTracker,
) -> Result<(), SessionError> {
    let mut next = match output.is_empty() {
        true => Next::Bytes,
        false => pass_on(link, &mut output, &mut tracker).await?,
    };
    while next != Next::End {
        if next == Next::LocalInfile {
            let file = local_infile::relay(link, input, &mut output, &mut tracker);
            next = Box::pin(file).await?;
            continue;
        }
        link.read_response(&mut output, input, true).await?;
        next = pass_on(link, &mut output, &mut tracker).await?;
    }
    link.responded(&tracker);
    // Its memory serves the next command.
    if input.is_empty() && output.is_empty() {
        *input = output;
        return Ok(());
    }
    match output.bytes().len() {
        0 => Ok(()),
        unsolicited => {
            link.err_sequence_id = None;
            link.write_client(output.bytes()).await?;
            Err(SessionError::Unsolicited(unsolicited))
        }
    }
}

/// What was read, as far as it belongs to the response.
pub(super) async fn pass_on(
    link: &mut Link,
    output: &mut Buffer,
    tracker: &mut ResponseTracker,
) -> Result<Next, SessionError> {
    let is_full = output.is_full();
    let progress = tracker
        .feed(output.bytes())
        .map_err(|error| SessionError::Malformed(Party::Backend, error))?;
    // Until all of it is written nobody knows where the client stands.
    link.err_sequence_id = None;
    link.write_client(&output.bytes()[..progress.consumed])
        .await?;
    output.consume(progress.consumed);
    if tracker.is_at_packet_boundary() {
        link.err_sequence_id = Some(tracker.sequence_id().wrapping_add(1));
    }
    if is_full && progress.next == Next::Bytes {
        output.grow();
    }
    Ok(progress.next)
}

/// What a backend says without being asked: usually why it closes, and then it does. One that only said something is
/// not trusted any further.
pub(super) async fn relay_last_words(link: &mut Link) -> Result<(), SessionError> {
    let mut output = Buffer::take();
    let mut said = 0;
    let relay = async {
        loop {
            match link.read_backend(&mut output).await? {
                0 => return Err(SessionError::Closed(Party::Backend)),
                bytes => said += bytes,
            }
            link.write_client(output.bytes()).await?;
            output.clear();
        }
    };
    match timeout(LAST_WORDS, relay).await {
        Ok(ended) => ended,
        Err(_) => Err(SessionError::Unsolicited(said)),
    }
}
