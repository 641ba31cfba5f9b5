//! The objects as scripts see them: `inj`, its resultset, fields and rows.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::{Function, Lua, LuaString, Table, Value};
use proptest::prelude::*;
use protocol::StatusFlags;
use protocol::response::SessionStateChange;
use protocol::resultset::{BinaryRow, ColumnFlags, ColumnType, TextRow, Value as Cell};

use super::*;
use crate::injection_object::{InjectionObject, Kept, arguments, keep};
use crate::{Injection, InjectionResult, Statistics, callback};

const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
const OK: &[u8] = b"\x00\x03\x07\x02\x00\x01\x00";
const ERR: &[u8] = b"\xff\x15\x04#28000no";
const EOF: &[u8] = b"\xfe\x00\x00\x02\x00";
const OK_AFTER_ROWS: &[u8] = b"\xfe\x00\x00\x02\x00\x00\x00";
const PROGRESS_REPORT: &[u8] = b"\xff\xff\xff\x01\x01\x03\x00\x00\x00\x04copy";

/// The four ways to frame a resultset whose definitions are there.
fn framings() -> [Capabilities; 4] {
    let optional = Capabilities::OPTIONAL_RESULTSET_METADATA;
    [
        PLAIN,
        PLAIN | Capabilities::DEPRECATE_EOF,
        PLAIN | optional,
        PLAIN | optional | Capabilities::DEPRECATE_EOF,
    ]
}

fn column(name: &[u8]) -> ColumnDefinition41 {
    ColumnDefinition41 {
        schema: b"shop".to_vec(),
        table: b"f".to_vec(),
        org_table: b"films".to_vec(),
        name: name.to_vec(),
        org_name: Vec::new(),
        character_set: 45,
        column_length: 400,
        column_type: ColumnType::VAR_STRING,
        flags: ColumnFlags::NOT_NULL,
        decimals: 0,
    }
}

/// Column count, definitions, their EOF, rows, their end.
fn resultset(
    names: &[&[u8]],
    has_definitions: bool,
    rows: &[Vec<u8>],
    capabilities: Capabilities,
) -> Vec<Vec<u8>> {
    let mut payloads = vec![Vec::new()];
    ColumnCount {
        columns: names.len() as u64,
        has_definitions,
    }
    .encode(capabilities, &mut payloads[0]);
    for name in names
        .iter()
        .take(if has_definitions { usize::MAX } else { 0 })
    {
        let mut payload = Vec::new();
        column(name).encode_negotiated(capabilities, &mut payload);
        payloads.push(payload);
    }
    let deprecates_eof = capabilities.contains(Capabilities::DEPRECATE_EOF);
    if !deprecates_eof {
        payloads.push(EOF.to_vec());
    }
    payloads.extend_from_slice(rows);
    payloads.push(match deprecates_eof {
        true => OK_AFTER_ROWS.to_vec(),
        false => EOF.to_vec(),
    });
    payloads
}

fn text_row(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut payload = Vec::new();
    TextRow::encode(cells.iter().copied(), &mut payload);
    payload
}

fn two_rows(capabilities: Capabilities) -> Buffered {
    buffered(payloads_of_two_rows(capabilities), capabilities)
}

fn payloads_of_two_rows(capabilities: Capabilities) -> Vec<Vec<u8>> {
    let rows = [
        text_row(&[Some(b"1"), Some(b"a\0b")]),
        text_row(&[None, Some(b"")]),
    ];
    resultset(&[b"id", b"n\0m"], true, &rows, capabilities)
}

fn buffered(payloads: Vec<Vec<u8>>, capabilities: Capabilities) -> Buffered {
    let mut packets = Vec::new();
    let mut next = 1;
    for payload in payloads {
        next = packet::put_payload(&mut packets, next, &payload);
    }
    Buffered {
        packets,
        capabilities,
        is_binary: false,
    }
}

fn response(payloads: &[&[u8]]) -> Buffered {
    buffered(
        payloads.iter().map(|payload| payload.to_vec()).collect(),
        PLAIN,
    )
}

