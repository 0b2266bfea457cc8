//! A reload: what a configuration that was read again changes in a gate that runs, and what waits for the next start.
//!
//! Invariant: [`Reload::config`] is what holds afterwards, whole: the read one, with what is [`FIXED`] as it was. What is told as
//! changed or as kept is the difference of what is printed, so that nothing changes in silence. Passwords are never shown.

use super::keys::{self, KEYS};
use super::listeners::ListenerConfig;
use super::{BackendConfig, Config, TracesConfig, address, print};
use weir_core::drive::ListenAddress;
use weir_core::snapshot::Settings;

#[derive(Clone, Debug)]
pub struct Reload {
    pub config: Config,
    pub backends: Vec<Step>,
    /// A line for each setting: what it was and what it is.
    pub changed: Vec<String>,
    /// A line for each setting that stays as it is until the next start.
    pub kept: Vec<String>,
}

/// A backend is one by its name, as long as it is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Remove { name: String },
    Add(BackendConfig),
    Terms(BackendConfig),
}

/// `running`: what holds now, with what admins have set; `configured`: the settings without that.
pub fn weigh(running: &Config, configured: &Settings, read: Config) -> Reload {
    let mut wanted = read.clone();
    let mut next = read;
    keep_fixed(running, &mut next);
    // The same addresses in another order are the same.
    if wanted.listen.len() == running.listen.len() && wanted.listen.iter().all(|one| running.listen.contains(one)) {
        wanted.listen.clone_from(&running.listen);
    }
    let file = Config { settings: configured.clone(), ..running.clone() };
    let mut reload = Reload { config: next, backends: Vec::new(), changed: Vec::new(), kept: Vec::new() };
    for key in KEYS.iter().filter(|key| !keys::LISTS.contains(&key.section)) {
        let [was, typed, wants, is] = [running, &file, &wanted, &reload.config].map(|config| print::show(key, config));
        let name = format!("[{}] {}", key.section, key.name);
        if wants != is {
            reload.kept.push(format!("{name}: needs a restart or an upgrade; still {is}"));
        } else if was != typed && was != is {
            reload.changed.push(format!("{name}: {was} by SET GLOBAL, now {is} by the configuration"));
        } else if was != is {
            reload.changed.push(format!("{name}: was {was}, now {is}"));
        }
    }
    if running.monitor.password != reload.config.monitor.password {
        reload.changed.push("[monitor] password: another one".to_string());
    }
    let accounts = |config: &Config| (config.settings.accounts.clone(), config.settings.allowances.clone());
    if accounts(running) != accounts(&reload.config) {
        reload.changed.push("[[accounts]]: other rows".to_string());
    }
    if running.mirrors != reload.config.mirrors {
        reload.changed.push("[[mirrors]]: other rows".to_string());
    }
    weigh_listeners(running, &wanted, &mut reload);
    weigh_backends(running, &wanted, &mut reload);
    reload
}

fn keep_fixed(running: &Config, next: &mut Config) {
    keep_listeners(running, next);
    next.admin_listen = running.admin_listen;
    next.grpc_listen = running.grpc_listen;
    next.admin_sql = running.admin_sql.clone();
    next.admin_is_optional = running.admin_is_optional;
    next.cores.clone_from(&running.cores);
    next.memory = running.memory.clone();
    next.controllers.clone_from(&running.controllers);
    next.peers.clone_from(&running.peers);
    next.filters_file.clone_from(&running.filters_file);
    next.monitor.start_ms_max = running.monitor.start_ms_max;
    next.log.format = running.log.format;
    // Other files are other certificates; from none to some is another way to listen and to ask.
    let has = |config: &Config| (config.grpc_tls.cert.is_some(), config.grpc_tls.ca.is_some());
    if has(running) != has(next) {
        next.grpc_tls = running.grpc_tls.clone();
    }
    let TracesConfig { sample, per_s_max, .. } = next.traces;
    next.traces = TracesConfig { sample, per_s_max, ..running.traces.clone() };
    next.settings.scatter = running.settings.scatter;
    let (now, then) = (&running.settings, &mut next.settings);
    let is_smaller = then.connections_per_backend_max < now.connections_per_backend_max;
    then.budget_version = now.budget_version + u32::from(is_smaller);
}

/// Addresses stay; each has the policy that is read for it, or the one that it had.
fn keep_listeners(running: &Config, next: &mut Config) {
    let read = std::mem::take(&mut next.listeners);
    let named = std::mem::replace(&mut next.listen, running.listen.clone());
    let row = |address: &ListenAddress| match named.contains(address) {
        true => read.iter().find(|row| row.address == *address).cloned(),
        false => running.listener(address).cloned(),
    };
    next.listeners = running.listen.iter().filter_map(row).collect();
}

