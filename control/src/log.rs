//! The log: one line per event on standard error, as text or JSON.
//!
//! Invariant: no SQL text, no parameter and no password is ever logged. What is logged may change while the process runs, how
//! it is written may not.

use crate::config::{LogConfig, LogFormat};
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

/// Says what is wrong with a filter, if it is.
pub fn check(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|_| {
        format!("'{filter}' is no log level: use off, error, warn, info, debug or trace, or 'info,weir_control::monitor=debug'")
    })
}

/// For the whole process, once. A second call (tests that start two gates) changes nothing.
pub fn start(config: &LogConfig) {
    let filter = filter_of(&config.filter);
    let line = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match config.format {
        LogFormat::Text => {
            let line = line.with_ansi(false).with_filter_reloading();
            let handle = line.reload_handle();
            keep(handle, line.try_init().is_ok());
        }
        LogFormat::Json => {
            let line = line.json().flatten_event(true).with_filter_reloading();
            let handle = line.reload_handle();
            keep(handle, line.try_init().is_ok());
        }
    }
}

/// From now on this is logged. A process that does not log by [`start`] is left alone.
pub fn change(filter: &str) -> Result<(), String> {
    check(filter)?;
    CHANGE.get().map_or(Ok(()), |change| change(filter_of(filter)))
}

/// glommio warns when it cannot register buffers of its own, which nothing here uses: a limit of locked memory of 8 MiB, as many systems
/// have, does that from the second core on. Who names `glommio` hears of it.
fn filter_of(text: &str) -> EnvFilter {
    let quiet = if text == "off" { String::new() } else { "glommio=error,".to_string() };
    EnvFilter::try_new(quiet + text).unwrap_or_else(|_| EnvFilter::new("info"))
}

fn keep<S: 'static>(handle: Handle<EnvFilter, S>, is_ours: bool) {
    if is_ours {
        let change = move |filter| handle.reload(filter).map_err(|error| format!("the log level stays: {error}"));
        // Only the first call has succeeded.
        let _ = CHANGE.set(Box::new(change));
    }
}

static CHANGE: OnceLock<Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_told() {
        for good in ["info", "off", "warn,weir_control::monitor=debug"] {
            assert_eq!(check(good), Ok(()));
        }
        assert!(check("weir=loud").unwrap_err().contains("use off, error"));
        assert!(change("weir=loud").unwrap_err().contains("use off, error"));
    }
}
