//! The processes: command line, configuration, the gate's control thread, the demo, metrics.

pub mod again;
pub mod cli;
pub mod config;
pub mod expiry;
pub mod log;
pub mod mirrors;
pub mod notify;
pub mod renewal;

pub mod gate;
pub mod monitor;
pub mod tablet;

pub mod controller;
pub mod store;

pub mod acl;
pub mod admin;
pub mod audit;
pub mod querylog;
pub mod show;
pub mod traces;
pub mod utc;

pub mod client;

pub mod ctl;
pub mod grpc;
pub mod http;
pub mod status;
pub mod top;

pub mod demo;
pub mod lab;
