//! Responses as servers send them, each fed whole, cut at every byte, and byte by byte, always with the start of a
//! next response behind it, which must stay untouched.

use proptest::prelude::*;

use super::*;
use crate::packet::put_payload;
use crate::response::SessionStateChange;

const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
const DEPRECATE_EOF: Capabilities = PLAIN.union(Capabilities::DEPRECATE_EOF);

/// A response under construction.
#[derive(Debug, Clone, Default)]
struct Response {
    bytes: Vec<u8>,
    sequence_id: u8,
}

impl Response {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            sequence_id: 1,
        }
    }

    fn packet(mut self, payload: &[u8]) -> Self {
        self.sequence_id = put_payload(&mut self.bytes, self.sequence_id, payload);
        self
    }

    fn ok(self, status: StatusFlags) -> Self {
        self.ok_with(OkPacket::HEADER, status, 7)
    }

    fn ok_with(self, header: u8, status: StatusFlags, affected_rows: u64) -> Self {
        let mut payload = Vec::new();
        let ok = OkPacket {
            affected_rows,
            status,
            info: b"info".to_vec(),
            ..OkPacket::default()
        };
        ok.encode(header, PLAIN, &mut payload);
        self.packet(&payload)
    }

    fn eof(self, status: StatusFlags) -> Self {
        let mut payload = Vec::new();
        EofPacket {
            warnings: 0,
            status,
        }
        .encode(&mut payload);
        self.packet(&payload)
    }

    fn err(self) -> Self {
        let mut payload = Vec::new();
        ErrPacket::new(1064, *b"42000", "You have an error").encode(&mut payload);
        self.packet(&payload)
    }

    fn definitions(mut self, n: usize) -> Self {
        for _ in 0..n {
            self = self
                .packet(b"\x03def\x04test\x01t\x01t\x01a\x01a\x0c\x3f\0\x0b\0\0\0\x03\0\0\0\0\0");
        }
        self
    }

    /// Ends definitions (nothing under DEPRECATE_EOF).
    fn end_of_definitions(self, capabilities: Capabilities, status: StatusFlags) -> Self {
        if capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self
        } else {
            self.eof(status)
        }
    }

    fn end_of_rows(self, capabilities: Capabilities, status: StatusFlags) -> Self {
        if capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.ok_with(OkPacket::HEADER_AFTER_ROWS, status, 0)
        } else {
            self.eof(status)
        }
    }

    fn resultset(self, capabilities: Capabilities, rows: &[&[u8]], status: StatusFlags) -> Self {
        let start = self
            .packet(&[2])
            .definitions(2)
            .end_of_definitions(capabilities, status);
        rows.iter()
            .fold(start, |response, row| response.packet(row))
            .end_of_rows(capabilities, status)
    }
}

/// Feeds `bytes` in pieces of the given sizes; returns what was consumed and the tracker.
fn feed_in_pieces<'a>(
    layout: Layout,
    capabilities: Capabilities,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (usize, Next, ResponseTracker) {
    let mut tracker = ResponseTracker::new(layout, capabilities);
    let mut consumed = 0;
    let mut next = Next::Bytes;
    for piece in pieces {
        let progress = tracker.feed(piece).unwrap();
        consumed += progress.consumed;
        next = progress.next;
        if next != Next::Bytes {
            break;
        }
        assert_eq!(progress.consumed, piece.len());
    }
    (consumed, next, tracker)
}

/// The response ends exactly where it ends, however it is cut, and leaves `status`.
fn check(
    layout: Layout,
    capabilities: Capabilities,
    response: &Response,
    status: impl Into<Option<StatusFlags>>,
) {
    let status = status.into();
    let end = response.bytes.len();
    let mut bytes = response.bytes.clone();
    bytes.extend_from_slice(&[1, 0, 0, 1, 0]);
    let check = |(consumed, next, tracker): (usize, Next, ResponseTracker)| {
        assert_eq!((consumed, next), (end, Next::End));
        assert_eq!(tracker.status(), status);
        assert_eq!(tracker.sequence_id(), response.sequence_id.wrapping_sub(1));
        assert!(tracker.is_at_packet_boundary());
    };
    for cut in 0..end.min(2000) {
        let (head, tail) = bytes.split_at(cut);
        check(feed_in_pieces(layout, capabilities, [head, tail]));
    }
    check(feed_in_pieces(layout, capabilities, [bytes.as_slice()]));
    if end < 100_000 {
        check(feed_in_pieces(layout, capabilities, bytes.chunks(1)));
    }
}