fn weigh_listeners(running: &Config, wanted: &Config, reload: &mut Reload) {
    let terms = |config: &Config, address: &ListenAddress| {
        let terms = config.listener(address).map(ListenerConfig::terms).filter(|terms| !terms.is_empty());
        terms.unwrap_or_else(|| "as in [gate]".to_string())
    };
    for address in &running.listen {
        let (was, is) = (terms(running, address), terms(&reload.config, address));
        let name = address::show_listen(address);
        if was != is {
            reload.changed.push(format!("[[listeners]] {name}: was {was}, now {is}"));
        }
        if running.listener(address).is_some() && !wanted.listen.contains(address) {
            let line = format!("[[listeners]] {name}: needs a restart or an upgrade to go; still listened on, {is}");
            reload.kept.push(line);
        }
    }
    let is_new = |row: &&ListenerConfig| !running.listen.contains(&row.address);
    for row in wanted.listeners.iter().filter(is_new) {
        let name = address::show_listen(&row.address);
        reload.kept.push(format!("[[listeners]] {name}: needs a restart or an upgrade; not yet listened on"));
    }
}

fn weigh_backends(running: &Config, wanted: &Config, reload: &mut Reload) {
    if running.backends == wanted.backends {
        return;
    }
    if running.controllers.is_some() {
        reload.config.backends.clone_from(&running.backends);
        let line = "[[backends]]: needs a restart or an upgrade beside controllers, which tell of the members; still as it was";
        return reload.kept.push(line.to_string());
    }
    let place = |backend: &BackendConfig| (backend.name.clone(), backend.address.clone(), backend.tablet.clone());
    for old in &running.backends {
        if !wanted.backends.iter().any(|new| place(new) == place(old)) {
            reload.changed.push(format!("[[backends]] {}: is taken out", old.name));
            reload.backends.push(Step::Remove { name: old.name.clone() });
        }
    }
    for new in &wanted.backends {
        match running.backends.iter().find(|old| place(old) == place(new)) {
            None => {
                reload.changed.push(format!("[[backends]] {}: is a backend from now on", new.name));
                reload.backends.push(Step::Add(new.clone()));
            }
            Some(old) if old != new => {
                reload.changed.push(format!("[[backends]] {}: was {}, now {}", new.name, terms(old), terms(new)));
                reload.backends.push(Step::Terms(new.clone()));
            }
            Some(_) => {}
        }
    }
}

fn terms(backend: &BackendConfig) -> String {
    let role = backend.role.map_or("by evidence", crate::monitor::topology::role_name);
    format!("weight {}, zone \"{}\", role {role}", backend.weight, backend.zone)
}

/// Whether this key waits for the next start.
pub fn is_fixed(section: &str, name: &str) -> bool {
    FIXED.contains(&(section, name))
}

