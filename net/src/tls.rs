//! TLS as a filter: ciphertext and plaintext in, plaintext and ciphertext out, no socket.
//!
//! ```text
//! wire --feed-->  [incoming] --rustls--> [plain_in] --read_plain--> engine
//! wire <-take_cipher- [cipher_out] + seal <-- [plain_out] <--write_plain-- engine
//! ```
//! Invariant: between two calls `incoming` holds less than what rustls could work on, and `cipher_out` only
//! handshake and alert records: application data is sealed straight into the caller's buffer, once per
//! [`Tls::take_cipher`], so what was written piece by piece leaves in as few records as it can.
//!
//! Cost: one copy in (to `incoming`, since a record may come split), rustls' own one per record, one into `plain_in`.
//! It does not bound what is fed or written: who feeds it waits until the plaintext has been read
//! ([`Tls::plain_len`]). It knows no certificates and no trust; they are in the configurations.
//! Rule: MySQL "Protocol::SSLRequest" says when it starts; RFC 8446 and 5246 are rustls' business.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, ServerConfig};

/// Why TLS ended: the peer's fault, or a certificate that isn't trusted. The connection can only be closed, after
/// what [`Tls::take_cipher`] still has: the alert that tells the peer.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsError(pub rustls::Error);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS: {}", self.0)
    }
}

impl std::error::Error for TlsError {}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self(error)
    }
}

/// One end of a TLS connection.
pub struct Tls {
    end: End,
    incoming: Vec<u8>,
    /// Decrypted; the first `plain_in_read` bytes have been read.
    plain_in: Vec<u8>,
    plain_in_read: usize,
    plain_out: Vec<u8>,
    cipher_out: Vec<u8>,
    closing: Closing,
    peer: Peer,
}

enum End {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    Wanted,
    Sent,
}

#[derive(PartialEq)]
enum Peer {
    Open,
    Closed,
    Failed(TlsError),
}

