use proptest::prelude::*;
use protocol::DecodeError;

use super::*;

const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
const DEPRECATE_EOF: Capabilities =
    Capabilities::from_bits_retain(PLAIN.bits() | Capabilities::DEPRECATE_EOF.bits());
const EOF: &[u8] = b"\xfe\x00\x00\x02\x00";
const FAILED: &[u8] = b"\xff\x51\x04#07000(lua) handling proxy.response failed, check error-log";

/// What the table expression `response` is answered with.
fn answer(response: &str, capabilities: Capabilities) -> Vec<Vec<u8>> {
    let lua = Lua::new();
    let table = lua.load(format!("return {response}")).eval().unwrap();
    build(&lua, table, capabilities).payloads
}

fn rows_of(response: &str) -> Vec<Vec<u8>> {
    let payloads = answer(response, PLAIN);
    let eof = payloads.iter().position(|payload| payload == EOF).unwrap();
    payloads[eof + 1..payloads.len() - 1].to_vec()
}

#[test]
fn ok_takes_its_numbers_from_the_response() {
    for (response, payload) in [
        ("{type = 0.9}", &b"\x00\x00\x00\x02\x00\x00\x00"[..]),
        ("{type = 0}", b"\x00\x00\x00\x02\x00\x00\x00"),
        ("{type = '0'}", b"\x00\x00\x00\x02\x00\x00\x00"),
        (
            "{type = 0, affected_rows = 3, insert_id = 1000}",
            b"\x00\x03\xfc\xe8\x03\x02\x00\x00\x00",
        ),
        (
            "{type = 0, affected_rows = 'x', insert_id = {}, resultset = 1}",
            b"\x00\x00\x00\x02\x00\x00\x00",
        ),
        (
            "{type = 0, affected_rows = -1, insert_id = 0/0}",
            b"\x00\x00\x00\x02\x00\x00\x00",
        ),
    ] {
        assert_eq!(answer(response, PLAIN), [payload], "{response}");
        let tracking = PLAIN | Capabilities::SESSION_TRACK;
        assert_eq!(answer(response, tracking), [payload], "{response}");
    }
}

#[test]
fn err_has_defaults_and_limits() {
    for (response, payload) in [
        ("{type = 255, errmsg = 'no'}", &b"\xff\x51\x04#07000no"[..]),
        (
            "{type = 255, errmsg = 42, errcode = '1064', sqlstate = 42000}",
            b"\xff\x28\x04#4200042",
        ),
        (
            "{type = 255, errmsg = 'a\\0b', errcode = {}, sqlstate = '42'}",
            b"\xff\x51\x04#42000a\0b",
        ),
        (
            "{type = 255, errmsg = '', errcode = 65537, sqlstate = 'HY000xyz'}",
            b"\xff\x01\x00#HY000",
        ),
        (
            "{type = 255, errno = 1, errmsg = 'x', errcode = 1.9}",
            b"\xff\x01\x00#07000x",
        ),
        (
            "{type = 255, errcode = 1064}",
            b"\xff\x51\x04#07000(lua) proxy.response.errmsg is nil",
        ),
        (
            "{type = 255, errmsg = true}",
            b"\xff\x51\x04#07000(lua) proxy.response.errmsg is nil",
        ),
    ] {
        assert_eq!(answer(response, PLAIN), [payload], "{response}");
    }
    let long = answer("{type = 255, errmsg = ('x'):rep(1000)}", PLAIN);
    assert_eq!(long[0].len(), 1 + 2 + 6 + 512);
}

#[test]
fn raw_is_sent_as_it_is() {
    for (packets, payloads) in [
        ("{'\\251file'}", vec![&b"\xfbfile"[..]]),
        ("{'a\\0b', '', 7}", vec![b"a\0b", b"", b"7"]),
        ("{'a', nil, 'c'}", vec![b"a"]),
    ] {
        let response = format!("{{type = 250, packets = {packets}}}");
        assert_eq!(answer(&response, DEPRECATE_EOF), payloads, "{response}");
    }
}

