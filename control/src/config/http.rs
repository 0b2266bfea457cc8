//! The key `http_listen` of tablets and controllers: where metrics and health are shown.

use super::mistake::{Given, Mistakes};
use super::{address, outside};
use std::net::SocketAddr;
use tokio::net::TcpListener;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// None: nowhere.
    pub listen: Option<SocketAddr>,
    /// Nobody asked for this address: if another process has it, this one goes without.
    pub is_optional: bool,
}

impl HttpConfig {
    pub const OFF: HttpConfig = HttpConfig { listen: None, is_optional: true };

    /// Unless something else is said: this port of the loopback.
    pub fn usual(port: u16) -> HttpConfig {
        HttpConfig { listen: Some(SocketAddr::from(([127, 0, 0, 1], port))), is_optional: true }
    }

    pub fn judge(given: Option<&Given<String>>, port: u16, mistakes: &mut Mistakes) -> HttpConfig {
        let Some(Given { value, place }) = given else { return HttpConfig::usual(port) };
        let listen = mistakes.keep(place, address::admin(value)).flatten();
        mistakes.keep(place, listen.map_or(Ok(()), outside::own_address));
        HttpConfig { listen, is_optional: false }
    }

    /// Two protocols can't share a port.
    pub fn apart_from(&self, grpc: SocketAddr, given: Option<&Given<String>>, mistakes: &mut Mistakes) {
        if let (Some(http), Some(Given { place, .. })) = (self.listen, given)
            && http == grpc
            && http.port() != 0
        {
            mistakes.add(place, "http_listen and listen are the same address: choose another port for one of them");
        }
    }

    pub fn print(&self) -> String {
        format!("\"{}\"", self.listen.map_or("off".to_string(), |listen| listen.to_string()))
    }

    /// None: it is shown nowhere.
    pub async fn bind(&self) -> Result<Option<TcpListener>, String> {
        let Some(address) = self.listen else { return Ok(None) };
        let bound = crate::http::bind(address, "http_listen", self.is_optional).await;
        bound.map_err(|error| {
            format!("http_listen: cannot listen on {address} ({error}): choose another address, or \"off\"")
        })
    }
}
