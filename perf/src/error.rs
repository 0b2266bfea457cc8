//! `Fault`: why a measurement could not be made, in one sentence, and whose fault that is.

use std::fmt;
use std::io;

use weir_control::lab::LabError;
use weir_net::error::Malformed;

#[derive(Debug)]
pub enum Fault {
    /// The command line: the caller's fault.
    Usage(String),
    /// The machine.
    Io { doing: String, source: io::Error },
    /// The laboratory could not find or start a program.
    Lab(LabError),
    /// The server sent what the protocol does not know.
    Malformed(Malformed),
    /// The server answered with an error.
    Refused { code: u16, message: String },
    /// A program that was started does not do what it is there for.
    Program(String),
}

impl Fault {
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Program(what) => f.write_str(what),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Lab(error) => write!(f, "{error}"),
            Self::Malformed(Malformed(what)) => write!(f, "the server broke the protocol: {what}"),
            Self::Refused { code, message } => write!(f, "the server says: {message} ({code})"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<LabError> for Fault {
    fn from(error: LabError) -> Self {
        Self::Lab(error)
    }
}

impl From<Malformed> for Fault {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}
