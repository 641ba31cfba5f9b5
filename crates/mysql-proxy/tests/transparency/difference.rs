//! What a client hears through the proxy against what it hears directly: packet by packet, but for what must differ.

use std::fmt;

use protocol::response::{EofPacket, ErrPacket, OkPacket};
use protocol::{Capabilities, Command};

use crate::routes::Mode;
use crate::run::{Packet, Part, STATISTICS, Then, Transcript};
use crate::session::{Ending, Say, Session, Step};

/// Something that differs however good the proxy is, and is therefore made the same before packets are compared.
struct Exception {
    /// What it is and why it differs.
    reason: &'static str,
    modes: fn(Mode) -> bool,
    level: Level,
}

/// Makes it the same.
enum Level {
    /// In the payload that stands at this place.
    Payload(fn(Place<'_>, &mut Vec<u8>)),
    /// In all that came in answer to something.
    Part(fn(Place<'_>, &mut Part)),
}

/// All of them.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        reason: "the thread's number and the scramble in the greeting: each connection has its own",
        modes: |_| true,
        level: Level::Payload(|place, payload| level_greeting(place, payload)),
    },
    Exception {
        reason: "the offer of TLS and compression in the greeting: they are between the proxy and the client",
        modes: |_| true,
        level: Level::Payload(|place, payload| level_offer(place, payload)),
    },
    Exception {
        reason: "the scramble in a request to change the authentication method: each has its own",
        modes: |_| true,
        level: Level::Payload(|place, payload| level_switch_request(place, payload)),
    },
    Exception {
        reason: "numbers in the answer to COM_STATISTICS: they are the server's, and it serves others at the same time",
        modes: |_| true,
        level: Level::Payload(level_statistics),
    },
    Exception {
        reason: "a statement's number: a connection from a pool has counted those of other clients",
        modes: |mode| mode == Mode::Pooled,
        level: Level::Payload(level_statement_id),
    },
    Exception {
        reason: "the collation in definitions of text columns: a reset session's is that of its character set, no statement \
                 says another one",
        modes: |mode| mode == Mode::Pooled,
        level: Level::Payload(|place, payload| level_collation(place, payload)),
    },
    Exception {
        reason: "warnings of the statement before, which MySQL counts in answers to commands that are none: it ran elsewhere",
        modes: |mode| mode == Mode::Pooled,
        level: Level::Payload(|place, payload| level_old_warnings(place, payload)),
    },
    Exception {
        reason: "how a password is asked for: a login that takes over a connection from a pool needs a second scramble",
        modes: |mode| mode == Mode::Pooled,
        level: Level::Part(level_authentication),
    },
    Exception {
        reason: "MySQL's complaint of an end without COM_QUIT: the proxy has no need to wait for it",
        modes: |_| true,
        level: Level::Part(level_complaint),
    },
    Exception {
        reason: "the proxy's word where the server closes without one, in the midst of an answer",
        modes: |_| true,
        level: Level::Part(level_loss),
    },
    Exception {
        reason: "an OK in answer to COM_QUIT: the script keeps it from the server, and no client reads it",
        modes: |mode| mode == Mode::Pooled,
        level: Level::Part(level_goodbye),
    },
];

/// Sessions that a mode cannot have, and why.
pub(crate) fn cannot_have(mode: Mode, session: &Session) -> Option<&'static str> {
    match mode {
        Mode::Kept | Mode::Pooled if session.is_broken_off() => {
            Some("an answer that the server breaks off is never complete, and no script gets it")
        }
        Mode::Pooled if session.logins().any(|login| !login.has_database) => {
            Some("no server takes a default database away: one without gets `information_schema`")
        }
        Mode::Pooled if session.ends_itself() || matches!(session.ending, Ending::Kill(_)) => {
            Some("who ends its connection has given it up with the answer, and lives on")
        }
        Mode::Pooled
            if session.resets() && session.login.with.contains(Capabilities::IGNORE_SPACE) =>
        {
            Some(
                "MariaDB forgets at a reset what this flag has set, and the proxy gives it back with the next connection",
            )
        }
        Mode::Pooled
            if session.calls() && session.login.with.contains(Capabilities::SESSION_TRACK) =>
        {
            Some(
                "a connection that loads a routine changes its schema for that, and says so with its next OK, to anybody",
            )
        }
        Mode::Pooled if session.has_by_number() => {
            Some("the greeting's number is that of a connection which others have too")
        }
        _ => None,
    }
}

/// Where a packet stands.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    /// The packet's number.
    Login(usize),
    Step(&'a Step, usize),
    End(Ending),
}

impl<'a> Place<'a> {
    fn new(session: &'a Session, part: usize, packet: usize) -> Self {
        match part.checked_sub(1) {
            None => Self::Login(packet),
            Some(step) => session
                .steps
                .get(step)
                .map_or(Self::End(session.ending), |step| Self::Step(step, packet)),
        }
    }
}

/// What both sides of a comparison have in common.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) session: &'a Session,
    pub(crate) mode: Mode,
    pub(crate) direct: &'a Transcript,
}

