//! Where operators come in: HTTP, gRPC, and the admin port.

use super::Judge;
use crate::config::mistake::{Given, Place};
use crate::config::tablet::first_line;
use crate::config::typed::Typed;
use crate::config::{address, outside};
use std::net::SocketAddr;

impl Judge {
    pub(super) fn admin(&mut self, typed: &Typed) {
        self.config.admin_is_optional = typed.admin_listen.is_none() && typed.grpc_listen.is_none();
        if let Some(Given { value, place }) = &typed.admin_listen {
            let Some(address) = self.own(place, value) else { return };
            self.config.admin_listen = address;
            self.config.grpc_listen = address.and_then(port_after);
        }
        if let Some(Given { value, place }) = &typed.grpc_listen {
            let Some(address) = self.own(place, value) else { return };
            self.config.grpc_listen = address;
        }
    }

    /// Behind the plain keys, of which the user is one.
    pub(super) fn admin_sql(&mut self, typed: &Typed) {
        if let Some(Given { value, place }) = &typed.admin_sql_listen {
            let Some(address) = self.own(place, value) else { return };
            self.config.admin_sql.listen = address;
            if address.is_some() && typed.admin_sql_password_file.is_none() {
                self.mistakes.add(place, "the admin port needs a password: name its file with admin_sql_password_file");
            }
            if address.is_some() && self.config.admin_sql.user.is_empty() {
                self.mistakes.add(place, "admin_sql_user is empty: name who logs in to the admin port");
            }
        }
        if let Some(Given { value, place }) = &typed.admin_sql_password_file {
            self.config.admin_sql.password = first_line(value, place, &mut self.mistakes);
        }
    }

    /// An address of this machine, or nowhere.
    fn own(&mut self, place: &Place, value: &str) -> Option<Option<SocketAddr>> {
        let address = self.mistakes.keep(place, address::admin(value))?;
        self.mistakes.keep(place, address.map_or(Ok(()), outside::own_address))?;
        Some(address)
    }
}

/// gRPC's address when only HTTP's is given. Port 0 stays 0: any free one.
fn port_after(address: SocketAddr) -> Option<SocketAddr> {
    let port = match address.port() {
        0 => 0,
        port => port.checked_add(1)?,
    };
    Some(SocketAddr::new(address.ip(), port))
}
