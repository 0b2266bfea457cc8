//! A way to a server that only the monitor gets through: for the pools it takes connections, greets, and says no more.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

type Held = Arc<Mutex<Vec<(Instant, Duration)>>>;

/// Ends with what it has taken when it is dropped.
pub struct Mute {
    pub address: SocketAddr,
    streams: Arc<Mutex<Option<Vec<TcpStream>>>>,
    /// When each one came that was not let through, and how long it stayed.
    held: Held,
}

impl Mute {
    pub fn before(server: SocketAddr) -> Mute {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let streams = Arc::new(Mutex::new(Some(Vec::new())));
        let held = Held::default();
        let (all, count) = (Arc::clone(&streams), Arc::clone(&held));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                match all.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                    Some(all) => all.push(stream.try_clone().unwrap()),
                    None => return,
                }
                let count = Arc::clone(&count);
                thread::spawn(move || pass(stream, server, &count));
            }
        });
        Mute { address, streams, held }
    }

    /// How long the first one stayed that came since then, once it has gone.
    pub fn held_since(&self, then: Instant) -> Option<Duration> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(came, _)| *came >= then).map(|(_, stayed)| *stayed)
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        let all = self.streams.lock().unwrap_or_else(PoisonError::into_inner).take();
        for stream in all.into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // The listener ends with the next one that it takes.
        let _ = TcpStream::connect(self.address);
    }
}

fn pass(mut client: TcpStream, server: SocketAddr, held: &Held) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    let mut bytes = [0; 4096];
    let greeting = server.read(&mut bytes)?;
    client.write_all(&bytes[..greeting])?;
    let login = client.read(&mut bytes)?;
    let is_monitor = bytes[..login].windows(12).any(|name| name == b"weir_monitor");
    if !is_monitor {
        let came = Instant::now();
        // Until the other side has had enough of it.
        let read = client.read(&mut bytes);
        held.lock().unwrap_or_else(PoisonError::into_inner).push((came, came.elapsed()));
        return read.map(drop);
    }
    server.write_all(&bytes[..login])?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    io::copy(&mut client, &mut server)?;
    server.shutdown(Shutdown::Both)
}
