//! The demo's fleet: one controller, and a tablet beside each server, each in a process of its own.
//!
//! Invariant: any of them may be killed, and none of that ends the demo: who has ended is started again after a while, long
//! enough to see that gates go on without it (S78). The record is made anew at each start, since ports are others then and
//! the first node is the primary again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::DemoError;
use super::process::{Process, Recipe};
use crate::config::controller::LISTEN_PORT;
use crate::ctl::cluster::Ask;
use crate::ctl::tablets::{self, TabletView};
use crate::grpc::tls::TlsFiles;
use crate::lab::ports::{self, Port};
use crate::lab::{Cluster, LabError, limits, template};

pub struct Fleet {
    controller: Member,
    tablets: Vec<Member>,
    address: String,
    roll: Arc<Mutex<Result<Vec<TabletView>, String>>>,
    stop: Arc<AtomicBool>,
    _ports: Vec<Port>,
}

struct Member {
    recipe: Recipe,
    life: Life,
}

enum Life {
    Running(Process),
    /// Ended by somebody else; until then.
    Away(Instant),
}

impl Fleet {
    /// Returns when every tablet is registered and one server is primary.
    pub fn start(program: &Path, cluster: &Cluster) -> Result<Fleet, DemoError> {
        let dir = cluster.dir();
        let port = Port::preferred(LISTEN_PORT)?;
        let address = format!("127.0.0.1:{}", port.number());
        let mut ports = ports::free(cluster.nodes().len())?;
        forget(dir, cluster.nodes().len());
        let controller = Member::start(controller(program, dir, &address))?;
        let mut tablets = Vec::new();
        for (at, (server, port)) in cluster.backends().iter().zip(&ports).enumerate() {
            let config = config(dir, at, server, port.number(), &address, cluster.nodes().len() > 1);
            tablets.push(Member::start(tablet(program, dir, at, &config)?)?);
        }
        ports.push(port);
        let roll = Arc::new(Mutex::new(Err("not asked yet".to_owned())));
        let fleet = Fleet { controller, tablets, address, roll, stop: Arc::default(), _ports: ports };
        fleet.wait_formed()?;
        fleet.call_the_roll();
        Ok(fleet)
    }

    /// Where the controller is asked.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Name, process and log of each.
    pub fn members(&self) -> impl Iterator<Item = (&str, u32, &Path)> {
        std::iter::once(&self.controller).chain(&self.tablets).map(|member| {
            let pid = match &member.life {
                Life::Running(process) => process.pid(),
                Life::Away(_) => 0,
            };
            (member.recipe.name.as_str(), pid, member.recipe.log.as_path())
        })
    }

    /// Notes who has ended, and starts who has been away long enough.
    pub fn tend(&mut self, now: Instant) -> Result<(), DemoError> {
        std::iter::once(&mut self.controller).chain(&mut self.tablets).try_for_each(|member| member.tend(now))
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for member in self.tablets.iter().chain([&self.controller]) {
            if let Life::Running(process) = &member.life {
                process.stop(STOP_WAIT);
            }
        }
    }

    /// For the screen: who runs, and what the controller says.
    pub fn line(&self, now: Instant) -> String {
        let away: Vec<String> =
            std::iter::once(&self.controller).chain(&self.tablets).filter_map(|member| member.away(now)).collect();
        let all = self.tablets.len() + 1;
        let lives = match away.is_empty() {
            true => format!("controller and {} tablets up", self.tablets.len()),
            false => format!("{} of {all} up, {}", all - away.len(), away.join(", ")),
        };
        let roll = self.roll.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{lives}; {}", verdict(&roll))
    }

    fn wait_formed(&self) -> Result<(), DemoError> {
        let deadline = Instant::now() + READY_WAIT;
        let mut last = Err(String::new());
        while Instant::now() < deadline {
            for member in self.tablets.iter().chain([&self.controller]) {
                if let Life::Running(process) = &member.life {
                    process.check()?;
                }
            }
            last = tablets::tablets(&ask(&self.address));
            if last.as_ref().is_ok_and(|all| is_formed(all, self.tablets.len())) {
                return Ok(());
            }
            thread::sleep(limits::LOOK_PAUSE);
        }
        let what = format!("formed no cluster within {} s ({})", READY_WAIT.as_secs(), verdict(&last));
        match &self.controller.life {
            Life::Running(process) => Err(process.failed(&what)),
            Life::Away(_) => unreachable!("nobody tends it yet"),
        }
    }

