//! Listening sockets that another process left to this one: a service manager, or the process that this one replaces.
//!
//! How they came here is the program's business.

use std::io;
use std::os::fd::OwnedFd;

use socket2::{SockAddr, SockRef};

/// Each is taken once, by the listener for its address. Those that are left are closed with this.
#[derive(Debug, Default)]
pub struct InheritedSockets(Vec<Inherited>);

#[derive(Debug)]
struct Inherited {
    name: String,
    fd: OwnedFd,
    address: SockAddr,
    owns_file: bool,
}

impl InheritedSockets {
    /// One more. `name` says whose it was; `owns_file` that a Unix socket's file is to go with it.
    ///
    /// # Errors
    /// It is no listening socket.
    pub fn add(&mut self, name: &str, fd: OwnedFd, owns_file: bool) -> io::Result<()> {
        let socket = SockRef::from(&fd);
        if !socket.is_listener()? {
            let text = "a socket that does not listen";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        self.0.push(Inherited {
            name: name.to_owned(),
            fd,
            address,
            owns_file,
        });
        Ok(())
    }

    /// The one that listens there: with port 0 at any port under the same name. A name alone finds none: the address may
    /// have been changed.
    pub(crate) fn take(&mut self, name: &str, address: &SockAddr) -> Option<(OwnedFd, bool)> {
        let is_meant = |inherited: &Inherited| match address.as_socket() {
            Some(wanted) if wanted.port() == 0 => {
                let ip = inherited.address.as_socket().map(|address| address.ip());
                inherited.name == name && ip == Some(wanted.ip())
            }
            _ => inherited.address == *address,
        };
        let place = self.0.iter().position(is_meant)?;
        let Inherited { fd, owns_file, .. } = self.0.swap_remove(place);
        Some((fd, owns_file))
    }

    /// Where the rest listens: nobody took them.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|inherited| match inherited.address.as_socket() {
                Some(address) => address.to_string(),
                None => inherited
                    .address
                    .as_pathname()
                    .map_or_else(String::new, |path| path.display().to_string()),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_socket_is_found_by_its_address_and_with_port_0_by_its_name() {
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap());
        let mut inherited = InheritedSockets::default();
        for (listener, name) in listeners.into_iter().zip(["admin", "proxy", "unit.socket"]) {
            inherited.add(name, listener.into(), false).unwrap();
        }
        let mut take = |name: &str, address: &str| {
            let address: std::net::SocketAddr = address.parse().unwrap();
            let (fd, _) = inherited.take(name, &address.into())?;
            Some(TcpListener::from(fd).local_addr().unwrap())
        };
        assert_eq!(take("proxy", "127.0.0.1:0"), Some(addresses[1]));
        assert_eq!(take("proxy", "127.0.0.1:0"), None);
        let third = addresses[2].to_string();
        assert_eq!(take("proxy", &third), Some(addresses[2]));
        assert_eq!(take("proxy", "127.0.0.1:1"), None);
        let rest: Vec<_> = inherited.addresses().collect();
        assert_eq!(rest, [addresses[0].to_string()]);
    }

    #[test]
    fn a_connection_is_no_listening_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut inherited = InheritedSockets::default();
        assert!(inherited.add("proxy", client.into(), false).is_err());
    }
}
