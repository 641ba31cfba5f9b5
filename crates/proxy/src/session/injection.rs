//! The queries that a script sends in a command's place, one by one, and what the client gets of their responses: one.

use std::sync::Arc;
use std::time::Instant;

use protocol::command::{Layout, ResponseKind};
use protocol::packet::{Renumbering, put_payload};
use protocol::query::Query;
use protocol::response::{ErrPacket, error_code};
use protocol::response_tracker::Next;
use protocol::{Command, ResponseTracker};
use script::{Buffered, Decision, Hook, Injection, InjectionResult, Statistics};
use tracing::error;

use super::command_phase::response_at;
use super::effect::Effect;
use super::error::{Party, Refusal, SessionError};
use super::link::Link;
use super::pooling::{NO_SERVER, Readiness};
use super::script::Script;
use super::{local_infile, stream};
use crate::buffer::Buffer;

/// What the client has got in answer to its command.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Of the next packet to the client.
    numbering: Renumbering,
    /// A response was sent: a second one would be the answer to the client's next command.
    is_done: bool,
}

/// Sends the queue's entries until it is empty.
pub(super) async fn run_queue(
    link: &mut Link,
    script: &mut Script,
    input: &mut Buffer,
    delivery: &mut Delivery,
) -> Result<(), SessionError> {
    while let Some(injection) = script.connection.queries.pop_front() {
        let command = command_of(&injection.packet);
        let next_sequence_id = (!delivery.is_done).then(|| delivery.numbering.next_sequence_id());
        match link.ready(script, command, next_sequence_id).await? {
            Readiness::Ready => run_one(link, script, input, delivery, injection).await?,
            Readiness::NoServer if delivery.is_done => script.connection.queries.clear(),
            Readiness::NoServer => return Err(SessionError::Script(NO_SERVER)),
            Readiness::Refused(refusal) => {
                script.connection.queries.clear();
                delivery.refuse(link, command, &refusal).await?;
            }
        }
    }
    link.err_sequence_id = None;
    Ok(())
}

fn command_of(packet: &[u8]) -> Command {
    packet.first().copied().map_or(Command::SLEEP, Command)
}

async fn run_one(
    link: &mut Link,
    script: &mut Script,
    input: &mut Buffer,
    delivery: &mut Delivery,
    injection: Injection,
) -> Result<(), SessionError> {
    let command = command_of(&injection.packet);
    let effect = Effect::of(&injection.packet, link.capabilities);
    let (sequence_id, response) = send(link, command, &injection.packet).await?;
    link.err_sequence_id = (!delivery.is_done).then_some(delivery.numbering.next_sequence_id());
    let layout = match response {
        ResponseKind::None => {
            effect.apply(link, script);
            return Ok(());
        }
        ResponseKind::Stream => return stream::relay(link, input).await,
        ResponseKind::Tracked(layout) => layout,
        // The exchange of a login cannot be injected; its first packet is its answer.
        ResponseKind::Authentication => Layout::Generic,
    };
    let tracker = ResponseTracker::new(layout, link.capabilities).following(sequence_id);
    let mut exchange = Exchange {
        command,
        tracker,
        first_at: None,
        kept: None,
    };
    if injection.resultset_is_needed {
        exchange.kept = Some(Kept::new(script));
    } else if delivery.is_done {
        error!(
            "(read_query_result) a second query without resultset_is_needed: its result has nowhere to go, closing the client"
        );
        return Err(SessionError::Script(
            "a script sent two results for one command",
        ));
    }
    let last = exchange.receive(link, input, delivery).await?;
    effect.apply(link, script);
    exchange
        .deliver(link, script, (delivery, last), injection)
        .await
}

/// The query's packets; the last one's sequence id, and what follows it. Scripts do not see query attributes; where both
/// sides agreed on them there have to be some.
async fn send(
    link: &mut Link,
    command: Command,
    packet: &[u8],
) -> Result<(u8, ResponseKind), SessionError> {
    let mut bytes = Vec::new();
    let next = match packet.split_first() {
        Some((_, text)) if command == Command::QUERY => {
            let mut payload = Vec::with_capacity(packet.len() + 2);
            Query::encode_text(text, link.capabilities, &mut payload);
            put_payload(&mut bytes, 0, &payload)
        }
        _ => put_payload(&mut bytes, 0, packet),
    };
    link.write_backend(&bytes).await?;
    let response = response_at(command, &bytes).unwrap_or_else(|| command.response_kind());
    Ok((next.wrapping_sub(1), response))
}

