//! The configuration file: TOML into what was typed, with every mistake of form on the way.
//!
//! The tree is walked by hand, because deserializing would stop at the first mistake.

use crate::config::accounts::{self, TypedAccount};
use crate::config::keys::{self, Key, Kind, LISTS, SECTIONS};
use crate::config::mirrors::{self, TypedMirror};
use crate::config::mistake::{Given, Lines, Mistakes, Place, nearest, suggestion};
use crate::config::typed::{Plain, Typed, TypedBackend, TypedCores, TypedListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

pub fn read(path: &Path, typed: &mut Typed, mistakes: &mut Mistakes) {
    match std::fs::read_to_string(path) {
        Ok(text) => read_text(path, &text, typed, mistakes),
        Err(error) => mistakes.add(
            &Place::WholeFile(path.to_path_buf()),
            format!("cannot be read ({error}): name a readable file with --config, or leave it out and use flags"),
        ),
    }
}

pub fn read_text(path: &Path, text: &str, typed: &mut Typed, mistakes: &mut Mistakes) {
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut walk = Walk { lines: Lines::new(path, text), folder, typed, mistakes };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = walk.lines.place(error.span().unwrap_or(0..0));
        walk.mistakes.add(&place, format!("{}: correct it, see https://toml.io for the form", error.message().trim()));
    }
    for (section, value) in root.get_ref() {
        walk.section(section, value);
    }
}

struct Walk<'a> {
    lines: Lines<'a>,
    /// Relative paths in the file are relative to it.
    folder: PathBuf,
    typed: &'a mut Typed,
    mistakes: &'a mut Mistakes,
}

type Name<'i> = Spanned<std::borrow::Cow<'i, str>>;
type Value<'i> = Spanned<DeValue<'i>>;

