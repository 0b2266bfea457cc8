//! What was typed, wherever: every value optional and with its place. It may be wrong in every way that types allow.

use crate::config::accounts::TypedAccount;
use crate::config::keys::{self, Key};
use crate::config::mirrors::TypedMirror;
use crate::config::mistake::{Given, Place};
use std::path::PathBuf;

#[derive(Default)]
pub struct Typed {
    pub listen: Option<Vec<Given<String>>>,
    pub admin_listen: Option<Given<String>>,
    pub admin_sql_listen: Option<Given<String>>,
    pub admin_sql_password_file: Option<Given<PathBuf>>,
    pub grpc_listen: Option<Given<String>>,
    pub cores: Option<Given<TypedCores>>,
    pub compression: Option<Vec<Given<String>>>,
    pub proxy_protocol: Option<Given<String>>,
    pub proxy_networks: Option<Vec<Given<String>>>,
    pub tls: Option<Given<bool>>,
    pub tls_cert: Option<Given<PathBuf>>,
    pub tls_key: Option<Given<PathBuf>>,
    pub tls_dir: Option<Given<PathBuf>>,
    pub tls_ca: Option<Given<PathBuf>>,
    pub backend_tls_ca: Option<Given<PathBuf>>,
    pub backends: Vec<TypedBackend>,
    pub accounts: Vec<TypedAccount>,
    pub mirrors: Vec<TypedMirror>,
    pub listeners: Vec<TypedListener>,
    pub controllers: Option<Given<String>>,
    pub controllers_cache: Option<Given<PathBuf>>,
    pub peers: Option<Given<String>>,
    pub permissions: Option<Given<PathBuf>>,
    pub filters_file: Option<Given<PathBuf>>,
    pub query_log: Option<Given<PathBuf>>,
    pub audit_log: Option<Given<PathBuf>>,
    pub traces_ca: Option<Given<PathBuf>>,
    pub traces_headers: Option<Given<PathBuf>>,
    pub audit_events: Option<Vec<Given<String>>>,
    pub grpc_tls_cert: Option<Given<PathBuf>>,
    pub grpc_tls_key: Option<Given<PathBuf>>,
    pub grpc_tls_ca: Option<Given<PathBuf>>,
    pub user: Option<Given<String>>,
    pub password: Option<Given<String>>,
    pub password_file: Option<Given<PathBuf>>,
    pub log: Option<Given<String>>,
    /// Keys that a row of the table describes; a later one of the same key counts.
    pub plain: Vec<(&'static Key, Given<Plain>)>,
}

impl Typed {
    pub fn set(&mut self, section: &str, name: &str, value: Given<Plain>) {
        let key = keys::find(section, name).expect("the caller names a key of the table");
        self.plain.push((key, value));
    }
}

#[derive(Clone, Debug)]
pub enum TypedCores {
    Text(String),
    Numbers(Vec<usize>),
}

pub struct TypedBackend {
    pub place: Place,
    pub address: Option<Given<String>>,
    pub name: Option<Given<String>>,
    pub weight: Option<Given<u64>>,
    pub zone: Option<Given<String>>,
    pub role: Option<Given<String>>,
    pub tablet: Option<Given<String>>,
}

pub struct TypedListener {
    pub place: Place,
    pub address: Option<Given<String>>,
    pub tls: Option<Given<String>>,
    pub tls_cert: Option<Given<PathBuf>>,
    pub tls_key: Option<Given<PathBuf>>,
    pub tls_client_auth: Option<Given<String>>,
    pub tls_ca: Option<Given<PathBuf>>,
    pub tls_min_version: Option<Given<String>>,
    pub proxy_protocol: Option<Given<String>>,
}

impl TypedListener {
    /// Nothing but its place.
    pub fn at(place: Place) -> TypedListener {
        let (address, tls, tls_cert, tls_key) = (None, None, None, None);
        let (tls_client_auth, tls_ca, tls_min_version, proxy_protocol) = (None, None, None, None);
        TypedListener {
            place,
            address,
            tls,
            tls_cert,
            tls_key,
            tls_client_auth,
            tls_ca,
            tls_min_version,
            proxy_protocol,
        }
    }
}

/// A value of one of the simple kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    Number(u64),
    Switch(bool),
    /// Also a number that was typed as a flag.
    Text(String),
}

pub fn overlay_environment(typed: &mut Typed, environment: &dyn Fn(&str) -> Option<String>) {
    if let Some(password) = environment(PASSWORD_VARIABLE) {
        typed.password = Some(Given::new(password, Place::Variable(PASSWORD_VARIABLE)));
        typed.password_file = None;
    }
    if let Some(filter) = environment(LOG_VARIABLE) {
        typed.log = Some(Given::new(filter, Place::Variable(LOG_VARIABLE)));
    }
}

pub const PASSWORD_VARIABLE: &str = "WEIR_MONITOR_PASSWORD";
pub const LOG_VARIABLE: &str = "WEIR_LOG";
