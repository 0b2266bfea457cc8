//! The targets: each property with its name, its seeds and its limits.

use crate::{binlog, compress, engine, frames, gtid, login, meter, proof, proxy, reply, seeds, sql, tls};

/// One property.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub check: fn(&[u8]),
    /// Inputs made by code; more lie in `seeds/NAME.hex`.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longer inputs are cut: what they would show, shorter ones do.
    pub input_bytes_max: usize,
    /// What the property may have allocated at once, its own bookkeeping included.
    pub heap_bytes_max: usize,
}

/// In the order in which they run.
pub const TARGETS: &[Target] = &[
    Target {
        name: "frames",
        check: frames::check,
        seeds: frames::seeds,
        input_bytes_max: 4 << 10,
        // Decoders borrow; what is copied is at most a few times the input.
        heap_bytes_max: 256 << 10,
    },
    Target {
        name: "handshake",
        check: handshake,
        seeds: handshake_seeds,
        input_bytes_max: 4 << 10,
        // Two ends of TLS, with a message of 16 KiB under way between them.
        heap_bytes_max: 2 << 20,
    },
    Target {
        name: "reply",
        check: reply::check,
        seeds: reply::seeds,
        input_bytes_max: 4 << 10,
        heap_bytes_max: 1 << 20,
    },
    Target {
        name: "sql",
        check: sql::check,
        seeds: sql::seeds,
        input_bytes_max: 2 << 10,
        // A tree of 16 KiB of text, and the text that is grown to 128 KiB.
        heap_bytes_max: 16 << 20,
    },
    Target { name: "gtid", check: gtid::check, seeds: gtid::seeds, input_bytes_max: 4 << 10, heap_bytes_max: 1 << 20 },
    Target {
        name: "binlog",
        check: binlog::check,
        seeds: binlog::seeds,
        input_bytes_max: 4 << 10,
        // The events, built and cut: a few times the input.
        heap_bytes_max: 1 << 20,
    },
    Target {
        name: "compress",
        check: compress::check,
        seeds: compress::seeds,
        input_bytes_max: 4 << 10,
        // Two times what one frame may claim, and the codecs.
        heap_bytes_max: 48 << 20,
    },
    Target {
        name: "proxy",
        check: proxy::check,
        seeds: proxy::seeds,
        input_bytes_max: 1 << 10,
        heap_bytes_max: 64 << 10,
    },
    Target {
        name: "engine",
        check: engine::check,
        seeds: engine::seeds,
        input_bytes_max: 2 << 10,
        // The blocks, the plan cache, and queues of a few wires at their limits.
        heap_bytes_max: 16 << 20,
    },
];

impl Target {
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Holds the property against these bytes.
    ///
    /// # Panics
    /// If it does not hold.
    pub fn run(&self, bytes: &[u8]) {
        let input = &bytes[..bytes.len().min(self.input_bytes_max)];
        meter::start();
        (self.check)(input);
        let peak = meter::peak_bytes();
        assert!(peak <= self.heap_bytes_max, "{} bytes were taken, the limit is {}", peak, self.heap_bytes_max);
    }

    /// All inputs that are known beforehand.
    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let mut all = (self.seeds)();
        all.extend(seeds::of_file(self.name));
        all
    }
}

/// Everything of before the first command, told apart by the first byte.
fn handshake(input: &[u8]) {
    let Some((way, rest)) = input.split_first() else { return };
    match way % 8 {
        0 => login::check_greeting(rest),
        1 => login::check_login(rest),
        2 | 3 => proof::check_server(rest),
        4 => proof::check_client(rest),
        5 => proof::check_pair(rest),
        6 => tls::check_noise(rest),
        _ => tls::check_tampered(rest),
    }
}

fn handshake_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (way, seeds) in [
        (0, login::greeting_seeds()),
        (1, login::login_seeds()),
        (2, proof::server_seeds()),
        (4, proof::client_seeds()),
        (5, proof::pair_seeds()),
        (6, tls::noise_seeds()),
        (7, tls::tampered_seeds()),
    ] {
        all.extend(seeds.into_iter().map(|seed| [vec![way], seed].concat()));
    }
    all
}
