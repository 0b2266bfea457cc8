//! A lone server: one mysqld with a folder of its own, that a test may stop, start, and wipe.
//!
//! Invariant: its port stays its own through all of that, and its folder goes with it.

use std::path::PathBuf;
use std::sync::Arc;

use weir_control::client::{Client, Options};
use weir_control::lab::cache::{self, TemporaryFolder};
use weir_control::lab::ports::{self, Port};
use weir_control::lab::{Mysql, Server, ServerOptions};
use weir_core::snapshot::Address;

pub struct Lone {
    mysql: Arc<Mysql>,
    server: Option<Server>,
    port: u16,
    server_id: u32,
    extra_cnf: String,
    folder: TemporaryFolder,
}

impl Lone {
    /// Started, with the template's accounts and no GTID.
    pub fn start(server_id: u32, extra_cnf: &str) -> Result<Lone, String> {
        let mysql = Arc::new(Mysql::find(None, &mut |_| {}).map_err(|error| error.to_string())?);
        let folder = cache::folder().and_then(|cache| TemporaryFolder::create(&cache));
        let folder = folder.map_err(|error| error.to_string())?;
        let port = ports::free(1).map_err(|error| error.to_string())?.remove(0);
        let extra_cnf = extra_cnf.to_owned();
        let mut lone = Lone { mysql, server: None, port: port.number(), server_id, extra_cnf, folder };
        lone.create(port)?;
        Ok(lone)
    }

    fn create(&mut self, port: Port) -> Result<(), String> {
        let (dir, extra_cnf) = (self.dir(), self.extra_cnf.clone());
        let options = ServerOptions { dir, port, server_id: self.server_id, extra_cnf, host: None };
        let server = Server::create(&self.mysql, options, &mut |_| {}).map_err(|error| error.to_string())?;
        server.start().map_err(|error| error.to_string())?;
        self.server = Some(server);
        Ok(())
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("lone")
    }

    /// # Panics
    /// Never: it is there between the calls of `wipe`.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("a server, stopped or not")
    }

    /// Stops it, takes its data away, and starts it anew.
    pub fn wipe(&mut self) -> Result<(), String> {
        self.server().stop();
        self.server = None;
        std::fs::remove_dir_all(self.dir().join("data")).map_err(|error| error.to_string())?;
        let port = Port::fixed(self.port).map_err(|error| error.to_string())?;
        self.create(port)
    }

    pub fn address(&self) -> Address {
        Address::Tcp(([127, 0, 0, 1], self.port).into())
    }

    /// As root, by its socket.
    pub fn root(&self) -> Result<Client, String> {
        root(self.server())
    }

    /// Runs statements as root.
    pub fn sql(&self, statements: &[&str]) -> Result<(), String> {
        sql(self.server(), statements)
    }
}

/// As root, by the server's socket.
pub fn root(server: &Server) -> Result<Client, String> {
    Client::connect(&Options::unix(server.socket())).map_err(|error| error.to_string())
}

pub fn sql(server: &Server, statements: &[&str]) -> Result<(), String> {
    let mut client = root(server)?;
    let mut run = |statement: &&str| client.run(*statement).map(drop).map_err(|error| format!("{statement}: {error}"));
    statements.iter().try_for_each(&mut run)
}