#[test]
fn one_packet_responses() {
    let status = StatusFlags::AUTOCOMMIT;
    for layout in [Layout::Generic, Layout::Resultsets] {
        check(layout, PLAIN, &Response::new().ok(status), status);
        check(layout, PLAIN, &Response::new().err(), None);
    }
    for layout in [Layout::Prepare, Layout::Columns, Layout::Rows] {
        check(layout, PLAIN, &Response::new().err(), None);
    }
    check(Layout::Generic, PLAIN, &Response::new().eof(status), status);
    let after_rows = Response::new().ok_with(OkPacket::HEADER_AFTER_ROWS, status, 0);
    check(Layout::Generic, DEPRECATE_EOF, &after_rows, status);
    for text in [b"Uptime: 17  Threads: 1".as_slice(), b""] {
        let response = Response::new().packet(text);
        check(Layout::Text, PLAIN, &response, None);
    }
}

#[test]
fn resultsets_end_with_eof_or_ok() {
    let status = StatusFlags::AUTOCOMMIT;
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        for rows in [&[] as &[&[u8]], &[b"\x011\x012", b"\xfb\xfb", b"\x00\x00"]] {
            let response = Response::new().resultset(capabilities, rows, status);
            check(Layout::Resultsets, capabilities, &response, status);
        }
    }
}

#[test]
fn several_results_are_one_response() {
    let more = StatusFlags::MORE_RESULTS_EXISTS;
    let last = StatusFlags::IN_TRANS;
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        let response = Response::new()
            .resultset(capabilities, &[b"\x011\x012"], more)
            .ok(more)
            .resultset(capabilities, &[], more)
            .ok(last);
        check(Layout::Resultsets, capabilities, &response, last);
        let failed = Response::new().ok(more).err();
        check(Layout::Resultsets, capabilities, &failed, more);
    }
}

