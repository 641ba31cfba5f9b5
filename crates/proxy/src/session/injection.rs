//! The queries that a script sends in a command's place, one by one, and what the client gets of their responses: one.

use std::sync::Arc;
use std::time::Instant;

use protocol::command::ResponseKind;
use protocol::packet::{PacketHeader, Renumbering, put_payload, split_payload};
use protocol::query::Query;
use protocol::response::{ErrPacket, error_code};
use protocol::response_tracker::Next;
use protocol::{Command, ResponseTracker};
use script::{Buffered, Decision, Hold, Hook, Injection, InjectionResult, Statistics};
use sql::Pin;
use tracing::error;

use super::command_phase::response_at;
use super::effect::Effect;
use super::error::{Party, Refusal, SessionError};
use super::link::Link;
use super::pooling::{NO_SERVER, Readiness};
use super::script::Script;
use super::{change_user, local_infile, response, stream};
use crate::buffer::Buffer;
use crate::traces::TracedError;

/// The first byte of a request for a client's file.
const LOCAL_INFILE_REQUEST: u8 = 0xfb;

/// What the client has got in answer to its command.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Of the next packet to the client. `None` once it has sent a file: from there on it counts with the server.
    numbering: Option<Renumbering>,
    /// A response was sent, or the client waits for none: another one would be the answer to its next command.
    is_done: bool,
    /// The response is a script's request for a file, which the client sends now.
    asks_for_file: bool,
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
        let effect = Effect::of(&injection.packet);
        match link
            .ready(script, &effect, delivery.err_sequence_id())
            .await?
        {
            Readiness::Ready => {
                run_one(link, script, input, delivery, (injection, effect)).await?;
            }
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
    (injection, mut effect): (Injection, Effect),
) -> Result<(), SessionError> {
    let command = command_of(&injection.packet);
    if command == Command::CHANGE_USER {
        if delivery.is_done {
            return Err(SessionError::Script(
                "a script sent COM_CHANGE_USER behind the answer to a command",
            ));
        }
        delivery.is_done = true;
        let change = change_user::inject(link, script, input, &injection.packet);
        return Box::pin(change).await;
    }
    let (sequence_id, kind, is_sent) = send(link, script, &injection).await?;
    link.err_sequence_id = delivery.err_sequence_id();
    let layout = match kind {
        ResponseKind::None | ResponseKind::Authentication => {
            effect.apply(link, script);
            return Ok(());
        }
        ResponseKind::Stream if !delivery.is_done => {
            delivery.is_done = true;
            effect.apply(link, script);
            return stream::relay(link, input).await;
        }
        ResponseKind::Stream => {
            return Err(SessionError::Script(
                "a script asked for a stream behind the answer to a command",
            ));
        }
        ResponseKind::Tracked(layout) => layout,
    };
    let tracker = ResponseTracker::new(layout, link.capabilities).following(sequence_id);
    let is_last = script.connection.queries.is_empty();
    let mut exchange = Exchange::new(command, tracker, is_last);
    if injection.resultset_is_needed {
        exchange.receiver = Receiver::Script(Kept::new(script));
    } else if delivery.is_done {
        error!(
            "(read_query_result) a query without resultset_is_needed where the client waits for no result: it has nowhere to go, closing the client"
        );
        return Err(SessionError::Script(
            "a script sent a result where the client waits for none",
        ));
    }
    let (next, last) = exchange.receive(link, input, delivery, Next::Bytes).await?;
    let hold = match next {
        Next::LocalInfile => Hold::Pinned("the server waits for a file"),
        _ => {
            std::mem::take(&mut effect).apply(link, script);
            link.hold()
        }
    };
    let whose = (injection, hold);
    exchange.receiver = exchange.deliver(link, script, delivery, whose).await?;
    if next == Next::LocalInfile {
        let (_, last) = exchange.receive(link, input, delivery, next).await?;
        effect.apply(link, script);
        return last.send(link, delivery).await;
    }
    last.send(link, delivery).await?;
    match is_sent {
        true => Ok(()),
        // It answered what it had not heard to the end, and may take the next command for the rest.
        false => Box::pin(response::relay_last_words(link)).await,
    }
}

