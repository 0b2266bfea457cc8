//! A way: TCP to one address, that can be cut as a network is: nothing arrives any more, and nobody is told.
//!
//! Invariant: while it is cut no byte passes in either direction and no connection is refused or closed; after it is
//! mended what was under way goes on. It ends with its owner.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::error::Fault;

#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_cut: AtomicBool,
    is_over: AtomicBool,
}

impl Way {
    pub fn open(listen: SocketAddr, target: SocketAddr) -> Result<Way, Fault> {
        let cannot = |error| Fault::io(format!("listening at {listen}"), error);
        let listener = TcpListener::bind(listen).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let state = Arc::new(State::default());
        let of_thread = state.clone();
        thread::spawn(move || {
            while !of_thread.is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((near, _)) if !of_thread.is_cut.load(Ordering::Relaxed) => join(near, target, &of_thread),
                    // Who comes while it is cut hears nothing, as when packets are lost.
                    Ok((near, _)) => wait_mended(near, target, of_thread.clone()),
                    Err(_) => thread::sleep(LOOK),
                }
            }
        });
        Ok(Way { address: listen, state })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::Relaxed);
    }

    pub fn mend(&self) {
        self.state.is_cut.store(false, Ordering::Relaxed);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
    }
}

fn wait_mended(near: TcpStream, target: SocketAddr, state: Arc<State>) {
    thread::spawn(move || {
        while state.is_cut.load(Ordering::Relaxed) {
            if state.is_over.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(LOOK);
        }
        join(near, target, &state);
    });
}

fn join(near: TcpStream, target: SocketAddr, state: &Arc<State>) {
    let Ok(far) = TcpStream::connect(target) else { return };
    let _ = (near.set_nonblocking(false), near.set_nodelay(true), far.set_nodelay(true));
    let (Ok(near_copy), Ok(far_copy)) = (near.try_clone(), far.try_clone()) else { return };
    for (from, to) in [(near, far_copy), (far, near_copy)] {
        let state = state.clone();
        thread::spawn(move || copy(from, to, &state));
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut room = [0; 64 << 10];
    let _ = from.set_read_timeout(Some(LOOK * 20));
    while !state.is_over.load(Ordering::Relaxed) {
        let read = match from.read(&mut room) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => break,
        };
        while state.is_cut.load(Ordering::Relaxed) && !state.is_over.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
        }
        if to.write_all(&room[..read]).is_err() {
            break;
        }
    }
    // The end travels as bytes do.
    while state.is_cut.load(Ordering::Relaxed) && !state.is_over.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

const LOOK: Duration = Duration::from_millis(5);