impl Tls {
    /// The gate towards a client.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        Self::new(End::Server(Box::new(UnbufferedServerConnection::new(config)?)))
    }

    /// The gate towards a backend. The first records are ready at once.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, TlsError> {
        Self::new(End::Client(Box::new(UnbufferedClientConnection::new(config, name)?)))
    }

    fn new(end: End) -> Result<Self, TlsError> {
        let mut tls = Self {
            end,
            incoming: Vec::new(),
            plain_in: Vec::new(),
            plain_in_read: 0,
            plain_out: Vec::new(),
            cipher_out: Vec::new(),
            closing: Closing::No,
            peer: Peer::Open,
        };
        tls.advance()?;
        Ok(tls)
    }

    /// Of the peer, verified as the configuration says; None: it has shown none.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = match &self.end {
            End::Server(server) => server.peer_certificates(),
            End::Client(client) => client.peer_certificates(),
        };
        chain?.first().map(AsRef::as_ref)
    }

    /// Takes what came from the wire, all of it. After an error it takes nothing more; after our own closing alert has
    /// left it drops what comes, because rustls asserts that no second alert becomes necessary, and MySQL has no half
    /// closed connections.
    pub fn feed(&mut self, cipher: &[u8]) -> Result<(), TlsError> {
        if let Peer::Failed(error) = &self.peer {
            return Err(error.clone());
        }
        if self.closing == Closing::Sent {
            return Ok(());
        }
        self.plain_in.drain(..self.plain_in_read);
        self.plain_in_read = 0;
        self.incoming.extend_from_slice(cipher);
        self.advance()
    }

    /// Copies decrypted bytes to the front of `out` and says how many; 0 when there are none.
    pub fn read_plain(&mut self, out: &mut [u8]) -> usize {
        let unread = self.plain_in.get(self.plain_in_read..).unwrap_or_default();
        let len = unread.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..len), unread.get(..len)) {
            to.copy_from_slice(from);
        }
        self.plain_in_read = self.plain_in_read.saturating_add(len);
        if self.plain_in_read == self.plain_in.len() {
            self.plain_in.clear();
            self.plain_in_read = 0;
        }
        len
    }

    /// Decrypted bytes that [`Tls::read_plain`] still has.
    pub fn plain_len(&self) -> usize {
        self.plain_in.len().saturating_sub(self.plain_in_read)
    }

    /// Keeps bytes to send; until the handshake is over they wait.
    pub fn write_plain(&mut self, plain: &[u8]) {
        self.plain_out.extend_from_slice(plain);
    }

    /// Appends what is to be sent. Call it once per flush: each call makes records of its own.
    pub fn take_cipher(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.cipher_out);
        if !self.has_plain_to_seal() {
            return;
        }
        let closing = self.closing == Closing::Wanted;
        let sealed = match &mut self.end {
            End::Server(end) => seal(end.process_tls_records(&mut self.incoming), &self.plain_out, closing, out),
            End::Client(end) => seal(end.process_tls_records(&mut self.incoming), &self.plain_out, closing, out),
        };
        match sealed {
            Ok(()) => {
                self.plain_out.clear();
                if closing {
                    self.closing = Closing::Sent;
                }
            }
            Err(error) => self.peer = Peer::Failed(TlsError(error)),
        }
    }

    /// True when [`Tls::take_cipher`] has something.
    pub fn has_cipher(&self) -> bool {
        !self.cipher_out.is_empty() || self.has_plain_to_seal()
    }

    fn has_plain_to_seal(&self) -> bool {
        let wanted = !self.plain_out.is_empty() || self.closing == Closing::Wanted;
        let allowed = self.closing != Closing::Sent && !matches!(self.peer, Peer::Failed(_));
        wanted && allowed && !self.is_handshaking()
    }

    pub fn is_handshaking(&self) -> bool {
        match &self.end {
            End::Server(end) => end.is_handshaking(),
            End::Client(end) => end.is_handshaking(),
        }
    }

    /// True when the peer has said that nothing more comes. A wire that ends without it was cut.
    pub fn is_peer_closed(&self) -> bool {
        self.peer == Peer::Closed
    }

    /// Tells the peer that nothing comes after what has been written; the next [`Tls::take_cipher`] has it.
    pub fn close(&mut self) {
        if self.closing == Closing::No {
            self.closing = Closing::Wanted;
        }
    }

    /// Gives back the memory of empty buffers, for a connection that goes idle.
    pub fn release_buffers(&mut self) {
        for buffer in [&mut self.incoming, &mut self.plain_in, &mut self.plain_out, &mut self.cipher_out] {
            if buffer.is_empty() {
                *buffer = Vec::new();
            }
        }
    }

    /// Lets rustls work until it wants more bytes.
    fn advance(&mut self) -> Result<(), TlsError> {
        let mut used = 0usize;
        let stopped = loop {
            let left = self.incoming.get_mut(used..).unwrap_or_default();
            let mut sink = Sink { plain: &mut self.plain_in, cipher: &mut self.cipher_out };
            let (discard, step) = sink.turn(&mut self.end, left);
            used = used.saturating_add(discard).min(self.incoming.len());
            match step {
                Ok(Step::Again) => {}
                Ok(Step::PeerClosed) => self.peer = Peer::Closed,
                Ok(Step::Rest) => break Ok(()),
                Err(error) => break Err(TlsError(error)),
            }
        };
        self.incoming.drain(..used);
        stopped.inspect_err(|error| self.fail(error.clone()))
    }

    /// Takes the alert that rustls has queued for the peer, and stops there: asked for more, it would look at the bad
    /// bytes again and assert that it has not yet sent one.
    fn fail(&mut self, error: TlsError) {
        self.incoming.clear();
        self.peer = Peer::Failed(error);
        let mut sink = Sink { plain: &mut self.plain_in, cipher: &mut self.cipher_out };
        while self.end.wants_write() {
            if sink.turn(&mut self.end, &mut []).1.is_err() {
                break;
            }
        }
    }
}