impl Comparison<'_> {
    /// Whether a packet of the proxy's is what it should be. Behind the packets of a part it is the answer to
    /// COM_STATISTICS.
    pub(crate) fn is_right(&self, part: usize, packet: usize, proxied: &Packet) -> bool {
        let direct = &self.direct[part];
        match direct.packets.get(packet) {
            Some(direct) => {
                self.leveled(part, packet, direct) == self.leveled(part, packet, proxied)
            }
            None if direct.then == Then::Closed => is_loss(proxied),
            None => proxied.0 == 1 && proxied.1.starts_with(STATISTICS),
        }
    }

    /// The first difference of a whole session.
    pub(crate) fn difference(&self, proxied: &Transcript) -> Option<Difference> {
        let parts = self.direct.len().max(proxied.len());
        (0..parts).find_map(|part| self.difference_in(part, proxied))
    }

    fn difference_in(&self, number: usize, proxied: &Transcript) -> Option<Difference> {
        if self.direct.get(number) == proxied.get(number) {
            return None;
        }
        let mut reasons = Vec::new();
        let [direct, proxied] = [self.direct, proxied]
            .map(|all| self.leveled_part(number, all.get(number), &mut reasons));
        if direct == proxied {
            return None;
        }
        let packets = direct.packets.len().max(proxied.packets.len());
        let is_same = |packet: &usize| direct.packets.get(*packet) == proxied.packets.get(*packet);
        let packet = (0..packets)
            .find(|packet| !is_same(packet))
            .unwrap_or(packets);
        let at = |part: &Part| part.packets.get(packet).cloned().ok_or(part.then);
        Some(Difference {
            part: number,
            packet,
            direct: at(&direct),
            proxied: at(&proxied),
            reasons,
        })
    }

    /// `reasons` gets those of the exceptions that changed something.
    fn leveled_part(
        &self,
        number: usize,
        part: Option<&Part>,
        reasons: &mut Vec<&'static str>,
    ) -> Part {
        let mut part = part.cloned().unwrap_or_default();
        for exception in self.exceptions() {
            let before = part.clone();
            match exception.level {
                Level::Payload(level) => {
                    for (n, (_, payload)) in part.packets.iter_mut().enumerate() {
                        level(Place::new(self.session, number, n), payload);
                    }
                }
                Level::Part(level) => level(Place::new(self.session, number, 0), &mut part),
            }
            if part != before && !reasons.contains(&exception.reason) {
                reasons.push(exception.reason);
            }
        }
        part
    }

    fn leveled(&self, part: usize, packet: usize, (sequence_id, payload): &Packet) -> Packet {
        let mut payload = payload.clone();
        for exception in self.exceptions() {
            if let Level::Payload(level) = exception.level {
                level(Place::new(self.session, part, packet), &mut payload);
            }
        }
        (*sequence_id, payload)
    }

    fn exceptions(&self) -> impl Iterator<Item = &'static Exception> {
        let mode = self.mode;
        EXCEPTIONS
            .iter()
            .filter(move |exception| (exception.modes)(mode))
    }
}

/// `int<1>` version, `string<NUL>` server, then `int<4>` thread, 8 bytes of scramble; 12 more of them behind 19 others.
fn level_greeting(place: Place<'_>, payload: &mut [u8]) {
    const SCRAMBLES: [std::ops::Range<usize>; 2] = [0..12, 31..43];
    if let Place::Login(0) = place
        && let Some(nul) = payload.iter().position(|&byte| byte == 0)
    {
        for range in SCRAMBLES {
            let range = nul + 1 + range.start..nul + 1 + range.end;
            if let Some(bytes) = payload.get_mut(range) {
                bytes.fill(b'#');
            }
        }
    }
}

