//! `--print-config`: the configuration that holds, as a file that could be read again.
//!
//! What differs from the default stands as it is, the default itself in a comment. Passwords are never shown.

use crate::config::keys::{KEYS, Key, Kind, LISTS, SECTIONS};
use crate::config::{Config, Tls, accounts, address, cores, listeners, mirrors};
use std::fmt::Write;
use weir_core::snapshot::{Require, Role};

pub fn print(config: &Config) -> String {
    let usual = Config::defaults(cores::usual(&cores::allowed()));
    let mut out =
        String::from("# The configuration of this gate. Lines that begin with '#' and a key show defaults.\n");
    for section in SECTIONS {
        match section {
            "backends" => put_backends(&mut out, config),
            "accounts" => accounts::put(&mut out, config),
            "mirrors" => mirrors::put(&mut out, config),
            "listeners" => listeners::put(&mut out, config),
            _ => {}
        }
        if LISTS.contains(&section) {
            continue;
        }
        let _ = write!(out, "\n[{section}]\n");
        for key in KEYS.iter().filter(|key| key.section == section) {
            let (value, default) = (show(key, config), show(key, &usual));
            let mark = if value == default { "# " } else { "" };
            let _ = writeln!(out, "# {}\n{mark}{} = {value}", key.doc, key.name);
        }
    }
    out
}

/// As it would be typed.
pub fn show_require(require: &Require) -> String {
    let words: Vec<String> = match require {
        Require::Ssl => vec!["ssl".to_string()],
        Require::X509 => vec!["x509".to_string()],
        Require::Names { subject, issuer } => {
            let named = |what: &str, name: &Option<String>| name.as_ref().map(|name| format!("{what}:{name}"));
            [named("subject", subject), named("issuer", issuer)].into_iter().flatten().collect()
        }
    };
    format!("[{}]", words.iter().map(|word| text(word)).collect::<Vec<_>>().join(", "))
}

fn put_backends(out: &mut String, config: &Config) {
    for backend in &config.backends {
        out.push_str("\n[[backends]]\n");
        for key in KEYS.iter().filter(|key| key.section == "backends") {
            let (mark, value) = match key.name {
                "address" => match backend.tablet {
                    None => ("", text(&address::show(&backend.address))),
                    Some(_) => ("# ", text("")),
                },
                "tablet" => match &backend.tablet {
                    Some(tablet) => ("", text(tablet)),
                    None => ("# ", text("")),
                },
                "name" => ("", text(&backend.name)),
                "zone" => (if backend.zone.is_empty() { "# " } else { "" }, text(&backend.zone)),
                "weight" => (if backend.weight == 100 { "# " } else { "" }, backend.weight.to_string()),
                _ => match backend.role {
                    Some(Role::Primary) => ("", text("primary")),
                    Some(_) => ("", text("replica")),
                    None => ("# ", text("")),
                },
            };
            let _ = writeln!(out, "# {}\n{mark}{} = {value}", key.doc, key.name);
        }
    }
}

/// The value as it would be typed.
pub fn show(key: &Key, config: &Config) -> String {
    match &key.kind {
        Kind::Number { read, .. } => read(config).to_string(),
        Kind::Switch { read, .. } => read(config).to_string(),
        Kind::Word { read, .. } => text(read(config)),
        Kind::Name { read, .. } => text(read(config)),
        Kind::Own if key.section == "audit_log" => match key.name {
            "file" => path(config.audit_log.file.as_ref()),
            _ => texts(config.audit_log.events.each().map(|kind| kind.word())),
        },
        Kind::Own if key.section == "traces" => path(match key.name {
            "headers_file" => config.traces.headers_file.as_ref(),
            _ => config.traces.ca.as_ref(),
        }),
        Kind::Own => show_own(key.name, config),
    }
}

fn show_own(name: &str, config: &Config) -> String {
    let admin = |address: Option<std::net::SocketAddr>| text(&address.map_or("off".to_string(), |a| a.to_string()));
    let file = |pick: fn(&Tls) -> Option<&std::path::PathBuf>| {
        text(&pick(&config.tls).map(|path| path.display().to_string()).unwrap_or_default())
    };
    match name {
        "listen" => {
            let all = config.listen.iter().filter(|one| config.listener(one).is_none());
            let all: Vec<String> = all.map(|one| text(&address::show_listen(one))).collect();
            format!("[{}]", all.join(", "))
        }
        "compression" => texts(config.settings.compression.names()),
        "proxy_protocol" => text(if config.settings.proxy_networks.is_empty() { "off" } else { "required" }),
        "proxy_protocol_networks" => {
            let all: Vec<String> = config.proxy_networks.texts().map(|one| text(&one)).collect();
            format!("[{}]", all.join(", "))
        }
        "admin_listen" => admin(config.admin_listen),
        "admin_sql_listen" => admin(config.admin_sql.listen),
        "grpc_listen" => admin(config.grpc_listen),
        "cores" => text(&cores::show(&config.cores)),
        "tls" => (config.tls != Tls::Off).to_string(),
        "tls_cert" => file(|tls| if let Tls::Files { cert, .. } = tls { Some(cert) } else { None }),
        "tls_key" => file(|tls| if let Tls::Files { key, .. } = tls { Some(key) } else { None }),
        "tls_dir" => file(|tls| if let Tls::Folder(folder) = tls { Some(folder) } else { None }),
        "tls_ca" => path(config.client_tls.ca.as_ref()),
        "controllers" => text(&config.controllers.as_ref().map(|all| all.addresses.join(",")).unwrap_or_default()),
        "controllers_cache" => path(config.controllers.as_ref().and_then(|all| all.cache.as_ref())),
        "peers" => text(&config.peers.join(",")),
        "permissions" => path(config.permissions.as_ref()),
        "filters_file" => path(config.filters_file.as_ref()),
        "file" => path(config.query_log.file.as_ref()),
        "grpc_tls_cert" => path(config.grpc_tls.cert.as_ref()),
        "grpc_tls_key" => path(config.grpc_tls.key.as_ref()),
        "grpc_tls_ca" => path(config.grpc_tls.ca.as_ref()),
        "backend_tls_ca" => path(config.backend_tls_ca.as_ref()),
        "user" => text(&config.monitor.user),
        // The same text in the default, so that it always stands in a comment.
        "password" | "password_file" | "admin_sql_password_file" => text(""),
        "level" => text(&config.log.filter),
        _ => unreachable!("every key of its own has a line here: {name}"),
    }
}

fn texts(all: impl Iterator<Item = &'static str>) -> String {
    format!("[{}]", all.map(text).collect::<Vec<_>>().join(", "))
}

fn path(path: Option<&std::path::PathBuf>) -> String {
    text(&path.map(|path| path.display().to_string()).unwrap_or_default())
}

fn text(value: &str) -> String {
    toml::Value::String(value.to_string()).to_string()
}