impl Walk<'_> {
    fn section(&mut self, section: &Name<'_>, value: &Value<'_>) {
        let name = section.get_ref().as_ref();
        match name {
            "backends" => return self.rows(value, BACKENDS, Self::backend),
            "accounts" => return self.rows(value, ACCOUNTS, Self::account),
            "mirrors" => return self.rows(value, MIRRORS, Self::mirror),
            "listeners" => return self.rows(value, LISTENERS, Self::listener),
            _ => {}
        }
        let Some(name) = SECTIONS.iter().find(|known| **known == name) else {
            let home = SECTIONS.iter().find(|section| !LISTS.contains(section) && keys::find(section, name).is_some());
            let text = match home {
                Some(home) => format!("'{name}' belongs into [{home}]: put that line above it"),
                None => format!("there is no section '{name}'; {}", suggestion(name, SECTIONS)),
            };
            return self.wrong(section.span(), text);
        };
        let Some(table) = value.get_ref().as_table() else {
            return self
                .wrong(value.span(), format!("'{name}' is a section: write it as [{name}], with its keys below"));
        };
        for (key, value) in table {
            match keys::find(name, key.get_ref()) {
                Some(Key { kind: Kind::Own, .. }) => self.own(name, key.get_ref(), value),
                Some(known) => self.plain(known, value),
                None => self.unknown(name, key),
            }
        }
    }

    fn unknown(&mut self, section: &str, key: &Name<'_>) {
        let name = key.get_ref();
        let elsewhere = SECTIONS.iter().find(|other| keys::find(other, name).is_some());
        let text = match elsewhere {
            Some(other) => format!("'{name}' belongs into [{other}], not into [{section}]: move it"),
            None => format!("[{section}] has no key '{name}'; {}", meant(section, name)),
        };
        self.wrong(key.span(), text);
    }

    fn plain(&mut self, key: &'static Key, value: &Value<'_>) {
        let plain = match (&key.kind, value.get_ref()) {
            (Kind::Number { .. }, DeValue::Integer(number)) => match unsigned(number) {
                Some(number) => Plain::Number(number),
                None => return self.wrong(value.span(), format!("{} must be a whole number from 0 up", key.name)),
            },
            (Kind::Switch { .. }, DeValue::Boolean(value)) => Plain::Switch(*value),
            (Kind::Word { .. } | Kind::Name { .. }, DeValue::String(text)) => Plain::Text(text.to_string()),
            (kind, other) => return self.wrong_type(key.name, wanted(kind), value.span(), other),
        };
        let given = Given::new(plain, self.lines.place(value.span()));
        self.typed.plain.push((key, given));
    }

    fn own(&mut self, section: &str, key: &str, value: &Value<'_>) {
        match (section, key) {
            ("gate", "listen") => self.typed.listen = self.texts(key, value),
            ("gate", "admin_listen") => self.typed.admin_listen = self.text(key, value),
            ("gate", "admin_sql_listen") => self.typed.admin_sql_listen = self.text(key, value),
            ("gate", "admin_sql_password_file") => self.typed.admin_sql_password_file = self.path(key, value),
            ("gate", "grpc_listen") => self.typed.grpc_listen = self.text(key, value),
            ("gate", "compression") => self.typed.compression = self.texts(key, value),
            ("gate", "proxy_protocol") => self.typed.proxy_protocol = self.text(key, value),
            ("gate", "proxy_protocol_networks") => self.typed.proxy_networks = self.texts(key, value),
            ("gate", "cores") => self.typed.cores = self.cores(value),
            ("gate", "tls") => match value.get_ref().as_bool() {
                Some(on) => self.typed.tls = Some(Given::new(on, self.lines.place(value.span()))),
                None => self.wrong_type(key, "true or false", value.span(), value.get_ref()),
            },
            ("gate", "tls_cert") => self.typed.tls_cert = self.path(key, value),
            ("gate", "tls_key") => self.typed.tls_key = self.path(key, value),
            ("gate", "tls_dir") => self.typed.tls_dir = self.path(key, value),
            ("gate", "tls_ca") => self.typed.tls_ca = self.path(key, value),
            ("gate", "controllers") => self.typed.controllers = self.text(key, value),
            ("gate", "peers") => self.typed.peers = self.text(key, value),
            ("gate", "controllers_cache") => self.typed.controllers_cache = self.path(key, value),
            ("gate", "permissions") => self.typed.permissions = self.path(key, value),
            ("gate", "filters_file") => self.typed.filters_file = self.path(key, value),
            ("pool", "backend_tls_ca") => self.typed.backend_tls_ca = self.path(key, value),
            ("audit_log", "file") => self.typed.audit_log = self.path(key, value),
            ("audit_log", "events") => self.typed.audit_events = self.texts(key, value),
            ("traces", "tls_ca") => self.typed.traces_ca = self.path(key, value),
            ("traces", "headers_file") => self.typed.traces_headers = self.path(key, value),
            ("query_log", "file") => self.typed.query_log = self.path(key, value),
            ("gate", "grpc_tls_cert") => self.typed.grpc_tls_cert = self.path(key, value),
            ("gate", "grpc_tls_key") => self.typed.grpc_tls_key = self.path(key, value),
            ("gate", "grpc_tls_ca") => self.typed.grpc_tls_ca = self.path(key, value),
            ("monitor", "user") => self.typed.user = self.text(key, value),
            ("monitor", "password") => self.typed.password = self.text(key, value),
            ("monitor", "password_file") => self.typed.password_file = self.path(key, value),
            ("log", "level") => self.typed.log = self.text(key, value),
            _ => unreachable!("every key of its own has a line here: {section}.{key}"),
        }
    }

    /// A list of tables, each of which `walk` reads. `of`: whose keys stand in one; `one`: what it is called; `keys`: what one needs.
    fn rows(
        &mut self,
        value: &Value<'_>,
        (section, of, one, keys): (&str, &str, &str, &str),
        walk: fn(&mut Self, Range<usize>, &DeTable<'_>),
    ) {
        let Some(list) = value.get_ref().as_array() else {
            let text = format!("'{section}' is a list: write [[{section}]] above each {of}'s keys");
            return self.wrong(value.span(), text);
        };
        for item in list.iter() {
            match item.get_ref().as_table() {
                Some(table) => walk(self, item.span(), table),
                None => self.wrong(item.span(), format!("{one} is a table: write {{ {keys} }}")),
            }
        }
    }

    fn backend(&mut self, span: Range<usize>, table: &DeTable<'_>) {
        let place = self.lines.place(span);
        let mut backend =
            TypedBackend { place, address: None, name: None, weight: None, zone: None, role: None, tablet: None };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "address" => backend.address = self.text("address", value),
                "name" => backend.name = self.text("name", value),
                "role" => backend.role = self.text("role", value),
                "zone" => backend.zone = self.text("zone", value),
                "tablet" => backend.tablet = self.text("tablet", value),
                "weight" => backend.weight = self.whole("weight", value),
                _ => self.unknown("backends", key),
            }
        }
        self.typed.backends.push(backend);
    }

    fn account(&mut self, span: Range<usize>, table: &DeTable<'_>) {
        let mut account =
            TypedAccount { place: self.lines.place(span), user: None, require: None, numbers: Vec::new() };
        for (key, value) in table {
            match (key.get_ref().as_ref(), accounts::number(key.get_ref())) {
                ("user", _) => account.user = self.text("user", value),
                ("require", _) => account.require = self.texts("require", value),
                (_, Some(known)) => {
                    let number = self.whole(known.name, value);
                    account.numbers.extend(number.map(|number| (known.name, number)));
                }
                (_, None) => self.unknown("accounts", key),
            }
        }
        self.typed.accounts.push(account);
    }

    fn mirror(&mut self, span: Range<usize>, table: &DeTable<'_>) {
        let mut mirror = TypedMirror::at(self.lines.place(span));
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match (name, mirrors::text_of(&mut mirror, name)) {
                (_, Some(place)) => *place = self.text(name, value),
                ("password_file", _) => mirror.password_file = self.path(name, value),
                ("tls_ca", _) => mirror.tls_ca = self.path(name, value),
                ("connections_max", _) => mirror.connections_max = self.whole(name, value),
                _ => self.unknown("mirrors", key),
            }
        }
        self.typed.mirrors.push(mirror);
    }

    fn listener(&mut self, span: Range<usize>, table: &DeTable<'_>) {
        let mut row = TypedListener::at(self.lines.place(span));
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "address" => row.address = self.text("address", value),
                "tls" => row.tls = self.text("tls", value),
                "tls_cert" => row.tls_cert = self.path("tls_cert", value),
                "tls_key" => row.tls_key = self.path("tls_key", value),
                "tls_client_auth" => row.tls_client_auth = self.text("tls_client_auth", value),
                "tls_ca" => row.tls_ca = self.path("tls_ca", value),
                "tls_min_version" => row.tls_min_version = self.text("tls_min_version", value),
                "proxy_protocol" => row.proxy_protocol = self.text("proxy_protocol", value),
                _ => self.unknown("listeners", key),
            }
        }
        self.typed.listeners.push(row);
    }

    fn whole(&mut self, name: &str, value: &Value<'_>) -> Option<Given<u64>> {
        let number = value.get_ref().as_integer().and_then(unsigned);
        if number.is_none() {
            self.wrong_type(name, "a whole number from 0 up", value.span(), value.get_ref());
        }
        Some(Given::new(number?, self.lines.place(value.span())))
    }

    fn text(&mut self, name: &str, value: &Value<'_>) -> Option<Given<String>> {
        match value.get_ref().as_str() {
            Some(text) => Some(Given::new(text.to_string(), self.lines.place(value.span()))),
            None => {
                self.wrong_type(name, "a text in quotes", value.span(), value.get_ref());
                None
            }
        }
    }

    fn path(&mut self, name: &str, value: &Value<'_>) -> Option<Given<PathBuf>> {
        let Given { value, place } = self.text(name, value)?;
        Some(Given::new(self.folder.join(value), place))
    }

    fn texts(&mut self, name: &str, value: &Value<'_>) -> Option<Vec<Given<String>>> {
        match value.get_ref() {
            DeValue::Array(items) => Some(items.iter().filter_map(|item| self.text(name, item)).collect()),
            _ => self.text(name, value).map(|one| vec![one]),
        }
    }

    fn cores(&mut self, value: &Value<'_>) -> Option<Given<TypedCores>> {
        let number = |value: &DeValue<'_>| value.as_integer().and_then(unsigned).map(|number| number as usize);
        let typed = match value.get_ref() {
            DeValue::String(text) => Some(TypedCores::Text(text.to_string())),
            DeValue::Array(items) => {
                items.iter().map(|item| number(item.get_ref())).collect::<Option<_>>().map(TypedCores::Numbers)
            }
            other => number(other).map(|count| TypedCores::Text(count.to_string())),
        };
        if typed.is_none() {
            self.wrong_type(
                "cores",
                "a number, a text such as \"0-3\", or a list of numbers",
                value.span(),
                value.get_ref(),
            );
        }
        Some(Given::new(typed?, self.lines.place(value.span())))
    }

    fn wrong_type(&mut self, name: &str, wanted: &str, span: Range<usize>, found: &DeValue<'_>) {
        self.wrong(span, format!("{name} must be {wanted}, not a value of type {}", found.type_str()));
    }

    fn wrong(&mut self, span: Range<usize>, text: String) {
        let place = self.lines.place(span);
        self.mistakes.add(&place, text);
    }
}

