//! HAProxy in TCP mode, as a load balancer that stands before the proxy.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
};

use crate::{Process, ScratchDirectory, process, skip, template};

/// A running HAProxy, killed on drop.
#[derive(Debug)]
pub struct HaProxy {
    address: SocketAddr,
    _process: Process,
    _directory: ScratchDirectory,
}

impl HaProxy {
    /// Relays to `server`, with these options of HAProxy's `server` line, such as `send-proxy-v2`.
    ///
    /// `None`, after a line that says so, when HAProxy is not on this machine: the test ends there.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(server: SocketAddr, server_options: &str) -> Option<Self> {
        let fetched = template::servers_directory().join("haproxy/bin/haproxy");
        let programs = [PathBuf::from("/usr/sbin/haproxy"), fetched];
        let Some(program) = programs.iter().find(|program| program.exists()) else {
            skip("needs HAProxy: `cargo xtask fetch haproxy`");
            return None;
        };
        // HAProxy takes no port 0: it inherits a socket that listens already. Clients wait there until it serves.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let address = listener.local_addr();
        let address = address.expect("a bound socket has an address");
        let directory = ScratchDirectory::new();
        let configuration = directory.file("haproxy.cfg");
        let text = format!(
            "global\n maxconn 100\n nbthread 1\n\
             defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
             listen mysql\n bind fd@0\n server proxy {server} {server_options}\n"
        );
        fs::write(&configuration, text).expect("the directory is ours");
        let mut command = process::command(program);
        command.arg("-db").arg("-f").arg(&configuration);
        command.stdin(OwnedFd::from(listener));
        Some(Self {
            address,
            _process: Process::spawn(command),
            _directory: directory,
        })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
