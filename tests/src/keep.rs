//! Controllers and tablets under test: processes that are started, killed and asked, and the ledger of what controllers
//! acknowledged.

pub mod process;
pub mod tablet;

pub mod ledger;
pub mod load;

pub mod propose;
