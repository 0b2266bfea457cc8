//! Clusters that the tests start for themselves, harm, delay and move: one binary, so that one test runs while another one waits for
//! its servers.

mod controller;
mod demo;
mod etcd;
mod failover;
mod filters;
mod freshness;
mod group;
mod members;
mod mishaps;
mod outcomes;
mod partitions;
mod steward;
mod tablet;
