//! The guided tour: turns, a death, a return, a script. Every step checks what it says.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use playground::{Client, Server};

use super::say;
use super::shown_log::ShownLog;

/// For a line of the log. A server that is back is noticed within a second, a busy machine allowing.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);

/// The clients of the tour, numbered from 1.
struct Clients {
    proxy: SocketAddr,
    connected: usize,
}

pub(super) fn run(
    servers: &mut [Server; 2],
    proxy: SocketAddr,
    script: &Path,
    log: &ShownLog,
) -> Result<()> {
    let mut clients = Clients {
        proxy,
        connected: 0,
    };
    show_failover(servers, &mut clients, log)?;
    show_script(&mut clients, script, log)
}

fn show_failover(servers: &mut [Server; 2], clients: &mut Clients, log: &ShownLog) -> Result<()> {
    let [a, _] = servers;
    let address = a.address();

    say("\n1. Clients get the servers in turn. Three connect and ask SELECT @@hostname:")?;
    clients.connect("a")?;
    let mut on_b = clients.connect("b")?;
    let mut on_a = clients.connect("a")?;

    say("\n2. Server a dies. Its sessions die with it, those of b go on:")?;
    a.kill().context("server a does not die")?;
    let cut = on_a.value("SELECT 1").err();
    let cut = cut.context("client 3 still gets answers, but its server is dead")?;
    say(&format!("   client 3   was on a: {cut}"))?;
    let answer = on_b.value("SELECT @@hostname").context("client 2")?;
    ensure!(answer == "b", "client 2 was on b and is now on {answer}");
    say("   client 2   is still on b")?;
    say("   Whoever comes now gets b, and the log warns once:")?;
    clients.connect("b")?;
    clients.connect("b")?;
    expect_line(
        log,
        &format!("connect({address}) failed: Connection refused"),
    )?;
    expect_line(
        log,
        &format!("connecting to backend ({address}) failed, marking it as down"),
    )?;

    say("\n3. Server a comes back. The proxy notices by itself, and a gets clients again:")?;
    a.restart().context("server a does not come back")?;
    expect_line(log, &format!("backend ({address}) is up again"))?;
    clients.connect_to_both()
}

const QUESTION: &str = "select 'hello'";

fn show_script(clients: &mut Clients, path: &Path, log: &ShownLog) -> Result<()> {
    say(&format!(
        "\n4. A script answers. This is written into {}:\n\n{}",
        path.display(),
        script("hello from the proxy")
    ))?;
    write(path, &script("hello from the proxy"))?;
    let mut before = clients.ask("hello from the proxy")?;
    say(
        "   The greeting is edited. Who is connected keeps the script, the next one gets the new:",
    )?;
    write(path, &script("good evening"))?;
    clients.ask("good evening")?;
    expect_answer(&mut before, "hello from the proxy")?;
    say("   A mistake is made. The log tells of it, and the last version that worked goes on:")?;
    write(
        path,
        "function read_query(packet -- the bracket is missing\n",
    )?;
    clients.ask("good evening")?;
    expect_line(log, "lua_load_file(")?;
    let answer = before.value("SELECT 6 * 7").context("another question")?;
    ensure!(answer == "42", "6 * 7 is {answer}");
    write(path, &script("hello from the proxy"))
}

/// It answers one question and lets all others pass.
fn script(greeting: &str) -> String {
    format!(
        r#"function read_query(packet)
    if packet:sub(2) ~= "{QUESTION}" then return end
    proxy.response = {{
        type = proxy.MYSQLD_PACKET_OK,
        resultset = {{
            fields = {{ {{ name = "greeting", type = proxy.MYSQL_TYPE_STRING }} }},
            rows = {{ {{ "{greeting}" }} }},
        }},
    }}
    return proxy.PROXY_SEND_RESULT
end
"#
    )
}

fn write(path: &Path, script: &str) -> Result<()> {
    fs::write(path, script).with_context(|| format!("cannot write {}", path.display()))
}

fn expect_answer(client: &mut Client, expected: &str) -> Result<()> {
    let answer = client.value(QUESTION).context("the script's question")?;
    ensure!(
        answer == expected,
        "{QUESTION} is answered {answer:?}, not {expected:?}"
    );
    Ok(())
}

impl Clients {
    /// The next client gets this answer of the script.
    fn ask(&mut self, expected: &str) -> Result<Client> {
        let (mut client, _) = self.next()?;
        expect_answer(&mut client, expected)?;
        say(&format!(
            "   client {}   {QUESTION}: {expected}",
            self.connected
        ))?;
        Ok(client)
    }

    /// The next client, who is to get the server of this name.
    fn connect(&mut self, expected: &str) -> Result<Client> {
        let (client, server) = self.next()?;
        let number = self.connected;
        ensure!(
            server == expected,
            "client {number} got server {server}, but it was {expected}'s turn"
        );
        Ok(client)
    }

    /// Two more clients, in whichever turn.
    fn connect_to_both(&mut self) -> Result<()> {
        let mut servers = [self.next()?.1, self.next()?.1];
        servers.sort();
        ensure!(
            servers == ["a", "b"],
            "server a is up again, but two clients got {servers:?}"
        );
        Ok(())
    }

    fn next(&mut self) -> Result<(Client, String)> {
        self.connected += 1;
        let number = self.connected;
        let mut client = Client::connect(self.proxy)
            .with_context(|| format!("client {number} cannot connect"))?;
        let server = client
            .value("SELECT @@hostname")
            .with_context(|| format!("client {number} gets no answer"))?;
        say(&format!("   client {number}   got {server}"))?;
        Ok((client, server))
    }
}

fn expect_line(log: &ShownLog, text: &str) -> Result<()> {
    ensure!(
        log.has(text, LOG_TIMEOUT),
        "the log does not say within {} s: {text}",
        LOG_TIMEOUT.as_secs()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn what_is_not_so_ends_the_tour() {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = |name| Server::start(name, any_port).unwrap();
        let mut servers = [server("a"), server("b")];
        // No proxy: every client gets a.
        let not_the_proxy = servers[0].address();
        let error = run(
            &mut servers,
            not_the_proxy,
            Path::new("/nowhere"),
            &ShownLog::default(),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "client 2 got server a, but it was b's turn"
        );
    }

    #[test]
    fn a_line_that_is_not_logged_is_missed() {
        assert!(!ShownLog::default().has("anything", Duration::ZERO));
    }
}
