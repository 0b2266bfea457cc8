//! `[[mirrors]]`: servers that run copies of reads (`action='MIRROR'`). Their keys, how they are typed, what they mean, how they are shown.
//!
//! Invariant: each has a name of its own, and a password is never shown.

use super::keys::{KEYS, Key};
use super::mistake::{Given, Mistakes, Place};
use super::tablet::first_line;
use super::{BackendTlsMode, Config, address};
use crate::client::{ClientTls, Options};
use crate::gate::backend_tls;
use rustls_pki_types::ServerName;
use std::fmt::Write;
use std::path::PathBuf;
use weir_core::snapshot::Address;
use weir_net::secret::Secret;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    pub name: String,
    pub address: Address,
    pub user: String,
    pub password: Secret,
    pub password_file: Option<PathBuf>,
    pub connections_max: u32,
    pub tls: BackendTlsMode,
    pub ca: Option<PathBuf>,
}

/// A row as it was typed.
pub struct TypedMirror {
    place: Place,
    name: Option<Given<String>>,
    address: Option<Given<String>>,
    user: Option<Given<String>>,
    tls: Option<Given<String>>,
    pub password_file: Option<Given<PathBuf>>,
    pub tls_ca: Option<Given<PathBuf>>,
    pub connections_max: Option<Given<u64>>,
}

impl TypedMirror {
    pub fn at(place: Place) -> TypedMirror {
        let (name, address, user, tls) = (None, None, None, None);
        TypedMirror { place, name, address, user, tls, password_file: None, tls_ca: None, connections_max: None }
    }
}

/// Where a key that is a text goes.
pub fn text_of<'a>(mirror: &'a mut TypedMirror, key: &str) -> Option<&'a mut Option<Given<String>>> {
    match key {
        "name" => Some(&mut mirror.name),
        "address" => Some(&mut mirror.address),
        "user" => Some(&mut mirror.user),
        "tls" => Some(&mut mirror.tls),
        _ => None,
    }
}

impl MirrorConfig {
    /// How it is connected to. Err: its certificates' authority cannot be used.
    pub fn options(&self) -> Result<Options, String> {
        let mut options = Options::address(&self.address).user(&self.user);
        options.password = self.password.clone();
        let verifies = matches!(self.tls, BackendTlsMode::VerifyCa | BackendTlsMode::VerifyIdentity);
        if verifies && self.ca.is_none() {
            return Err("tls verifies certificates, yet by no authority: name its PEM file in tls_ca".to_string());
        }
        let made =
            backend_tls::make(self.tls, self.ca.as_deref()).map_err(|why| why.replace("backend_tls_ca", "tls_ca"));
        let Some(tls) = made? else { return Ok(options) };
        let ip = match &self.address {
            Address::Tcp(address) => address.ip(),
            // By a socket nobody listens in.
            Address::Unix(_) => return Ok(options),
        };
        Ok(options.tls(ClientTls::Verified(tls.config, ServerName::IpAddress(ip.into()))))
    }
}

pub fn judge(typed: &[TypedMirror], mistakes: &mut Mistakes) -> Vec<MirrorConfig> {
    let mut all: Vec<MirrorConfig> = Vec::new();
    for row in typed {
        if let Some(mirror) = judge_one(row, mistakes) {
            if all.iter().any(|known| known.name == mirror.name) {
                mistakes
                    .add(&row.place, format!("two mirrors are called '{}': give each a name of its own", mirror.name));
            }
            all.push(mirror);
        }
    }
    if all.len() > MIRRORS_MAX {
        mistakes.add(&Place::Missing, format!("there are {} mirrors: {MIRRORS_MAX} at most", all.len()));
    }
    all
}

fn judge_one(row: &TypedMirror, mistakes: &mut Mistakes) -> Option<MirrorConfig> {
    let [name, at, user] = [("name", &row.name), ("address", &row.address), ("user", &row.user)].map(|(key, given)| {
        if given.is_none() {
            mistakes.add(&row.place, format!("this mirror has no {key}: add {key} = \"…\""));
        }
        given.as_ref()
    });
    let (name, at, user) = (name?, at?, user?);
    let is_name =
        (1..=NAME_BYTES_MAX).contains(&name.value.len()) && !name.value.contains(|c: char| c.is_control() || c == ';');
    if !is_name {
        mistakes.add(&name.place, format!("a mirror's name has 1 to {NAME_BYTES_MAX} bytes and no semicolon"));
    }
    if user.value.is_empty() {
        mistakes.add(&user.place, "the mirror's user is empty: name an account of that server");
    }
    let address = mistakes.keep(&at.place, address::backend(&at.value))?;
    let password = row.password_file.as_ref().map(|file| first_line(&file.value, &file.place, mistakes));
    let connections_max = row.connections_max.as_ref().map_or(CONNECTIONS_USUAL, |given| {
        if !(1..=CONNECTIONS_MAX).contains(&given.value) {
            mistakes.add(&given.place, format!("connections_max must be a whole number from 1 to {CONNECTIONS_MAX}"));
        }
        given.value
    });
    let modes = TLS_WORDS.map(|word| (word, BackendTlsMode::of_word(word)));
    let tls = mistakes.word(row.tls.as_ref(), "tls", &modes).unwrap_or(BackendTlsMode::Off);
    let ca = row.tls_ca.as_ref().filter(|file| !file.value.as_os_str().is_empty());
    let mirror = MirrorConfig {
        name: name.value.clone(),
        address,
        user: user.value.clone(),
        password: password.unwrap_or_else(Secret::empty),
        password_file: row.password_file.as_ref().map(|file| file.value.clone()),
        connections_max: u32::try_from(connections_max).unwrap_or(u32::MAX),
        tls,
        ca: ca.map(|file| file.value.clone()),
    };
    mistakes.keep(ca.map_or(&row.place, |file| &file.place), mirror.options().map(drop));
    Some(mirror)
}