/// The query's packets; the last one's sequence id, what follows it, and whether the backend took all of it.
async fn send(
    link: &mut Link,
    script: &Script,
    injection: &Injection,
) -> Result<(u8, ResponseKind, bool), SessionError> {
    let packet = injection.packet.as_slice();
    let command = command_of(packet);
    let mut bytes = Vec::new();
    let next = match packet.split_first() {
        Some((_, text)) if command == Command::QUERY => {
            let attributes = injection.attributes.as_deref();
            let attributes = attributes.unwrap_or(&script.connection.query_attributes);
            let query = Query { attributes, text };
            let mut payload = Vec::with_capacity(packet.len() + attributes.len() + 2);
            query.encode(link.capabilities, &mut payload);
            put_payload(&mut bytes, 0, &payload)
        }
        _ => put_payload(&mut bytes, 0, packet),
    };
    link.say_injected(packet);
    let is_sent = link.write_backend(&bytes).await? == bytes.len();
    if !is_sent && let Some(session) = &mut link.session {
        session.add_pin(Some(Pin::ForGood("a command that the server did not take")));
    }
    let response = response_at(command, &bytes).unwrap_or_else(|| command.response_kind());
    Ok((next.wrapping_sub(1), response, is_sent))
}

/// Of packets that begin with an ERR.
fn error_of(packets: &[u8]) -> Option<TracedError> {
    let (&header, _) = packets.get(PacketHeader::BYTES..)?.split_first()?;
    if header != ErrPacket::HEADER {
        return None;
    }
    let (payload, _) = split_payload(packets)?;
    let err = ErrPacket::decode(&payload).ok()?;
    (err.code != ErrPacket::PROGRESS_REPORT).then_some((err.code, err.sql_state))
}

/// One query's response on its way.
struct Exchange {
    command: Command,
    tracker: ResponseTracker,
    first_at: Option<Instant>,
    receiver: Receiver,
    /// Nothing else is queued behind it so far.
    is_last: bool,
}

/// Who gets a response.
enum Receiver {
    /// As it comes.
    Client,
    /// All of it, or what there is when the server asks for the client's file: then the script has a say in that.
    Script(Kept),
    /// The client has another answer, or gets one; the server gets no file.
    Nobody,
}

/// The end of a response that the client gets as it comes: when it has that, the hook has run.
struct Last {
    output: Buffer,
    bytes: usize,
}

impl Last {
    async fn send(mut self, link: &mut Link, delivery: &mut Delivery) -> Result<(), SessionError> {
        if self.bytes == 0 {
            return Ok(());
        }
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
    /// The client gets the response.
    fn new(command: Command, tracker: ResponseTracker, is_last: bool) -> Self {
        Self {
            command,
            tracker: tracker.keeping_session_state(),
            first_at: None,
            receiver: Receiver::Client,
            is_last,
        }
    }

    /// Up to the response's end, or to the server's request for a file while the response is the script's. What is still
    /// to be sent.
    async fn receive(
        &mut self,
        link: &mut Link,
        input: &mut Buffer,
        delivery: &mut Delivery,
        mut next: Next,
    ) -> Result<(Next, Last), SessionError> {
        let mut output = Buffer::take();
        let mut last_bytes = 0;
        while next != Next::End {
            next = match (next, &self.receiver) {
                (Next::LocalInfile, Receiver::Script(_)) => break,
                (Next::LocalInfile, Receiver::Client) => {
                    delivery.numbering = None;
                    local_infile::relay(link, input, &mut output, &mut self.tracker).await?
                }
                (Next::LocalInfile, Receiver::Nobody) => {
                    local_infile::decline(link, &mut self.tracker).await?
                }
                (Next::Bytes | Next::End, _) => {
                    link.read_response(&mut output, input, self.is_last).await?;
                    self.first_at.get_or_insert_with(Instant::now);
                    let taken = self.take(link, &mut output, delivery).await?;
                    last_bytes = taken.1;
                    taken.0
                }
            };
        }
        link.responded(&self.tracker);
        let unsolicited = output.bytes().len() - last_bytes;
        let last = Last {
            output,
            bytes: last_bytes,
        };
        if unsolicited > 0 {
            last.send(link, delivery).await?;
            return Err(SessionError::Unsolicited(unsolicited));
        }
        Ok((next, last))
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
        match &mut self.receiver {
            Receiver::Script(kept) => kept.push(bytes),
            Receiver::Client if progress.next == Next::End => {
                return Ok((Next::End, progress.consumed));
            }
            Receiver::Client => {
                link.err_sequence_id = None;
                delivery.pass_on(link, bytes).await?;
            }
            Receiver::Nobody => {}
        }
        output.consume(progress.consumed);
        if is_full && progress.next == Next::Bytes {
            output.grow();
        }
        Ok((progress.next, 0))
    }

    /// The script decides what the client gets, and with it who gets what may still follow.
    async fn deliver(
        &mut self,
        link: &mut Link,
        script: &mut Script,
        delivery: &mut Delivery,
        (injection, hold): (Injection, Hold),
    ) -> Result<Receiver, SessionError> {
        let kept = match std::mem::replace(&mut self.receiver, Receiver::Nobody) {
            Receiver::Script(kept) => Some(kept),
            Receiver::Client | Receiver::Nobody => None,
        };
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_too_large) {
            delivery.send(link, &[kept.refusal().payload()]).await?;
            return Ok(Receiver::Nobody);
        }
        let buffered = kept.map(|kept| {
            Arc::new(Buffered {
                packets: kept.packets,
                capabilities: link.capabilities,
                is_binary: self.command == Command::STMT_EXECUTE,
            })
        });
        let result = self.result(link, injection, buffered.clone());
        let hook = Hook::ReadQueryResult(Box::new(result));
        let decision = link.call_while(hold, script, hook).await;
        match (decision, buffered) {
            (Decision::Default | Decision::SendQuery, Some(buffered)) => {
                // The script's last hold on it ended with its hook.
                let packets = Arc::try_unwrap(buffered).map(|buffered| buffered.packets);
                let packets = packets.unwrap_or_else(|shared| shared.packets.clone());
                return delivery.send_kept(link, packets).await;
            }
            (Decision::SendResult(answer), Some(_)) => {
                delivery.send(link, &answer.payloads).await?;
            }
            (Decision::IgnoreResult, Some(_)) => {}
            // It is passed on as it came.
            (_, None) => {}
        }
        Ok(Receiver::Nobody)
    }

