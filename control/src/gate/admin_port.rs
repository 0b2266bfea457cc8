//! The admin port's socket: bound at the start, or, where this gate follows another process, as soon as that one has left it.

use super::GateError;
use super::desk::Desk;
use crate::admin::{self, Door};
use crate::config::{AdminSql, Config};
use crate::http;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use weir_core::snapshot::Keys;

/// None: there is to be none, or not yet.
pub async fn bind(config: &Config, follows: bool) -> Result<Option<TcpListener>, GateError> {
    let Some(address) = config.admin_sql.listen.filter(|_| !follows) else { return Ok(None) };
    listen(address).await.map_err(|error| GateError::Admin { what: WHAT, address, error })
}

async fn listen(address: SocketAddr) -> std::io::Result<Option<TcpListener>> {
    http::bind(address, WHAT, false).await
}

pub fn door(config: &Config, keys: &Keys, desk: Desk) -> Arc<Door> {
    let AdminSql { user, password, .. } = &config.admin_sql;
    Arc::new(Door::new(user, password, keys.tls.clone(), desk))
}

/// Who accepts there; None: nobody.
pub fn open(config: &Config, listener: Option<TcpListener>, door: Arc<Door>) -> Option<AbortHandle> {
    let address = config.admin_sql.listen?;
    let task = tokio::spawn(async move {
        let mut listener = listener;
        while listener.is_none() {
            tokio::time::sleep(RETRY).await;
            listener = listen(address).await.ok().flatten();
        }
        if let Some(listener) = listener {
            admin::serve(listener, door).await;
        }
    });
    Some(task.abort_handle())
}

const WHAT: &str = "admin_sql_listen";

/// The former process leaves the port when this one is ready.
const RETRY: Duration = Duration::from_millis(100);
