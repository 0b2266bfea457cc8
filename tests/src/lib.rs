//! The simulator, tests on real MySQL, real clients, controllers that are killed, hostile peers, house rules.

pub mod real;

pub mod moves;
pub mod sim;

pub mod keep;

pub mod hostile;

pub mod drivers;

pub mod suites;

pub mod rules;
