//! The simulator, tests on real MySQL, controllers that are killed, hostile peers, house rules.

pub mod real;

pub mod moves;
pub mod sim;

pub mod keep;

pub mod hostile;
