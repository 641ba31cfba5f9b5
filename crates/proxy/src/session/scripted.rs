//! The command phase where a script is asked about every command: it lets it pass, answers it, or sends others in its
//! place.
//!
//! A command that passes goes the way of every other ([`command_phase`]), as it came.

use std::borrow::Cow;

use protocol::command::ResponseKind;
use protocol::packet::split_payload;
use protocol::query::Query;
use protocol::{Capabilities, Command};
use script::{Decision, Hook};
use tracing::error;

use super::command_phase::{self, Batch};
use super::effect::Effect;
use super::error::{Party, Refusal, SessionError};
use super::link::{Heard, Link};
use super::pooling::{NO_SERVER, Readiness};
use super::script::Script;
use super::{change_user, injection, response};
use crate::buffer::Buffer;
use crate::shutdown::Phase;

/// Runs until the client has said goodbye. `rest` is what it sent behind its login.
///
/// # Errors
/// Any other end.
pub(super) async fn run(
    link: &mut Link,
    script: &mut Script,
    rest: Vec<u8>,
) -> Result<(), SessionError> {
    let mut input = Buffer::from(rest);
    while let Some(batch) = next_command(link, script, &mut input).await? {
        let (last, response) = (batch.last, batch.response);
        link.begin(last);
        command(link, script, &mut input, batch).await?;
        if response != ResponseKind::None && last != Command::QUIT {
            link.answered();
        }
        if last == Command::QUIT || std::mem::take(&mut script.connection.connection_close) {
            return Ok(());
        }
    }
    Ok(())
}

/// The next command, all of it at the start of `input`. `None` for the client's goodbye.
async fn next_command(
    link: &mut Link,
    script: &Script,
    input: &mut Buffer,
) -> Result<Option<Batch>, SessionError> {
    let bytes_max = script
        .scripts()
        .map_or(usize::MAX, |scripts| scripts.settings.command_bytes_max);
    loop {
        if let Some(batch) = Batch::first(input.bytes())
            && batch.is_complete
        {
            return Ok(Some(batch));
        }
        if input.bytes().len() > bytes_max {
            return Err(too_long(bytes_max));
        }
        input.release_if_empty();
        if input.is_full() {
            input.grow();
        }
        let heard = match input.is_empty() {
            true => command_phase::wait(link, input).await?,
            false => link.hear(input, Phase::Expired).await?,
        };
        match heard {
            Heard::Backend => return response::relay_last_words(link).await.map(|()| None),
            Heard::Client(0) if input.is_empty() => return Ok(None),
            Heard::Client(0) => return Err(SessionError::Closed(Party::Client)),
            Heard::Client(_) => {}
        }
    }
}

async fn command(
    link: &mut Link,
    script: &mut Script,
    input: &mut Buffer,
    batch: Batch,
) -> Result<(), SessionError> {
    let (decision, effect) = {
        let payload = payload(&input.bytes()[..batch.bytes]);
        link.weigh(&payload);
        let (packet, attributes) = split(payload, batch.last, link.capabilities)?;
        script.connection.query_attributes = attributes;
        script.connection.queries.clear();
        let decision = link.call(script, Hook::ReadQuery(&packet)).await;
        let passes = matches!(decision, Decision::Default | Decision::IgnoreResult);
        let effect = passes.then(|| Effect::of(&packet));
        (decision, effect.unwrap_or_default())
    };
    let last = batch.last;
    let next_sequence_id = batch.scanner.sequence_id().wrapping_add(1);
    // The answer to a goodbye is read by nobody: no harm is done.
    let has_answer = batch.response != ResponseKind::None || last == Command::QUIT;
    let mut delivery = injection::Delivery::new(next_sequence_id, has_answer);
    match decision {
        Decision::SendResult(answer) => {
            input.consume(batch.bytes);
            delivery.send(link, &answer.payloads).await?;
        }
        Decision::SendQuery => input.consume(batch.bytes),
        Decision::Default | Decision::IgnoreResult => {
            script.connection.queries.clear();
            return pass(link, script, input, (batch, effect)).await;
        }
    }
    injection::run_queue(link, script, input, &mut delivery).await?;
    delivery.settle_file(link, input).await?;
    if !delivery.is_done() && last != Command::QUIT && !script.connection.connection_close {
        error!("a script ended a command with no result, and the client waits for one");
    }
    Ok(())
}

/// The command as it came, with what it leaves behind.
async fn pass(
    link: &mut Link,
    script: &mut Script,
    input: &mut Buffer,
    (batch, effect): (Batch, Effect),
) -> Result<(), SessionError> {
    let command = batch.last;
    if link.backend.is_none() && command == Command::QUIT {
        return Ok(());
    }
    let next_sequence_id = batch.scanner.sequence_id().wrapping_add(1);
    match link.ready(script, &effect, Some(next_sequence_id)).await? {
        Readiness::Ready => {}
        Readiness::NoServer => return Err(SessionError::Script(NO_SERVER)),
        Readiness::Refused(refusal) => {
            input.consume(batch.bytes);
            let mut delivery = injection::Delivery::new(next_sequence_id, true);
            return delivery.refuse(link, command, &refusal).await;
        }
    }
    if command == Command::CHANGE_USER {
        return Box::pin(change_user::relay_for(link, script, input)).await;
    }
    command_phase::exchange(link, input, batch).await?;
    effect.apply(link, script);
    Ok(())
}

/// The payload of the one command that `packets` are; that of several packets is joined.
fn payload(packets: &[u8]) -> Cow<'_, [u8]> {
    split_payload(packets).map_or_else(Cow::default, |(payload, _)| payload)
}

/// What scripts see as a command, and its query attributes.
fn split(
    payload: Cow<'_, [u8]>,
    command: Command,
    capabilities: Capabilities,
) -> Result<(Cow<'_, [u8]>, Vec<u8>), SessionError> {
    if command != Command::QUERY || !capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
        return Ok((payload, Vec::new()));
    }
    let query = Query::decode(&payload, capabilities)
        .map_err(|error| SessionError::Malformed(Party::Client, error))?;
    let packet = [&[Command::QUERY.0], query.text].concat();
    Ok((packet.into(), query.attributes.to_vec()))
}

fn too_long(bytes_max: usize) -> SessionError {
    SessionError::Refused(Refusal::new(
        1153,
        *b"08S01",
        format!("(proxy) the command is longer than --max-packet-bytes={bytes_max}"),
    ))
}
