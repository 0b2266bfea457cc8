//! A tablet as a process of its own.
//!
//! Invariant: it dies with us, and a restart is at the same place with the same name.

use std::process::{Command, Stdio};

use weir_control::ctl::tablets::{self, TabletView};
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::child::Child;
use weir_control::lab::ports::{self, Port};
use weir_control::lab::template::MONITOR;

pub struct Tablet {
    program: String,
    args: Vec<String>,
    port: Port,
    child: Option<Child>,
}

impl Tablet {
    /// `program`: the `weir` under test; `server`: where its server is. Not started yet.
    ///
    /// # Panics
    /// If no port is free.
    pub fn new(program: &str, name: &str, server: &str, args: &[&str]) -> Tablet {
        let port = ports::free(1).unwrap_or_else(|error| panic!("{error}")).remove(0);
        let listen = format!("127.0.0.1:{}", port.number());
        let own = ["--name", name, "--server", server, "--listen", &listen, "--user", MONITOR.0, "--log", "error"];
        let args = own.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        Tablet { program: program.to_owned(), args, port, child: None }
    }

    /// Where it is asked.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// # Panics
    /// If the program cannot be started.
    pub fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("tablet").args(&self.args).env("WEIR_MONITOR_PASSWORD", MONITOR.1);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        self.child = Some(Child::spawn(command).unwrap_or_else(|error| panic!("{}: {error}", self.program)));
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        drop(self.child.take());
    }

    /// What it says itself.
    pub fn view(&self) -> Result<TabletView, String> {
        let mut all = tablets::asked_directly(&[self.address()], &TlsFiles::default())?;
        all.pop().ok_or_else(|| "no answer".to_owned())
    }
}
