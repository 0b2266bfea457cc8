//! Statements for a server, run by the `mysql` client program: text in, rows out.
//!
//! This is the laboratory's only way to talk to a server, so that a native client can take its place here.

use std::path::PathBuf;
use std::process::Command;

use weir_net::flavour::Flavour;

use super::{LabError, Mysql, child, limits};

/// Rows of the last result set, as text; SQL's NULL is `NULL`.
pub type Rows = Vec<Vec<String>>;

/// Where to log in, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// root without a password, which only the server's own socket grants.
    Root {
        socket: PathBuf,
    },
    Account {
        port: u16,
        user: String,
        password: String,
    },
}

/// Runs statements (separated by `;`) in one session; the first error ends it. Rows of all results follow each other.
pub fn run(mysql: &Mysql, login: &Login, text: &str) -> Result<Rows, LabError> {
    let mut command = command(mysql, login);
    command.args(["--batch", "--skip-column-names"]);
    let refused = |message: String| LabError::Sql { server: login.to_string(), message };
    let output =
        child::output(command, text.as_bytes(), limits::STATEMENT_WAIT).map_err(|error| refused(error.to_string()))?;
    if !output.status.success() {
        return Err(refused(first_error(&output.stderr)));
    }
    Ok(output.stdout.lines().map(|line| line.split('\t').map(unescape).collect()).collect())
}

/// The client program with what it needs to log in.
pub fn command(mysql: &Mysql, login: &Login) -> Command {
    let mut command = Command::new(&mysql.client);
    command.args(["--no-defaults", "--default-character-set=utf8mb4"]);
    match login {
        Login::Root { socket } => {
            command.arg(format!("--socket={}", socket.display())).arg("--user=root");
        }
        Login::Account { port, user, password } => {
            command.args(["--protocol=TCP", "--host=127.0.0.1"]).arg(format!("--port={port}"));
            command.arg(format!("--user={user}")).arg(format!("--password={password}"));
            // Without TLS, caching_sha2_password's first login needs the server's key.
            if mysql.flavour == Flavour::Mysql {
                command.arg("--get-server-public-key");
            }
        }
    }
    command
}

impl std::fmt::Display for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Login::Root { socket } => write!(f, "The server at {}", socket.display()),
            Login::Account { port, user, .. } => {
                write!(f, "The server at 127.0.0.1:{port} (as {user})")
            }
        }
    }
}

/// The client warns of passwords on the command line before it tells what went wrong.
fn first_error(stderr: &str) -> String {
    let line = stderr.lines().find(|line| line.starts_with("ERROR")).or_else(|| stderr.lines().last());
    line.unwrap_or("the mysql client failed without a word").trim().to_owned()
}

/// In batch mode the client writes tab, newline, NUL and backslash with a backslash before them.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('0') => text.push('\0'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_as_they_were() {
        for (field, expected) in [("a\\tb\\nc", "a\tb\nc"), ("\\\\n", "\\n"), ("NULL", "NULL"), ("\\", "\\"), ("", "")]
        {
            assert_eq!(unescape(field), expected);
        }
    }

    #[test]
    fn the_error_is_found_behind_the_warnings() {
        let text = "mysql: [Warning] Using a password on the command line interface can be insecure.\n\
            ERROR 1064 (42000) at line 1: You have an error\n";
        assert_eq!(first_error(text), "ERROR 1064 (42000) at line 1: You have an error");
        assert_eq!(first_error(""), "the mysql client failed without a word");
    }
}
