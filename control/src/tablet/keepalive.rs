//! How long the server's host takes to notice that a client's host is gone. A gate ends what it leaves behind itself (`core`,
//! `link/errands.rs`); one that died with its host cannot, and until the kernel has probed its connections, the server keeps their
//! transactions with all locks. mysqld asks for the probes (`SO_KEEPALIVE`), and their times are the host's.
//! Rule: Linux `ip-sysctl`, `tcp_keepalive_time` (7,200 s unless set).

use std::time::Duration;

/// Longer than this is worth a word.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// Says so if the host of this tablet, and of its server, waits for long.
pub fn warn_about_silence() {
    let read = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_keepalive_time");
    if let Some(silence) = read.ok().as_deref().and_then(too_long) {
        tracing::warn!(
            event = "keepalive_late",
            seconds = silence.as_secs(),
            "a gate whose host dies leaves its transactions with their locks at this server for {} s: \
             sysctl net.ipv4.tcp_keepalive_time=60 net.ipv4.tcp_keepalive_intvl=10 net.ipv4.tcp_keepalive_probes=6",
            silence.as_secs()
        );
    }
}

fn too_long(text: &str) -> Option<Duration> {
    let silence = Duration::from_secs(text.trim().parse().ok()?);
    (silence > SILENCE_MAX).then_some(silence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hours_are_too_long_and_a_minute_is_not() {
        assert_eq!(too_long("7200\n"), Some(Duration::from_secs(7200)));
        assert_eq!(too_long("60\n"), None);
        assert_eq!(too_long("600\n"), None);
        assert_eq!(too_long("?"), None);
    }
}