const FIXED: [(&str, &str); 21] = [
    ("gate", "filters_file"),
    ("traces", "endpoint"),
    ("traces", "tls_ca"),
    ("traces", "headers_file"),
    ("traces", "compression"),
    ("gate", "admin_sql_listen"),
    ("gate", "admin_sql_user"),
    ("gate", "admin_sql_password_file"),
    ("gate", "listen"),
    ("listeners", "address"),
    ("gate", "admin_listen"),
    ("gate", "grpc_listen"),
    ("gate", "cores"),
    ("gate", "controllers"),
    ("gate", "controllers_cache"),
    ("gate", "peers"),
    ("gate", "blocks_per_core"),
    ("gate", "block_bytes"),
    ("gate", "backlog"),
    ("monitor", "start_ms_max"),
    ("log", "format"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::Kind;
    use crate::config::listeners::TlsUse;
    use crate::config::{ControllersConfig, LogFormat};
    use weir_core::snapshot::{Address, Role};

    fn at(port: u16) -> Address {
        Address::Tcp(([10, 0, 0, 1], port).into())
    }

    /// Every number, switch, word and name by itself: told once, and changed or kept as the table says.
    #[test]
    fn each_setting_changes_or_is_told_to_stay() {
        let running = Config::defaults(vec![0]);
        let mut seen = 0;
        for key in KEYS {
            let mut read = running.clone();
            match &key.kind {
                Kind::Number { min, max, read: now, write } => {
                    write(&mut read, if now(&running) == *min { *max } else { *min });
                }
                Kind::Switch { read: now, write } => write(&mut read, !now(&running)),
                Kind::Word { words, read: now, write } => {
                    let other = words.iter().find(|word| **word != now(&running)).expect("two words");
                    write(&mut read, other);
                }
                Kind::Name { write, .. } => write(&mut read, "other"),
                Kind::Own => continue,
            }
            let wanted = print::show(key, &read);
            let reload = weigh(&running, &running.settings, read);
            let (told, quiet) = match is_fixed(key.section, key.name) {
                true => (&reload.kept, &reload.changed),
                false => (&reload.changed, &reload.kept),
            };
            assert!(quiet.is_empty() && told.len() == 1, "{}: {reload:?}", key.name);
            assert!(told[0].starts_with(&format!("[{}] {}: ", key.section, key.name)), "{told:?}");
            let holds = print::show(key, &reload.config) == wanted;
            assert_eq!(holds, !is_fixed(key.section, key.name), "{}", key.name);
            seen += 1;
        }
        assert!(seen > 40, "{seen}");
        for (section, name) in FIXED {
            assert!(crate::config::keys::find(section, name).is_some(), "{name} is no key");
        }
    }

    #[test]
    fn what_has_an_own_form_is_weighed_too() {
        let mut running = Config::defaults(vec![0]);
        running.settings.read_write_splitting_ratio = 10;
        let configured = Settings { read_write_splitting_ratio: 50, ..running.settings.clone() };
        let mut read = Config::defaults(vec![0, 1]);
        read.log.filter = "debug".to_string();
        read.log.format = LogFormat::Json;
        read.settings.read_write_splitting_ratio = 50;
        read.monitor.password = weir_net::secret::Secret::from(&b"secret"[..]);
        read.grpc_tls.ca = Some("ca.pem".into());
        let reload = weigh(&running, &configured, read);
        assert_eq!(
            reload.changed,
            [
                "[routing] read_write_splitting_ratio: 10 by SET GLOBAL, now 50 by the configuration",
                "[log] level: was \"info\", now \"debug\"",
                "[monitor] password: another one",
            ]
        );
        assert_eq!(reload.kept.len(), 3, "{:?}", reload.kept);
        assert_eq!(reload.kept[0], "[gate] cores: needs a restart or an upgrade; still \"0-0\"");
        assert_eq!((reload.config.cores, reload.config.log.filter), (vec![0], "debug".to_string()));
    }

    #[test]
    fn backends_come_go_and_change_their_terms() {
        let mut running = Config::defaults(vec![0]);
        running.backends = [1, 2, 3].map(|port| BackendConfig::at(&at(port))).to_vec();
        let mut read = running.clone();
        read.backends.remove(0);
        read.backends[0].weight = 7;
        read.backends[1].address = at(33);
        let reload = weigh(&running, &running.settings, read.clone());
        let [second, third] = [read.backends[0].clone(), read.backends[1].clone()];
        let gone = |port: u16| Step::Remove { name: format!("10.0.0.1:{port}") };
        assert_eq!(reload.backends, [gone(1), gone(3), Step::Terms(second), Step::Add(third)]);
        assert!(reload.changed[2].contains("was weight 100, zone \"\", role by evidence, now weight 7"));
        assert_eq!(reload.config.backends, read.backends);

        running.controllers = Some(ControllersConfig { addresses: vec!["c:1".to_string()], cache: None });
        read.controllers.clone_from(&running.controllers);
        read.backends[0].role = Some(Role::Replica);
        let reload = weigh(&running, &running.settings, read);
        assert!(reload.backends.is_empty() && reload.changed.is_empty() && reload.kept.len() == 1, "{reload:?}");
        assert_eq!(reload.config.backends, running.backends);
    }

    /// Policies go to the addresses that are listened on, whatever the order and the form; addresses wait.
    #[test]
    fn listeners_keep_their_addresses_and_follow_in_the_rest() {
        let listen = |port: u16| ListenAddress::Tcp(([127, 0, 0, 1], port).into());
        let row = |port: u16, tls| ListenerConfig { tls: Some(tls), ..ListenerConfig::at(listen(port)) };
        let mut running = Config::defaults(vec![0]);
        running.listen = [1, 2, 3, 4].map(listen).to_vec();
        running.listeners = vec![row(2, TlsUse::Off), row(3, TlsUse::Required), row(4, TlsUse::Off)];
        assert!(weigh(&running, &running.settings, running.clone()).changed.is_empty());
        let mut read = running.clone();
        read.listen = [3, 1, 2, 5].map(listen).to_vec();
        read.listeners = vec![row(1, TlsUse::Required), row(3, TlsUse::Optional), row(5, TlsUse::Off)];
        let reload = weigh(&running, &running.settings, read);
        assert_eq!(reload.config.listen, running.listen);
        assert_eq!(reload.config.listeners, [row(1, TlsUse::Required), row(3, TlsUse::Optional), row(4, TlsUse::Off)]);
        assert_eq!(
            reload.changed,
            [
                "[gate] listen: was [\"127.0.0.1:1\"], now [\"127.0.0.1:2\"]",
                "[[listeners]] 127.0.0.1:1: was as in [gate], now tls = \"required\"",
                "[[listeners]] 127.0.0.1:2: was tls = \"off\", now as in [gate]",
                "[[listeners]] 127.0.0.1:3: was tls = \"required\", now tls = \"optional\"",
            ]
        );
        assert_eq!(
            reload.kept,
            [
                "[[listeners]] 127.0.0.1:4: needs a restart or an upgrade to go; still listened on, tls = \"off\"",
                "[[listeners]] 127.0.0.1:5: needs a restart or an upgrade; not yet listened on",
            ]
        );
    }

    #[test]
    fn each_smaller_budget_has_a_version_of_its_own() {
        let running = Config::defaults(vec![0]);
        let mut read = running.clone();
        assert_eq!(weigh(&running, &running.settings, read.clone()).config.settings.budget_version, 0);
        read.settings.connections_per_backend_max = 7;
        let next = weigh(&running, &running.settings, read.clone()).config;
        assert_eq!(next.settings.budget_version, 1);
        let larger = weigh(&next, &next.settings, running).config;
        assert_eq!(larger.settings.budget_version, 1);
        assert_eq!(weigh(&larger, &larger.settings, next).config.settings.budget_version, 2);
    }
}
