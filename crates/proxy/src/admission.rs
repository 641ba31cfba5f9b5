//! Who is let in: how many clients at once, and how often from one address. The acceptor asks; a session knows nothing of it.
//!
//! Relays are let in as often as they like: they stand for many clients.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use protocol::response::error_code;
use tracing::{info, warn};
use transport::Network;

use crate::session::error::Refusal;
use crate::settings::Settings;

/// "08004": the server rejected the connection.
const REJECTED: [u8; 5] = *b"08004";
/// Addresses that are remembered before those whose second is over are forgotten.
pub(crate) const ADDRESSES_MAX: usize = 16 * 1024;
/// Of an IPv6 address the part that its network does not hand out freely.
const IPV6_PREFIX_BITS: u32 = 64;

/// What the acceptor knows of those before.
#[derive(Debug)]
pub(crate) struct Admission {
    connections_max: usize,
    rate: Option<(NonZeroU32, DefaultKeyedRateLimiter<IpAddr>)>,
    /// Addresses known when those that are not needed any more are next forgotten.
    addresses_max: usize,
    relays: Vec<Network>,
    /// Clients in a row that found no room.
    without_room: u64,
}

impl Admission {
    pub(crate) fn new(settings: &Settings) -> Self {
        let rate = settings.connection_rate_max;
        Self {
            connections_max: settings.connections_max,
            rate: rate.map(|rate| (rate, RateLimiter::keyed(Quota::per_second(rate)))),
            addresses_max: ADDRESSES_MAX,
            relays: settings.proxy_protocol_networks.clone(),
            without_room: 0,
        }
    }

    /// From now on these settings count. Addresses are not forgotten for a rate that stays.
    pub(crate) fn change(&mut self, settings: &Settings) {
        let fresh = Self::new(settings);
        let rate = |admission: &Self| admission.rate.as_ref().map(|(rate, _)| *rate);
        if rate(self) != rate(&fresh) {
            self.rate = fresh.rate;
        }
        self.connections_max = fresh.connections_max;
        self.relays = fresh.relays;
    }

    /// Why a client is turned away, if it is, while `clients` are served. `peer` is `None` for a Unix socket.
    pub(crate) fn refusal(&mut self, peer: Option<SocketAddr>, clients: usize) -> Option<Refusal> {
        self.room(clients).or_else(|| self.rate(peer?))
    }

    fn room(&mut self, clients: usize) -> Option<Refusal> {
        let max = self.connections_max;
        if clients < max {
            match std::mem::take(&mut self.without_room) {
                0 => {}
                n => info!("there is room for clients again; {n} were turned away"),
            }
            return None;
        }
        if self.without_room == 0 {
            warn!(
                "{clients} clients are served, as many as --max-connections={max} allows: more are turned away with ERR 1040"
            );
        }
        self.without_room += 1;
        let text =
            format!("(proxy) Too many connections: {max} clients are served (--max-connections)");
        Some(Refusal::new(
            error_code::TOO_MANY_CONNECTIONS,
            REJECTED,
            text,
        ))
    }

    fn rate(&mut self, peer: SocketAddr) -> Option<Refusal> {
        let (max, limiter) = self.rate.as_ref()?;
        if self.relays.iter().any(|relay| relay.contains(Some(peer))) {
            return None;
        }
        if limiter.len() > self.addresses_max {
            limiter.retain_recent();
            // Not again for each of many that are all needed.
            self.addresses_max = ADDRESSES_MAX.max(2 * limiter.len());
        }
        let address = peer.ip().to_canonical();
        limiter.check_key(&network(address)).err()?;
        // The same again and again: the log counts it.
        warn!(
            "clients of {address} are turned away: they connect more often than --max-connection-rate={max} times a second"
        );
        let text = format!(
            "(proxy) Too many connections from {address}: more than {max} in a second (--max-connection-rate)"
        );
        Some(Refusal::new(
            error_code::TOO_MANY_CONNECTIONS,
            REJECTED,
            text,
        ))
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => {
            let mask = u128::MAX << (u128::BITS - IPV6_PREFIX_BITS);
            Ipv6Addr::from(u128::from(ip) & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(change: impl FnOnce(&mut Settings)) -> Admission {
        let mut settings = Settings::new(None, Vec::new());
        change(&mut settings);
        Admission::new(&settings)
    }

    fn peer(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 1))
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut admission = admission(|settings| settings.connections_max = 2);
        assert!(admission.refusal(None, 1).is_none());
        let refusal = admission.refusal(peer("192.0.2.1"), 2).unwrap();
        assert_eq!((refusal.code, refusal.sql_state), (1040, *b"08004"));
        assert!(refusal.message.contains("--max-connections"));
        assert!(admission.refusal(None, 1).is_none());
    }

    #[test]
    fn an_address_may_come_so_often() {
        let mut admission = admission(|settings| {
            settings.connection_rate_max = NonZeroU32::new(3);
            settings.proxy_protocol_networks = vec!["203.0.113.0/24".parse().unwrap()];
        });
        let mut refused = |address: &str, times| {
            let refusals = (0..times).map(|_| admission.refusal(peer(address), 0));
            refusals.flatten().count()
        };
        assert_eq!(refused("192.0.2.1", 3), 0);
        let over = refused("192.0.2.1", 30);
        assert!(over >= 29, "one may have been earned meanwhile: {over}");
        assert_eq!(
            refused("::ffff:192.0.2.1", 10),
            10,
            "it is the same address"
        );
        assert_eq!(refused("192.0.2.2", 3), 0, "others are not held to account");
        assert_eq!(refused("2001:db8::1", 3), 0);
        assert!(refused("2001:db8::2", 9) >= 8, "it is the same network");
        assert_eq!(refused("2001:db8:0:1::2", 3), 0);
        assert_eq!(refused("203.0.113.7", 99), 0, "relays come often");
    }

    #[test]
    fn settings_change_between_two_clients() {
        let mut settings = Settings::new(None, Vec::new());
        settings.connection_rate_max = NonZeroU32::new(1);
        let mut admission = Admission::new(&settings);
        let client = peer("192.0.2.1");
        assert!(admission.refusal(client, 5).is_none());
        settings.connections_max = 7;
        admission.change(&settings);
        assert!(admission.refusal(client, 5).is_some(), "it is remembered");
        settings.connection_rate_max = None;
        admission.change(&settings);
        assert!(admission.refusal(client, 5).is_none());
        assert!(admission.refusal(client, 7).is_some());
    }

    #[test]
    fn addresses_are_forgotten() {
        let mut admission =
            admission(|settings| settings.connection_rate_max = NonZeroU32::new(1000));
        for number in 0..3 * ADDRESSES_MAX as u32 {
            assert!(
                admission
                    .refusal(Some(SocketAddr::from((number.to_be_bytes(), 1))), 0)
                    .is_none()
            );
        }
        let (_, limiter) = admission.rate.as_ref().unwrap();
        assert!(limiter.len() <= 2 * ADDRESSES_MAX, "{}", limiter.len());
    }

    #[test]
    fn without_limits_everyone_is_let_in() {
        let mut admission = admission(|_| {});
        assert!((0..1000).all(|n| admission.refusal(peer("192.0.2.1"), n).is_none()));
    }
}
