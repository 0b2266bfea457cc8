//! The hostile backend: a man in the middle before a real server, honest until it is told otherwise.
//!
//! ```text
//!   gate ◄──► [ up: watches the gate's commands ] ──► mysqld
//!         ◄── [ down: copies what the server says ] ◄──
//! ```
//! The monitor's connections pass through untouched, unless nobody is spared, so that the gate takes it for healthy and
//! sends it work. On other connections a query with [`MARK`] in it is not passed on: the misdeed is committed in its place.
//! While a [`Welcome`] is set, new connections but the monitor's kind of first ones get that instead of a greeting.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use weir_control::lab::ports::{self, Port};
use weir_net::command::Command;

use super::misdeed::{self, Misdeed, Then, Welcome};
use super::peer;

/// In the text of a query it asks for the misdeed.
pub const MARK: &str = "now be hostile";

/// What only clients' reads have in them.
const HINT: &[u8] = b"ROLE=REPLICA";

pub struct Backend {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _port: Port,
}

struct Shared {
    server: SocketAddr,
    over: AtomicBool,
    deed: Mutex<Misdeed>,
    welcome: Mutex<Option<Welcome>>,
    committed: AtomicUsize,
    served: AtomicUsize,
    spares_nobody: AtomicBool,
}

impl Backend {
    /// Before this server.
    pub fn start(server: SocketAddr) -> io::Result<Backend> {
        let port = ports::free(1).ok().and_then(|mut ports| ports.pop()).ok_or_else(|| io::Error::other("no port"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let listener = TcpListener::bind(address)?;
        let shared = Arc::new(Shared {
            server,
            over: AtomicBool::new(false),
            deed: Mutex::new(Misdeed::Silent),
            welcome: Mutex::new(None),
            committed: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            spares_nobody: AtomicBool::new(false),
        });
        let mine = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if mine.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = mine.clone();
                thread::spawn(move || drop(serve(&shared, stream)));
            }
        });
        Ok(Backend { address, shared, _port: port })
    }

    pub fn intend(&self, deed: Misdeed) {
        *self.shared.deed.lock().unwrap_or_else(PoisonError::into_inner) = deed;
    }

    /// How new connections are welcomed; `None` for honestly.
    pub fn welcome(&self, welcome: Option<Welcome>) {
        *self.shared.welcome.lock().unwrap_or_else(PoisonError::into_inner) = welcome;
    }

    /// Whether every query of everybody gets the misdeed, the monitor's too.
    pub fn spare_nobody(&self, so: bool) {
        self.shared.spares_nobody.store(so, Ordering::Relaxed);
    }

    /// Misdeeds and bad welcomes so far.
    pub fn committed(&self) -> usize {
        self.shared.committed.load(Ordering::Relaxed)
    }
}

impl Backend {
    /// Queries for a replica that were passed on honestly.
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the listener's thread.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn serve(shared: &Arc<Shared>, mut gate: TcpStream) -> io::Result<()> {
    gate.set_nodelay(true)?;
    gate.set_write_timeout(Some(super::limits::READ_WAIT))?;
    let welcome = *shared.welcome.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kind) = welcome {
        shared.committed.fetch_add(1, Ordering::Relaxed);
        let then = misdeed::welcome(kind, &mut gate, &shared.over)?;
        return finish(then, &mut gate, shared).map(drop);
    }
    let server = TcpStream::connect(shared.server)?;
    server.set_nodelay(true)?;
    let (from_server, to_gate) = (server.try_clone()?, gate.try_clone()?);
    let copying = thread::spawn(move || copy(from_server, to_gate));
    let outcome = watch(shared, &mut gate, &server);
    let _ = server.shutdown(Shutdown::Both);
    if !matches!(outcome, Ok(Then::Reset)) {
        let _ = gate.shutdown(Shutdown::Both);
    }
    let _ = copying.join();
    outcome.map(drop)
}

/// What the server says goes to the gate as it is.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

/// What the gate says goes to the server, unless it has the mark: a query with it comes in one piece, for it is short
/// and the gate sends it whole.
fn watch(shared: &Shared, gate: &mut TcpStream, mut server: &TcpStream) -> io::Result<Then> {
    let mut buffer = vec![0; 64 << 10];
    let mark = MARK.as_bytes();
    loop {
        let n = gate.read(&mut buffer)?;
        if n == 0 {
            return Ok(Then::Close);
        }
        let bytes = &buffer[..n];
        let is_query = bytes.get(4) == Some(&(Command::Query as u8)) && bytes.get(3) == Some(&0);
        let is_meant = is_query && shared.spares_nobody.load(Ordering::Relaxed);
        if !is_meant && !bytes.windows(mark.len()).any(|window| window == mark) {
            if bytes.windows(HINT.len()).any(|window| window == HINT) {
                shared.served.fetch_add(1, Ordering::Relaxed);
            }
            server.write_all(bytes)?;
            continue;
        }
        let deed = *shared.deed.lock().unwrap_or_else(PoisonError::into_inner);
        shared.committed.fetch_add(1, Ordering::Relaxed);
        match misdeed::commit(deed, gate, &shared.over)? {
            Then::GoOn => {}
            then => return finish(then, gate, shared),
        }
    }
}

/// Stays silent until the gate closes, or ends at once.
fn finish(then: Then, gate: &mut TcpStream, shared: &Shared) -> io::Result<Then> {
    match then {
        Then::Close | Then::GoOn => return Ok(Then::Close),
        Then::Reset => {
            peer::reset(gate);
            return Ok(Then::Reset);
        }
        Then::Silence => {}
    }
    gate.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut buffer = vec![0; 16 << 10];
    while !shared.over.load(Ordering::Relaxed) {
        match gate.read(&mut buffer) {
            Ok(0) => return Ok(Then::Close),
            Ok(_) => {}
            Err(error) if crate::real::wire::is_late(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Then::Close)
}
