//! Test hosts: network namespaces around one switch, whose cables can lose what passes between any two, in either
//! direction.
//!
//! ```text
//!   db1 ─┐                     the switch is the namespace that this process runs in: a fresh one, made by starting this
//!   db2 ─┤   10.77.0.1         program anew in it. It forwards, and forgets what a rule of its routing says. Clients and
//!   db3 ─┼── the switch        whoever asks for the state of things are in the switch, and reach everybody.
//!   ctl ─┤
//!   gate ┘
//! ```
//! Invariant: what is lost is lost in silence: no reset, no ICMP, and what was under way goes on when it is mended. Nothing
//! outside the switch is changed, and it all ends with this process, whichever way that ends.
//!
//! Why routing rules: `ip` alone does it, on every kernel with namespaces. Filters (`tc`, `nft`) want modules or programs that
//! many machines don't have, and a blackhole route on a host is no loss: whoever sends there is told (EINVAL).

use std::net::Ipv4Addr;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use weir_control::lab::child::{self, Child};
use weir_control::lab::tool::Tool;
use weir_control::lab::{Host, host};

use crate::error::Fault;

pub struct Hosts {
    all: Vec<Host>,
    ip: Tool,
    /// From whom to whom nothing passes.
    lost: Vec<(usize, usize)>,
}

impl Hosts {
    /// Only where [`is_inside`]: the namespace must be a fresh one.
    pub fn open(names: &[&str]) -> Result<Hosts, Fault> {
        let devices = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
        if !is_inside() || devices.matches(':').count() != 1 {
            return Err(Fault::Program("hosts are made in a fresh network namespace alone: this is none".to_owned()));
        }
        let ip = Tool::find("ip", &mut |progress| eprintln!("{progress}"))?;
        let make = |(at, name): (usize, &&str)| Host::create(name, Ipv4Addr::new(10, 77, 0, 11 + at as u8));
        let all: Result<Vec<Host>, std::io::Error> = names.iter().enumerate().map(make).collect();
        let all = all.map_err(|error| Fault::io("making a network namespace", error))?;
        let hosts = Hosts { all, ip, lost: Vec::new() };
        hosts.connect()?;
        Ok(hosts)
    }

    pub fn host(&self, name: &str) -> &Host {
        self.all.iter().find(|host| host.name == name).expect("hosts are asked for by names that were made")
    }

    pub fn hosts(&self) -> &[Host] {
        &self.all
    }

    /// From now on nothing passes from each first one to the second one. All at once: one start of `ip` may take a tenth of
    /// a second, and a machine that is cut off from some while others still reach it is another harm.
    pub fn lose(&mut self, pairs: &[(usize, usize)]) -> Result<(), Fault> {
        let new: Vec<(usize, usize)> = pairs.iter().copied().filter(|pair| !self.lost.contains(pair)).collect();
        self.switch(&new.iter().map(|(from, to)| self.rule("add", *from, *to)).collect::<String>())?;
        self.lost.extend(new);
        Ok(())
    }

    /// Everything passes again.
    pub fn mend(&mut self) -> Result<(), Fault> {
        let all = std::mem::take(&mut self.lost);
        self.switch(&all.iter().map(|(from, to)| self.rule("del", *from, *to)).collect::<String>())
    }

    fn rule(&self, what: &str, from: usize, to: usize) -> String {
        format!("rule {what} iif {} to {} blackhole\n", self.all[from].name, self.all[to].address)
    }

    fn connect(&self) -> Result<(), Fault> {
        let mut text = format!("link set lo up\naddr add {SWITCH}/32 dev lo\n");
        for host in &self.all {
            let (name, address, path) = (&host.name, host.address, host.path());
            text += &format!(
                "link add {name} type veth peer name eth0 netns {}\nlink set {name} up\n\
                 route add {address}/32 dev {name} src {SWITCH}\n",
                path.display()
            );
        }
        self.switch(&text)?;
        for host in &self.all {
            let mut command = self.ip.command();
            host.enter(&mut command);
            let address = host.address;
            let text = format!(
                "link set lo up\nlink set eth0 up\naddr add {address}/32 dev eth0\n\
                 route add default via {SWITCH} dev eth0 onlink\n"
            );
            run(command, &text)?;
        }
        std::fs::write(FORWARDS, "1").map_err(|error| {
            Fault::Program(format!("{FORWARDS} can't be written: {error}. In a container, /proc/sys must be writable: run it with --privileged"))
        })
    }

    fn switch(&self, text: &str) -> Result<(), Fault> {
        run(self.ip.command(), text)
    }
}

/// Has `ip` do these lines, the first that fails ends it.
fn run(mut command: Command, text: &str) -> Result<(), Fault> {
    command.args(["-batch", "-"]);
    let output = child::output(command, text.as_bytes(), IP_LIMIT).map_err(|error| Fault::io("running ip", error))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Fault::Program(format!("ip could not do its part: {}\n{text}", output.stderr.trim()))),
    }
}

/// This process is one that [`run_inside`] has started.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs a command (this program, with what it was told) to its end in a fresh network namespace; it goes when we go.
pub fn run_inside(mut command: Command) -> Result<ExitStatus, Fault> {
    command.env(INSIDE, "1");
    host::enter_fresh(&mut command);
    let child = Child::spawn(command).map_err(|error| {
        Fault::Program(format!(
            "no network namespace can be made here: {error}. Run this as root; or allow namespaces to ordinary users \
             (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, \
             user.max_user_namespaces above 0); in a container, run that with --privileged"
        ))
    })?;
    loop {
        if let Some(status) = child.ended() {
            return Ok(status);
        }
        thread::sleep(LOOK);
    }
}

const INSIDE: &str = "WEIR_MOVES_INSIDE";

/// The switch's own address.
const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

const FORWARDS: &str = "/proc/sys/net/ipv4/ip_forward";

/// A few system calls.
const IP_LIMIT: Duration = Duration::from_secs(20);

const LOOK: Duration = Duration::from_millis(20);