/// The two halves of the flags are 13 and 18 bytes behind the server's version.
fn level_offer(place: Place<'_>, payload: &mut [u8]) {
    const HALVES: [usize; 2] = [13, 18];
    let own = Capabilities::SSL | Capabilities::COMPRESS | Capabilities::ZSTD_COMPRESSION;
    if let Place::Login(0) = place
        && let Some(nul) = payload.iter().position(|&byte| byte == 0)
    {
        for (half, mask) in HALVES.into_iter().zip(own.low().to_le_bytes().chunks(2)) {
            for (byte, mask) in payload.iter_mut().skip(nul + 1 + half).zip(mask) {
                *byte |= mask;
            }
        }
    }
}

/// `int<1>` 0xfe, `string<NUL>` plugin, then the scramble and a NUL.
fn level_switch_request(place: Place<'_>, payload: &mut [u8]) {
    const HEADER: u8 = 0xfe;
    const SCRAMBLE_BYTES: usize = 20;
    let is_login = matches!(
        place,
        Place::Login(1..) | Place::Step(Step::ChangeUser(_), _)
    );
    if is_login
        && payload.first() == Some(&HEADER)
        && let Some(nul) = payload.iter().position(|&byte| byte == 0)
        && let Some(scramble) = payload.get_mut(nul + 1..nul + 1 + SCRAMBLE_BYTES)
    {
        scramble.fill(b'#');
    }
}

fn level_statistics(place: Place<'_>, payload: &mut Vec<u8>) {
    if let Place::Step(Step::Commands(commands), _) = place
        && commands.iter().any(Say::is_statistics)
        && payload.starts_with(STATISTICS)
    {
        // One for each number, however long it is.
        payload.dedup_by(|one, before| {
            let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
            is_number(*one) && is_number(*before)
        });
        for byte in payload.iter_mut().filter(|byte| byte.is_ascii_digit()) {
            *byte = b'#';
        }
    }
}

fn level_statement_id(place: Place<'_>, payload: &mut Vec<u8>) {
    /// `Unknown prepared statement handler (5) given to EXECUTE`, `The statement (5) has no open cursor.`
    const NUMBERED: [&[u8]; 2] = [b"\xff\xdb\x04#HY000", b"\xff\x8d\x05#HY000"];
    let Place::Step(Step::Commands(commands), packet) = place else {
        return;
    };
    let is_prepared = packet == 0 && matches!(commands.first(), Some(Say::Prepare { .. }));
    if is_prepared && payload.first() == Some(&0) && payload.len() > 4 {
        payload[1..5].fill(b'#');
    }
    if NUMBERED.iter().any(|start| payload.starts_with(start)) {
        payload.retain(|byte| !byte.is_ascii_digit());
    }
}

/// Behind names in a column's definition, and in MariaDB's what else the type is.
fn level_collation(place: Place<'_>, payload: &mut [u8]) {
    const START: &[u8] = b"\x03def";
    const FIXED: u8 = 0x0c;
    const NAMES: usize = 6;
    /// utf8mb4_general_ci and two of its relatives
    const UTF8MB4: [u16; 3] = [45, 224, 255];
    if !matches!(place, Place::Step(..)) || !payload.starts_with(START) {
        return;
    }
    let mut at = 0;
    for n in 0..=NAMES {
        match payload.get(at) {
            Some(&FIXED) if n == NAMES => break,
            Some(&length) => at += 1 + usize::from(length),
            None => return,
        }
    }
    if let [FIXED, low, high, ..] = payload.get_mut(at..).unwrap_or_default()
        && UTF8MB4.contains(&u16::from_le_bytes([*low, *high]))
    {
        [*low, *high] = UTF8MB4[0].to_le_bytes();
    }
}

/// An OK with or without changes of the session's state behind it, an EOF, or the OK in its place.
fn level_old_warnings(place: Place<'_>, payload: &mut [u8]) {
    const OK: u8 = OkPacket::HEADER;
    const END: u8 = EofPacket::HEADER;
    let is_asked = |say: &Say| matches!(say, Say::Command(..) | Say::OnStatement(..));
    let (Place::Step(Step::Commands(commands), _), payload) = (place, payload) else {
        return;
    };
    if let [END, a, b, _, _] | [OK | END, 0, 0, _, _, a, b] | [OK, 0, 0, _, 0x40..=0xff, a, b, ..] =
        payload
        && commands.iter().any(is_asked)
    {
        [*a, *b] = [0, 0];
    }
}

