//! The simulator, tests on real MySQL, hostile peers, house rules.

pub mod real;

pub mod sim;

pub mod hostile;
