//! The socket below a blocking client: TCP or Unix, bare or with TLS.

use crate::client::error::ClientError;
use crate::client::options::{Options, Target};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

pub enum Connection {
    Bare(Stream),
    Tls(Box<StreamOwned<ClientConnection, Stream>>),
}

/// A connected socket.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    pub fn open(options: &Options) -> Result<Connection, ClientError> {
        let stream = match &options.target {
            Target::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
            Target::Tcp(host, port) => Stream::Tcp(connect_tcp(host, *port, options.timeout)?),
        };
        let mut connection = Connection::Bare(stream);
        connection.set_timeout(options.timeout)?;
        Ok(connection)
    }

    /// The greeting's server waits for TLS now: nothing of what it sends later can have come.
    pub fn start_tls(self, config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Connection, ClientError> {
        let Connection::Bare(stream) = self else { return Err(ClientError::Tls("it is on already".to_string())) };
        let tls = ClientConnection::new(config, name).map_err(|error| ClientError::Tls(error.to_string()))?;
        let mut tls = StreamOwned::new(tls, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).map_err(|error| match error.kind() {
                ErrorKind::InvalidData => ClientError::Tls(error.to_string()),
                _ => ClientError::Io(error),
            })?;
        }
        Ok(Connection::Tls(Box::new(tls)))
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Connection::Bare(stream) => stream.write_all(bytes),
            Connection::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// 0: the server has closed. A TLS peer that closes without a word is taken the same way, as MySQL servers do so.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let outcome = match self {
                Connection::Bare(stream) => stream.read(buffer),
                Connection::Tls(stream) => stream.read(buffer),
            };
            match outcome {
                // A process that is stopped and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                outcome => return outcome,
            }
        }
    }

    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.socket() {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.socket(), Stream::Unix(_))
    }

    /// True when a read would not have to wait: there are bytes, or the end.
    pub fn is_ended(&mut self) -> bool {
        let _ = self.socket().set_nonblocking(true);
        let outcome = self.receive(&mut [0]);
        let _ = self.socket().set_nonblocking(false);
        !matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    pub fn socket(&self) -> &Stream {
        match self {
            Connection::Bare(stream) => stream,
            Connection::Tls(stream) => &stream.sock,
        }
    }
}

impl Stream {
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
        })
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(nonblocking),
            Stream::Unix(stream) => stream.set_nonblocking(nonblocking),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect_tcp(host: &str, port: u16, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let connected = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