#[test]
fn what_cannot_be_sent_is_an_err() {
    for response in [
        "nil",
        "{}",
        "{type = 'ok'}",
        "{type = true}",
        "{type = 254}",
        "{type = 0/0}",
        "{type = 1e300}",
        "{type = -1}",
        "{type = 250}",
        "{type = 250, packets = 'x'}",
        "{type = 250, packets = {}}",
        "{type = 250, packets = {'x', {}}}",
        "{type = 250, packets = {'x', true}}",
        "{type = 0, resultset = {}}",
        "{type = 0, resultset = {fields = {{name = 'a'}}}}",
        "{type = 0, resultset = {rows = {}}}",
        "{type = 0, resultset = {fields = {}, rows = {}}}",
        "{type = 0, resultset = {fields = 'a', rows = {}}}",
        "{type = 0, resultset = {fields = {'a'}, rows = {}}}",
        "{type = 0, resultset = {fields = {{name = 'a'}}, rows = {{1}, 2}}}",
        "{type = 0, resultset = {fields = {{name = 'a'}}, rows = 1}}",
        "setmetatable({}, {__index = function() error('boom') end})",
    ] {
        assert_eq!(answer(response, PLAIN), [FAILED], "{response}");
    }
}

#[test]
fn the_packets_of_a_resultset() {
    let response = "{type = 0, resultset = {
        fields = {{name = 'id', type = 3}, {name = 'n\\0m', type = '253'}, {}},
        rows = {{1, 'a'}, {nil, 'b', 'c', 'surplus'}},
    }}";
    let definitions = [
        &b"\x03def\x00\x00\x00\x02id\x00\x0c\x08\x00\x20\x00\x00\x00\x03\x02\x00\x00\x00\x00"[..],
        b"\x03def\x00\x00\x00\x03n\0m\x00\x0c\x08\x00\x20\x00\x00\x00\xfd\x02\x00\x00\x00\x00",
        b"\x03def\x00\x00\x00\x0dno-field-name\x00\
          \x0c\x08\x00\x20\x00\x00\x00\xfe\x02\x00\x00\x00\x00",
    ];
    let rows = [&b"\x011\x01a\xfb"[..], b"\xfb\x01b\x01c"];
    let plain = [&[&b"\x03"[..]][..], &definitions, &[EOF], &rows, &[EOF]].concat();
    assert_eq!(answer(response, PLAIN), plain);
    let end = b"\xfe\x00\x00\x02\x00\x00\x00";
    let modern = [&[&b"\x03"[..]][..], &definitions, &rows, &[end]].concat();
    assert_eq!(answer(response, DEPRECATE_EOF), modern);
    let tracking = DEPRECATE_EOF | Capabilities::SESSION_TRACK;
    assert_eq!(answer(response, tracking), modern);
    for flag in [
        Capabilities::OPTIONAL_RESULTSET_METADATA,
        Capabilities::MARIADB_CACHE_METADATA,
    ] {
        let optional = answer(response, DEPRECATE_EOF | flag);
        assert_eq!(optional[0], b"\x03\x01");
        assert_eq!(optional[1..], modern[1..]);
    }
}

#[test]
fn extended_metadata_is_empty() {
    let response = "{type = 0, resultset = {fields = {{name = 'id', type = 3}}, rows = {}}}";
    let extended = PLAIN | Capabilities::MARIADB_EXTENDED_METADATA;
    let payloads = answer(response, extended);
    let definition = ColumnDefinition41::decode_negotiated(&payloads[1], extended).unwrap();
    assert_eq!(definition.name, b"id");
    assert!(ColumnDefinition41::decode(&payloads[1]).is_err());
}

#[test]
fn cells_are_text_as_lua_prints_it() {
    for (cell, text) in [
        ("1", Some(&b"1"[..])),
        ("-0.5", Some(b"-0.5")),
        ("1e15", Some(b"1e+15")),
        ("123456789012345", Some(b"1.2345678901234e+14")),
        ("12345678901234", Some(b"12345678901234")),
        ("1/3", Some(b"0.33333333333333")),
        ("1/0", Some(b"inf")),
        ("'a\\0b'", Some(b"a\0b")),
        ("''", Some(b"")),
        ("true", None),
        ("{}", None),
        ("print", None),
        ("nil", None),
    ] {
        let response = format!(
            "{{type = 0, resultset = {{fields = {{{{name = 'c', type = 254}}}}, rows = {{{{{cell}}}}}}}}}"
        );
        let rows = rows_of(&response);
        assert_eq!(TextRow::decode(&rows[0], 1), Ok(vec![text]), "{cell}");
    }
}

