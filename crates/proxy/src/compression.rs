//! Where the compressed protocol is spoken: towards clients, towards backends, each for itself. What is inside is the same.

use protocol::Capabilities;
use transport::compression::{Algorithm, Compression};

/// Flags that belong to one connection and never cross the proxy.
pub(crate) const COMPRESSED: Capabilities =
    Capabilities::COMPRESS.union(Capabilities::ZSTD_COMPRESSION);

/// Whether backends are asked for compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerCompression {
    /// No.
    #[default]
    Off,
    /// Where the client's side is compressed: as that is where the backend can do so, else as it can.
    AsClient,
    /// Where they offer this.
    Always(Algorithm),
}

/// What clients are offered, and what backends are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionSettings {
    /// Whatever the backend offers. Those who do not ask for it go without.
    pub client: Vec<Algorithm>,
    /// Towards backends, which are near as a rule.
    pub server: ServerCompression,
}

impl Default for CompressionSettings {
    fn default() -> Self {
        Self {
            client: Algorithm::ALL.to_vec(),
            server: ServerCompression::Off,
        }
    }
}

impl CompressionSettings {
    /// What clients are offered.
    pub(crate) fn offered(&self) -> Capabilities {
        let offered = self.client.iter();
        offered
            .map(|algorithm| algorithm.capability())
            .fold(Capabilities::empty(), Capabilities::union)
    }

    /// What a backend of these capabilities is asked for in the name of a client that agreed on `client` with us.
    pub(crate) fn with_backend(
        &self,
        client: Option<Compression>,
        capabilities: Capabilities,
    ) -> Option<Compression> {
        let is_able = |algorithm: &Algorithm| capabilities.contains(algorithm.capability());
        let level = client.map_or(Compression::LEVEL_DEFAULT, |client| client.level);
        let algorithm = match self.server {
            ServerCompression::Off => None,
            ServerCompression::Always(algorithm) => Some(algorithm).filter(is_able),
            ServerCompression::AsClient => {
                let wanted = client?.algorithm;
                let others = Algorithm::ALL.into_iter();
                [wanted].into_iter().chain(others).find(is_able)
            }
        };
        algorithm.map(|algorithm| Compression { algorithm, level })
    }
}

/// What a login of these capabilities comes to; servers prefer zlib where a client offers both.
pub(crate) fn agreed(capabilities: Capabilities, zstd_level: Option<u8>) -> Option<Compression> {
    let mut algorithms = Algorithm::ALL.into_iter();
    let algorithm = algorithms.find(|algorithm| capabilities.contains(algorithm.capability()))?;
    Some(Compression {
        algorithm,
        level: zstd_level.unwrap_or(Compression::LEVEL_DEFAULT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_client_means_as_the_backend_can() {
        let settings = CompressionSettings {
            server: ServerCompression::AsClient,
            ..CompressionSettings::default()
        };
        let zstd = agreed(Capabilities::ZSTD_COMPRESSION, Some(7));
        let mariadb = Capabilities::COMPRESS;
        let mysql = COMPRESSED;
        let algorithm = |client, capabilities| {
            let compression = settings.with_backend(client, capabilities)?;
            Some((compression.algorithm, compression.level))
        };
        assert_eq!(algorithm(zstd, mysql), Some((Algorithm::Zstd, 7)));
        assert_eq!(algorithm(zstd, mariadb), Some((Algorithm::Zlib, 7)));
        assert_eq!(algorithm(zstd, Capabilities::empty()), None);
        assert_eq!(algorithm(None, mysql), None);
    }

    #[test]
    fn of_two_that_a_client_can_it_is_zlib() {
        let algorithm = agreed(COMPRESSED, Some(3)).map(|compression| compression.algorithm);
        assert_eq!(algorithm, Some(Algorithm::Zlib));
        assert_eq!(agreed(Capabilities::SSL, None), None);
    }
}
