//! From what was typed to what it means, with every cross-check.

use crate::config::accounts;
use crate::config::address;
use crate::config::audited;
use crate::config::cores;
use crate::config::keys::{Key, Kind};
use crate::config::mirrors;
use crate::config::mistake::{Given, Mistakes, Place, suggestion};
use crate::config::outside;
use crate::config::tablet::first_line;
use crate::config::traced;
use crate::config::typed::{Plain, Typed, TypedBackend, TypedCores, TypedListener};
use crate::config::{BackendConfig, BackendTlsMode, CONTROLLERS_MAX, Config, ControllersConfig, PEERS_MAX, Tls};
use crate::gate::{backend_tls, keys};
use crate::grpc::tls::{ClientTls, ServerTls, TlsFiles};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use weir_core::drive::ListenAddress;
use weir_core::snapshot::Role;
use weir_net::compress::Allowed;
use weir_net::proxy::Networks;
use weir_net::secret::Secret;
use weir_planner::routines::Routines;

mod listeners;
mod secure;

pub fn judge(typed: Typed, mistakes: Mistakes) -> Result<Config, Mistakes> {
    let allowed = cores::allowed();
    let mut judge = Judge { config: Config::defaults(cores::usual(&allowed)), mistakes };
    judge.plain(&typed);
    let listeners = judge.listen(&typed);
    judge.compression(&typed);
    judge.proxy_protocol(&typed);
    judge.admin(&typed);
    judge.admin_sql(&typed);
    judge.cores(&typed, &allowed);
    judge.tls(&typed);
    judge.client_ca(&typed);
    judge.listeners(&typed, listeners);
    judge.client_tls(&typed);
    judge.accounts(&typed.accounts);
    judge.backend_tls(&typed);
    judge.monitor(&typed);
    judge.log(&typed);
    judge.controllers(&typed);
    judge.peers(&typed);
    judge.grpc_tls(&typed);
    judge.files(&typed);
    judge.backends(&typed.backends);
    judge.config.settings.allowances = accounts::judge(&typed.accounts, &mut judge.mistakes);
    judge.config.mirrors = mirrors::judge(&typed.mirrors, &mut judge.mistakes);
    audited::judge(&typed, &mut judge.config.audit_log, &mut judge.mistakes);
    traced::judge(&typed, &mut judge.config.traces, &mut judge.mistakes);
    judge.across(&typed);
    match judge.mistakes.is_empty() {
        true => Ok(judge.config),
        false => Err(judge.mistakes),
    }
}

mod admin;

struct Judge {
    config: Config,
    mistakes: Mistakes,
}

impl Judge {
    fn plain(&mut self, typed: &Typed) {
        for (key, Given { value, place }) in &typed.plain {
            if let Err(text) = self.plain_one(key, value) {
                self.mistakes.add(place, text);
            }
        }
    }

    fn plain_one(&mut self, key: &Key, value: &Plain) -> Result<(), String> {
        match (&key.kind, value) {
            (Kind::Number { min, max, write, .. }, value) => {
                let number = match value {
                    Plain::Number(number) => Some(*number),
                    Plain::Text(text) => text.parse().ok(),
                    Plain::Switch(_) => None,
                };
                match number.filter(|number| (*min..=*max).contains(number)) {
                    Some(number) => write(&mut self.config, number),
                    None => return Err(format!("{} must be a whole number from {min} to {max}", key.name)),
                }
            }
            (Kind::Switch { write, .. }, Plain::Switch(on)) => write(&mut self.config, *on),
            (Kind::Word { words, write, .. }, Plain::Text(word)) => {
                if !words.contains(&word.as_str()) {
                    return Err(format!(
                        "{} cannot be '{word}'; {}",
                        key.name,
                        suggestion(word, words.iter().copied())
                    ));
                }
                write(&mut self.config, word);
            }
            (Kind::Name { write, .. }, Plain::Text(name)) => {
                let is_list = key.name.ends_with("_routines");
                let most = if is_list { LIST_BYTES_MAX } else { NAME_BYTES_MAX };
                if name.len() > most || name.contains(char::is_control) {
                    return Err(format!("{} has at most {most} bytes and no control characters", key.name));
                }
                if is_list {
                    Routines::parse(name, "").map_err(|why| format!("{}: {why}", key.name))?;
                }
                write(&mut self.config, name);
            }
            _ => unreachable!("the file's reader checks the type of {}", key.name),
        }
        Ok(())
    }