/// An OK that says of session state what is given.
fn ok_with_changes(header: u8, status: StatusFlags, changes: &[SessionStateChange<'_>]) -> Vec<u8> {
    let mut ok = OkPacket {
        status,
        info: b"Rows matched: 1".to_vec(),
        ..OkPacket::default()
    };
    for change in changes {
        change.encode(&mut ok.session_state);
    }
    let mut payload = Vec::new();
    ok.encode(header, Capabilities::SESSION_TRACK, &mut payload);
    payload
}

#[test]
fn session_state_of_all_results_is_kept_where_it_is_wanted() {
    let tracks = DEPRECATE_EOF.union(Capabilities::SESSION_TRACK);
    let changes = [
        SessionStateChange::Schema(b"shop"),
        SessionStateChange::SystemVariable(b"character_set_client", b"utf8mb4"),
        SessionStateChange::Gtids(b"uuid:1-5"),
    ];
    let more = StatusFlags::MORE_RESULTS_EXISTS;
    let response = Response::new()
        .packet(&ok_with_changes(OkPacket::HEADER, more, &changes[..2]))
        .packet(&[1])
        .definitions(1)
        .packet(b"\x01x")
        .packet(&ok_with_changes(OkPacket::HEADER_AFTER_ROWS, more, &[]))
        .packet(&ok_with_changes(
            OkPacket::HEADER,
            StatusFlags::empty(),
            &changes[2..],
        ));
    let check = |pieces: &[&[u8]]| {
        let mut tracker = ResponseTracker::new(Layout::Resultsets, tracks).keeping_session_state();
        let ends = pieces.iter().map(|piece| tracker.feed(piece).unwrap().next);
        assert_eq!(ends.last(), Some(Next::End));
        let kept = tracker.take_session_state();
        assert_eq!(SessionStateChange::decode_all(&kept).unwrap(), changes);
        assert!(tracker.take_session_state().is_empty());
    };
    check(&[&response.bytes]);
    check(&response.bytes.chunks(1).collect::<Vec<_>>());
    for cut in 1..response.bytes.len() {
        let (head, tail) = response.bytes.split_at(cut);
        check(&[head, tail]);
    }
    for (capabilities, keeps) in [(tracks, false), (DEPRECATE_EOF, true)] {
        let mut tracker = ResponseTracker::new(Layout::Resultsets, capabilities);
        if keeps {
            tracker = tracker.keeping_session_state();
        }
        tracker.feed(&response.bytes).unwrap();
        assert!(tracker.take_session_state().is_empty());
    }
}

#[test]
fn session_state_that_is_too_long_or_lies_is_left_out() {
    let long = vec![b'x'; SESSION_STATE_BYTES_MAX];
    let long = ok_with_changes(
        OkPacket::HEADER,
        StatusFlags::empty(),
        &[SessionStateChange::Gtids(&long)],
    );
    // The info claims to be longer than the packet.
    let lies = b"\0\0\0\x00\x40\0\0\xf0\x03\x01\x01\x00".to_vec();
    for payload in [long, lies] {
        let response = Response::new().packet(&payload);
        let tracker =
            ResponseTracker::new(Layout::Generic, PLAIN.union(Capabilities::SESSION_TRACK));
        let mut tracker = tracker.keeping_session_state();
        let progress = tracker.feed(&response.bytes).unwrap();
        assert_eq!(progress.next, Next::End);
        assert!(tracker.take_session_state().is_empty());
    }
}

#[test]
fn an_error_may_stand_behind_rows_or_definitions() {
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        let response = Response::new()
            .packet(&[1])
            .definitions(1)
            .end_of_definitions(capabilities, StatusFlags::empty())
            .packet(b"\x011")
            .err();
        let status = (capabilities == PLAIN).then_some(StatusFlags::empty());
        check(Layout::Resultsets, capabilities, &response, status);
        let early = Response::new().packet(&[3]).definitions(1).err();
        check(Layout::Resultsets, capabilities, &early, None);
    }
}

#[test]
fn an_open_cursor_has_no_rows() {
    let status = StatusFlags::CURSOR_EXISTS;
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        let response = Response::new()
            .packet(&[2])
            .definitions(2)
            .end_of_rows(capabilities, status);
        check(Layout::Cursor, capabilities, &response, status);
        let fetched = Response::new()
            .packet(b"\0\0\x01")
            .packet(b"\0\0\x02")
            .end_of_rows(capabilities, status);
        check(Layout::Rows, capabilities, &fetched, status);
    }
}

/// `CREATE PROCEDURE p() BEGIN DECLARE c CURSOR FOR ...; OPEN c; SELECT 1; CLOSE c; END`
#[test]
fn a_cursor_inside_a_procedure_takes_no_rows_away() {
    let more = StatusFlags::MORE_RESULTS_EXISTS;
    let last = StatusFlags::AUTOCOMMIT;
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        let call = Response::new()
            .resultset(
                capabilities,
                &[b"\x011\x012"],
                more | StatusFlags::CURSOR_EXISTS,
            )
            .ok(last);
        for layout in [Layout::Resultsets, Layout::Cursor] {
            check(layout, capabilities, &call, last);
        }
    }
    // Whoever asked for no cursor gets rows, whatever the flags say.
    let status = StatusFlags::CURSOR_EXISTS;
    let rows = Response::new().resultset(PLAIN, &[b"\x011\x012"], status);
    check(Layout::Resultsets, PLAIN, &rows, status);
}

#[test]
fn a_statement_without_a_cursor_answers_as_ever() {
    let status = StatusFlags::AUTOCOMMIT;
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        let rows = Response::new().resultset(capabilities, &[b"\x011\x012"], status);
        check(Layout::Cursor, capabilities, &rows, status);
        check(
            Layout::Cursor,
            capabilities,
            &Response::new().ok(status),
            status,
        );
        check(Layout::Cursor, capabilities, &Response::new().err(), None);
    }
}

