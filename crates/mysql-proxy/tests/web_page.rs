//! The web page in a headless Chromium, against a real run: what it shows is what the admin interface says, and all of it can be
//! done by keyboard.
//!
//! With `SCREENSHOTS=1` the last test puts pictures into `docs/`.

mod browser;
mod scripted;
mod web_client;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use testkit::{Client, FaultLink, MariaDb, ProxyProcess, Server, wait};

use browser::Browser;
use scripted::{DEADLINE, ScriptFile, connect, plugin_address, rows};
use web_client::start;

fn page(proxy: &ProxyProcess) -> SocketAddr {
    plugin_address(proxy, "http")
}

/// At the login, by keyboard alone. The name's field has the focus already.
fn fill_in_the_form(browser: &mut Browser) {
    browser.wait_for("document.activeElement.id === 'username'");
    browser.type_text("root");
    browser.press("Tab");
    browser.type_text("secret");
    browser.press("Enter");
    browser.wait_for("document.querySelector('main h2')");
}

fn logged_in(proxy: &ProxyProcess) -> Browser {
    let mut browser = Browser::start();
    browser.resize(1280, 800);
    browser.open(&format!("http://{}/", page(proxy)));
    fill_in_the_form(&mut browser);
    browser.wait_for("document.querySelector('.overview tbody tr')");
    browser
}

fn show(browser: &mut Browser, view: &str) {
    browser.value(&format!("location.hash = '{view}'"));
    browser.wait_for(&format!("document.querySelector('.{view} tbody tr')"));
}

/// The texts of a column's cells.
fn column(browser: &mut Browser, label: &str) -> Vec<String> {
    let cells = format!(
        "[...document.querySelectorAll('td[data-label=\"{label}\"]')].map((cell) => cell.innerText)"
    );
    let cells = browser.value(&cells);
    let texts = cells.as_array().expect("a list").iter();
    texts
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}

fn operators_column(operator: &mut Client, sql: &str, name: &str) -> Vec<String> {
    let result = operator.query(sql).expect(sql);
    let at = result
        .columns
        .iter()
        .position(|column| column == name)
        .expect(name);
    let rows = result.text().into_iter();
    rows.map(|mut row| row.swap_remove(at).unwrap_or_default())
        .collect()
}

/// The page is a second behind at most.
#[track_caller]
fn expect_same(browser: &mut Browser, label: &str, operator: &mut Client, sql: &str, name: &str) {
    wait::until(&format!("{label} is what {sql} says"), DEADLINE, || {
        column(browser, label) == operators_column(operator, sql, name)
    });
}

#[track_caller]
fn expect_no_complaints(browser: &Browser) {
    assert!(
        browser.complaints().is_empty(),
        "{:#?}",
        browser.complaints()
    );
}

