//! Whether clients may have a server, as the operator says; whether it works is [`Health`](crate::Health)'s to say.

use std::fmt;

/// What the operator says of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Availability {
    /// It takes clients while it is up.
    InService,
    /// It takes no new clients, and keeps those that it has.
    Draining,
    /// It takes no new clients, and is removed once those who had it, or may get an idle connection of it, are gone.
    Leaving,
    /// It has no clients.
    OutOfService,
    /// It is not a backend any more.
    Removed,
}

impl Availability {
    /// Nobody stays there.
    pub fn ends_sessions(self) -> bool {
        matches!(self, Self::OutOfService | Self::Removed)
    }

    pub(crate) fn from_u8(number: u8) -> Self {
        let all = [
            Self::InService,
            Self::Draining,
            Self::Leaving,
            Self::OutOfService,
            Self::Removed,
        ];
        all.into_iter()
            .find(|availability| *availability as u8 == number)
            .unwrap_or(Self::InService)
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InService => "in service",
            Self::Draining => "draining",
            Self::Leaving => "leaving",
            Self::OutOfService => "out of service",
            Self::Removed => "removed",
        })
    }
}