#[test]
fn rows_that_start_like_other_packets() {
    // Without DEPRECATE_EOF a long first value may start with 0xfe; a binary row starts like an OK.
    let mut long = vec![0xfe, 100, 0, 0, 0, 0, 0, 0, 0];
    long.extend_from_slice(&[b'x'; 100]);
    let status = StatusFlags::AUTOCOMMIT;
    let response = Response::new().resultset(PLAIN, &[&long, b"\0\0\0\0\0"], status);
    check(Layout::Resultsets, PLAIN, &response, status);
}

#[test]
fn a_row_above_16_mib_goes_on_in_packets_that_are_not_looked_at() {
    let mut row = vec![0xfe];
    row.extend_from_slice(&(20_u64 << 20).to_le_bytes());
    // The second packet starts with 0xff, as an ERR does.
    row.resize(9 + (20 << 20), 0xff);
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        let mut response = Response::new().packet(&[1]).definitions(1);
        response = response.end_of_definitions(capabilities, StatusFlags::empty());
        response = response.packet(&row);
        response = response.end_of_rows(capabilities, StatusFlags::AUTOCOMMIT);
        let end = response.bytes.len();
        let (consumed, next, tracker) = feed_in_pieces(
            Layout::Resultsets,
            capabilities,
            response.bytes.chunks(16 * 1024),
        );
        assert_eq!((consumed, next), (end, Next::End));
        assert_eq!(tracker.status(), Some(StatusFlags::AUTOCOMMIT));
    }
}

#[test]
fn a_payload_of_exactly_16_mib_is_ended_by_an_empty_packet() {
    let row = vec![b'x'; PACKET_PAYLOAD_BYTES_MAX];
    let response = Response::new().resultset(PLAIN, &[&row], StatusFlags::empty());
    let (consumed, next, _) =
        feed_in_pieces(Layout::Resultsets, PLAIN, [response.bytes.as_slice()]);
    assert_eq!((consumed, next), (response.bytes.len(), Next::End));
}

#[test]
fn prepared_statements() {
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        for (columns, params) in [(0, 0), (2, 0), (0, 3), (2, 3)] {
            let mut response =
                Response::new().packet(&[0, 1, 0, 0, 0, columns, 0, params, 0, 0, 0, 0]);
            let mut status = None;
            for n in [params, columns] {
                if n > 0 {
                    response = response.definitions(n.into());
                    response = response.end_of_definitions(capabilities, StatusFlags::AUTOCOMMIT);
                    if capabilities == PLAIN {
                        status = Some(StatusFlags::AUTOCOMMIT);
                    }
                }
            }
            check(Layout::Prepare, capabilities, &response, status);
        }
    }
}

#[test]
fn definitions_may_be_left_out() {
    for flag in [
        Capabilities::OPTIONAL_RESULTSET_METADATA,
        Capabilities::MARIADB_CACHE_METADATA,
    ] {
        let capabilities = DEPRECATE_EOF | flag;
        let status = StatusFlags::AUTOCOMMIT;
        let without = Response::new()
            .packet(&[2, 0])
            .packet(b"\x011\x012")
            .end_of_rows(capabilities, status);
        check(Layout::Resultsets, capabilities, &without, status);
        let with = Response::new()
            .packet(&[2, 1])
            .definitions(2)
            .packet(b"\x011\x012")
            .end_of_rows(capabilities, status);
        check(Layout::Resultsets, capabilities, &with, status);
    }
}