#[test]
fn numbers_on_the_page_are_those_of_the_admin_interface() {
    let servers = [MariaDb::start(&[]), MariaDb::start(&[])];
    let proxy = start(
        &[&servers[0], &servers[1]],
        "127.0.0.1:0",
        &["--proxy-read-only-backend-addresses=127.0.0.1:1"],
    );
    let mut operator = Client::connect(plugin_address(&proxy, "admin"), "root", "secret")
        .expect("the operator may");
    let mut clients: Vec<Client> = (0..5).map(|_| connect(&proxy)).collect();
    let mut browser = logged_in(&proxy);

    browser.wait_for("document.querySelector('#clients .value').innerText === '5'");
    let backends = "SHOW BACKENDS";
    expect_same(
        &mut browser,
        "Clients",
        &mut operator,
        backends,
        "connected_clients",
    );
    expect_same(&mut browser, "State", &mut operator, backends, "state");
    let addresses: Vec<String> = rows(&mut operator, "SHOW BACKENDS")
        .iter()
        .map(|row| row.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(column(&mut browser, "Backend"), addresses);
    // They change without anyone doing anything.
    clients.truncate(2);
    browser.wait_for("document.querySelector('#clients .value').innerText === '2'");
    expect_same(
        &mut browser,
        "Clients",
        &mut operator,
        backends,
        "connected_clients",
    );
    clients.iter_mut().for_each(|client| {
        client.query("SELECT 1").expect("a row");
    });
    browser.wait_for("Number(document.querySelector('#queries .value').innerText) > 0");

    show(&mut browser, "sessions");
    for (label, name) in [
        ("Id", "id"),
        ("User", "user"),
        ("Client", "client"),
        ("Commands", "commands"),
        ("Chosen by", "chosen_by"),
    ] {
        expect_same(&mut browser, label, &mut operator, "SHOW SESSIONS", name);
    }
    show(&mut browser, "settings");
    let names = operators_column(&mut operator, "SHOW SETTINGS", "name");
    let names: Vec<_> = names.iter().map(|name| format!("--{name}")).collect();
    assert_eq!(column(&mut browser, "Option"), names);
    assert!(!browser.text("document.body.innerText").contains("secret"));
    show(&mut browser, "events");
    for (label, name) in [("Text", "text"), ("Level", "level"), ("Time", "time")] {
        expect_same(&mut browser, label, &mut operator, "SHOW EVENTS", name);
    }
    expect_no_complaints(&browser);
}

#[test]
fn a_session_is_killed_by_keyboard_alone() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], "127.0.0.1:0", &[]);
    let mut victim = connect(&proxy);
    let mut other = Client::connect(proxy.address(), "adm", "adm").expect("the proxy serves");
    let mut browser = logged_in(&proxy);
    browser.tab_to("document.activeElement.innerText === 'Sessions'");
    browser.press("Enter");
    browser.wait_for("document.querySelectorAll('.sessions tbody tr').length === 2");
    browser.tab_to("document.activeElement.id === 'filter'");
    browser.type_text("app");
    browser.wait_for("document.querySelectorAll('.sessions tbody tr').length === 1");
    browser.tab_to("document.activeElement.innerText === 'Kill'");
    let is_seen = "getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    assert_eq!(browser.value(is_seen), true, "the focus is visible");

    // One who is not sure changes nothing, and is back where they were.
    browser.press("Enter");
    browser.wait_for("document.querySelector('dialog[open]')");
    assert_eq!(browser.text("document.activeElement.innerText"), "Cancel");
    browser.press("Escape");
    browser.wait_for("!document.querySelector('dialog')");
    assert_eq!(browser.text("document.activeElement.innerText"), "Kill");
    victim.ping().expect("it lives");

    browser.press("Enter");
    browser.wait_for("document.querySelector('dialog[open]')");
    assert_eq!(
        browser.text("document.querySelector('dialog h2').innerText"),
        "Kill session 1?"
    );
    browser.press("Tab");
    browser.press("Enter");
    browser.wait_for("document.querySelector('#notice').innerText === 'Session 1 is closed.'");
    victim.ping().expect_err("it was killed");
    browser.wait_for("document.querySelectorAll('.sessions tbody tr').length === 0");
    other.ping().expect("it lives");
    expect_no_complaints(&browser);
}

#[test]
fn a_backend_is_taken_out_and_put_back_by_keyboard_alone() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], "127.0.0.1:0", &[]);
    let mut client = connect(&proxy);
    let mut browser = logged_in(&proxy);
    let state = "document.querySelector('td[data-label=\"State\"]').innerText";
    for (action, expected) in [
        ("Drain", "draining"),
        ("Take out", "out of service"),
        ("Put back", "up"),
    ] {
        browser.tab_to(&format!("document.activeElement.innerText === '{action}'"));
        browser.press("Enter");
        browser.wait_for("document.querySelector('dialog[open]')");
        browser.press("Tab");
        browser.press("Enter");
        browser.wait_for(&format!("{state} === '{expected}'"));
        let has_focus = "document.activeElement.matches('td.actions button')";
        assert_eq!(
            browser.value(has_focus),
            true,
            "what can be done next has the focus"
        );
    }
    client.ping().expect_err("its backend was taken out");
    connect(&proxy).ping().expect("it is back");
    expect_no_complaints(&browser);
}

