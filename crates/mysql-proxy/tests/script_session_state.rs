//! What scripts know of a session when it becomes another one: COM_CHANGE_USER and COM_RESET_CONNECTION.

mod scripted;

use testkit::{Client, Connection, Login, MariaDb, Mysql97, Server, wait};

use scripted::{DEADLINE, ScriptFile};

/// Answers what it knows of both sides.
const SCRIPT: &str = r#"
    function read_query(packet)
        if packet:sub(2) ~= "who" then return decide(packet) end
        local client, server = proxy.connection.client, proxy.connection.server
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
            fields = { { name = "user" }, { name = "db" }, { name = "user" }, { name = "db" } },
            rows = { { client.username, client.default_db, server.username, server.default_db } } } }
        return proxy.PROXY_SEND_RESULT
    end
"#;

/// What else is done with a command.
const WAYS: [&str; 3] = [
    "function decide(packet) end",
    "function decide(packet)
         proxy.queries:append(1, packet)
         return proxy.PROXY_SEND_QUERY
     end",
    "function decide(packet)
         proxy.queries:append(1, packet, { resultset_is_needed = true })
         return proxy.PROXY_SEND_QUERY
     end
     function read_query_result(inj) assert(inj.resultset.raw) end",
];

/// User and database, which the server and the script have to agree on.
#[track_caller]
fn who(client: &mut Client) -> [String; 2] {
    let row = |client: &mut Client, sql: &str| {
        let rows = client.query(sql).expect("the session goes on").text();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        rows[0].iter().map(text).collect::<Vec<_>>()
    };
    let sql = "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1), DATABASE()";
    let is = row(client, sql);
    assert_eq!(row(client, "who"), [is.clone(), is.clone()].concat());
    [is[0].clone(), is[1].clone()]
}

fn connect(server: &Server, way: &str) -> (Client, impl Sized) {
    let file = ScriptFile::new(&format!("{SCRIPT}{way}"));
    let proxy = file.proxy(&[server], &[]);
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    let client = Login::new("app", "app").connect(connection);
    (client.expect("it lets app in"), (proxy, file))
}

fn users_change(server: &Server) {
    for way in WAYS {
        let (mut client, _proxy) = connect(server, way);
        assert_eq!(who(&mut client), ["app", ""]);
        for (login, user, database) in [
            (Login::new("adm", "adm").database("mysql"), "adm", "mysql"),
            (Login::new("app", "app"), "app", ""),
            (Login::new("app", "app").database("test"), "app", "test"),
            (Login::new("app", "app").database("sbtest"), "app", "sbtest"),
        ] {
            login.change_user(&mut client).expect("it lets them in");
            assert_eq!(who(&mut client), [user, database]);
        }
        client.query("USE test").expect("it is there");
        assert_eq!(who(&mut client), ["app", "test"]);
        client.query("SET @left_behind = 1").expect("it is a SET");
        client.reset_connection().expect("an OK");
        assert_eq!(who(&mut client), ["app", "test"]);
        assert_eq!(
            client.value("SELECT @left_behind").expect("a value"),
            "NULL"
        );
    }
}

#[test]
fn scripts_know_who_the_client_has_become_on_mariadb() {
    users_change(&MariaDb::start(&[]));
}

#[test]
fn scripts_know_who_the_client_has_become_on_mysql97() {
    if let Some(server) = Mysql97::start(&[]) {
        users_change(&server);
    }
}

fn refuse(client: &mut Client) {
    let wrong = Login::new("adm", "wrong").database("test");
    let error = wrong
        .change_user(client)
        .expect_err("the password is wrong");
    assert_eq!(error.code(), Some(1045), "{error}");
}

#[test]
fn a_refused_client_is_who_it_was_on_mariadb() {
    let server = MariaDb::start(&[]);
    for way in WAYS {
        let (mut client, _proxy) = connect(&server, way);
        client.query("USE sbtest").expect("it is there");
        refuse(&mut client);
        assert_eq!(who(&mut client), ["app", "sbtest"]);
        // No such database: the user is changed before that is found out.
        let missing = Login::new("app", "app").database("missing");
        let error = missing.change_user(&mut client).expect_err("no database");
        assert!(matches!(error.code(), Some(1044 | 1049)), "{error}");
        who(&mut client);
    }
}

#[test]
fn a_refused_client_is_closed_by_mysql97() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    for way in WAYS {
        let (mut client, _proxy) = connect(&server, way);
        refuse(&mut client);
        wait::until("the close", DEADLINE, || client.connection().is_closed());
    }
}

/// A reset leaves the count of rows that were found last.
#[test]
fn a_connection_that_was_never_given_up_has_the_answers() {
    let server = MariaDb::start(&[]);
    let connect_directly = Connection::tcp(server.address()).expect("it listens");
    let direct = Login::new("app", "app").connect(connect_directly);
    let mut direct = direct.expect("it lets app in");
    let said = |client: &mut Client| {
        client.query_all("SELECT 1 UNION SELECT 2").expect("rows");
        client.reset_connection().expect("an OK");
        client.value("SELECT FOUND_ROWS()").expect("a number")
    };
    let expected = said(&mut direct);
    for way in WAYS {
        let (mut client, _proxy) = connect(&server, way);
        assert_eq!(said(&mut client), expected, "{way}");
    }
}