/// What MySQL 9.7 says after `SET resultset_metadata = NONE`.
#[test]
fn mysql_keeps_the_eofs_of_left_out_definitions() {
    let plain = PLAIN | Capabilities::OPTIONAL_RESULTSET_METADATA;
    let deprecate_eof = DEPRECATE_EOF | Capabilities::OPTIONAL_RESULTSET_METADATA;
    const EOF: &[u8] = b"\xfe\0\0\x02\0";
    const SELECT_1_2_3: &[u8] = b"\x03\0";
    const ROW: &[u8] = b"\x011\x012\x013";
    const PREPARE_3_COLUMNS_2_PARAMS: &[u8] = b"\0\x03\0\0\0\x03\0\x02\0\0\0\0\0";
    const PREPARE_1_PARAM: &[u8] = b"\0\x04\0\0\0\0\0\x01\0\0\0\0\0";
    let cases: [(Layout, Capabilities, &[&[u8]]); 7] = [
        (Layout::Resultsets, plain, &[SELECT_1_2_3, EOF, ROW, EOF]),
        (Layout::Resultsets, plain, &[SELECT_1_2_3, EOF, EOF]),
        (
            Layout::Resultsets,
            deprecate_eof,
            &[SELECT_1_2_3, ROW, b"\xfe\0\0\x02\0\0\0"],
        ),
        (
            Layout::Prepare,
            plain,
            &[PREPARE_3_COLUMNS_2_PARAMS, EOF, EOF],
        ),
        (Layout::Prepare, plain, &[PREPARE_1_PARAM, EOF]),
        (
            Layout::Prepare,
            deprecate_eof,
            &[PREPARE_3_COLUMNS_2_PARAMS],
        ),
        (Layout::Prepare, deprecate_eof, &[PREPARE_1_PARAM]),
    ];
    for (layout, capabilities, packets) in cases {
        let response = packets
            .iter()
            .fold(Response::new(), |response, packet| response.packet(packet));
        let status = (packets.len() > 1).then_some(StatusFlags::AUTOCOMMIT);
        check(layout, capabilities, &response, status);
    }
}

/// What MySQL 9.7 says to an execution of `CALL p(?)`.
#[test]
fn mysql_announces_what_follows_out_parameters_before_their_row() {
    let with_eof: [&[u8]; 6] = [
        b"\x01",
        b"\x03def\x04test\x01p\x01p\x01o\x01o\x0c?\0\x14\0\0\0\x08\0\0\0\0\0",
        b"\xfe\0\0\x2a\x10",
        b"\0\0\x02\0\0\0\0\0\0\0",
        b"\xfe\0\0\x22\0",
        b"\0\0\0\x22\0\0\0",
    ];
    let with_ok: [&[u8]; 5] = [
        with_eof[0],
        with_eof[1],
        with_eof[3],
        b"\xfe\0\0\x2a\x10\0\0",
        with_eof[5],
    ];
    let status = StatusFlags::AUTOCOMMIT | StatusFlags::NO_INDEX_USED;
    for (capabilities, packets) in [(PLAIN, &with_eof[..]), (DEPRECATE_EOF, &with_ok)] {
        let response = packets
            .iter()
            .fold(Response::new(), |response, packet| response.packet(packet));
        check(Layout::Resultsets, capabilities, &response, status);
    }
}

#[test]
fn field_list_ends_with_eof_or_ok() {
    for capabilities in [PLAIN, DEPRECATE_EOF] {
        let status = StatusFlags::AUTOCOMMIT;
        let response = Response::new()
            .definitions(3)
            .end_of_rows(capabilities, status);
        check(Layout::Columns, capabilities, &response, status);
    }
}

/// MySQL 9.7 to COM_STMT_PREPARE of a SET GLOBAL without the right to it, MariaDB 10.11 to COM_FIELD_LIST of a pattern
/// without a default database.
#[test]
fn a_server_that_refuses_may_say_ok() {
    for layout in [Layout::Prepare, Layout::Columns] {
        for capabilities in [PLAIN, DEPRECATE_EOF] {
            let response = Response::new().packet(b"\0\0\0\x02\0\0\0");
            check(layout, capabilities, &response, StatusFlags::AUTOCOMMIT);
        }
    }
}

#[test]
fn local_infile_waits_for_the_client() {
    let request = Response::new().packet(b"\xfb/tmp/data.csv");
    let mut tracker = ResponseTracker::new(Layout::Resultsets, PLAIN);
    let progress = tracker.feed(&request.bytes).unwrap();
    assert_eq!(progress.next, Next::LocalInfile);
    assert_eq!(progress.consumed, request.bytes.len());
    tracker.local_infile_started();
    let answer = Response::new()
        .ok(StatusFlags::MORE_RESULTS_EXISTS)
        .ok(StatusFlags::AUTOCOMMIT);
    let progress = tracker.feed(&answer.bytes).unwrap();
    assert_eq!(progress.next, Next::End);
    assert_eq!(progress.consumed, answer.bytes.len());
}

