//! Why a backend could not be looked at, in words, and what to do about it.

use super::standing::Standing;
use crate::client::{ClientError, ServerError};
use std::fmt;
use std::io;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub why: String,
    /// What an operator should do; empty when waiting is all.
    pub advice: String,
    /// It will not pass by itself: the account or the server must be changed.
    pub is_lasting: bool,
    /// Which of the states that are no service it means.
    pub standing: Standing,
}

impl Fault {
    pub fn of(error: ClientError) -> Fault {
        let standing = standing(&error);
        let mut fault = Fault::of_kind(error);
        fault.standing = standing;
        fault
    }

    fn of_kind(error: ClientError) -> Fault {
        let standing = Standing::Refused;
        let why = error.to_string();
        match &error {
            ClientError::Server(error) => Fault::of_server(error, why),
            ClientError::Io(error) => {
                Fault { why: plain(error), advice: advice_io(error).to_string(), is_lasting: false, standing }
            }
            ClientError::Closed => Fault { why, advice: String::new(), is_lasting: false, standing },
            ClientError::Unsupported(_) => Fault {
                why,
                advice: "give the monitor's account the plugin caching_sha2_password".to_string(),
                is_lasting: true,
                standing,
            },
            _ => {
                let advice = "check that a MySQL server listens there".to_string();
                Fault { why, advice, is_lasting: false, standing }
            }
        }
    }

    fn of_server(error: &ServerError, why: String) -> Fault {
        let (advice, is_lasting) = match error.code {
            ACCESS_DENIED | NO_PASSWORD | LOCKED | EXPIRED => {
                ("the monitor's account or password is wrong; create it".to_string(), true)
            }
            SPECIFIC_ACCESS_DENIED | TABLE_ACCESS_DENIED => {
                ("the monitor's account lacks a privilege".to_string(), true)
            }
            HOST_NOT_PRIVILEGED => ("the account does not allow this host".to_string(), true),
            HOST_BLOCKED => ("run on the server: TRUNCATE TABLE performance_schema.host_cache".to_string(), true),
            TOO_MANY_CONNECTIONS => {
                ("raise the server's max_connections, or lower connections_per_backend_max".to_string(), false)
            }
            _ => (String::new(), false),
        };
        Fault { why, advice, is_lasting, standing: Standing::Refused }
    }

    /// With the statements that would help, for this account.
    #[must_use]
    pub fn for_user(mut self, user: &str) -> Fault {
        if self.is_lasting && (self.advice.contains("account") || self.advice.contains("privilege")) {
            self.advice = format!("{}, on the primary: {}", self.advice, grants(user));
        }
        self
    }
}

fn standing(error: &ClientError) -> Standing {
    match error {
        ClientError::Server(error) => match error.code {
            ACCESS_DENIED | NO_PASSWORD | LOCKED | EXPIRED => Standing::BadCredentials,
            SHUTTING_DOWN => Standing::ServerStopped,
            _ => Standing::Refused,
        },
        // In the middle of a login: it is going down, or just coming up.
        ClientError::Closed => Standing::ServerStopped,
        error if error.is_timeout() => Standing::ServerSilent,
        ClientError::Io(_) => Standing::ServerStopped,
        _ => Standing::Refused,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        if !self.advice.is_empty() {
            write!(f, " ({})", self.advice)?;
        }
        Ok(())
    }
}

/// The statements that make the monitor's account.
pub fn grants(user: &str) -> String {
    let user = user.replace('\\', "\\\\").replace('\'', "''");
    format!(
        "CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '<password>'; \
         GRANT REPLICATION CLIENT ON *.* TO '{user}'@'%'; \
         GRANT SELECT ON performance_schema.* TO '{user}'@'%';"
    )
}

/// Without "os error 111".
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn advice_io(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there: start the server, or correct its address",
        io::ErrorKind::NotFound => "there is no such socket: start the server, or correct its path",
        io::ErrorKind::TimedOut => "the server hangs, or a firewall drops packets to it",
        io::ErrorKind::PermissionDenied => "we may not open that socket: change its mode",
        _ => "",
    }
}

const TOO_MANY_CONNECTIONS: u16 = 1040;
const ACCESS_DENIED: u16 = 1045;
const SHUTTING_DOWN: u16 = 1053;
const HOST_BLOCKED: u16 = 1129;
const HOST_NOT_PRIVILEGED: u16 = 1130;
const TABLE_ACCESS_DENIED: u16 = 1142;
const SPECIFIC_ACCESS_DENIED: u16 = 1227;
const NO_PASSWORD: u16 = 1698;
const EXPIRED: u16 = 1862;
const LOCKED: u16 = 3118;

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16) -> Fault {
        let error = ServerError { code, state: "28000".to_string(), message: "no".to_string() };
        Fault::of(error.into()).for_user("we'ir")
    }

    #[test]
    fn each_fault_says_what_to_do() {
        let denied = server(1045);
        assert!(denied.is_lasting);
        assert_eq!((denied.standing, server(1040).standing), (Standing::BadCredentials, Standing::Refused));
        assert!(denied.to_string().contains("CREATE USER IF NOT EXISTS 'we''ir'@'%' IDENTIFIED BY"), "{denied}");
        assert!(server(1227).advice.contains("GRANT REPLICATION CLIENT"));
        assert!(!server(1040).is_lasting && server(1040).advice.contains("max_connections"));
        let refused = Fault::of(io::Error::from_raw_os_error(libc::ECONNREFUSED).into());
        assert_eq!(
            refused.to_string(),
            "connection refused (nobody listens there: start the server, or correct its address)"
        );
        assert_eq!(refused.standing, Standing::ServerStopped);
        let silent = Fault::of(io::Error::new(io::ErrorKind::TimedOut, "no answer").into());
        assert_eq!(silent.standing, Standing::ServerSilent);
        assert_eq!(Fault::of(ClientError::Closed).to_string(), "the server closed the connection");
    }
}
