//! What these tests look at: a gate, its clients, and what it says over HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use weir_control::lab::child;

pub const WEIR: &str = env!("CARGO_BIN_EXE_weir-under-test");

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// An empty folder of this test's own.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("observe-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// What a program of the system's packages says and how it ends.
pub fn run(mut command: Command, limit: Duration) -> child::Output {
    command.stdin(Stdio::null());
    let shown = format!("{command:?}");
    child::output(command, b"", limit)
        .unwrap_or_else(|error| panic!("{shown} does not run: {error} (.ci/tools installs what is missing)"))
}

/// The same, without a limit: for programs that end at once.
pub fn say(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} does not run: {error} (.ci/tools installs what is missing)"))
}

/// Head and body of a GET.
pub fn get(address: SocketAddr, path: &str) -> Result<(String, String), String> {
    let failed = |error: std::io::Error| format!("GET {path} of {address}: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("no answer: {text}"))?;
    Ok((head.to_owned(), body.to_owned()))
}

/// The body of a GET that must succeed.
pub fn page(address: SocketAddr, path: &str) -> String {
    let (head, body) = get(address, path).unwrap_or_else(|why| panic!("{why}"));
    assert!(head.starts_with("HTTP/1.") && head.contains(" 200 "), "{path}: {head}\n{body}");
    body
}

/// Waits until there is something; panics with the last reason.
pub fn until<T>(what: &str, limit: Duration, look: impl Fn() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(began.elapsed() < limit, "not within {} s: {what}: {why}", limit.as_secs()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