#[test]
fn holes_end_fields_and_rows() {
    let response = "{type = 0, resultset = {
        fields = {{name = 'a', type = 1}, nil, {name = 'c', type = 1}},
        rows = {{1}, {2}, nil, {4}},
    }}";
    assert_eq!(rows_of(response), [b"\x011", b"\x012"]);
}

#[test]
fn the_table_is_not_changed_and_can_be_used_again() {
    let lua = Lua::new();
    let table: Table = lua
        .load(
            "local function frozen(t)
                for _, value in pairs(t) do if type(value) == 'table' then frozen(value) end end
                return setmetatable(t, {__newindex = function() error('changed') end})
             end
             response = frozen {type = 0, resultset = frozen {
                fields = {{name = 'a'}}, rows = {{1}, {true}, {}}}}
             return response",
        )
        .eval()
        .unwrap();
    let first = build(&lua, Some(table.clone()), PLAIN);
    assert_eq!(build(&lua, Some(table), PLAIN), first);
    lua.load(
        "local resultset = response.resultset
         assert(resultset.rows[1][1] == 1 and type(resultset.rows[1][1]) == 'number')
         assert(resultset.rows[2][1] == true and #resultset.rows == 3)
         assert(resultset.fields[1].type == nil and resultset.fields[1].name == 'a')",
    )
    .exec()
    .unwrap();
}

proptest! {
    #[test]
    fn resultsets_round_trip_under_every_framing(
        names in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5),
        cells in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)), 0..40),
        deprecates_eof: bool,
        has_metadata_flag: bool,
    ) {
        let mut capabilities = PLAIN;
        capabilities.set(Capabilities::DEPRECATE_EOF, deprecates_eof);
        capabilities.set(Capabilities::OPTIONAL_RESULTSET_METADATA, has_metadata_flag);
        let rows: Vec<_> = cells.chunks_exact(names.len()).collect();
        let payloads = built(&names, &rows, capabilities);

        let count = ColumnCount::decode(&payloads[0], capabilities);
        prop_assert_eq!(count, Ok(ColumnCount::new(names.len())));
        let (definitions, rest) = payloads[1..].split_at(names.len());
        let decoded: Result<Vec<_>, DecodeError> = definitions
            .iter()
            .map(|payload| Ok(ColumnDefinition41::decode(payload)?.name))
            .collect();
        prop_assert_eq!(decoded.as_ref(), Ok(&names));
        let (end, sent) = rest.split_last().unwrap();
        let sent = if deprecates_eof {
            prop_assert!(OkPacket::decode(end).is_ok());
            sent
        } else {
            prop_assert!(EofPacket::decode(end).is_ok());
            prop_assert!(EofPacket::decode(&sent[0]).is_ok());
            &sent[1..]
        };
        prop_assert_eq!(sent.len(), rows.len());
        for (payload, row) in sent.iter().zip(rows) {
            let expected = row.iter().map(Option::as_deref).collect();
            prop_assert_eq!(TextRow::decode(payload, names.len()), Ok(expected));
        }
    }
}

fn built(
    names: &[Vec<u8>],
    rows: &[&[Option<Vec<u8>>]],
    capabilities: Capabilities,
) -> Vec<Vec<u8>> {
    let lua = Lua::new();
    let table = || lua.create_table().unwrap();
    let (fields, lua_rows, resultset, response) = (table(), table(), table(), table());
    for name in names {
        let field = table();
        field.set("name", lua.create_string(name).unwrap()).unwrap();
        field.set("type", ColumnType::STRING.0).unwrap();
        fields.raw_push(field).unwrap();
    }
    for cells in rows {
        let row = table();
        for (index, cell) in cells.iter().enumerate() {
            let cell = cell.as_ref().map(|cell| lua.create_string(cell).unwrap());
            row.raw_set(index + 1, cell).unwrap();
        }
        lua_rows.raw_push(row).unwrap();
    }
    resultset.set("fields", fields).unwrap();
    resultset.set("rows", lua_rows).unwrap();
    response.set("type", 0).unwrap();
    response.set("resultset", resultset).unwrap();
    build(&lua, Some(response), capabilities).payloads
}