/// As a file has them, what is usual in comments.
pub fn put(out: &mut String, config: &Config) {
    let quoted = |text: &str| toml::Value::String(text.to_string()).to_string();
    let path = |path: &Option<PathBuf>| quoted(&path.as_ref().map(|p| p.display().to_string()).unwrap_or_default());
    for mirror in &config.mirrors {
        out.push_str("\n[[mirrors]]\n");
        for Key { name, doc, .. } in KEYS.iter().filter(|key| key.section == "mirrors") {
            let value = match *name {
                "name" => quoted(&mirror.name),
                "address" => quoted(&address::show(&mirror.address)),
                "user" => quoted(&mirror.user),
                "password_file" => path(&mirror.password_file),
                "connections_max" => mirror.connections_max.to_string(),
                "tls" => quoted(mirror.tls.word()),
                _ => path(&mirror.ca),
            };
            let mark = if value == default_of(name) || value == "\"\"" { "# " } else { "" };
            let _ = writeln!(out, "# {doc}\n{mark}{name} = {value}");
        }
    }
}

/// As it is typed; empty where there is none.
pub fn default_of(name: &str) -> &'static str {
    match name {
        "connections_max" => "8",
        "tls" => "\"off\"",
        _ => "",
    }
}

/// What `tls` may be.
pub const TLS_WORDS: [&str; 4] = ["off", "required", "verify_ca", "verify_identity"];

/// More would be a load test.
pub const CONNECTIONS_MAX: u64 = 1_000;
const CONNECTIONS_USUAL: u64 = 8;

/// More than anyone has.
const MIRRORS_MAX: usize = 16;

/// It stands in filters and metrics.
const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::beside_a_server;

    #[test]
    fn rows_mean_what_they_say_and_are_printed_so_that_they_can_be_read_again() {
        let rows = "[[mirrors]]\nname = \"next\"\naddress = \"127.0.0.1:7\"\nuser = \"copies\"\nconnections_max = 2\n\
                    [[mirrors]]\nname = \"other\"\naddress = \"127.0.0.1\"\nuser = \"copies\"\ntls = \"required\"\n";
        let config = beside_a_server(rows).unwrap();
        let [next, other] = &config.mirrors[..] else { panic!("{:?}", config.mirrors) };
        assert_eq!((next.name.as_str(), next.connections_max, next.tls), ("next", 2, BackendTlsMode::Off));
        assert_eq!((other.connections_max, other.tls), (8, BackendTlsMode::Required));
        assert!(matches!(other.options().unwrap().tls, ClientTls::Verified(..)));
        let mut printed = String::new();
        put(&mut printed, &config);
        assert_eq!(beside_a_server(&printed).unwrap().mirrors, config.mirrors);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let row = "[[mirrors]]\nname = \"a\"\naddress = \"127.0.0.1:7\"\nuser = \"u\"\n";
        for (name, rows, says) in [
            ("nameless", "[[mirrors]]\naddress = \"127.0.0.1:7\"\n".to_string(), "this mirror has no name"),
            ("twice", row.repeat(2), "two mirrors are called 'a'"),
            ("unknown", format!("{row}adress = 1\n"), "adress"),
            ("range", format!("{row}connections_max = 0\n"), "connections_max must be a whole number from 1 to 1000"),
            ("tls", format!("{row}tls = \"preferred\"\n"), "tls cannot be 'preferred'"),
            ("ca", format!("{row}tls = \"verify_ca\"\n"), "by no authority"),
            ("password", format!("{row}password_file = \"/nowhere\"\n"), "put the password into its first line"),
            ("table", "[mirrors]\nname = \"a\"\n".to_string(), "write [[mirrors]]"),
        ] {
            let found = beside_a_server(&rows).unwrap_err();
            assert!(found.contains(says), "{name}: {found}");
        }
    }
}
