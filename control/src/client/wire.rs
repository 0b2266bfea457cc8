//! A wire of the control thread: packets over a socket of tokio's, behind TLS or not, in either role.
//!
//! Invariant: no more bytes are taken in than its owner allows, however much the other side says.

use super::error::ClientError;
use super::frames::{Inbound, Packet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weir_net::error::Malformed;
use weir_net::packet;
use weir_net::tls::Tls;

pub struct Wire {
    socket: Box<dyn Socket>,
    tls: Option<Box<Tls>>,
    /// Bytes that the other side may still say.
    pub allowance: usize,
}

pub trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

impl Wire {
    pub fn new(socket: Box<dyn Socket>, allowance: usize) -> Wire {
        Wire { socket, tls: None, allowance }
    }

    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Sends one payload under the number that is next.
    pub async fn say(&mut self, inbound: &mut Inbound, payload: &[u8]) -> Result<(), ClientError> {
        let mut bytes = Vec::with_capacity(payload.len() + packet::HEADER_BYTES);
        let next = packet::put(&mut bytes, inbound.seq(), payload);
        inbound.expect_seq(next);
        self.send(&bytes).await
    }

    /// The next payload.
    pub async fn packet(&mut self, inbound: &mut Inbound) -> Result<Packet, ClientError> {
        loop {
            if let Some(packet) = inbound.take()? {
                return Ok(packet);
            }
            self.receive(inbound).await?;
        }
    }

    /// Returns when both sides are sure.
    pub async fn start_tls(&mut self, mut tls: Tls) -> Result<(), ClientError> {
        while tls.is_handshaking() {
            flush(&mut *self.socket, &mut tls).await?;
            if tls.is_handshaking() {
                feed(&mut *self.socket, &mut tls).await?;
            }
        }
        // The last words of a handshake may be ours.
        flush(&mut *self.socket, &mut tls).await?;
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        match &mut self.tls {
            None => self.socket.write_all(bytes).await?,
            Some(tls) => {
                tls.write_plain(bytes);
                flush(&mut *self.socket, tls).await?;
            }
        }
        Ok(())
    }

    async fn receive(&mut self, inbound: &mut Inbound) -> Result<(), ClientError> {
        let mut buffer = [0; READ_BYTES];
        let n = match &mut self.tls {
            None => match self.socket.read(&mut buffer).await? {
                0 => return Err(ClientError::Closed),
                n => n,
            },
            Some(tls) => loop {
                match tls.read_plain(&mut buffer) {
                    0 => feed(&mut *self.socket, tls).await?,
                    n => break n,
                }
            },
        };
        self.allowance = self.allowance.checked_sub(n).ok_or(Malformed("a reply above the limit"))?;
        inbound.feed(&buffer[..n]);
        Ok(())
    }
}

async fn flush(socket: &mut dyn Socket, tls: &mut Tls) -> Result<(), ClientError> {
    let mut cipher = Vec::new();
    tls.take_cipher(&mut cipher);
    Ok(socket.write_all(&cipher).await?)
}

async fn feed(socket: &mut dyn Socket, tls: &mut Tls) -> Result<(), ClientError> {
    let mut cipher = [0; READ_BYTES];
    let n = socket.read(&mut cipher).await?;
    if n == 0 {
        return Err(ClientError::Closed);
    }
    tls.feed(&cipher[..n]).map_err(|error| ClientError::Tls(error.to_string()))
}

const READ_BYTES: usize = 16 << 10;
