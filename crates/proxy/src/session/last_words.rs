//! What a client is told at an end that is not its own goodbye, and a close that lets the words arrive.

use std::time::Duration;

use backend::Stream;
use backend::packet_io::write_packet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::debug;

use super::connect::NoBackend;
use super::error::SessionError;
use super::link::Link;

/// For the words and for the client's close behind them.
const DEADLINE: Duration = Duration::from_secs(1);

/// No backend has greeted: the ERR takes the greeting's place.
pub(super) async fn before_greeting(client: &mut Stream, error: &NoBackend) {
    send(client, 0, &error.payload()).await;
}

/// The latest packet of the exchange had `sequence_id`.
pub(super) async fn tell(
    client: &mut Stream,
    sequence_id: u8,
    error: &SessionError,
    backend: &str,
) {
    if let Some(refusal) = error.refusal(backend) {
        send(client, sequence_id.wrapping_add(1), &refusal.payload()).await;
    }
}

/// In the command phase: only where a packet of ours may stand. Both connections are closed.
pub(super) async fn say(mut link: Link, error: &SessionError) {
    let backend = link.backend_name();
    match (link.err_sequence_id, error.refusal(&backend)) {
        (Some(sequence_id), Some(refusal)) => {
            send(&mut link.client, sequence_id, &refusal.payload()).await;
        }
        _ if error.is_clients() => {}
        // What the backend said last may still be on its way.
        _ => linger(&mut link.client).await,
    }
}

/// Closes our direction and waits for the client to close its own: a close with unread bytes would be a reset, which
/// takes away what the client has not read yet.
pub(super) async fn linger(client: &mut Stream) {
    let wait_for_close = async {
        client.shutdown().await?;
        let mut discarded = [0; 4096];
        while client.read(&mut discarded).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // The client may be gone already, or never close: either way we do.
    let _ = timeout(DEADLINE, wait_for_close).await;
}

async fn send(client: &mut Stream, sequence_id: u8, payload: &[u8]) {
    match timeout(DEADLINE, write_packet(client, sequence_id, payload)).await {
        Ok(Ok(())) => linger(client).await,
        Ok(Err(error)) => debug!("a client was gone before it could be told: {error}"),
        Err(_) => debug!("a client did not take its last words"),
    }
}
