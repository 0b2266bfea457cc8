//! Controllers under test: processes that are started, killed and asked, and the ledger of what they acknowledged.

pub mod process;

pub mod ledger;

pub mod propose;