/// The greeting and the result are left.
fn level_authentication(place: Place<'_>, part: &mut Part) {
    if let (Place::Login(_), [_, .., result]) = (place, part.packets.as_mut_slice()) {
        result.0 = 0;
        part.packets.drain(1..part.packets.len() - 1);
    }
}

fn level_complaint(place: Place<'_>, part: &mut Part) {
    const NET_READ_ERROR: &[u8] = b"\xff\x86\x04#08S01";
    if let Place::End(Ending::HalfClose) = place {
        part.packets
            .retain(|packet| !packet.1.starts_with(NET_READ_ERROR));
    }
}

fn level_loss(_: Place<'_>, part: &mut Part) {
    if part.then == Then::Closed && part.packets.last().is_some_and(is_loss) {
        part.packets.pop();
    }
}

fn is_loss(packet: &Packet) -> bool {
    packet
        .1
        .starts_with(b"\xff\xdd\x07#HY000(proxy) lost connection to backend ")
}

fn level_goodbye(place: Place<'_>, part: &mut Part) {
    let is_ok = |packet: &Packet| packet.0 == 1 && packet.1.first() == Some(&OkPacket::HEADER);
    if let (Place::End(Ending::Quit), [packet]) = (place, part.packets.as_slice())
        && is_ok(packet)
    {
        part.packets.clear();
    }
}

/// The first packet that differs; where there is none, what stands there instead.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    part: usize,
    packet: usize,
    direct: Result<Packet, Then>,
    proxied: Result<Packet, Then>,
    /// What was made the same in this answer.
    reasons: Vec<&'static str>,
}

impl Difference {
    /// The step that a pooled session has to do without: it asks about a statement before it.
    pub(crate) fn unanswered_step(&self, session: &Session) -> Option<usize> {
        let number = self.part.checked_sub(1)?;
        let step = session.steps.get(number)?;
        let is_unanswered = self.is_refusal() || self.is_unseen() && step.asks_about_past();
        is_unanswered.then_some(number)
    }

    /// The script would have to keep the connection.
    fn is_refusal(&self) -> bool {
        const REFUSAL: &[u8] = b"\xff\x51\x04#HY000(proxy) the statement asks for ";
        matches!(&self.proxied, Ok((_, payload)) if payload.starts_with(REFUSAL))
    }

    /// An answer that is not right, for what the proxy does not know. MariaDB keeps warnings through statements that read no
    /// table: where they ran on another connection, the proxy says that there are none. An INSERT that was given its id makes
    /// no last insert id, though its OK has one: the one that the connection has is another client's. MySQL also counts the
    /// rows that an UPDATE found.
    fn is_unseen(&self) -> bool {
        let is_err = |packet: &Result<Packet, Then>| matches!(packet, Ok((_, payload)) if payload.first() == Some(&ErrPacket::HEADER));
        !is_err(&self.direct) && !is_err(&self.proxied)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.part.checked_sub(1) {
            None => "the login".to_owned(),
            Some(step) => format!("step {step}, counted from 0, or the ending behind them"),
        };
        writeln!(f, "packet {} of the answer to {place}", self.packet)?;
        let same = match (&self.direct, &self.proxied) {
            (Ok(direct), Ok(proxied)) => {
                let pairs = direct.1.iter().zip(&proxied.1);
                pairs.take_while(|(one, other)| one == other).count()
            }
            _ => 0,
        };
        for (how, packet) in [("directly", &self.direct), ("proxied", &self.proxied)] {
            match packet {
                Ok((sequence_id, payload)) => {
                    let bytes = payload.len();
                    writeln!(f, "{how}: sequence id {sequence_id}, {bytes} bytes")?;
                    put_hex(f, payload, same)?;
                }
                Err(then) => writeln!(f, "{how}: {then:?}")?,
            }
        }
        let mut reasons = self.reasons.iter();
        reasons.try_for_each(|reason| writeln!(f, "not compared: {reason}"))
    }
}

/// The lines around the byte `at`.
fn put_hex(f: &mut fmt::Formatter<'_>, payload: &[u8], at: usize) -> fmt::Result {
    const LINE_BYTES: usize = 16;
    const LINES: usize = 24;
    let first = (at / LINE_BYTES).saturating_sub(LINES / 2);
    let lines = payload.chunks(LINE_BYTES).enumerate();
    for (n, line) in lines.skip(first).take(LINES) {
        write!(f, "  {:08x} ", n * LINE_BYTES)?;
        for byte in line {
            write!(f, " {byte:02x}")?;
        }
        let padding = 3 * (LINE_BYTES - line.len()) + 2;
        let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let text = line.iter().map(|byte| {
            if printable(byte) {
                char::from(*byte)
            } else {
                '.'
            }
        });
        writeln!(f, "{:padding$}{}", "", text.collect::<String>())?;
    }
    Ok(())
}

