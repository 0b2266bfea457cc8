//! What operators see: metrics in a real Prometheus, alert rules, the dashboard, the status page in a real browser, `weir top` in a
//! terminal; each beside a gate on real MySQL, with numbers that agree with what the test did.

mod dashboard;
mod lists;
mod page;
mod prometheus;
mod rules;
mod scene;
mod terminal;