#[test]
fn progress_reports_end_nothing() {
    let response = Response::new()
        .packet(b"\xff\xff\xff\x01\x01\x03\0\0\0\x05stage")
        .packet(b"\xff\xff\xff\x01\x02\x03\0\0\0\x05stage")
        .ok(StatusFlags::AUTOCOMMIT);
    for flag in [
        Capabilities::MARIADB_PROGRESS,
        Capabilities::CAPABILITY_EXTENSION,
    ] {
        let status = StatusFlags::AUTOCOMMIT;
        check(Layout::Resultsets, PLAIN | flag, &response, status);
    }
}

/// What MySQL 9.7 says to `SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 65535`.
#[test]
fn an_error_may_have_the_code_of_progress_reports_where_there_are_none() {
    let response =
        Response::new().packet(b"\xff\xff\xff#45000Unhandled user-defined exception condition");
    check(Layout::Resultsets, PLAIN, &response, None);
    check(Layout::Resultsets, DEPRECATE_EOF, &response, None);
}

#[test]
fn what_cannot_be_a_response_is_an_error() {
    let cases: [(Layout, &[u8]); 4] = [
        (Layout::Resultsets, b""),
        (Layout::Prepare, b"\x05"),
        (Layout::Prepare, b"\0\x01\0"),
        (Layout::Resultsets, b"\0\x01"),
    ];
    for (layout, payload) in cases {
        let response = Response::new().packet(payload);
        let mut tracker = ResponseTracker::new(layout, PLAIN);
        assert!(
            tracker.feed(&response.bytes).is_err(),
            "{layout:?} {payload:?}"
        );
    }
    let no_eof = Response::new().packet(&[1]).definitions(1).packet(b"\x011");
    let mut tracker = ResponseTracker::new(Layout::Resultsets, PLAIN);
    assert!(tracker.feed(&no_eof.bytes).is_err());
}

#[test]
fn a_summary_is_kept_in_passing() {
    let more = StatusFlags::MORE_RESULTS_EXISTS;
    let run = |response: &Response| {
        let pieces = response.bytes.chunks(3);
        let (_, _, tracker) = feed_in_pieces(Layout::Resultsets, DEPRECATE_EOF, pieces);
        *tracker.summary()
    };
    let rows = Response::new().resultset(DEPRECATE_EOF, &[b"\x011\x012", b"\xfb\xfb"], more);
    let resultset = Summary {
        first: Some(2),
        rows: 2,
        row_bytes: 4 + 4 + 4 + 2,
        has_resultset: true,
        ..Summary::default()
    };
    let then_err = Summary {
        affected_rows: Some(0),
        last_insert_id: Some(0),
        is_err: true,
        error_code: Some(1064),
        sql_state: Some(*b"42000"),
        ..resultset
    };
    let then_ok = Summary {
        affected_rows: Some(7),
        last_insert_id: Some(0),
        ..resultset
    };
    let nothing = StatusFlags::empty();
    assert_eq!(run(&rows.clone().ok(nothing)), then_ok);
    assert_eq!(run(&rows.clone().err()), then_err);
    assert_eq!(run(&rows.resultset(DEPRECATE_EOF, &[], nothing)), resultset);
    let ok = Summary {
        first: Some(0),
        rows: 0,
        row_bytes: 0,
        has_resultset: false,
        ..then_ok
    };
    assert_eq!(run(&Response::new().ok(nothing)), ok);
    // The last result hides those before it.
    let mut inserted = Vec::new();
    let ok = OkPacket {
        last_insert_id: 5,
        status: more,
        ..OkPacket::default()
    };
    ok.encode(OkPacket::HEADER, PLAIN, &mut inserted);
    let summary = run(&Response::new().packet(&inserted).ok(nothing));
    assert_eq!(
        (summary.last_insert_id, summary.has_insert_id),
        (Some(0), true)
    );
}

