//! What can go wrong between a client and a server, and whose fault it is.

use std::fmt;
use std::io;
use weir_net::error::Malformed;
use weir_net::outcome::ErrPacket;

#[derive(Debug)]
pub enum ClientError {
    /// The socket, or a time limit (`WouldBlock`, `TimedOut`).
    Io(io::Error),
    /// The server closed the connection where more was due.
    Closed,
    /// The server refused: the ERR packet where a caller asked for success.
    Server(ServerError),
    /// The server broke the protocol.
    Malformed(Malformed),
    /// It sent a packet with another sequence number than the next one.
    Sequence {
        expected: u8,
        found: u8,
    },
    Tls(String),
    /// It wants something that this client does not speak.
    Unsupported(String),
    /// The reply has another shape than the caller wanted.
    Shape(&'static str),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Io(error) => error.fmt(f),
            ClientError::Closed => f.write_str("the server closed the connection"),
            ClientError::Server(error) => error.fmt(f),
            ClientError::Malformed(error) => error.fmt(f),
            ClientError::Sequence { expected, found } => {
                write!(f, "packet with sequence number {found} where {expected} was due")
            }
            ClientError::Tls(text) => write!(f, "TLS: {text}"),
            ClientError::Unsupported(text) => write!(f, "the server wants {text}, which is not spoken here"),
            ClientError::Shape(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        ClientError::Io(error)
    }
}

impl From<Malformed> for ClientError {
    fn from(error: Malformed) -> ClientError {
        ClientError::Malformed(error)
    }
}

impl From<ServerError> for ClientError {
    fn from(error: ServerError) -> ClientError {
        ClientError::Server(error)
    }
}

impl ClientError {
    pub fn is_timeout(&self) -> bool {
        matches!(self, ClientError::Io(error)
            if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock))
    }

    /// The server's error number, if it is the server that refused.
    pub fn code(&self) -> Option<u16> {
        match self {
            ClientError::Server(error) => Some(error.code),
            _ => None,
        }
    }
}

/// An ERR packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    pub code: u16,
    pub state: String,
    pub message: String,
}

impl ServerError {
    pub fn decode(payload: &[u8]) -> Result<ServerError, Malformed> {
        let ErrPacket { code, state, message } = ErrPacket::decode(payload)?;
        Ok(ServerError {
            code,
            state: String::from_utf8_lossy(&state).into_owned(),
            message: String::from_utf8_lossy(message).into_owned(),
        })
    }
}

/// As the `mysql` client shows it.
impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR {} ({}): {}", self.code, self.state, self.message)
    }
}

impl std::error::Error for ServerError {}
