//! The driver: gives each core's world its sockets, through one io_uring per core. The only place with sockets, threads,
//! a clock and `unsafe` towards the kernel.
//!
//! ```text
//!   control thread ── start, publish, post ──► Exchange ◄──── hand over, post ──── other cores
//!        ▲ ControlInbox                           │ bell
//!        └──────────── tell ───────────── Driver (one per core: ring ⇄ world), on glommio's executor
//! ```
//! glommio owns the cores: threads, placement, their life and end. Its reactor never parks while we serve: a core's main
//! future runs [`driver::Driver::serve`], which sleeps in a ring of its own, because glommio's sockets cost two and a half
//! times the CPU of a bare ring.
//!
//! A panic in a core's world ends the whole gate, at once and loudly. The world's state may be half changed then: rows
//! could reach the wrong client, budgets could leak, and the other cores' quotas count on this one's answers. A gate that
//! is started again is right in a second; nobody knows how long a broken one is wrong.

mod accept;
mod batch;
mod bell;
mod berths;
mod driver;
mod error;
mod exchange;
mod handle;
mod listen;
mod machine;
mod ring;
mod socket;
mod spread;
mod token;
mod wires;
mod world;

pub use batch::BatchMode;
pub use error::{Forbidden, StartError};
pub use exchange::ControlInbox;
pub use listen::{Inherited, ListenAddress};
pub use machine::available_cpus;
pub use world::World;

use crate::mail::{ControlMail, CoreId, Level, Mail};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use driver::Driver;
use exchange::{Exchange, Stage};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use listen::Listeners;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use world::ListenerId;

pub struct DriveOptions<W> {
    /// CPU numbers; one executor is pinned to each.
    pub cores: Vec<usize>,
    /// A client is told to its world with the place of the address here.
    pub listen: Vec<ListenAddress>,
    /// Sockets of the gate before this one, used for the same addresses.
    pub inherited: Vec<Inherited>,
    pub blocks_per_core: usize,
    pub block_bytes: usize,
    /// Connections that may wait to be accepted, per core; the kernel cuts it to `net.core.somaxconn`.
    pub backlog: i32,
    pub batch: BatchMode,
    pub on_panic: OnPanic,
    /// Makes a core's world, on that core's thread.
    pub make: Arc<dyn Fn(Seat) -> W + Send + Sync>,
}

/// What a world is told about its place.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    pub core: CoreId,
    pub cores: u16,
    pub blocks: usize,
    pub block_bytes: usize,
    pub now: Instant,
}

/// What happens when a world panics, behind the message on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// The process aborts.
    ExitGate,
    /// The core ends, its sockets close, and the control thread gets the log: for tests.
    EndCore,
}

/// Binds every listener, then starts the cores; returns when all of them serve.
pub fn start<W: World + 'static>(options: DriveOptions<W>) -> Result<Running, StartError> {
    machine::check(&options.cores)?;
    let cores = options.cores.len();
    let is_shared = !options.inherited.is_empty();
    let listeners = Listeners::bind(&options.listen, cores, options.backlog, options.inherited)?;
    let exchange =
        Exchange::new(cores).map_err(|error| StartError::Machine { what: "eventfd", error }).map(Arc::new)?;
    let mut running = Running {
        exchange,
        addresses: listeners.addresses,
        shared: listeners.shared,
        are_paths_removed: AtomicBool::new(false),
        threads: Vec::new(),
    };
    let (ready, readiness) = mpsc::channel();
    for ((core, cpu), sockets) in options.cores.iter().copied().enumerate().zip(listeners.sockets) {
        let seat = Seat {
            core: CoreId(core as u16),
            cores: cores as u16,
            blocks: options.blocks_per_core,
            block_bytes: options.block_bytes,
            now: running.exchange.now(),
        };
        let life = Life {
            seat,
            exchange: running.exchange.clone(),
            make: options.make.clone(),
            batch: options.batch,
            is_shared,
            on_panic: options.on_panic,
            ready: ready.clone(),
        };
        let thread = LocalExecutorBuilder::new(Placement::Fixed(cpu))
            .name("weir-core")
            .io_memory(GLOMMIO_IO_BYTES)
            .spawn(move || async move { life.run(sockets) })
            .map_err(|error| StartError::Core { cpu, error: error.to_string() })?;
        running.threads.push((cpu, thread));
    }
    drop(ready);
    // When a core can't start, it says so; if it can't even do that, the channel ends. Dropping `running` ends the rest.
    for _ in 0..cores {
        match readiness.recv() {
            Ok(Ok(())) => (),
            Ok(Err((core, error))) => {
                return Err(StartError::Core { cpu: options.cores[core], error });
            }
            Err(mpsc::RecvError) => return Err(running.first_failure()),
        }
    }
    Ok(running)
}

/// What a core's thread is given.
struct Life<W> {
    seat: Seat,
    exchange: Arc<Exchange>,
    make: Arc<dyn Fn(Seat) -> W + Send + Sync>,
    batch: BatchMode,
    is_shared: bool,
    on_panic: OnPanic,
    ready: mpsc::Sender<Result<(), (usize, String)>>,
}