    fn compression(&mut self, typed: &Typed) {
        let Some(names) = &typed.compression else { return };
        let mut allowed = Allowed { zlib: false, zstd: false, uncompressed: false };
        for Given { value, place } in names {
            match allowed.by_name(value) {
                Some(one) if !*one => *one = true,
                Some(_) => self.mistakes.add(place, format!("'{value}' stands in compression twice: remove one")),
                None => {
                    let help = suggestion(value, Allowed::NAMES.iter().copied());
                    self.mistakes.add(place, format!("compression cannot be '{value}'; {help}"));
                }
            }
        }
        if names.is_empty() {
            self.mistakes
                .add(&Place::Missing, "compression is empty: nobody could log in; write [\"uncompressed\"] for none");
        }
        self.config.settings.compression = allowed;
    }

    fn proxy_protocol(&mut self, typed: &Typed) {
        let mut networks = Networks::default();
        for Given { value, place } in typed.proxy_networks.iter().flatten() {
            if let Err(text) = networks.add(value) {
                self.mistakes.add(place, text);
            }
        }
        let place = typed.proxy_protocol.as_ref().map_or(Place::Missing, |given| given.place.clone());
        let listener_wants = |row: &TypedListener| row.proxy_protocol.as_ref().is_some_and(|word| word.value != "off");
        self.config.proxy_networks = networks.clone();
        match typed.proxy_protocol.as_ref().map_or("off", |given| &given.value) {
            "required" if networks.is_empty() => self.mistakes.add(
                &place,
                "proxy_protocol is required, yet from nobody: name the balancers in proxy_protocol_networks, or \"*\" for all",
            ),
            "required" => self.config.settings.proxy_networks = networks,
            "off" if networks.is_empty() || typed.listeners.iter().any(listener_wants) => {}
            "off" => self.mistakes.add(
                &place,
                "proxy_protocol_networks are named, yet proxy_protocol is off: write proxy_protocol = \"required\"",
            ),
            other => {
                let help = suggestion(other, ["off", "required"]);
                self.mistakes.add(&place, format!("proxy_protocol cannot be '{other}'; {help}"));
            }
        }
    }

    fn cores(&mut self, typed: &Typed, allowed: &[usize]) {
        let Some(Given { value, place }) = &typed.cores else {
            if self.config.cores.is_empty() {
                self.mistakes
                    .add(&Place::Missing, "the kernel does not say which CPUs we may use: name them with --cores");
            }
            return;
        };
        let cores = match value {
            TypedCores::Text(text) => cores::parse(text, allowed),
            TypedCores::Numbers(numbers) => cores::these(numbers, allowed),
        };
        if let Some(cores) = self.mistakes.keep(place, cores) {
            self.config.cores = cores;
        }
    }

    fn tls(&mut self, typed: &Typed) {
        let off = typed.tls.as_ref().filter(|tls| !tls.value);
        let files = [&typed.tls_cert, &typed.tls_key, &typed.tls_dir];
        if let (Some(off), Some(_)) = (off, files.iter().find_map(|file| file.as_ref())) {
            let text = "TLS is switched off, yet a certificate is named: remove one of the two";
            return self.mistakes.add(&off.place, text);
        }
        self.config.tls = match (&typed.tls_cert, &typed.tls_key, &typed.tls_dir) {
            (None, None, None) if off.is_some() => Tls::Off,
            (None, None, None) => Tls::Ephemeral,
            (None, None, Some(folder)) => Tls::Folder(folder.value.clone()),
            (Some(cert), Some(key), None) => {
                let both = [cert, key].map(|file| self.readable(&file.place, &file.value));
                if both.contains(&None) {
                    return;
                }
                Tls::Files { cert: cert.value.clone(), key: key.value.clone() }
            }
            (Some(file), _, Some(_)) | (None, Some(file), Some(_)) => {
                let text =
                    "a certificate's files and a folder for generated ones contradict each other: keep one of the two";
                return self.mistakes.add(&file.place, text);
            }
            (Some(cert), None, None) => {
                return self.mistakes.add(&cert.place, "a certificate needs its private key: name it with tls_key");
            }
            (None, Some(key), None) => {
                return self.mistakes.add(&key.place, "a private key needs its certificate: name it with tls_cert");
            }
        };
        let place = files.into_iter().flatten().next().map_or(Place::Missing, |file| file.place.clone());
        self.mistakes.keep(&place, keys::check(&self.config.tls));
    }

