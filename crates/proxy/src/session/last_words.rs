//! What a client is told at an end that is not its own goodbye, and a close that lets the words arrive.

use std::time::Duration;

use backend::Stream;
use protocol::packet::put_payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::debug;

use super::error::SessionError;
use super::link::Link;

/// For the words and for the client's close behind them.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);

/// The latest packet of the exchange had `sequence_id`.
pub(super) async fn tell(
    client: &mut Stream,
    sequence_id: u8,
    error: &SessionError,
    backend: &str,
) {
    send(
        client,
        sequence_id.wrapping_add(1),
        &error.last_payloads(backend),
    )
    .await;
}

/// Before anybody has greeted: the ERR takes the greeting's place.
pub(super) async fn before_greeting(client: &mut Stream, payloads: &[Vec<u8>]) {
    send(client, 0, payloads).await;
}

/// In the command phase: only where a packet of ours may stand. Both connections are closed.
pub(super) async fn say(mut link: Box<Link>, error: &SessionError) {
    let payloads = error.last_payloads(&link.backend_name());
    match link.err_sequence_id {
        Some(sequence_id) if !payloads.is_empty() => {
            send(&mut link.client, sequence_id, &payloads).await;
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

async fn send(client: &mut Stream, mut sequence_id: u8, payloads: &[Vec<u8>]) {
    if payloads.is_empty() {
        return;
    }
    let mut bytes = Vec::new();
    for payload in payloads {
        sequence_id = put_payload(&mut bytes, sequence_id, payload);
    }
    let write = async {
        client.write_all(&bytes).await?;
        client.flush().await
    };
    match timeout(DEADLINE, write).await {
        Ok(Ok(())) => linger(client).await,
        Ok(Err(error)) => debug!("a client was gone before it could be told: {error}"),
        Err(_) => debug!("a client did not take its last words"),
    }
}
