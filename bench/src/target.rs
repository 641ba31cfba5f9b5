//! What is measured: the server itself, the proxies started here, and peers that the user has started.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use anyhow::{Context, Result, ensure};

use crate::{
    client::{Client, Endpoint},
    encryption::{Begin, CIPHER_SUITE, ClientTls},
    proxy::{Instance, Proxy, Servers},
    traffic::Traffic,
};

/// The name of the column that everything is compared with.
pub(crate) const BASELINE: &str = "haproxy";
/// Between a proxy's name and its script's in the name of a column.
pub(crate) const WITH: &str = " + ";
/// The name of the column without any proxy.
pub(crate) const DIRECT: &str = "direct";

/// A column of the table.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name there.
    pub(crate) name: String,
    kind: Kind,
    /// One for each traffic that it is measured with; those that need the same setup share a process.
    instances: Vec<(Traffic, Instance)>,
}

#[derive(Debug)]
enum Kind {
    Direct,
    Started(Proxy),
    External,
}

/// `NAME=HOST:PORT[,pid=N]`: a peer that the user has started.
#[derive(Debug, Clone)]
pub(crate) struct External {
    name: String,
    address: SocketAddr,
    pid: Option<u32>,
}

impl Target {
    /// The server itself.
    pub(crate) fn direct(servers: &Servers, traffics: &[Traffic]) -> Result<Self> {
        let mut instances = Vec::new();
        for &traffic in traffics {
            let address = servers.address(None, traffic.mode());
            let endpoint = Endpoint::new(address, traffic, Begin::InBand)?;
            // Not every server can zstd.
            if traffic != Traffic::Zstd || Client::login(&endpoint).is_ok() {
                instances.push((traffic, Instance::running(endpoint, None)));
            }
        }
        Ok(Self {
            name: DIRECT.into(),
            kind: Kind::Direct,
            instances,
        })
    }

    /// Starts the proxy, for those traffics that it can be measured with.
    pub(crate) fn start(name: &str, proxy: Proxy, traffics: &[Traffic]) -> Result<Self> {
        let mut instances: Vec<(Traffic, Instance)> = Vec::new();
        for &traffic in traffics.iter().filter(|&&traffic| proxy.speaks(traffic)) {
            let alike = |(other, _): &&(Traffic, _)| other.mode() == traffic.mode();
            let instance = match instances.iter().find(alike) {
                Some((_, instance)) => instance.speaking(traffic, proxy.begin(traffic)),
                None => proxy.start(traffic),
            };
            let instance = instance
                .and_then(check_encryption)
                .with_context(|| format!("cannot start {name} for {}", traffic.name()))?;
            instances.push((traffic, instance));
        }
        Ok(Self {
            name: name.into(),
            kind: Kind::Started(proxy),
            instances,
        })
    }

    /// Takes a peer as it is, without encryption.
    pub(crate) fn external(external: &External) -> Self {
        let endpoint = Endpoint::plain(external.address);
        Self {
            name: external.name.clone(),
            kind: Kind::External,
            instances: vec![(Traffic::Plain, Instance::running(endpoint, external.pid))],
        }
    }

    /// Is this the server itself?
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.kind, Kind::Direct)
    }

    /// The instance that all measurements share; `None` where this is not to be had.
    pub(crate) fn instance(&self, traffic: Traffic) -> Option<&Instance> {
        let mut instances = self.instances.iter();
        let (_, instance) = instances.find(|(other, _)| *other == traffic)?;
        Some(instance)
    }

    /// An instance that has not served anybody yet; of a peer started elsewhere, the one there is.
    pub(crate) fn fresh_instance(&self) -> Result<Option<Instance>> {
        match &self.kind {
            Kind::Started(proxy) => proxy
                .start(Traffic::Plain)
                .map(Some)
                .with_context(|| format!("cannot start {}", self.name)),
            Kind::Direct | Kind::External => Ok(self
                .instance(Traffic::Plain)
                .map(|instance| Instance::running(instance.endpoint.clone(), instance.pid))),
        }
    }
}

/// Asks the server whether TLS came all the way, as agreed.
fn check_encryption(instance: Instance) -> Result<Instance> {
    let is_in_band = |tls: &ClientTls| tls.begin == Begin::InBand;
    if instance.endpoint.tls.as_ref().is_some_and(is_in_band) {
        let mut client = Client::login(&instance.endpoint)?;
        let response = client.query("SHOW STATUS LIKE 'Ssl_cipher'")?;
        let response = String::from_utf8_lossy(&response);
        ensure!(
            response.contains(CIPHER_SUITE),
            "the server has another cipher suite: {response:?}"
        );
        client.quit()?;
    }
    Ok(instance)
}

impl FromStr for External {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, rest) = text
            .split_once('=')
            .context("expected NAME=HOST:PORT[,pid=N]")?;
        let (address, pid) = match rest.split_once(",pid=") {
            Some((address, pid)) => (
                address,
                Some(
                    pid.parse()
                        .with_context(|| format!("{pid:?} is no process id"))?,
                ),
            ),
            None => (rest, None),
        };
        let mut addresses = address
            .to_socket_addrs()
            .with_context(|| format!("{address:?} is no HOST:PORT"))?;
        Ok(Self {
            name: name.into(),
            address: addresses
                .next()
                .with_context(|| format!("{address} has no address"))?,
            pid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_targets_are_read() {
        let full: External = "router=127.0.0.1:6446,pid=42".parse().unwrap();
        assert_eq!(full.name, "router");
        assert_eq!(full.address, ([127, 0, 0, 1], 6446).into());
        assert_eq!(full.pid, Some(42));
        let short: External = "a=[::1]:3306".parse().unwrap();
        assert_eq!((short.address.port(), short.pid), (3306, None));
    }

    #[test]
    fn wrong_external_targets_say_what_is_wrong() {
        for (text, message) in [
            ("127.0.0.1:6446", "expected NAME=HOST:PORT[,pid=N]"),
            ("a=127.0.0.1", "\"127.0.0.1\" is no HOST:PORT"),
            ("a=127.0.0.1:1,pid=me", "\"me\" is no process id"),
        ] {
            assert_eq!(text.parse::<External>().unwrap_err().to_string(), message);
        }
    }
}
