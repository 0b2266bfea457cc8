//! `hold`: clients that log in, say so and stay until their input ends; what a process of [`crate::holders::Holders`] does.
//!
//! Output, one line once all are in: how many, and the median and 99th percentile of a login in nanoseconds.

use std::io::{Read, Write};
use std::time::Instant;

use weir_control::client::{Client as TlsClient, ClientTls, Options};

use crate::arguments::Arguments;
use crate::client::Account;
use crate::crowd::{Crowd, share_out};
use crate::error::Fault;
use crate::meter;

pub fn run(mut arguments: Arguments) -> Result<(), Fault> {
    let address = arguments.address("--to")?.ok_or_else(|| Fault::Usage("--to is missing".to_owned()))?;
    let account = Account {
        address,
        user: arguments.text_or("--user", "app")?,
        password: arguments.text_or("--password", "app")?,
        schema: Some(arguments.text_or("--schema", "sbtest")?),
    };
    let count: usize = arguments.value_or("--clients", 1000)?;
    let with_tls = arguments.yes_or_no("--tls", false)?;
    arguments.finish()?;
    let _ = meter::raise_files_max();
    if with_tls {
        let (clients, login) = share_out(count, |share| log_in_with_tls(&account, share))?;
        told(clients.len(), &login);
        stay();
    } else {
        let crowd = Crowd::gather(&account, count)?;
        told(crowd.clients.len(), &crowd.login);
        stay();
    }
    Ok(())
}

fn log_in_with_tls(account: &Account, count: usize) -> Result<(Vec<TlsClient>, hdrhistogram::Histogram<u64>), Fault> {
    let address = account.address;
    let mut options = Options::tcp(&address.ip().to_string(), address.port())
        .user(&account.user)
        .password(&account.password)
        .tls(ClientTls::Unverified);
    if let Some(schema) = &account.schema {
        options = options.schema(schema);
    }
    let mut login = crate::load::new_histogram();
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let client = TlsClient::connect(&options);
        clients.push(client.map_err(|error| Fault::Program(format!("a login with TLS: {error}")))?);
        login.saturating_record(start.elapsed().as_nanos() as u64);
    }
    Ok((clients, login))
}

fn told(count: usize, login: &hdrhistogram::Histogram<u64>) {
    println!("{count} {} {}", login.value_at_quantile(0.5), login.value_at_quantile(0.99));
    // Who reads it waits for the line.
    let _ = std::io::stdout().flush();
}

fn stay() {
    // An error is an end too.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