    /// On a thread of its own: a controller that hangs must not stop the screen.
    fn call_the_roll(&self) {
        let (roll, stop, ask) = (self.roll.clone(), self.stop.clone(), ask(&self.address));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let all = tablets::tablets(&ask);
                *roll.lock().unwrap_or_else(PoisonError::into_inner) = all;
                thread::sleep(ROLL_PAUSE);
            }
        });
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Member {
    fn start(recipe: Recipe) -> Result<Member, DemoError> {
        let life = Life::Running(Process::start(&recipe)?);
        Ok(Member { recipe, life })
    }

    fn tend(&mut self, now: Instant) -> Result<(), DemoError> {
        match &self.life {
            Life::Running(process) if process.ended().is_some() => self.life = Life::Away(now + AWAY),
            Life::Away(until) if *until <= now => self.life = Life::Running(Process::start(&self.recipe)?),
            Life::Running(_) | Life::Away(_) => {}
        }
        Ok(())
    }

    fn away(&self, now: Instant) -> Option<String> {
        let Life::Away(until) = &self.life else { return None };
        let left = until.saturating_duration_since(now).as_millis().div_ceil(1_000);
        Some(format!("{} back in {left} s", self.recipe.name))
    }
}

fn verdict(roll: &Result<Vec<TabletView>, String>) -> String {
    let Ok(all) = roll else { return "no controller answers".to_owned() };
    let registered = all.iter().filter(|one| one.lease_left_ms.is_some_and(|left| left > 0)).count();
    let epoch = all.iter().map(|one| one.epoch).max().unwrap_or(0);
    let primary = all.iter().find(|one| one.wanted == "primary").map_or("nobody", |one| one.name.as_str());
    format!("epoch {epoch}, primary {primary}, {registered} of {} registered", all.len())
}

/// Every tablet has brought its server to what the record says.
fn is_formed(all: &[TabletView], count: usize) -> bool {
    let is_there = |one: &TabletView| one.state == "serving" && one.lease_left_ms.is_some_and(|left| left > 0);
    all.len() == count && all.iter().all(is_there) && all.iter().any(|one| one.wanted == "primary")
}

fn ask(address: &str) -> Ask {
    Ask { controllers: vec![address.to_owned()], tls: TlsFiles::default() }
}

/// Epochs of an earlier demo in the same folder, and what its parts wrote.
fn forget(dir: &Path, count: usize) {
    let of_tablets = (0..count).flat_map(|at| [cache(dir, at), log(dir, at)]);
    for path in [store(dir), controller_log(dir)].into_iter().chain(of_tablets) {
        // Who can't remove it will say so when it can't be opened.
        let _ = fs::remove_file(path);
    }
}

fn controller_log(dir: &Path) -> PathBuf {
    dir.join("controller.log")
}

fn log(dir: &Path, at: usize) -> PathBuf {
    dir.join(format!("tablet{}.log", at + 1))
}

fn store(dir: &Path) -> PathBuf {
    dir.join("controller.db")
}

fn cache(dir: &Path, at: usize) -> PathBuf {
    dir.join(format!("tablet{}.topology", at + 1))
}

fn controller(program: &Path, dir: &Path, address: &str) -> Recipe {
    let store = store(dir).display().to_string();
    let arguments = ["controller", "--store", &store, "--listen", address, "--cluster", "demo"];
    Recipe {
        name: "controller".to_owned(),
        program: program.to_owned(),
        arguments: arguments.map(str::to_owned).to_vec(),
        environment: Vec::new(),
        log: controller_log(dir),
    }
}

/// Each tablet manages its server, so that the primary's role can move.
fn config(dir: &Path, at: usize, server: &str, port: u16, controller: &str, has_replicas: bool) -> String {
    let name = format!("db{}", at + 1);
    let (monitor, admin, replication) = (template::MONITOR.0, template::APP.0, template::REPLICATION.0);
    let (cache, admin_password) = (cache(dir, at), secret(dir, at, "admin"));
    let (cache, admin_password) = (cache.display(), admin_password.display());
    let replication_password = secret(dir, at, "replication");
    let replication_password = replication_password.display();
    // Without a replica nobody could acknowledge.
    let semi_sync = if has_replicas { "on" } else { "keep" };
    format!(
        "[tablet]\nserver = \"{server}\"\nname = \"{name}\"\nlisten = \"127.0.0.1:{port}\"\nuser = \"{monitor}\"\n\
         controllers = \"{controller}\"\ncontrollers_cache = \"{cache}\"\nadmin_user = \"{admin}\"\n\
         admin_password_file = \"{admin_password}\"\nreplication_user = \"{replication}\"\n\
         replication_password_file = \"{replication_password}\"\nsemi_sync = \"{semi_sync}\"\n"
    )
}

