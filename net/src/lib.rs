//! The MySQL wire: frames, handshakes, replies, trackers, prepared statements, TLS and compression as filters, the PROXY
//! header, GTID sets.
//!
//! Invariant: nothing here knows a socket, a clock, a thread or a source of randomness, and no input of a peer
//! can make it panic or loop. What is malformed comes back as [`error::Malformed`]; what is large is refused by
//! a number in [`limits`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

pub mod limits;

pub mod error;
pub mod reader;
pub mod writer;

pub mod flags;
pub mod packet;

pub mod command;
pub mod outcome;
pub mod track;

pub mod scan;

pub mod column;
pub mod statement;

pub mod attribute;

pub mod greeting;
pub mod login;

pub mod auth;
pub mod secret;

pub mod certificate;
pub mod tls;

pub mod compress;

pub mod proxy;

pub mod flavour;
pub mod gtid;

pub mod binlog;