    /// After the plain keys, of which the mode is one.
    fn backend_tls(&mut self, typed: &Typed) {
        let mode = self.config.backend_tls;
        let verifies = matches!(mode, BackendTlsMode::VerifyCa | BackendTlsMode::VerifyIdentity);
        let given = typed.plain.iter().rev().find(|(key, _)| key.name == "backend_tls");
        let mut place = given.map_or(Place::Missing, |(_, given)| given.place.clone());
        if let Some(ca) = &typed.backend_tls_ca {
            place = ca.place.clone();
            if !verifies {
                let text = format!(
                    "backend_tls_ca is named, yet backend_tls = \"{}\" asks no authority: write \"verify_ca\" or \
                     \"verify_identity\", or leave the file out",
                    mode.word()
                );
                self.mistakes.add(&place, text);
            }
            if self.readable(&place, &ca.value).is_none() {
                return;
            }
            self.config.backend_tls_ca = Some(ca.value.clone());
        }
        self.mistakes.keep(&place, backend_tls::make(mode, self.config.backend_tls_ca.as_deref()).map(drop));
    }

    /// None: it is not, and that is said.
    fn readable(&mut self, place: &Place, path: &Path) -> Option<()> {
        let read = std::fs::File::open(path).map(drop);
        let why = |error| format!("'{}' cannot be read ({error}): correct the path or the file's mode", path.display());
        self.mistakes.keep(place, read.map_err(why))
    }

    fn monitor(&mut self, typed: &Typed) {
        if let Some(Given { value, place }) = &typed.user {
            if value.is_empty() {
                self.mistakes.add(place, "the monitor's user is empty: name an account of the backends");
            }
            self.config.monitor.user = value.clone();
        }
        match (&typed.password, &typed.password_file) {
            (None, None) => {}
            (Some(password), None) => self.config.monitor.password = Secret::from(password.value.as_bytes()),
            (None, Some(file)) => {
                self.config.monitor.password = first_line(&file.value, &file.place, &mut self.mistakes);
            }
            (Some(password), Some(_)) => {
                self.mistakes
                    .add(&password.place, "password and password_file contradict each other: keep one of the two");
            }
        }
    }

    fn log(&mut self, typed: &Typed) {
        let Some(Given { value, place }) = &typed.log else { return };
        self.config.log.filter = value.clone();
        if let Err(text) = crate::log::check(value) {
            self.mistakes.add(place, text);
        }
    }

    fn controllers(&mut self, typed: &Typed) {
        let cache = typed.controllers_cache.as_ref().filter(|cache| !cache.value.as_os_str().is_empty());
        let Some(Given { value, place }) = typed.controllers.as_ref().filter(|list| !list.value.is_empty()) else {
            if let Some(cache) = cache {
                self.mistakes.add(&cache.place, "there are no controllers whose word could be kept: name them");
            }
            return;
        };
        let Some(addresses) = self.mistakes.keep(place, address::list(value, CONTROLLERS_MAX)) else { return };
        if let Some(Given { value, place }) = cache {
            self.mistakes.keep(place, outside::writable_file(value));
        }
        self.config.controllers = Some(ControllersConfig { addresses, cache: cache.map(|cache| cache.value.clone()) });
    }

    fn peers(&mut self, typed: &Typed) {
        let Some(Given { value, place }) = typed.peers.as_ref().filter(|list| !list.value.is_empty()) else { return };
        if self.config.controllers.is_some() {
            return self
                .mistakes
                .add(place, "peers are for gates without controllers, which know the gates: leave them out");
        }
        if let Some(peers) = self.mistakes.keep(place, address::list(value, PEERS_MAX)) {
            self.config.peers = peers;
        }
    }