#[test]
fn statements_are_shown_by_what_they_cost() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], "127.0.0.1:0", &[]);
    let mut operator = Client::connect(plugin_address(&proxy, "admin"), "root", "secret")
        .expect("the operator may");
    let mut client = connect(&proxy);
    client.query("SELECT SLEEP(0.01)").expect("a row");
    for number in 1..=5 {
        client
            .query(&format!("SELECT '<i>', {number}"))
            .expect("a row");
    }
    let mut browser = logged_in(&proxy);
    show(&mut browser, "digests");
    for (label, name) in [
        ("Statement", "statement"),
        ("User", "user"),
        ("Count", "count"),
        ("Rows", "rows"),
    ] {
        expect_same(&mut browser, label, &mut operator, "SHOW DIGESTS", name);
    }
    // From a session to its statement, and to all that is known of it.
    show(&mut browser, "sessions");
    browser.tab_to("document.activeElement.matches('td a')");
    browser.press("Enter");
    browser.wait_for("document.querySelectorAll('.digests tbody tr').length === 1");
    browser.tab_to("document.activeElement.matches('td button')");
    browser.press("Enter");
    browser.wait_for("document.querySelector('dialog[open]')");
    let details = browser.text("document.querySelector('dialog').innerText");
    assert!(
        details.contains("SELECT ?, ?") && details.contains("5, 0 errors"),
        "{details}"
    );
    browser.press("Escape");
    browser.wait_for("!document.querySelector('dialog')");
    browser.tab_to("document.activeElement.innerText === 'Reset'");
    browser.press("Enter");
    browser.wait_for("document.querySelector('dialog[open]')");
    browser.press("Tab");
    browser.press("Enter");
    browser.wait_for("document.querySelectorAll('.digests tbody tr').length === 0");
    expect_no_complaints(&browser);
}

#[test]
fn what_changed_in_a_script_is_shown() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new("function read_query() end\n-- one\n");
    let path = format!("--proxy-lua-script={}", script.path.display());
    let proxy = start(&[&server], "127.0.0.1:0", &[&path, "--lua-states=1"]);
    connect(&proxy).ping().expect("it is there");
    script.edit("function read_query() end\n-- two <b>\n");
    connect(&proxy).ping().expect("it is there");
    let mut browser = logged_in(&proxy);
    show(&mut browser, "scripts");
    assert_eq!(column(&mut browser, "Version"), ["2", "1"]);
    browser.tab_to("document.activeElement.innerText === 'Changes'");
    browser.press("Enter");
    browser.wait_for("document.querySelector('dialog[open]')");
    let lines = browser.text("document.querySelector('dialog .changes').innerText");
    assert!(
        lines.contains("-- one") && lines.contains("+-- two <b>"),
        "{lines}"
    );
    browser.press("Escape");
    browser.wait_for("!document.querySelector('dialog')");
    expect_no_complaints(&browser);
}

#[test]
fn light_and_dark_are_the_systems_choice_unless_the_operator_makes_another() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], "127.0.0.1:0", &[]);
    let mut browser = logged_in(&proxy);
    let background = "getComputedStyle(document.body).backgroundColor";
    browser.prefer("light");
    let light = browser.text(background);
    browser.prefer("dark");
    let dark = browser.text(background);
    assert_ne!(light, dark);
    browser.tab_to("document.activeElement.id === 'theme'");
    let mut press = |expected: &str| {
        browser.press("Enter");
        assert_eq!(browser.text("document.activeElement.innerText"), expected);
        browser.text(background)
    };
    assert_eq!(press("Theme: light"), light);
    assert_eq!(press("Theme: dark"), dark);
    browser.prefer("light");
    browser.open(&format!("http://{}/", page(&proxy)));
    assert_eq!(browser.text(background), dark, "it was chosen");
    browser.value("document.getElementById('theme').click()");
    assert_eq!(browser.text(background), light, "the system's again");
    expect_no_complaints(&browser);
}

#[test]
fn a_page_survives_a_restart_of_the_proxy() {
    let server = MariaDb::start(&[]);
    let mut proxy = start(&[&server], "127.0.0.1:0", &[]);
    let http = page(&proxy).to_string();
    let mut browser = logged_in(&proxy);
    let _client = connect(&proxy);
    show(&mut browser, "sessions");
    proxy.terminate();
    browser.wait_for(
        "document.querySelector('#connection').innerText.startsWith('Not connected since ')",
    );
    let proxy = start(&[&server], &http, &[]);
    // The new one knows nobody: the form is in between.
    fill_in_the_form(&mut browser);
    browser.wait_for("document.querySelector('main h2').innerText === 'Sessions'");
    assert_eq!(
        browser.value("document.querySelector('#connection').hidden"),
        true
    );
    let _client = connect(&proxy);
    browser.wait_for("document.querySelectorAll('.sessions tbody tr').length === 1");
    expect_no_complaints(&browser);
}