const BACKENDS: (&str, &str, &str, &str) = ("backends", "server", "a backend", "address = \"host:port\"");
const ACCOUNTS: (&str, &str, &str, &str) = ("accounts", "user", "an account", "user = \"name\"");
const MIRRORS: (&str, &str, &str, &str) = ("mirrors", "server", "a mirror", "name = \"next\", address = \"host:port\"");
const LISTENERS: (&str, &str, &str, &str) = ("listeners", "address", "a listener", "address = \"host:port\"");

fn unsigned(number: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// What a key of this section was meant to be: one of its own, else one of another section.
fn meant(section: &str, name: &str) -> String {
    let own: Vec<&str> = keys::names(section).collect();
    let others = SECTIONS.iter().flat_map(|other| keys::names(other).map(move |key| (*other, key)));
    let nearest_elsewhere =
        others.filter_map(|(other, key)| nearest(name, [key]).map(|(far, key)| (far, other, key))).min();
    let nearest_elsewhere = nearest_elsewhere.filter(|(far, _, key)| *far <= key.len() / 5 + 1);
    match (nearest(name, own.iter().copied()), nearest_elsewhere) {
        (None, Some((_, other, key))) => format!("did you mean '{key}' of [{other}]?"),
        _ => suggestion(name, own),
    }
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Number { .. } => "a whole number",
        Kind::Switch { .. } => "true or false",
        Kind::Word { .. } | Kind::Name { .. } | Kind::Own => "a text in quotes",
    }
}