    fn grpc_tls(&mut self, typed: &Typed) {
        let given = [&typed.grpc_tls_cert, &typed.grpc_tls_key, &typed.grpc_tls_ca];
        let given = given.map(|given| given.as_ref().filter(|given| !given.value.as_os_str().is_empty()));
        let place = given.into_iter().flatten().next().map_or(Place::Missing, |given| given.place.clone());
        let [cert, key, ca] = given.map(|given| given.map(|given| given.value.clone()));
        self.config.grpc_tls = TlsFiles { cert, key, ca };
        // With the authority alone the gate verifies others, and is itself asked in plain text.
        let outcome = match (&self.config.grpc_tls.cert, &self.config.grpc_tls.key) {
            (None, None) => ClientTls::load(&self.config.grpc_tls).map(drop),
            _ => ServerTls::load(&self.config.grpc_tls).map(drop),
        };
        self.mistakes.keep(&place, outcome);
    }

    /// Table permissions and the query log; an empty name is none.
    fn files(&mut self, typed: &Typed) {
        let named = |given: &Option<Given<PathBuf>>| given.clone().filter(|given| !given.value.as_os_str().is_empty());
        if let Some(Given { value, place }) = named(&typed.permissions) {
            if let Err(found) = crate::acl::file::read(&value) {
                found.0.iter().for_each(|mistake| self.mistakes.add(&place, mistake.to_string()));
            }
            self.config.permissions = Some(value);
        }
        if let Some(Given { value, place }) = named(&typed.filters_file) {
            match self.config.controllers {
                Some(_) => {
                    self.mistakes.add(&place, "the controllers keep the filters, for all gates: leave filters_file out")
                }
                None => drop(self.mistakes.keep(&place, crate::gate::filters::read(&value))),
            }
            self.config.filters_file = Some(value);
        }
        if let Some(Given { value, place }) = named(&typed.query_log) {
            self.mistakes.keep(&place, outside::writable_file(&value));
            self.config.query_log.file = Some(value);
        }
        // Its usual values may stand there without one.
        let is_usual = self.config.query_log == Config::defaults(Vec::new()).query_log;
        let set = typed.plain.iter().rev().find(|(key, _)| key.section == "query_log");
        if let (None, false, Some((_, given))) = (&self.config.query_log.file, is_usual, set) {
            self.mistakes.add(&given.place, "there is no query log to be set up: name its file in [query_log]");
        }
    }

    fn backends(&mut self, typed: &[TypedBackend]) {
        for backend in typed {
            self.backend(backend);
        }
        if typed.is_empty() && self.config.controllers.is_none() {
            let text = "no backend is named: add --backend HOST:PORT, or [[backends]] with an address to the configuration file";
            self.mistakes.add(&Place::Missing, text);
        }
        if typed.len() > BACKENDS_MAX {
            self.mistakes.add(&Place::Missing, format!("there are {} backends: {BACKENDS_MAX} at most", typed.len()));
        }
    }