#[test]
fn a_wrong_password_is_told_and_tried_again() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], "127.0.0.1:0", &[]);
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/#events", page(&proxy)));
    browser.wait_for("document.activeElement.id === 'username'");
    browser.type_text("root");
    browser.press("Tab");
    browser.type_text("wrong");
    browser.press("Enter");
    browser.wait_for("document.querySelector('#failure')");
    fill_in_the_form(&mut browser);
    browser.tab_to("document.activeElement.innerText === 'Log out'");
    browser.press("Enter");
    browser.wait_for("location.pathname === '/login'");
    expect_no_complaints(&browser);
}

#[test]
fn a_phone_has_all_of_it_in_its_width() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], "127.0.0.1:0", &[]);
    let mut client = connect(&proxy);
    client.query("SELECT 1").expect("a row");
    let mut browser = logged_in(&proxy);
    browser.resize(360, 740);
    for view in ["overview", "sessions", "digests", "events", "settings"] {
        show(&mut browser, view);
        let width = browser.value("document.documentElement.scrollWidth");
        assert!(width.as_u64() <= Some(360), "{view}: {width}");
    }
    expect_no_complaints(&browser);
}

/// In base64, as the browser gives it.
fn keep(browser: &mut Browser, name: &str) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let path = docs.join(format!("web-{name}.png"));
    fs::write(path.with_extension("base64"), browser.screenshot()).expect("the directory is there");
    let decoded = Command::new("base64")
        .arg("-d")
        .arg(path.with_extension("base64"))
        .output();
    fs::write(&path, decoded.expect("coreutils").stdout).expect("the directory is there");
    fs::remove_file(path.with_extension("base64")).expect("it was written");
}

/// What a day looks like: some do much, some little, and now and then one makes a mistake.
fn work(clients: &mut [Client], round: usize) {
    let wave = 1.0 + (round as f64 / 9.0).sin() / 2.0;
    for (index, client) in clients.iter_mut().enumerate() {
        let queries = (wave * 2.0) as usize + index % 4;
        for query in 0..queries {
            let customer = round * 7 + index;
            let sql = match (round + index + query) % 23 {
                0 => "SELECT SLEEP(0.002)".to_owned(),
                1 if index % 8 == 0 => "SELECT * FROM test.baskets".to_owned(),
                2..5 => {
                    format!("INSERT INTO test.orders (customer, total) VALUES ({customer}, 19.90)")
                }
                5..9 => {
                    format!("UPDATE test.orders SET total = total + 1 WHERE customer = {customer}")
                }
                9..12 => format!(
                    "SELECT COUNT(*), SUM(total) FROM test.orders WHERE customer IN ({index}, {round})"
                ),
                _ => format!(
                    "SELECT id, total FROM test.orders WHERE customer = {customer} ORDER BY id DESC LIMIT 10"
                ),
            };
            // Mistakes are a part of it.
            let _ = client.query(&sql);
        }
    }
}

#[test]
fn pictures_for_the_docs() {
    if env::var_os("SCREENSHOTS").is_none() {
        return;
    }
    let servers: [Server; 3] = [(); 3].map(|()| MariaDb::start(&[]));
    for server in &servers {
        let mut client = Client::connect(server.address(), "app", "app").expect("it is there");
        client
            .query(
                "CREATE TABLE test.orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT, total DECIMAL(9, 2), INDEX (customer))",
            )
            .expect("it is made");
    }
    let link = FaultLink::to(servers[2].address());
    let third = format!("--proxy-backend-addresses={}", link.address());
    let replica = format!(
        "--proxy-read-only-backend-addresses={}",
        servers[2].address()
    );
    let all = [&servers[0], &servers[1]];
    let proxy = start(&all, "127.0.0.1:0", &[&third, &replica]);
    let mut browser = logged_in(&proxy);
    let mut clients: Vec<Client> = (0..24).map(|_| connect(&proxy)).collect();
    link.refuse();
    clients.extend((0..6).map(|_| connect(&proxy)));
    // It takes minutes to have minutes to show.
    for round in 0..1200 {
        work(&mut clients, round);
        thread::sleep(Duration::from_millis(80));
    }
    clients[3]
        .send_query("SELECT SLEEP(600)")
        .expect("it is sent");
    browser.prefer("light");
    keep(&mut browser, "overview-light");
    browser.prefer("dark");
    keep(&mut browser, "overview-dark");
    browser.prefer("light");
    show(&mut browser, "sessions");
    keep(&mut browser, "sessions");
    show(&mut browser, "digests");
    keep(&mut browser, "digests");
    expect_no_complaints(&browser);
}
