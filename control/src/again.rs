//! Read again: what SIGHUP does to a tablet or a controller. Certificates and the log's level follow, the rest is told to wait.
//!
//! Invariant: all or nothing, as for a gate: with a mistake in the file, or with a certificate that can't be used, nothing changes.

use crate::config::controller::{self, ControllerConfig};
use crate::config::tablet::{self, TabletConfig};
use crate::config::{LogConfig, Mistakes};
use crate::grpc::secured::Secured;
use crate::grpc::tls::TlsFiles;
use crate::{log, notify};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What such a process is configured by.
pub trait Agent: Clone {
    /// As `--print-config` shows it.
    fn print(&self) -> String;
    fn log(&mut self) -> &mut LogConfig;
    fn tls(&mut self) -> &mut TlsFiles;
}

impl Agent for TabletConfig {
    fn print(&self) -> String {
        tablet::print(self)
    }

    fn log(&mut self) -> &mut LogConfig {
        &mut self.log
    }

    fn tls(&mut self) -> &mut TlsFiles {
        &mut self.tls
    }
}

impl Agent for ControllerConfig {
    fn print(&self) -> String {
        controller::print(self)
    }

    fn log(&mut self) -> &mut LogConfig {
        &mut self.log
    }

    fn tls(&mut self) -> &mut TlsFiles {
        &mut self.tls
    }
}

pub struct Again<C> {
    hangup: Signal,
    read: Box<dyn Fn() -> Result<C, Mistakes>>,
}

impl<C: Agent> Again<C> {
    /// From here on SIGHUP does not end the process. None: signals can't be caught, which is said.
    pub fn new(read: impl Fn() -> Result<C, Mistakes> + 'static) -> Option<Again<C>> {
        match signal(SignalKind::hangup()) {
            Ok(hangup) => Some(Again { hangup, read: Box::new(read) }),
            Err(error) => {
                tracing::error!(event = "signals_failed", %error, "SIGHUP can't be caught and would end this process");
                None
            }
        }
    }

    /// The next SIGHUP; for ever for who is a part of another process.
    pub async fn asked(again: &mut Option<Again<C>>) {
        let Some(again) = again else { return std::future::pending().await };
        if again.hangup.recv().await.is_none() {
            std::future::pending().await
        }
    }

    /// Reads the file again and follows it where that can be done.
    pub fn reload(&self, running: &mut C, secured: &mut Secured) {
        notify::reloading();
        let outcome = (self.read)().map_err(|Mistakes(all)| all.iter().map(ToString::to_string).collect());
        match outcome.and_then(|read| follow(running, read, secured).map_err(|why| vec![why])) {
            Ok((changed, kept)) => {
                changed.iter().for_each(|line| tracing::info!(event = "setting_changed", "{line}"));
                kept.iter().for_each(|line| tracing::warn!(event = "setting_kept", "{line}"));
                tracing::info!(
                    event = "reloaded",
                    changed = changed.len(),
                    kept = kept.len(),
                    "the file is read again"
                );
            }
            Err(mistakes) => {
                mistakes.iter().for_each(|line| tracing::error!(event = "reload_refused", "nothing changes: {line}"));
            }
        }
        notify::ready("serving");
    }
}

type Lines = Vec<String>;

fn follow<C: Agent>(running: &mut C, mut read: C, secured: &mut Secured) -> Result<(Lines, Lines), String> {
    let mut next = running.clone();
    next.log().filter = std::mem::take(&mut read.log().filter);
    read.log().filter.clone_from(&next.log().filter);
    if secured.is_alike(read.tls()) {
        *next.tls() = read.tls().clone();
    }
    secured.adopt(next.tls())?;
    log::change(&next.log().filter)?;
    let lines = weigh(&running.print(), &read.print(), &next.print());
    *running = next;
    Ok(lines)
}

/// What differs between three printed configurations: what held, what is wanted, what holds.
fn weigh(was: &str, wanted: &str, is: &str) -> (Lines, Lines) {
    let (mut changed, mut kept) = (Vec::new(), Vec::new());
    let values = |text: &str| -> Vec<(String, String)> {
        let bare = text.lines().map(|line| line.trim_start_matches("# "));
        let pairs = bare.filter_map(|line| line.split_once(" = "));
        pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    for (((name, was), (_, wanted)), (_, is)) in values(was).into_iter().zip(values(wanted)).zip(values(is)) {
        if wanted != is {
            kept.push(format!("{name}: needs a restart; still {is}"));
        } else if was != is {
            changed.push(format!("{name}: was {was}, now {is}"));
        }
    }
    (changed, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::snapshot::Address;

    #[test]
    fn each_difference_is_told_once() {
        let address = Address::Tcp(([127, 0, 0, 1], 1).into());
        let was = TabletConfig::local(&address, "monitor", "secret");
        let mut wanted = was.clone();
        wanted.interval_ms = 77;
        wanted.log.filter = "debug".to_string();
        let mut is = was.clone();
        is.log.filter = "debug".to_string();
        let (changed, kept) = weigh(&was.print(), &wanted.print(), &is.print());
        assert_eq!(changed, [format!("log: was \"{}\", now \"debug\"", was.log.filter)]);
        assert_eq!(kept, [format!("interval_ms: needs a restart; still {}", was.interval_ms)]);
        let same = weigh(&was.print(), &was.print(), &was.print());
        assert!(same.0.is_empty() && same.1.is_empty() && !was.print().contains("secret"));
    }
}
