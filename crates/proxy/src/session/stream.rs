//! Endless streams in both directions: a replica's binlog dump with its acknowledgements, a clone. Bytes are copied and
//! nothing is looked at, to the end of the session.

use std::future::poll_fn;
use std::task::Poll;

use tokio::io::copy_bidirectional_with_sizes;

use super::error::{Party, SessionError};
use super::link::Link;
use crate::buffer::Buffer;
use crate::shutdown::Phase;

/// Acknowledgements are short.
const FROM_CLIENT_BYTES: usize = 8 * 1024;
const FROM_BACKEND_BYTES: usize = 64 * 1024;

/// Copies until both sides have closed, or until the proxy stops: a replica connects again by itself.
pub(super) async fn relay(link: &mut Link, input: &mut Buffer) -> Result<(), SessionError> {
    link.err_sequence_id = None;
    let rest = std::mem::take(input);
    if link.write_backend(rest.bytes()).await? < rest.bytes().len() {
        return Err(SessionError::Closed(Party::Backend));
    }
    drop(rest);
    let (client, backend, registration) = link.parts();
    let copy =
        copy_bidirectional_with_sizes(client, backend, FROM_CLIENT_BYTES, FROM_BACKEND_BYTES);
    let mut copy = std::pin::pin!(copy);
    poll_fn(|task| {
        if registration.phase() >= Phase::Draining {
            return Poll::Ready(Err(SessionError::Shutdown));
        }
        copy.as_mut()
            .poll(task)
            .map(|copied| copied.map_err(|error| SessionError::Io(Party::Backend, error)))
    })
    .await?;
    Err(SessionError::Closed(Party::Client))
}
