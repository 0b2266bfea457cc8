//! Controllers, tablets and whole fleets under test: processes that are started, killed and asked, and the ledgers of what
//! controllers and servers acknowledged.

pub mod process;
pub mod tablet;

pub mod disk;
pub mod fleet;
pub mod writers;

pub mod ledger;
pub mod load;

pub mod propose;