/// One query's response on its way.
struct Exchange {
    command: Command,
    tracker: ResponseTracker,
    first_at: Option<Instant>,
    /// The response itself, while it is for the script.
    kept: Option<Kept>,
}

/// The end of a response, on its way to the client.
struct Last {
    output: Buffer,
    bytes: usize,
}

impl Last {
    async fn send(mut self, link: &mut Link, delivery: &mut Delivery) -> Result<(), SessionError> {
        link.err_sequence_id = None;
        let bytes = &mut self.output.bytes_mut()[..self.bytes];
        delivery.pass_on(link, bytes).await
    }
}

/// A response that is kept.
struct Kept {
    /// As they came.
    packets: Vec<u8>,
    /// There were more.
    is_too_large: bool,
    bytes_max: usize,
}

impl Exchange {
    /// The end of a response that is not kept is left for later: when the client has it, the hook has run.
    async fn receive(
        &mut self,
        link: &mut Link,
        input: &mut Buffer,
        delivery: &mut Delivery,
    ) -> Result<Last, SessionError> {
        let mut output = Buffer::take();
        let mut next = Next::Bytes;
        let mut last_bytes = 0;
        while next != Next::End {
            if next == Next::LocalInfile {
                // The client's file is wanted now, whoever wanted the response.
                if let Some(kept) = self.kept.take() {
                    if kept.is_too_large {
                        return Err(SessionError::Refused(kept.refusal()));
                    }
                    delivery.send_kept(link, kept.packets).await?;
                }
                next = local_infile::relay(link, input, &mut output, &mut self.tracker).await?;
                delivery.numbering = Renumbering::new(self.tracker.sequence_id().wrapping_add(1));
                delivery.is_done = true;
                continue;
            }
            link.read_response(&mut output, input).await?;
            self.first_at.get_or_insert_with(Instant::now);
            (next, last_bytes) = self.take(link, &mut output, delivery).await?;
        }
        link.responded(&self.tracker);
        let unsolicited = output.bytes().len() - last_bytes;
        let last = Last {
            output,
            bytes: last_bytes,
        };
        if unsolicited == 0 {
            return Ok(last);
        }
        if self.kept.is_none() {
            last.send(link, delivery).await?;
        }
        Err(SessionError::Unsolicited(unsolicited))
    }

    /// What was read: kept, or sent on but for the response's last bytes, as many as are said.
    async fn take(
        &mut self,
        link: &mut Link,
        output: &mut Buffer,
        delivery: &mut Delivery,
    ) -> Result<(Next, usize), SessionError> {
        let is_full = output.is_full();
        let malformed = |error| SessionError::Malformed(Party::Backend, error);
        let progress = self.tracker.feed(output.bytes()).map_err(malformed)?;
        let bytes = &mut output.bytes_mut()[..progress.consumed];
        match &mut self.kept {
            Some(kept) => kept.push(bytes),
            None if progress.next == Next::End => return Ok((Next::End, progress.consumed)),
            None => {
                link.err_sequence_id = None;
                delivery.pass_on(link, bytes).await?;
            }
        }
        output.consume(progress.consumed);
        if is_full && progress.next == Next::Bytes {
            output.grow();
        }
        Ok((progress.next, 0))
    }

