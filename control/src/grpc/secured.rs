//! The certificates of a tablet or a controller, while it runs: those of its gRPC server, and those that it shows when it asks.
//!
//! Invariant: what is in use was read whole and fits together; files that do not leave what was there before.

use super::server::{Guarded, Renewable};
use super::tls::{ClientTls, ServerTls, TlsFiles};
use crate::expiry::{self, Expiry};
use crate::renewal::{LOOK_PAUSE, Renewal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tonic::transport::server::TcpIncoming;

pub struct Secured {
    server: Renewable,
    /// Shared by all who ask with it.
    client: Option<ClientTls>,
    files: TlsFiles,
    renewal: Renewal,
    looks: Interval,
    ends: Ends,
    warn_at: Instant,
}

/// When certificates end, for who shows metrics.
#[derive(Clone, Debug, Default)]
pub struct Ends(Arc<Mutex<Vec<Expiry>>>);

impl Ends {
    pub fn all(&self) -> Vec<Expiry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, files: &TlsFiles) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Expiry::of("grpc", &paths(files));
    }
}

impl Secured {
    /// `client`: what others in this process ask with, by the same files. `run` serves until its future is dropped.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        (files, client): (&TlsFiles, Option<ClientTls>),
        calls_max: usize,
        what: &str,
        run: impl Fn(Guarded, TcpIncoming) -> F + Send + 'static,
    ) -> Result<Secured, String> {
        let tls = ServerTls::load(files)?;
        let server = Renewable::start(listener, tls.as_ref(), calls_max, run)?;
        super::server::warn_about(what, server.address(), tls.as_ref());
        let mut looks = interval(LOOK_PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (ends, renewal) = (Ends::default(), Renewal::of(paths(files)));
        ends.set(files);
        Ok(Secured { server, client, files: files.clone(), renewal, looks, ends, warn_at: Instant::now() })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn ends(&self) -> Ends {
        self.ends.clone()
    }

    /// Returns when it is time for [`Secured::look`].
    pub async fn due(&mut self) {
        self.looks.tick().await;
    }

    /// Reads the files if they have changed, and warns of those that end soon.
    pub fn look(&mut self) {
        if self.renewal.is_due() {
            let outcome = self.read(&self.files.clone());
            let tells = self.renewal.handle(outcome.is_ok());
            match outcome {
                Ok(()) => tracing::info!(event = "certificate_renewed", "gRPC: the files have changed and are in use"),
                Err(why) if tells => {
                    tracing::error!(
                        event = "certificate_not_renewed",
                        "gRPC goes on with its former certificate: {why}"
                    );
                }
                Err(_) => {}
            }
        }
        if self.warn_at <= Instant::now() {
            self.warn_at = Instant::now() + expiry::WARN_PAUSE;
            expiry::warn(&self.ends.all());
        }
    }

    /// Uses these files from now on. Fails without a change. From none to some is another way to listen, and needs a restart.
    pub fn adopt(&mut self, files: &TlsFiles) -> Result<(), String> {
        self.read(files)?;
        self.files = files.clone();
        self.renewal = Renewal::of(paths(files));
        Ok(())
    }

    /// Whether these can be adopted.
    pub fn is_alike(&self, files: &TlsFiles) -> bool {
        let has = |files: &TlsFiles| (files.cert.is_some(), files.ca.is_some());
        has(&self.files) == has(files)
    }

    fn read(&mut self, files: &TlsFiles) -> Result<(), String> {
        let server = ServerTls::load(files)?;
        let client = if self.client.is_some() { ClientTls::load(files)? } else { None };
        self.server.renew(server.as_ref())?;
        if let (Some(running), Some(client)) = (&self.client, &client) {
            running.replace(client);
        }
        self.ends.set(files);
        self.warn_at = Instant::now();
        Ok(())
    }
}

fn paths(files: &TlsFiles) -> Vec<PathBuf> {
    let TlsFiles { cert, key, ca } = files.clone();
    [cert, key, ca].into_iter().flatten().collect()
}
