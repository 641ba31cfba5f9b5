//! What can go wrong between two packets: a complaint for the client, after which the session may go on, or the end of
//! its connection.

use protocol::DecodeError;
use thiserror::Error;

use crate::packet_stream::StreamError;
use crate::sql::{Code, SqlError};

/// Why a command or a login failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The client is to be told.
    #[error(transparent)]
    Refused(#[from] SqlError),
    /// There is nobody left to be told.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl From<DecodeError> for Failure {
    /// A command that is not what it should be, in a packet that is.
    fn from(error: DecodeError) -> Self {
        SqlError::new(Code::MALFORMED_PACKET, error.to_string()).into()
    }
}