    fn result(
        &mut self,
        link: &Link,
        injection: Injection,
        buffered: Option<Arc<Buffered>>,
    ) -> InjectionResult {
        let now = Instant::now();
        let session_state = self.tracker.take_session_state();
        let summary = self.tracker.summary();
        InjectionResult {
            session_state,
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
    /// To a command whose answer starts with `next_sequence_id`, if it has one.
    pub(super) fn new(next_sequence_id: u8, has_answer: bool) -> Self {
        Self {
            numbering: Some(Renumbering::new(next_sequence_id)),
            is_done: !has_answer,
            asks_for_file: false,
        }
    }

    /// The file that a script has asked for is nobody's: it is read to its end, and that is that.
    pub(super) async fn settle_file(
        &mut self,
        link: &mut Link,
        input: &mut Buffer,
    ) -> Result<(), SessionError> {
        match std::mem::take(&mut self.asks_for_file) {
            true => local_infile::discard(link, input).await,
            false => Ok(()),
        }
    }

    /// Whether the client waits for nothing any more.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Of an ERR, while one may be the answer.
    fn err_sequence_id(&self) -> Option<u8> {
        let numbering = self.numbering.as_ref().filter(|_| !self.is_done)?;
        Some(numbering.next_sequence_id())
    }

    /// A whole response. A second one is dropped.
    pub(super) async fn send(
        &mut self,
        link: &mut Link,
        payloads: &[Vec<u8>],
    ) -> Result<(), SessionError> {
        let is_request =
            matches!(payloads, [payload] if payload.first() == Some(&LOCAL_INFILE_REQUEST));
        self.asks_for_file = is_request && !self.is_done;
        let mut packets = Vec::new();
        let mut next = 0;
        for payload in payloads {
            next = put_payload(&mut packets, next, payload);
        }
        self.send_kept(link, packets).await.map(drop)
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

    /// [`Self::send`] for a response as it came, but for its sequence ids. Who gets what may still follow.
    async fn send_kept(
        &mut self,
        link: &mut Link,
        mut packets: Vec<u8>,
    ) -> Result<Receiver, SessionError> {
        if packets.is_empty() {
            return Ok(Receiver::Nobody);
        }
        if self.is_done {
            error!("a script sent a result where the client waits for none: it is dropped");
            return Ok(Receiver::Nobody);
        }
        link.err_sequence_id = None;
        self.pass_on(link, &mut packets).await?;
        Ok(Receiver::Client)
    }

    /// A part of a response as it came, but for its sequence ids.
    async fn pass_on(&mut self, link: &mut Link, bytes: &mut [u8]) -> Result<(), SessionError> {
        if !self.is_done
            && let Some(error) = error_of(bytes)
        {
            link.trace_error(error);
        }
        self.is_done = true;
        if let Some(numbering) = &mut self.numbering {
            numbering.apply(bytes);
        }
        link.write_client(bytes).await
    }
}
