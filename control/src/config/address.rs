//! Addresses as people type them: `host:port`, `unix:/path`, `off`.
//!
//! Names are resolved once, when the configuration is read; the first address is taken. A name that moves later is
//! not followed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use weir_core::drive::ListenAddress;
use weir_core::snapshot::Address;

/// Where clients come in.
pub fn listen(text: &str) -> Result<ListenAddress, String> {
    match unix_path(text)? {
        Some(path) => Ok(ListenAddress::Unix(path)),
        None => socket_address(text, None).map(ListenAddress::Tcp),
    }
}

/// A MySQL server. The port may be left out: 3306.
pub fn backend(text: &str) -> Result<Address, String> {
    match unix_path(text)? {
        Some(path) => Ok(Address::Unix(path)),
        None => socket_address(text, Some(MYSQL_PORT)).map(Address::Tcp),
    }
}

/// A tablet's gRPC address. Its name may be another address tomorrow, so it is only checked here.
pub fn tablet(text: &str) -> Result<SocketAddr, String> {
    socket_address(text, None)
}

/// An address that is looked up when it is used: only its form is checked here.
pub fn host_and_port(text: &str) -> Result<(), String> {
    let bad = || format!("'{text}' is no address: write host:port or [ipv6]:port");
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    match port.parse::<u16>().is_ok_and(|port| port != 0) && (is_v6 || is_name) {
        true => Ok(()),
        false => Err(bad()),
    }
}

/// Several of them, separated by commas.
pub fn list(text: &str, most: usize) -> Result<Vec<String>, String> {
    let all: Vec<String> = text.split(',').map(|one| one.trim().to_string()).filter(|one| !one.is_empty()).collect();
    all.iter().try_for_each(|one| host_and_port(one))?;
    match all.len() {
        0 => Err("no address is named: write host:port,host:port".to_string()),
        count if count > most => Err(format!("there are {count} addresses: {most} at most")),
        _ => Ok(all),
    }
}

/// Where the status is shown; `off` for nowhere.
pub fn admin(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "off" => Ok(None),
        _ => socket_address(text, None).map(Some),
    }
}

fn unix_path(text: &str) -> Result<Option<PathBuf>, String> {
    let Some(path) = text.strip_prefix("unix:") else { return Ok(None) };
    if !path.starts_with('/') {
        return Err(format!("'{text}' needs an absolute path, as in unix:/run/weir/weir.sock"));
    }
    if path.len() >= UNIX_PATH_BYTES_MAX {
        return Err(format!(
            "the path of '{text}' is longer than the kernel takes: use one below {UNIX_PATH_BYTES_MAX} bytes"
        ));
    }
    Ok(Some(PathBuf::from(path)))
}

fn socket_address(text: &str, port: Option<u16>) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return match port {
            Some(port) => Ok(SocketAddr::new(ip, port)),
            None => Err(format!("'{text}' has no port: write {}", SocketAddr::new(ip, MYSQL_PORT))),
        };
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, digits)) => {
            let port = digits.parse().map_err(|_| format!("'{digits}' in '{text}' is no port: use 0 to 65535"))?;
            (host, port)
        }
        None => (text, port.ok_or_else(|| format!("'{text}' has no port: write {text}:{MYSQL_PORT}"))?),
    };
    if host.is_empty() || host.contains(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c)) {
        return Err(format!("'{text}' is no address: write host:port, [ipv6]:port or unix:/path"));
    }
    let mut found = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("the name '{host}' cannot be resolved ({error}): correct it, or use an IP address"))?;
    found.next().ok_or_else(|| format!("the name '{host}' has no address: correct it, or use an IP address"))
}

/// `host:port` or `unix:/path`, as it would be typed.
pub fn show(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

pub fn show_listen(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

pub const MYSQL_PORT: u16 = 3306;

/// `sun_path` of `sockaddr_un`, its NUL included.
const UNIX_PATH_BYTES_MAX: usize = 108;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_as_people_type_them() {
        let good = [
            ("127.0.0.1:13061", "127.0.0.1:13061"),
            ("127.0.0.1", "127.0.0.1:3306"),
            ("::1", "[::1]:3306"),
            ("[::1]", "[::1]:3306"),
            ("[::1]:7", "[::1]:7"),
            ("unix:/tmp/m.sock", "unix:/tmp/m.sock"),
        ];
        for (typed, meant) in good {
            assert_eq!(show(&backend(typed).unwrap()), meant, "{typed}");
        }
        let bad = [
            ("unix:m.sock", "absolute path"),
            ("host:99999", "no port"),
            ("a b:1", "no address"),
            ("", "no address"),
            ("name.invalid:1", "cannot be resolved"),
        ];
        for (typed, says) in bad {
            let text = backend(typed).unwrap_err();
            assert!(text.contains(says), "{typed}: {text}");
        }
    }

    #[test]
    fn listeners_need_a_port_and_admin_can_be_off() {
        assert_eq!(listen("127.0.0.1:0"), Ok(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())));
        assert!(listen("127.0.0.1").unwrap_err().contains("write 127.0.0.1:3306"));
        assert!(listen("somewhere").unwrap_err().contains("somewhere:3306"));
        assert_eq!(admin("off"), Ok(None));
    }
}