mod tests {
    use protocol::Capabilities;

    use super::*;
    use crate::session::LoginChoice;

    const GREETING: &[u8] =
        b"\x0a9.7.0\0\x05\0\0\0scramble\0\xff\xf7\x2d\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0\
                              and the rest\0caching_sha2_password\0";
    const OK: &[u8] = b"\0\0\0\x02\0\0\0";

    fn session() -> Session {
        let prepare = Say::Prepare {
            slot: 0,
            sql: "SELECT 1".to_owned(),
        };
        let statistics = Say::Command(Command::STATISTICS, "".into());
        Session {
            login: LoginChoice {
                user: "one",
                has_right_password: true,
                has_database: true,
                with: Capabilities::empty(),
                without: Capabilities::empty(),
                character_set: 45,
            },
            steps: vec![
                Step::Commands(vec![prepare]),
                Step::Commands(vec![statistics]),
            ],
            ending: Ending::Quit,
        }
    }

    fn transcript() -> Transcript {
        let part = |packets: &[(u8, &[u8])], then| Part {
            packets: packets
                .iter()
                .map(|(id, payload)| (*id, payload.to_vec()))
                .collect(),
            then,
        };
        vec![
            part(&[(0, GREETING), (2, OK)], Then::Open),
            part(
                &[(1, b"\0\x07\0\0\0\x01\0\0\0\0\0\0"), (2, b"\x03def")],
                Then::Open,
            ),
            part(&[(1, b"Uptime: 15  Threads: 2  Queries: 3.1")], Then::Open),
            part(&[], Then::Closed),
        ]
    }

    /// Whether it is noticed, in this mode.
    fn notices(mode: Mode, change: impl Fn(&mut Transcript)) -> bool {
        let (session, direct) = (session(), transcript());
        let mut proxied = transcript();
        change(&mut proxied);
        let comparison = Comparison {
            session: &session,
            mode,
            direct: &direct,
        };
        comparison.difference(&proxied).is_some()
    }

    #[test]
    fn each_bit_counts_but_for_the_exceptions() {
        for mode in Mode::ALL {
            assert!(!notices(mode, |_| ()));
            for (part, packet) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)] {
                let payload = transcript()[part].packets[packet].1.clone();
                let unnoticed: Vec<_> = (0..payload.len() * 8)
                    .filter(|bit| {
                        let change = |all: &mut Transcript| {
                            all[part].packets[packet].1[bit / 8] ^= 1 << (bit % 8)
                        };
                        !notices(mode, change)
                    })
                    .collect();
                let expected = match (part, packet) {
                    // Thread, 20 bytes of scramble; TLS and two compressions.
                    (0, 0) => 8 * (4 + 20) + 3,
                    (1, 0) if mode == Mode::Pooled => 8 * 4,
                    _ => 0,
                };
                match (part, packet) {
                    // Some bits make another digit of a digit.
                    (2, 0) => assert!(
                        unnoticed
                            .iter()
                            .all(|bit| payload[bit / 8].is_ascii_digit())
                    ),
                    _ => assert_eq!(unnoticed.len(), expected, "{mode:?} {part} {packet}"),
                }
            }
        }
    }

    #[test]
    fn framing_and_ends_count() {
        let changes: [fn(&mut Transcript); 8] = [
            |all| all[1].packets[1].0 = 3,
            |all| all[1].packets.truncate(1),
            |all| all[1].packets.push((3, OK.to_vec())),
            |all| all[1].packets.swap(0, 1),
            |all| {
                let rest = all[1].packets[1].1.split_off(2);
                all[1].packets.push((3, rest));
            },
            |all| all[2].then = Then::Closed,
            |all| all[3].then = Then::Silence,
            |all| all.truncate(3),
        ];
        for mode in Mode::ALL {
            for (n, change) in changes.iter().enumerate() {
                assert!(notices(mode, change), "{mode:?} {n}");
            }
        }
    }

    #[test]
    fn a_longer_number_in_statistics_is_the_same() {
        assert!(!notices(Mode::Plain, |all| {
            all[2].packets[0].1 = b"Uptime: 1234  Threads: 10  Queries: 30.15".to_vec();
        }));
    }
}
