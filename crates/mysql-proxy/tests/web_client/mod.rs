//! A proxy with a web page, and who asks it over HTTP.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program that includes this uses a part of it"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use testkit::{ProxyProcess, Server};

use crate::scripted::{BINARY, DEADLINE, plugin_address};

pub(crate) const ACCOUNT: [&str; 2] = ["--admin-username=root", "--admin-password=secret"];

/// A proxy with an admin interface and a page at `http`.
pub(crate) fn start(servers: &[&Server], http: &str, more: &[&str]) -> ProxyProcess {
    let mut arguments: Vec<String> = servers
        .iter()
        .map(|server| format!("--proxy-backend-addresses={}", server.address()))
        .collect();
    arguments.push("--plugins=proxy,admin".to_owned());
    arguments.push("--admin-address=127.0.0.1:0".to_owned());
    arguments.push(format!("--http-address={http}"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    ProxyProcess::start(BINARY, &[&arguments, &ACCOUNT[..], more].concat())
}

/// Somebody who keeps a cookie.
#[derive(Debug)]
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    pub(crate) cookie: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Of an answer that was read to its end.
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

impl Web {
    pub(crate) fn of(proxy: &ProxyProcess) -> Self {
        Self {
            address: plugin_address(proxy, "http"),
            cookie: None,
        }
    }

    /// The cookie is kept.
    pub(crate) fn log_in(&mut self, username: &str, password: &str) -> Answer {
        let form = format!("username={username}&password={password}");
        let answer = self.send("POST", "/login", &[], &form);
        assert_eq!(answer.status, 303, "{}", answer.body);
        let cookie = answer.header("set-cookie").expect("a cookie");
        self.cookie = cookie.split(';').next().map(str::to_owned);
        answer
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// As our own page does.
    pub(crate) fn post(&self, path: &str) -> Answer {
        let origin = format!("http://{}", self.address);
        self.send("POST", path, &[("Origin", &origin)], "")
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("it is a socket");
        stream
            .write_all(self.request(method, path, headers, body).as_bytes())
            .expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        Answer::parse(&answer)
    }

    /// An answer that goes on.
    pub(crate) fn open(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("it is a socket");
        stream
            .write_all(self.request("GET", path, &[], "").as_bytes())
            .expect("it is sent");
        stream
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        let cookie = self.cookie.iter().map(|cookie| ("Cookie", cookie.as_str()));
        for (name, value) in headers.iter().copied().chain(cookie) {
            request += &format!("{name}: {value}\r\n");
        }
        request + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }
}