fn result(buffered: Option<Buffered>) -> InjectionResult {
    InjectionResult {
        injection: Injection {
            id: 7,
            packet: b"\x03SELECT\0 1".to_vec(),
            attributes: None,
            resultset_is_needed: buffered.is_some(),
            queued_at: Instant::now(),
        },
        query_time: Duration::from_millis(2),
        response_time: Duration::from_secs(5_000),
        session_state: Vec::new(),
        statistics: Statistics {
            row_count: 2,
            bytes: 11,
            status: StatusFlags::IN_TRANS | StatusFlags::NO_INDEX_USED,
            warning_count: 4,
            affected_rows: None,
            insert_id: Some(1 << 40),
            query_status: Some(0),
        },
        buffered: buffered.map(Arc::new),
    }
}

/// A state whose global `inj` is this result, as long as the hook runs.
struct Running {
    lua: Lua,
    finish: Function,
    _kept: Kept,
}

impl Deref for Running {
    type Target = Lua;

    fn deref(&self) -> &Lua {
        &self.lua
    }
}

impl Running {
    fn new(lua: Lua, object: &InjectionObject, result: InjectionResult) -> Self {
        let inj: Value = object.begin.call(arguments(&result)).unwrap();
        lua.globals().set("inj", inj).unwrap();
        Self {
            lua,
            finish: object.finish.clone(),
            _kept: keep(result),
        }
    }

    /// The hook is over.
    fn finish(self) -> Lua {
        self.finish.call::<()>(()).unwrap();
        self.lua
    }
}

fn state(result: InjectionResult) -> Running {
    let lua = Lua::new();
    callback::install(&lua).unwrap();
    let object = InjectionObject::install(&lua).unwrap();
    Running::new(lua, &object, result)
}

fn run(buffered: Buffered, script: &str) {
    let lua = state(result(Some(buffered)));
    lua.load(script).exec().unwrap();
}

/// The message of what `expression` raises.
fn error_of(lua: &Lua, expression: &str) -> String {
    let script = format!("return select(2, pcall(function() local value = {expression} end))");
    let script = lua.load(script).set_name("@script.lua");
    script.eval().expect(expression)
}

#[test]
fn session_state() {
    let changes = [
        SessionStateChange::Schema(b"shop"),
        SessionStateChange::SystemVariable(b"time_zone", b"SYSTEM"),
        SessionStateChange::SystemVariable(b"time_zone", b"UTC"),
        SessionStateChange::StateChange(true),
        SessionStateChange::Gtids(b"0-1-2"),
        SessionStateChange::TransactionCharacteristics(b""),
        SessionStateChange::TransactionState(b"T_______"),
        SessionStateChange::Unknown(9, b"x"),
    ];
    let mut result = result(None);
    for change in changes {
        change.encode(&mut result.session_state);
    }
    let script = "
        local state = inj.resultset.session_state
        assert(state.schema == 'shop' and state.system_variables.time_zone == 'UTC')
        assert(state.state_change == true and state.gtids == '0-1-2')
        assert(state.transaction_characteristics == '' and state.transaction_state == 'T_______')
        local names = 0
        for _ in pairs(state) do names = names + 1 end
        assert(names == 6)";
    state(result).load(script).exec().unwrap();
}

#[test]
fn session_state_of_which_nothing_is_known() {
    for bytes in [&[][..], &[0], &[1, 200, 1]] {
        let mut result = result(None);
        result.session_state = bytes.to_vec();
        let script = "assert(inj.resultset.session_state == nil)";
        state(result).load(script).exec().unwrap();
    }
}