fn layouts() -> impl Strategy<Value = Layout> {
    prop::sample::select(vec![
        Layout::Generic,
        Layout::Text,
        Layout::Resultsets,
        Layout::Cursor,
        Layout::Prepare,
        Layout::Columns,
        Layout::Rows,
    ])
}

proptest! {
    /// Hostile bytes: no panic, no claim beyond what was fed, and the same outcome however they are cut.
    #[test]
    fn garbage_is_cut_independent(
        layout in layouts(),
        capabilities: u64,
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let capabilities = Capabilities::from_bits_retain(capabilities);
        let response = payloads.iter().fold(Response::new(), |r, payload| r.packet(payload));
        let mut bytes = response.bytes;
        bytes.extend_from_slice(&tail);
        let run = |piece: usize| {
            let mut tracker = ResponseTracker::new(layout, capabilities);
            let mut consumed = 0;
            for piece in bytes.chunks(piece) {
                match tracker.feed(piece) {
                    Ok(progress) => {
                        consumed += progress.consumed;
                        if progress.next != Next::Bytes {
                            return Some((consumed, progress.next));
                        }
                    }
                    Err(_) => return None,
                }
            }
            Some((consumed, Next::Bytes))
        };
        let whole = run(bytes.len().max(1));
        for piece in 1..bytes.len().min(9) {
            prop_assert_eq!(run(piece), whole);
        }
    }
}

#[test]
fn packets_out_of_sequence_are_noticed() {
    let is_out = |bytes: &[u8], command_id: u8| {
        let layout = Layout::Resultsets;
        let mut tracker = ResponseTracker::new(layout, PLAIN).following(command_id);
        for byte in bytes {
            tracker.feed(&[*byte]).unwrap();
        }
        tracker.summary().is_out_of_sequence
    };
    let ok = Response::new().ok(StatusFlags::AUTOCOMMIT).bytes;
    assert!(!is_out(&ok, 0));
    assert!(is_out(&ok, 1));
    // As a server says that it closes the connection.
    let mut notice = Response::new().err().bytes;
    notice[3] = 0;
    assert!(is_out(&notice, 0));
    let definitions = Response::new().packet(b"\x01").definitions(1);
    let mut rows = definitions.eof(StatusFlags::AUTOCOMMIT);
    rows.sequence_id += 1;
    assert!(is_out(&rows.packet(b"\x011").bytes, 0));
    // Behind the client's file the server counts on from there.
    let layout = Layout::Resultsets;
    let mut tracker = ResponseTracker::new(layout, PLAIN).following(0);
    tracker
        .feed(&Response::new().packet(b"\xfbfile").bytes)
        .unwrap();
    tracker.local_infile_started();
    let mut after = Response::new().ok(StatusFlags::AUTOCOMMIT).bytes;
    after[3] = 9;
    tracker.feed(&after).unwrap();
    assert!(!tracker.summary().is_out_of_sequence);
}

#[test]
fn rows_of_no_bytes_count() {
    let empty: &[u8] = b"";
    let response = Response::new().resultset(DEPRECATE_EOF, &[empty, empty], StatusFlags::empty());
    let pieces = response.bytes.chunks(3);
    let (_, _, tracker) = feed_in_pieces(Layout::Resultsets, DEPRECATE_EOF, pieces);
    assert_eq!(
        (tracker.summary().rows, tracker.summary().row_bytes),
        (2, 8)
    );
}

#[test]
fn what_goes_on_in_another_packet_counts_where_it_is_a_row() {
    let long = vec![3; PACKET_PAYLOAD_BYTES_MAX];
    let nothing = StatusFlags::empty();
    let definition = Response::new()
        .packet(&[1])
        .packet(&long)
        .end_of_rows(DEPRECATE_EOF, nothing);
    let row = Response::new().resultset(DEPRECATE_EOF, &[&long], nothing);
    for (response, bytes) in [(definition, 0), (row, 4 + long.len() + 4)] {
        let pieces = response.bytes.chunks(1 << 20);
        let (_, _, tracker) = feed_in_pieces(Layout::Resultsets, DEPRECATE_EOF, pieces);
        assert_eq!(tracker.summary().row_bytes, bytes as u64);
    }
}
