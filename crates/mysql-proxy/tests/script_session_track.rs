//! What newer clients and servers say beside queries and results, and scripts read and write: session state and query
//! attributes.

mod scripted;

use protocol::prepared_statement::ParameterType;
use protocol::query::{Query, QueryAttribute};
use protocol::resultset::{ColumnType, Value};
use protocol::{Capabilities, Command};
use testkit::{Client, ClientError, Connection, Login, MariaDb, Mysql97, ProxyProcess, Server};

use scripted::{DEADLINE, ScriptFile};

fn connect(proxy: &ProxyProcess, login: Login) -> Client {
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    login.connect(connection).expect("it lets them in")
}

/// Prints what the server says of session state, of kept and of relayed results.
const TELLS_STATE: &str = "
    function read_query(packet)
        local needed = packet:find('kept') ~= nil
        proxy.queries:append(1, packet, { resultset_is_needed = needed })
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj)
        local state = inj.resultset.session_state
        if not state then return print(inj.query:sub(2), 'nothing') end
        local variables = {}
        for name, value in pairs(state.system_variables) do
            variables[#variables + 1] = name .. '=' .. value
        end
        table.sort(variables)
        print(inj.query:sub(2), state.schema or '-', table.concat(variables, ','), state.transaction_state or '-')
    end";

fn scripts_see_session_state(server: &Server) {
    let file = ScriptFile::new(TELLS_STATE);
    let proxy = file.proxy(&[server], &[]);
    let login = Login::new("adm", "adm").with(Capabilities::SESSION_TRACK);
    let mut client = connect(&proxy, login);
    for (sql, said) in [
        ("USE test", "test\t\t-"),
        ("USE sbtest /* kept */", "sbtest\t\t-"),
        ("SET autocommit = 0 /* kept */", "-\tautocommit=OFF\t-"),
        ("SET autocommit = 1", "-\tautocommit=ON\t-"),
        ("SELECT 1 /* kept */", "nothing"),
        ("SELECT 1", "nothing"),
        ("SET session_track_transaction_info = 'STATE'", ""),
        ("BEGIN", "-\t\tT_______"),
        ("SELECT 2", "-\t\tT_____S_"),
        ("COMMIT /* kept */", "-\t\t________"),
    ] {
        client.query(sql).expect(sql);
        proxy.wait_for_log(&format!("{sql}\t{said}"), DEADLINE);
    }
    // It is nothing that the server says to everyone.
    let login = Login::new("adm", "adm").without(Capabilities::SESSION_TRACK);
    let mut client = connect(&proxy, login);
    client.query("USE mysql").expect("it is there");
    proxy.wait_for_log("USE mysql\tnothing", DEADLINE);
}

#[test]
fn mariadb_scripts_see_session_state() {
    scripts_see_session_state(&MariaDb::start(&[]));
}

#[test]
fn mysql97_scripts_see_session_state() {
    if let Some(server) = Mysql97::start(&[]) {
        scripts_see_session_state(&server);
    }
}

/// The command says what happens to the query behind it.
const ATTRIBUTES: &str = "
    function read_query(packet, attributes)
        for name, value in pairs(attributes or {}) do print('attribute', name, value, type(value)) end
        if not attributes then print('no attributes') end
        local options = {}
        if packet:find('/* changed */', 1, true) then
            options.attributes = { trace = 'changed', ratio = 0.5, number = 7 }
        elseif packet:find('/* dropped */', 1, true) then
            options.attributes = {}
        elseif packet:find('/* passed */', 1, true) then
            return
        end
        proxy.queries:append(1, packet, options)
        return proxy.PROXY_SEND_QUERY
    end";

/// Two attributes and a NULL, and the statement.
fn ask(client: &mut Client, sql: &str) -> Result<Vec<Option<String>>, ClientError> {
    let attribute = |name: &'static str, column_type, value| QueryAttribute {
        name: name.as_bytes(),
        bound: ParameterType {
            column_type,
            is_unsigned: false,
        },
        value,
    };
    let mut attributes = Vec::new();
    let all = [
        attribute("trace", ColumnType::STRING, Value::Bytes(b"00-ab")),
        attribute("number", ColumnType::LONG, Value::Int(-5)),
        attribute("nothing", ColumnType::STRING, Value::Null),
    ];
    QueryAttribute::encode_all(&all, &mut attributes).expect("values are of their types");
    let query = Query {
        attributes: &attributes,
        text: sql.as_bytes(),
    };
    let mut payload = Vec::new();
    query.encode(client.capabilities(), &mut payload);
    client.send_command(Command::QUERY, &payload[1..])?;
    let results = client.read_results()?;
    Ok(results[0].text().swap_remove(0))
}

#[test]
fn scripts_read_and_write_query_attributes() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    server.query("INSTALL COMPONENT 'file://component_query_attributes'");
    let file = ScriptFile::new(ATTRIBUTES);
    let proxy = file.proxy(&[&server], &[]);
    let login = Login::new("adm", "adm").with(Capabilities::QUERY_ATTRIBUTES);
    let mut client = connect(&proxy, login);
    let sql = "SELECT mysql_query_attribute_string('trace'), mysql_query_attribute_string('number'), \
               mysql_query_attribute_string('ratio')";
    for (fate, row) in [
        ("passed", [Some("00-ab"), Some("-5"), None]),
        ("injected", [Some("00-ab"), Some("-5"), None]),
        ("changed", [Some("changed"), Some("7"), Some("0.5")]),
        ("dropped", [None, None, None]),
    ] {
        let said = ask(&mut client, &format!("{sql} /* {fate} */")).expect(fate);
        assert_eq!(said, row.map(|cell| cell.map(str::to_owned)), "{fate}");
    }
    for line in [
        "attribute\ttrace\t00-ab\tstring",
        "attribute\tnumber\t-5\tnumber",
    ] {
        assert_eq!(proxy.count_in_log(line), 4, "{line}");
    }
    assert_eq!(proxy.count_in_log("attribute\tnothing"), 0);
    // Nothing of one query is there for the next.
    let cell = client.value(&format!("{sql} /* injected */"));
    assert!(cell.is_err(), "three columns are not one value");
    proxy.wait_for_log("no attributes", DEADLINE);
    let first = client.value("SELECT mysql_query_attribute_string('trace')");
    assert_eq!(first.expect("a value"), "NULL");
}

#[test]
fn attributes_go_nowhere_where_none_were_agreed_on() {
    let server = MariaDb::start(&[]);
    let file = ScriptFile::new(ATTRIBUTES);
    let proxy = file.proxy(&[&server], &[]);
    let mut client = scripted::connect(&proxy);
    let said = client.value("SELECT 'as it is' /* changed */");
    assert_eq!(said.expect("a value"), "as it is");
}

#[test]
fn malformed_attributes_end_the_session_and_no_other() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    let file = ScriptFile::new(ATTRIBUTES);
    let proxy = file.proxy(&[&server], &[]);
    let login = Login::new("adm", "adm").with(Capabilities::QUERY_ATTRIBUTES);
    let mut other = connect(&proxy, login.clone());
    let mut client = connect(&proxy, login);
    // Attributes that are said to be there and are not.
    let sent = client.send_command(Command::QUERY, b"\x05\x01\x00");
    sent.expect("the connection is open");
    client.read_results().expect_err("that is no query");
    proxy.wait_for_log("COM_QUERY", DEADLINE);
    other.query("SELECT 1").expect("it is another session");
}
