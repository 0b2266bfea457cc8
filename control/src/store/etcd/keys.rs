//! The keys of one cluster in etcd.
//!
//! ```text
//!   /weir/CLUSTER/topology            the record
//!   /weir/CLUSTER/leader              the leader's address, with its lease
//!   /weir/CLUSTER/controllers/ADDR    each controller, with its lease
//! ```

use std::sync::Arc;

#[derive(Clone)]
pub struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    /// The cluster's name has no slash: the configuration sees to it.
    pub fn new(cluster: &str) -> Keys {
        Keys { prefix: format!("/weir/{cluster}/").into() }
    }

    pub fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    pub fn topology(&self) -> Vec<u8> {
        self.below("topology")
    }

    pub fn leader(&self) -> Vec<u8> {
        self.below("leader")
    }

    pub fn peers(&self) -> Vec<u8> {
        self.below("controllers/")
    }

    pub fn peer(&self, address: &str) -> Vec<u8> {
        self.below(&format!("controllers/{address}"))
    }

    fn below(&self, name: &str) -> Vec<u8> {
        format!("{}{name}", self.prefix).into_bytes()
    }
}