fn tablet(program: &Path, dir: &Path, at: usize, config: &str) -> Result<Recipe, DemoError> {
    let path = dir.join(format!("tablet{}.toml", at + 1));
    write(&path, config)?;
    write(&secret(dir, at, "admin"), template::APP.1)?;
    write(&secret(dir, at, "replication"), template::REPLICATION.1)?;
    Ok(Recipe {
        name: format!("tablet db{}", at + 1),
        program: program.to_owned(),
        arguments: ["tablet", "--config", &path.display().to_string()].map(str::to_owned).to_vec(),
        environment: vec![("WEIR_MONITOR_PASSWORD".to_owned(), template::MONITOR.1.to_owned())],
        log: log(dir, at),
    })
}

fn secret(dir: &Path, at: usize, of: &str) -> PathBuf {
    dir.join(format!("tablet{}.{of}", at + 1))
}

fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    let doing = "writing a tablet's settings".to_owned();
    Ok(fs::write(path, text).map_err(|source| LabError::Io { doing, path: path.to_owned(), source })?)
}

/// How long tablets and controller may take to find each other; half a second is usual.
const READY_WAIT: Duration = Duration::from_secs(20);
/// How long one of them may take to end.
const STOP_WAIT: Duration = Duration::from_secs(3);
/// How long one that was killed stays away: longer than its lease, so that all of it can be seen.
const AWAY: Duration = Duration::from_secs(10);
/// Between two questions for the screen.
const ROLL_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_told_where_the_others_are() {
        let (program, dir) = (Path::new("weir"), Path::new("/d"));
        let text = controller(program, dir, "127.0.0.1:7506").arguments.join(" ");
        assert_eq!(text, "controller --store /d/controller.db --listen 127.0.0.1:7506 --cluster demo");
        let config = config(dir, 1, "127.0.0.1:20000", 20_001, "127.0.0.1:7506", true);
        for line in
            ["server = \"127.0.0.1:20000\"", "name = \"db2\"", "listen = \"127.0.0.1:20001\"", "semi_sync = \"on\""]
        {
            assert!(config.contains(&format!("{line}\n")), "{config}");
        }
        assert!(config.contains("controllers_cache = \"/d/tablet2.topology\"\nadmin_user"), "{config}");
    }

    #[test]
    fn a_member_that_is_killed_comes_back_after_a_while() {
        let arguments = ["-c", "exec sleep 100"].map(str::to_owned).to_vec();
        let log = std::env::temp_dir().join(format!("weir-fleet-{}", std::process::id()));
        let (name, program) = ("tablet db1".to_owned(), PathBuf::from("/bin/sh"));
        let recipe = Recipe { name, program, arguments, environment: Vec::new(), log: log.clone() };
        let (mut member, now) = (Member::start(recipe).unwrap(), Instant::now());
        assert_eq!(member.away(now), None);
        let Life::Running(process) = &member.life else { panic!("it runs") };
        // SAFETY: kill has no memory effects, and the process is a child of ours that was not waited for.
        unsafe { libc::kill(process.pid() as libc::pid_t, libc::SIGKILL) };
        while process.ended().is_none() {
            thread::sleep(limits::LOOK_PAUSE);
        }
        member.tend(now).unwrap();
        assert_eq!(member.away(now).unwrap(), "tablet db1 back in 10 s");
        member.tend(now + AWAY - Duration::from_millis(1)).unwrap();
        assert_eq!(member.away(now + AWAY - Duration::from_millis(1)).unwrap(), "tablet db1 back in 1 s");
        member.tend(now + AWAY).unwrap();
        assert_eq!(member.away(now + AWAY), None);
        drop(member);
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_cluster_is_formed_with_a_primary_and_all_leases() {
        let one = |name: &str, wanted: &str, left| TabletView {
            name: name.to_owned(),
            wanted: wanted.to_owned(),
            state: "serving".to_owned(),
            lease_left_ms: Some(left),
            epoch: 6,
            ..TabletView::default()
        };
        let all = [one("db1", "primary", 4_000), one("db2", "any", 4_000)];
        assert!(is_formed(&all, 2) && !is_formed(&all, 3));
        assert!(!is_formed(&[one("db1", "primary", 4_000), one("db2", "any", 0)], 2));
        assert!(!is_formed(&[one("db1", "any", 4_000), one("db2", "any", 4_000)], 2));
        assert_eq!(verdict(&Ok(all.to_vec())), "epoch 6, primary db1, 2 of 2 registered");
        assert_eq!(verdict(&Err(String::new())), "no controller answers");
    }
}