impl<W: World> Life<W> {
    fn run(self, listeners: Vec<(ListenerId, OwnedFd)>) {
        let core = usize::from(self.seat.core.0);
        let made = catch_unwind(AssertUnwindSafe(|| {
            let world = (self.make)(self.seat);
            Driver::new(core, self.exchange.clone(), world, listeners, self.batch)
        }));
        let mut driver = match made {
            Ok(Ok(driver)) => driver,
            Ok(Err(error)) => return self.report(Err((core, error.to_string()))),
            Err(panic) => return self.report(Err((core, panic_text(&*panic)))),
        };
        if self.is_shared {
            driver.share_door();
        }
        match catch_unwind(AssertUnwindSafe(|| driver.serve(|| self.report(Ok(()))))) {
            Ok(Ok(())) => driver.end(true),
            Ok(Err(error)) => {
                self.fall("ring_failed", format!("io_uring_enter: {error}"));
                driver.end(true);
            }
            Err(panic) => {
                self.fall("core_panicked", panic_text(&*panic));
                driver.end(false);
            }
        }
    }

    fn report(&self, outcome: Result<(), (usize, String)>) {
        // Nobody listens any more when another core failed first.
        let _ = self.ready.send(outcome);
    }

    /// A core can't go on.
    fn fall(&self, event: &'static str, detail: String) {
        let core = usize::from(self.seat.core.0);
        eprintln!("weir: core {core} has failed ({event}: {detail})");
        if self.on_panic == OnPanic::ExitGate {
            eprintln!("weir: the gate ends, since its state can't be trusted any more; please report this as a bug");
            std::process::abort();
        }
        self.exchange.tell(core, ControlMail::Log { level: Level::Error, event, detail });
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_string()
}

/// The cores, while they serve. Dropping it ends them, without waiting; [`Running::join`] waits.
pub struct Running {
    exchange: Arc<Exchange>,
    addresses: Vec<ListenAddress>,
    /// The listeners once more, for the next gate; a listener is closed when nobody has it any more.
    shared: Vec<Inherited>,
    are_paths_removed: AtomicBool,
    threads: Vec<(usize, ExecutorJoinHandle<()>)>,
}

impl Running {
    pub fn post(&self, core: usize, mail: Mail) {
        self.exchange.post(core, mail);
    }

    /// Gives the snapshot to every core, as `Mail::Snapshot`. Of several in quick succession a core may see only the last.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.exchange.publish(snapshot);
    }

    pub fn inbox(&self) -> ControlInbox {
        ControlInbox::new(self.exchange.clone())
    }

    /// As bound: with the ports that the kernel chose where 0 was asked for.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    pub fn cores(&self) -> usize {
        self.exchange.cores()
    }

    /// Clients that this core has now, or is about to be handed.
    pub fn clients(&self, core: usize) -> usize {
        self.exchange.spread.count(core)
    }

    /// The listeners, for another process: it may accept beside this one.
    pub fn listeners(&self) -> &[Inherited] {
        &self.shared
    }

    /// Another process has the listeners too, and may accept beside us.
    pub fn share(&self) {
        self.exchange.enter_stage(Stage::Shared);
    }

    /// Another process has the listeners: ours stop accepting, who waits in their queues is the other's, and the files of Unix
    /// listeners stay. Who has connected here stays here.
    pub fn hand_over(&self) {
        self.are_paths_removed.store(true, Ordering::Relaxed);
        self.exchange.enter_stage(Stage::HandedOver);
    }

    /// The other process will not come back: ours accept again, and who was left in the queues is served. False: they were left.
    pub fn serve_again(&self) -> bool {
        let is_ours = self.exchange.serve_again();
        if is_ours {
            self.are_paths_removed.store(false, Ordering::Relaxed);
        }
        is_ours
    }

    /// After [`Running::hand_over`]: for good. Our listeners are closed, so that one which the other process closes refuses.
    pub fn leave(&mut self) {
        self.shared.clear();
        self.exchange.enter_stage(Stage::Left);
    }

    /// After [`Running::hand_over`]: nobody is accepted here any more, and all clients have gone.
    pub fn is_deserted(&self) -> bool {
        self.exchange.is_deserted()
    }

    /// Closes the listeners; who has connected stays. After [`Running::hand_over`] their queues are the other process's.
    pub fn stop_accepting(&mut self) {
        if matches!(self.exchange.stage(), Stage::HandedOver | Stage::Left) {
            return self.leave();
        }
        self.remove_paths();
        self.shared.clear();
        self.exchange.enter_stage(Stage::Closing);
    }

    /// Closes every socket and ends the cores.
    pub fn stop(&self) {
        self.remove_paths();
        self.exchange.enter_stage(Stage::Ending);
    }

    /// Stops the cores and waits until they have ended.
    pub fn join(mut self) {
        self.shared.clear();
        self.stop();
        for (_, thread) in std::mem::take(&mut self.threads) {
            // A core that fell has said why.
            let _ = thread.join();
        }
    }

    /// Removes the files of our Unix listeners, once: later there may be another gate's under the same path.
    fn remove_paths(&self) {
        if self.are_paths_removed.swap(true, Ordering::Relaxed) {
            return;
        }
        for address in &self.addresses {
            if let ListenAddress::Unix(path) = address {
                // If it is gone already, all the better.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// After a core has vanished without a word: glommio's executor could not be made.
    fn first_failure(mut self) -> StartError {
        self.stop();
        let mut failure = None;
        for (cpu, thread) in std::mem::take(&mut self.threads) {
            if let Err(error) = thread.join() {
                failure.get_or_insert(StartError::Core { cpu, error: error.to_string() });
            }
        }
        failure.unwrap_or(StartError::NoCores)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// glommio's own buffers per executor: the least that it takes. Its default wants more locked memory than 8 MiB allow.
const GLOMMIO_IO_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
