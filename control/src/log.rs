//! The log: one line per event on standard error, as text or JSON.
//!
//! Invariant: no SQL text, no parameter and no password is ever logged.

use crate::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Says what is wrong with a filter, if it is.
pub fn check(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|_| {
        format!("'{filter}' is no log level: use off, error, warn, info, debug or trace, or 'info,weir_control::monitor=debug'")
    })
}

/// For the whole process, once. A second call (tests that start two gates) changes nothing.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let line = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = match config.format {
        LogFormat::Text => line.with_ansi(false).try_init(),
        LogFormat::Json => line.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_told() {
        for good in ["info", "off", "warn,weir_control::monitor=debug"] {
            assert_eq!(check(good), Ok(()));
        }
        assert!(check("weir=loud").unwrap_err().contains("use off, error"));
    }
}