#[test]
fn the_injection_object() {
    run(
        response(&[OK]),
        "assert(inj.id == 7 and inj.type == 7)
         assert(inj.query == '\\003SELECT\\0 1')
         assert(inj.query_time == 2000 and inj.response_time == 5000000000)
         assert(type(inj) == 'userdata' and type(inj.resultset) == 'userdata')
         assert(not getmetatable(inj) and not getmetatable(inj.resultset))
         assert(inj.unknown == nil and inj[1] == nil and inj[{}] == nil)
         assert(not pcall(function() inj.id = 8 end))
         assert(inj.id == 7)",
    );
}

#[test]
fn statistics_are_there_without_buffering() {
    let lua = state(result(None));
    lua.load(
        "local res = inj.resultset
         assert(res.row_count == 2 and res.bytes == 11 and res.warning_count == 4)
         assert(res.affected_rows == nil and res.insert_id == 2^40 and res.query_status == 0)
         assert(res.flags.in_trans == true and res.flags.auto_commit == false)
         assert(res.flags.no_good_index_used == false and res.flags.no_index_used == true)
         res.flags.in_trans = 'mine'
         assert(res.flags.in_trans == true)
         assert(res.unknown == nil)",
    )
    .exec()
    .unwrap();
    for field in ["fields", "rows", "raw"] {
        let message = error_of(&lua, &format!("inj.resultset.{field}"));
        let expected =
            format!(".resultset.{field} isn't available if 'resultset_is_needed ~= true'");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn numbers_of_each_status() {
    for (status, expected) in [(Some(255), "255"), (None, "nil")] {
        let statistics = Statistics {
            query_status: status,
            affected_rows: Some(0),
            insert_id: None,
            ..Statistics::default()
        };
        let lua = state(InjectionResult {
            statistics,
            ..result(None)
        });
        lua.load(format!(
            "local res = inj.resultset
             assert(res.query_status == {expected} and res.affected_rows == 0)
             assert(res.insert_id == nil)"
        ))
        .exec()
        .unwrap();
    }
}

#[test]
fn fields_and_rows_under_every_framing() {
    let extended = PLAIN | Capabilities::MARIADB_EXTENDED_METADATA;
    for capabilities in framings().into_iter().chain([extended]) {
        run(
            two_rows(capabilities),
            "local res = inj.resultset
             assert(#res.fields == 2)
             local first, second = res.fields[1], res.fields['2']
             assert(first.name == 'id' and second.name == 'n\\0m' and first.type == 253)
             assert(first.table == 'f' and first.org_table == 'films' and first.org_name == nil)
             assert(first.db == nil and first.flags == nil)
             assert(res.fields[0] == nil and res.fields[3] == nil and res.fields[-1] == nil)
             assert(res.fields[1.9].name == 'id' and res.fields[1e300] == nil)
             local seen = {}
             for row in res.rows do seen[#seen + 1] = row end
             assert(#seen == 2 and seen[1][1] == '1' and seen[1][2] == 'a\\0b')
             assert(seen[2][1] == nil and seen[2][2] == '' and seen[1][3] == nil)
             assert(type(seen[1][1]) == 'string')",
        );
    }
}

#[test]
fn left_out_definitions_leave_the_rows() {
    for capabilities in framings().into_iter().skip(2) {
        let rows = [text_row(&[Some(b"1"), None])];
        let payloads = resultset(&[b"a", b"b"], false, &rows, capabilities);
        run(
            buffered(payloads, capabilities),
            "local fields = inj.resultset.fields
             assert(#fields == 2 and fields[3] == nil)
             assert(fields[1].name == nil and fields[1].type == nil)
             local count = 0
             for row in inj.resultset.rows do
                count = count + 1
                assert(row[1] == '1' and row[2] == nil)
             end
             assert(count == 1)",
        );
    }
}

#[test]
fn ok_and_err_have_no_rows_and_no_fields() {
    for payload in [OK, ERR, EOF, b"\xfbfile"] {
        let lua = state(result(Some(response(&[payload]))));
        lua.globals()
            .set("payload", lua.create_string(payload).unwrap())
            .unwrap();
        lua.load(
            "local res = inj.resultset
             assert(res.raw == payload)
             assert(res.fields ~= nil and #res.fields == 0 and res.fields[1] == nil)
             assert(res.rows == nil)",
        )
        .exec()
        .unwrap();
    }
    run(
        response(&[]),
        "assert(inj.resultset.raw == nil and inj.resultset.rows == nil)
         assert(#inj.resultset.fields == 0)",
    );
}

#[test]
fn raw_is_the_first_packet() {
    run(
        two_rows(PLAIN | Capabilities::OPTIONAL_RESULTSET_METADATA),
        "assert(inj.resultset.raw == '\\002\\001')",
    );
}

#[test]
fn iterators_are_independent_and_stay_at_their_end() {
    run(
        two_rows(PLAIN),
        "local res = inj.resultset
         local a, b = res.rows, res.rows
         assert(a()[1] == '1')
         assert(b()[1] == '1')
         assert(a()[2] == '' and a() == nil and a() == nil)
         assert(b()[2] == '' and b() == nil)
         assert(inj.resultset.rows()[1] == '1')",
    );
}

#[test]
fn what_was_taken_out_outlives_what_it_was_taken_from() {
    run(
        two_rows(PLAIN),
        "local field, rows = inj.resultset.fields[2], inj.resultset.rows
         local count = 0
         for row in rows do
            collectgarbage() collectgarbage()
            count = count + 1
            row[1] = 'changed'
         end
         assert(count == 2 and field.name == 'n\\0m')",
    );
}

#[test]
fn more_than_250_columns() {
    let names: Vec<Vec<u8>> = (1..=300).map(|n| format!("c{n}").into_bytes()).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let cells: Vec<_> = names.iter().map(|name| Some(*name)).collect();
    let payloads = resultset(&names, true, &[text_row(&cells)], PLAIN);
    run(
        buffered(payloads, PLAIN),
        "local fields, row = inj.resultset.fields, inj.resultset.rows()
         assert(#fields == 300 and #row == 300)
         for i = 1, 300 do assert(fields[i].name == 'c' .. i and row[i] == 'c' .. i) end",
    );
}

#[test]
fn of_several_resultsets_the_first() {
    for capabilities in framings() {
        let mut payloads = payloads_of_two_rows(capabilities);
        payloads.extend(resultset(
            &[b"other"],
            true,
            &[text_row(&[Some(b"x")])],
            capabilities,
        ));
        payloads.push(OK.to_vec());
        run(
            buffered(payloads, capabilities),
            "assert(#inj.resultset.fields == 2)
             local count = 0
             for row in inj.resultset.rows do count = count + 1 end
             assert(count == 2)",
        );
    }
}

#[test]
fn an_err_among_the_rows_ends_them() {
    let mut payloads = payloads_of_two_rows(PLAIN);
    let last = payloads.len() - 2;
    payloads.truncate(last);
    payloads.push(ERR.to_vec());
    run(
        buffered(payloads, PLAIN),
        "local count = 0
         for row in inj.resultset.rows do count = count + 1 end
         assert(count == 1)",
    );
}

#[test]
fn a_row_that_starts_like_an_end_is_a_row() {
    let long = vec![b'x'; 1 << 24];
    for capabilities in framings() {
        let rows = [text_row(&[Some(&long)]), text_row(&[Some(b"")])];
        assert_eq!(rows[0][0], EofPacket::HEADER);
        let payloads = resultset(&[b"long"], true, &rows, capabilities);
        run(
            buffered(payloads, capabilities),
            "local rows = inj.resultset.rows
             assert(#rows()[1] == 2^24 and rows()[1] == '' and rows() == nil)",
        );
    }
}

#[test]
fn the_old_eof_of_one_byte_ends_definitions() {
    let mut payloads = payloads_of_two_rows(PLAIN);
    payloads[3] = b"\xfe".to_vec();
    run(
        buffered(payloads, PLAIN),
        "assert(inj.resultset.rows()[1] == '1')",
    );
}

#[test]
fn progress_reports_are_passed_over() {
    let agreed = PLAIN | Capabilities::MARIADB_PROGRESS;
    let mut payloads = payloads_of_two_rows(agreed);
    payloads.insert(0, PROGRESS_REPORT.to_vec());
    payloads.insert(5, PROGRESS_REPORT.to_vec());
    run(
        buffered(payloads, agreed),
        "assert(inj.resultset.raw == '\\002' and inj.resultset.fields[1].name == 'id')
         local rows = inj.resultset.rows
         assert(rows()[1] == '1' and rows()[2] == '' and rows() == nil)",
    );
}

#[test]
fn an_err_with_their_code_is_an_err_where_they_were_not_agreed_on() {
    run(
        response(&[b"\xff\xff\xff#45000signalled"]),
        "assert(inj.resultset.raw:byte() == 255 and inj.resultset.rows == nil)",
    );
}

#[test]
fn binary_rows_are_not_for_scripts() {
    let mut row = Vec::new();
    BinaryRow::encode(&[(ColumnType::LONG, Cell::Int(1))], &mut row).unwrap();
    for payloads in [resultset(&[b"n"], true, &[row], PLAIN), vec![OK.to_vec()]] {
        let executed = Buffered {
            is_binary: true,
            ..buffered(payloads, PLAIN)
        };
        let lua = state(result(Some(executed)));
        lua.load("assert(#inj.resultset.raw > 0 and #inj.resultset.fields >= 0)")
            .exec()
            .unwrap();
        let message = error_of(&lua, "inj.resultset.rows");
        let expected = ".resultset.rows isn't available for prepared statements";
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn damage_is_an_error_of_the_script_alone() {
    let mut cut_row = payloads_of_two_rows(PLAIN);
    cut_row[4] = b"\x01".to_vec();
    let lua = state(result(Some(buffered(cut_row, PLAIN))));
    let message = error_of(&lua, "inj.resultset.rows()");
    assert!(message.contains("row-data is invalid"), "{message}");
    assert!(message.starts_with("script.lua:1: "), "{message}");

    let lua = state(result(Some(response(&[b"\x01", b"nonsense", EOF, EOF]))));
    let message = error_of(&lua, "inj.resultset.fields");
    assert!(
        message.contains("malformed ColumnDefinition41"),
        "{message}"
    );

    let lua = state(result(Some(response(&[b"\x03def\0\0\0"]))));
    assert!(error_of(&lua, "inj.resultset.rows").contains("column count"));

    let lua = state(result(Some(two_rows(PLAIN))));
    let message = error_of(&lua, "inj.resultset.fields.name");
    assert!(message.contains("number expected, got string"), "{message}");
}

#[test]
fn after_the_hook_everything_is_an_error() {
    let lua = state(result(Some(two_rows(PLAIN))));
    lua.load(
        "res, rows, field = inj.resultset, inj.resultset.rows, inj.resultset.fields[1]
         assert(rows()[1] == '1')",
    )
    .exec()
    .unwrap();
    let lua = lua.finish();
    for expression in [
        "inj.id",
        "inj.query",
        "inj.resultset",
        "inj.unknown",
        "res.row_count",
        "res.flags",
        "res.fields",
        "res.rows",
        "res.raw",
        "rows()",
    ] {
        let message = error_of(&lua, expression);
        assert!(message.contains("inj is gone"), "{expression}: {message}");
    }
    lua.load("assert(field.name == 'id') collectgarbage()")
        .exec()
        .unwrap();
}

#[test]
fn no_handle_stays_behind() {
    let mut lua = Lua::new();
    callback::install(&lua).unwrap();
    let object = InjectionObject::install(&lua).unwrap();
    for _ in 0..20_000 {
        let running = Running::new(lua, &object, result(Some(two_rows(PLAIN))));
        running
            .load("keep = keep or {} keep[#keep + 1] = {inj, inj.resultset.rows}")
            .exec()
            .unwrap();
        lua = running.finish();
    }
}

#[test]
fn rows_in_many_chunks_with_reports_among_them() {
    let agreed = PLAIN | Capabilities::MARIADB_PROGRESS;
    let texts: Vec<_> = (0..2_000)
        .map(|row| format!("{row:05}").repeat(10))
        .collect();
    let rows: Vec<_> = texts
        .iter()
        .map(|text| text_row(&[Some(text.as_bytes())]))
        .collect();
    let mut payloads = resultset(&[b"text"], true, &rows, agreed);
    for at in [3, 700, 701, 1_500, payloads.len() + 3] {
        payloads.insert(at, PROGRESS_REPORT.to_vec());
    }
    run(
        buffered(payloads, agreed),
        "local count = 0
         for row in inj.resultset.rows do
            assert(row[1] == ('%05d'):format(count):rep(10))
            count = count + 1
         end
         assert(count == 2000)",
    );
}

#[test]
fn values_of_every_length_encoding() {
    let cells: Vec<Vec<u8>> = [0, 250, 251, 65_535, 65_536, 1 << 24]
        .into_iter()
        .map(|length| vec![b'y'; length])
        .collect();
    let rows: Vec<_> = cells
        .iter()
        .map(|cell| text_row(&[Some(cell), None, Some(cell)]))
        .collect();
    run(
        buffered(resultset(&[b"a", b"b", b"c"], true, &rows, PLAIN), PLAIN),
        "local rows = inj.resultset.rows
         for _, length in ipairs({ 0, 250, 251, 65535, 65536, 2^24 }) do
            local row = rows()
            assert(row[1] == ('y'):rep(length) and row[2] == nil and row[3] == row[1])
         end
         assert(rows() == nil)",
    );
}

#[test]
fn rows_that_are_none_are_errors() {
    let huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff12345678";
    for row in [
        &b""[..],
        b"\x02a",
        b"\x01ab",
        b"\xfc\x01",
        b"\xfd\x01\x00",
        huge,
    ] {
        let payloads = resultset(&[b"a"], true, &[row.to_vec()], PLAIN);
        let lua = state(result(Some(buffered(payloads, PLAIN))));
        let message = error_of(&lua, "inj.resultset.rows()");
        assert!(
            message.contains("row-data is invalid"),
            "{row:?}: {message}"
        );
    }
}

proptest! {
    #[test]
    fn rows_come_out_as_they_went_in(
        cells in proptest::collection::vec(
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
            0..40,
        ),
        columns in 1..5_usize,
        framing in 0..4_usize,
    ) {
        let capabilities = framings()[framing];
        let rows: Vec<Vec<Option<&[u8]>>> = cells
            .chunks_exact(columns)
            .map(|row| row.iter().map(Option::as_deref).collect())
            .collect();
        let payloads: Vec<_> = rows.iter().map(|row| text_row(row)).collect();
        let names = vec![&b"c"[..]; columns];
        let payloads = resultset(&names, true, &payloads, capabilities);
        let lua = state(result(Some(buffered(payloads, capabilities))));
        let next: Function = lua.load("return inj.resultset.rows").eval().unwrap();
        for row in rows {
            let table: Table = next.call(()).unwrap();
            for (index, cell) in row.into_iter().enumerate() {
                let seen: Option<LuaString> = table.raw_get(index + 1).unwrap();
                let seen = seen.map(|seen| seen.as_bytes().to_vec());
                prop_assert_eq!(seen.as_deref(), cell);
            }
        }
        let end: Value = next.call(()).unwrap();
        prop_assert!(end.is_nil());
    }

    #[test]
    fn no_response_panics(payloads: Vec<Vec<u8>>, framing in 0..4_usize) {
        let lua = state(result(Some(buffered(payloads, framings()[framing]))));
        lua.load(
            "pcall(function() for i = 1, math.min(#inj.resultset.fields, 9) do local f = inj.resultset.fields[i] end end)
             pcall(function() for row in inj.resultset.rows do end end)
             local raw = inj.resultset.raw",
        )
        .exec()
        .unwrap();
    }
}