    fn backend(&mut self, typed: &TypedBackend) {
        let (value, place, mut backend) = match (&typed.address, &typed.tablet) {
            (Some(Given { value, place }), None) => {
                let Some(address) = self.mistakes.keep(place, address::backend(value)) else { return };
                (value, place, BackendConfig { name: value.clone(), ..BackendConfig::at(&address) })
            }
            (None, Some(Given { value, place })) => {
                if self.mistakes.keep(place, address::tablet(value)).is_none() {
                    return;
                }
                (value, place, BackendConfig::behind(value))
            }
            (Some(_), Some(Given { place, .. })) => {
                let text =
                    "address and tablet contradict each other: a tablet says where its server is; keep one of the two";
                return self.mistakes.add(place, text);
            }
            (None, None) => {
                return self.mistakes.add(&typed.place, "this backend has no address: add address = \"host:port\"");
            }
        };
        let is_same = |known: &BackendConfig| known.tablet == backend.tablet && known.address == backend.address;
        if self.config.backends.iter().any(is_same) {
            self.mistakes.add(place, format!("'{value}' is a backend already: remove one of the two"));
        }
        let mut name_place = place;
        if let Some(Given { value, place }) = &typed.name {
            (backend.name, name_place) = (value.clone(), place);
            if value.is_empty() || value.len() > NAME_BYTES_MAX || value.contains(char::is_control) {
                self.mistakes.add(place, format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters"));
            }
        }
        if self.config.backends.iter().any(|known| known.name == backend.name) {
            self.mistakes
                .add(name_place, format!("two backends are called '{}': give each a name of its own", backend.name));
        }
        if let Some(Given { value, place }) = &typed.weight {
            match u32::try_from(*value).ok().filter(|weight| *weight <= WEIGHT_MAX) {
                Some(weight) => backend.weight = weight,
                None => self.mistakes.add(place, format!("weight must be a whole number from 0 to {WEIGHT_MAX}")),
            }
        }
        if let Some(Given { value, place }) = &typed.zone {
            backend.zone.clone_from(value);
            if value.len() > NAME_BYTES_MAX || value.contains(char::is_control) {
                self.mistakes
                    .add(place, format!("a zone has at most {NAME_BYTES_MAX} bytes and no control characters"));
            }
        }
        if let Some(Given { value, place }) = &typed.role {
            match value.as_str() {
                "primary" => self.pin_primary(&mut backend, place),
                "replica" => backend.role = Some(Role::Replica),
                other => {
                    let text = format!("role cannot be '{other}'; {}", suggestion(other, ["primary", "replica"]));
                    self.mistakes.add(place, text);
                }
            }
        }
        self.config.backends.push(backend);
    }

    fn pin_primary(&mut self, backend: &mut BackendConfig, place: &Place) {
        backend.role = Some(Role::Primary);
        if self.config.backends.iter().any(|known| known.role == Some(Role::Primary)) {
            self.mistakes.add(place, "two backends are pinned as primary: there can be one");
        }
    }

    /// What is right by itself and wrong together.
    fn across(&mut self, typed: &Typed) {
        let Config { settings, cores, .. } = &self.config;
        let place = |name: &str| {
            let typed = typed.plain.iter().rev().find(|(key, _)| key.name == name);
            typed.map_or(Place::Missing, |(_, given)| given.place.clone())
        };
        let warm = u64::from(settings.connections_warm_min) * cores.len() as u64;
        let most = u64::from(settings.connections_per_backend_max);
        if warm > most {
            let text = format!(
                "connections_warm_min on {} cores keeps {warm} connections, but connections_per_backend_max allows {most}: \
                 lower the first or raise the second",
                cores.len()
            );
            self.mistakes.add(&place("connections_warm_min"), text);
        }
        let Config { listen, admin_listen, grpc_listen, .. } = &self.config;
        let taken = |address: &Option<SocketAddr>| {
            address.is_some_and(|address| address.port() != 0 && listen.contains(&ListenAddress::Tcp(address)))
        };
        let place_of =
            |given: &Option<Given<String>>| given.as_ref().map_or(Place::Missing, |given| given.place.clone());
        for (name, address, typed) in
            [("admin_listen", admin_listen, &typed.admin_listen), ("grpc_listen", grpc_listen, &typed.grpc_listen)]
        {
            if taken(address) {
                self.mistakes
                    .add(&place_of(typed), format!("{name} is an address that clients use: choose another port"));
            }
        }
        if admin_listen.is_some_and(|address| address.port() != 0) && admin_listen == grpc_listen {
            let text = "admin_listen and grpc_listen are the same address: choose another port for one of them";
            self.mistakes.add(&place_of(&typed.grpc_listen), text);
        }
    }
}

/// A backend's number has 16 bits, and every core has a pool for each: far more than anyone has.
const BACKENDS_MAX: usize = 256;
const WEIGHT_MAX: u32 = 10_000;
/// It stands in every metric and table.
const NAME_BYTES_MAX: usize = 64;
const LIST_BYTES_MAX: usize = 64 << 10;