impl End {
    fn wants_write(&self) -> bool {
        match self {
            Self::Server(end) => end.wants_write(),
            Self::Client(end) => end.wants_write(),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}

/// What one state of rustls means for the loop.
enum Step {
    Again,
    PeerClosed,
    Rest,
}

/// Where rustls' output goes.
struct Sink<'a> {
    plain: &'a mut Vec<u8>,
    cipher: &'a mut Vec<u8>,
}

impl Sink<'_> {
    fn turn(&mut self, end: &mut End, incoming: &mut [u8]) -> (usize, Result<Step, rustls::Error>) {
        match end {
            End::Server(end) => self.take(end.process_tls_records(incoming)),
            End::Client(end) => self.take(end.process_tls_records(incoming)),
        }
    }

    /// Handles one state. Returns how many incoming bytes are done with.
    fn take<Data>(&mut self, status: UnbufferedStatus<'_, '_, Data>) -> (usize, Result<Step, rustls::Error>) {
        let mut discard = status.discard;
        let step = match status.state {
            Err(error) => Err(error),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    None => break Ok(Step::Again),
                    Some(Err(error)) => break Err(error),
                    Some(Ok(record)) => {
                        discard = discard.saturating_add(record.discard);
                        self.plain.extend_from_slice(record.payload);
                    }
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let encoded = append(self.cipher, HANDSHAKE_BYTES_GUESS, |room| {
                    data.encode(room).map_err(|error| match error {
                        EncodeError::InsufficientSize(size) => EncryptError::InsufficientSize(size),
                        EncodeError::AlreadyEncoded => EncryptError::EncryptExhausted,
                    })
                });
                encoded.map(|()| Step::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) | ConnectionState::Closed) => {
                Ok(Step::Rest)
            }
            // Early data is off unless the configuration asks for it, and its replay has no place here.
            Ok(_) => Err(rustls::Error::General("a state of TLS that is not supported".to_owned())),
        };
        (discard, step)
    }
}

/// Encrypts `plain`, and the closing alert if wanted, to the end of `out`.
fn seal<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &[u8],
    closing: bool,
    out: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let ConnectionState::WriteTraffic(mut traffic) = status.state? else {
        return Err(rustls::Error::General("TLS is not ready to send".to_owned()));
    };
    let traffic: &mut WriteTraffic<'_, Data> = &mut traffic;
    if !plain.is_empty() {
        let records = plain.len().div_ceil(RECORD_PLAIN_BYTES_MAX);
        let guess = plain.len().saturating_add(records.saturating_mul(RECORD_OVERHEAD_BYTES_GUESS));
        append(out, guess, |room| traffic.encrypt(plain, room))?;
    }
    if closing {
        append(out, RECORD_OVERHEAD_BYTES_GUESS, |room| traffic.queue_close_notify(room))?;
    }
    Ok(())
}

/// Lets `write` fill the end of `out`: with a guess of the room first, then with what it asks for.
fn append(
    out: &mut Vec<u8>,
    guess: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), rustls::Error> {
    let at = out.len();
    let mut room = guess;
    loop {
        out.resize(at.saturating_add(room), 0);
        match write(out.get_mut(at..).unwrap_or_default()) {
            Ok(len) => {
                out.truncate(at.saturating_add(len));
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) if required_size > room => {
                room = required_size;
            }
            Err(_) => {
                out.truncate(at);
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

const RECORD_PLAIN_BYTES_MAX: usize = 16 << 10;
/// Header, nonce, tag and content type of a record are 22 to 29 bytes; an alert is 2.
const RECORD_OVERHEAD_BYTES_GUESS: usize = 48;
/// Most handshake records; a long certificate chain asks again.
const HANDSHAKE_BYTES_GUESS: usize = 2 << 10;

#[cfg(test)]
mod tests;
