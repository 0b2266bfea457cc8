//! `spread`: how evenly clients fall on the cores of a gate.
//!
//! Invariant: a crowd is gone from the gate's counts before the next one comes.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use weir_control::lab::cache::{self, TemporaryFolder};

use crate::arguments::Arguments;
use crate::backend::Backend;
use crate::crowd::Crowd;
use crate::door::{Door, GateOptions};
use crate::error::Fault;
use crate::limits::{DOOR_WAIT, LOOK_PAUSE};
use crate::meter;
use crate::scrape;
use crate::table::{Table, number};

pub fn run(mut arguments: Arguments) -> Result<(), Fault> {
    let folder = TemporaryFolder::create(&cache::folder()?)?;
    let counts: Vec<usize> = arguments.list_or("--clients", "16,64,1000")?;
    let program = arguments.value("--weir")?;
    let cores = arguments.text("--cores")?;
    let backend = Backend::from_arguments(arguments, folder.path())?;
    meter::raise_files_max().map_err(|error| Fault::io("raising a limit", error))?;
    let gate = GateOptions { cores, ..GateOptions::for_backend(&backend, program) };
    let door = Door::open_gate(&gate, &backend.account, folder.path())?;
    let Some(admin) = door.admin else {
        return Err(Fault::Program("the gate has no admin port".to_owned()));
    };
    let mut table = Table::new(&["clients", "per core", "largest/mean"]);
    for count in counts {
        wait_for(admin, 0)?;
        let crowd = Crowd::gather(&door.account, count)?;
        let cores = wait_for(admin, count as u64)?;
        drop(crowd);
        let shares: Vec<String> = cores.iter().map(|(_, clients)| clients.to_string()).collect();
        table.add(vec![count.to_string(), shares.join(" "), number(unevenness(&cores), 2)]);
    }
    print!("{table}");
    Ok(())
}

/// Waits until the gate counts so many clients.
fn wait_for(admin: SocketAddr, clients: u64) -> Result<Vec<(u32, u64)>, Fault> {
    let deadline = Instant::now() + DOOR_WAIT;
    loop {
        let cores = scrape::clients_per_core(&scrape::metrics(admin)?);
        if cores.is_empty() {
            let what = "the gate shows no clients_open per core in its metrics";
            return Err(Fault::Program(what.to_owned()));
        }
        let total: u64 = cores.iter().map(|(_, clients)| clients).sum();
        if total == clients {
            return Ok(cores);
        }
        if Instant::now() >= deadline {
            let what = format!("the gate counts {total} clients, and there are {clients}");
            return Err(Fault::Program(what));
        }
        thread::sleep(LOOK_PAUSE);
    }
}

/// The share of the busiest core beside an even one.
fn unevenness(cores: &[(u32, u64)]) -> Option<f64> {
    let largest = cores.iter().map(|(_, clients)| *clients).max()?;
    let total: u64 = cores.iter().map(|(_, clients)| clients).sum();
    Some(largest as f64 * cores.len() as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unevenness_is_one_when_even() {
        assert_eq!(unevenness(&[(0, 8), (1, 8)]), Some(1.0));
        assert_eq!(unevenness(&[(0, 12), (1, 4)]), Some(1.5));
        assert_eq!(unevenness(&[]), None);
    }
}