    /// The script decides what the client gets.
    async fn deliver(
        mut self,
        link: &mut Link,
        script: &mut Script,
        (delivery, last): (&mut Delivery, Last),
        injection: Injection,
    ) -> Result<(), SessionError> {
        let kept = self.kept.take();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_too_large) {
            return delivery.send(link, &[kept.refusal().payload()]).await;
        }
        let buffered = kept.map(|kept| {
            Arc::new(Buffered {
                packets: kept.packets,
                capabilities: link.capabilities,
                is_binary: self.command == Command::STMT_EXECUTE,
            })
        });
        let result = self.result(link, injection, buffered.clone());
        let decision = link
            .call(script, Hook::ReadQueryResult(Box::new(result)))
            .await;
        match (decision, buffered) {
            (Decision::Default | Decision::SendQuery, Some(buffered)) => {
                // The script's last hold on it ended with its hook.
                let packets = Arc::try_unwrap(buffered).map(|buffered| buffered.packets);
                let packets = packets.unwrap_or_else(|shared| shared.packets.clone());
                delivery.send_kept(link, packets).await
            }
            (Decision::SendResult(answer), Some(_)) => delivery.send(link, &answer.payloads).await,
            (Decision::IgnoreResult, Some(_)) => Ok(()),
            (_, None) => last.send(link, delivery).await,
        }
    }

    fn result(
        &self,
        link: &Link,
        injection: Injection,
        buffered: Option<Arc<Buffered>>,
    ) -> InjectionResult {
        let now = Instant::now();
        let summary = self.tracker.summary();
        InjectionResult {
            query_time: self.first_at.unwrap_or(now) - injection.queued_at,
            response_time: now - injection.queued_at,
            statistics: Statistics {
                row_count: summary.rows,
                bytes: summary.row_bytes,
                status: link.status,
                warning_count: summary.warnings,
                affected_rows: summary.affected_rows,
                insert_id: summary.last_insert_id,
                query_status: match summary.first {
                    Some(ErrPacket::HEADER) => Some(255),
                    Some(0xfb) => None,
                    _ => Some(0),
                },
            },
            injection,
            buffered,
        }
    }
}

impl Kept {
    fn new(script: &Script) -> Self {
        Self {
            packets: Vec::new(),
            is_too_large: false,
            bytes_max: script
                .scripts()
                .map_or(usize::MAX, |scripts| scripts.settings.result_bytes_max),
        }
    }

    /// Beyond the bound nothing is kept.
    fn push(&mut self, bytes: &[u8]) {
        self.is_too_large |= self.packets.len() + bytes.len() > self.bytes_max;
        match self.is_too_large {
            true => self.packets = Vec::new(),
            false => self.packets.extend_from_slice(bytes),
        }
    }

    fn refusal(&self) -> Refusal {
        let message = format!(
            "(proxy) the result is larger than --lua-result-limit={} allows a script to keep",
            self.bytes_max
        );
        Refusal::new(error_code::UNKNOWN_ERROR, ErrPacket::GENERAL_ERROR, message)
    }
}

impl Delivery {
    /// To a command whose answer starts with `next_sequence_id`.
    pub(super) fn new(next_sequence_id: u8) -> Self {
        Self {
            numbering: Renumbering::new(next_sequence_id),
            is_done: false,
        }
    }

    /// A whole response. A second one is dropped.
    pub(super) async fn send(
        &mut self,
        link: &mut Link,
        payloads: &[Vec<u8>],
    ) -> Result<(), SessionError> {
        let mut packets = Vec::new();
        let mut next = 0;
        for payload in payloads {
            next = put_payload(&mut packets, next, payload);
        }
        self.send_kept(link, packets).await
    }

    /// An ERR of ours in the place of a response, where the command has one.
    pub(super) async fn refuse(
        &mut self,
        link: &mut Link,
        command: Command,
        refusal: &Refusal,
    ) -> Result<(), SessionError> {
        match command.response_kind() {
            ResponseKind::None => Ok(()),
            _ => self.send(link, &[refusal.payload()]).await,
        }
    }

    /// [`Self::send`] for a response as it came, but for its sequence ids.
    async fn send_kept(
        &mut self,
        link: &mut Link,
        mut packets: Vec<u8>,
    ) -> Result<(), SessionError> {
        if self.is_done {
            error!("a script sent two results for one command: the second is dropped");
            return Ok(());
        }
        link.err_sequence_id = None;
        self.pass_on(link, &mut packets).await
    }

    /// A part of a response as it came, but for its sequence ids.
    async fn pass_on(&mut self, link: &mut Link, bytes: &mut [u8]) -> Result<(), SessionError> {
        self.is_done = true;
        self.numbering.apply(bytes);
        link.write_client(bytes).await
    }
}
