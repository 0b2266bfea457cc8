//! `weir ctl switchover|failover|events`: moves of the primary's role, ordered and told of.

use super::Table;
use super::cluster::{Ask, run, said};
use crate::controller::client::{Client, Repeat};
use crate::grpc::proto;
use serde::Serialize;
use std::time::Duration;
use tonic::Request;

/// A switchover as an operator wants it.
#[derive(Clone, Debug)]
pub struct Order {
    /// None: the nearest replica.
    pub to: Option<String>,
    pub drain: Duration,
    pub is_dry_run: bool,
}

#[derive(Serialize)]
pub struct EventView {
    unix_ms: u64,
    epoch: u64,
    kind: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<PartsView>,
}

/// In ms.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PartsView {
    pub detect: u64,
    pub fence: u64,
    pub choose: u64,
    pub open: u64,
}

/// Moves the role; each step is told. Ok: the last one.
pub fn switchover(ask: &Ask, order: &Order, tell: &mut dyn FnMut(&str)) -> Result<String, String> {
    run(ask, async |controllers| {
        let question = proto::SwitchoverRequest {
            to: order.to.clone().unwrap_or_default(),
            drain_ms: u32::try_from(order.drain.as_millis()).unwrap_or(u32::MAX),
            dry_run: order.is_dry_run,
        };
        let call = |mut client: Client, request: Request<_>| async move { client.switchover(request).await };
        let mut steps = controllers.ask(Repeat::Unsafe, question, call).await.map_err(said)?;
        loop {
            let broken = "see weir ctl topology for what came of it";
            let step = steps.message().await.map_err(|status| format!("{}: {broken}", status.message()))?;
            let step = step.ok_or_else(|| format!("the controller ended the stream: {broken}"))?;
            match step {
                proto::SwitchoverProgress { text, done: false, .. } => tell(&text),
                proto::SwitchoverProgress { text, given_up: false, .. } => return Ok(text),
                proto::SwitchoverProgress { text, .. } => return Err(format!("it was given up: {text}")),
            }
        }
    })
}

pub fn accept_loss(ask: &Ask) -> Result<String, String> {
    run(ask, async |controllers| {
        let call = |mut client: Client, request: Request<_>| async move { client.accept_loss(request).await };
        controllers.ask(Repeat::Unsafe, proto::AcceptLossRequest {}, call).await.map_err(said)?;
        Ok("the best of those that are here is chosen: see weir ctl events".to_string())
    })
}

pub fn events(ask: &Ask) -> Result<Vec<EventView>, String> {
    run(ask, async |controllers| {
        let call = |mut client: Client, request: Request<_>| async move { client.list_events(request).await };
        let reply: proto::ListEventsReply =
            controllers.ask(Repeat::Safe, proto::ListEventsRequest {}, call).await.map_err(said)?;
        Ok(reply.events.into_iter().map(EventView::of).collect())
    })
}

pub fn events_table(events: &[EventView]) -> String {
    let mut table = Table::new(&["TIME", "EPOCH", "EVENT", "WHAT"]);
    for event in events {
        let parts = event.parts.map_or(String::new(), |parts| {
            let PartsView { detect, fence, choose, open } = parts;
            format!(" (detect {detect} ms, fence {fence} ms, choose {choose} ms, open {open} ms)")
        });
        let what = format!("{}{parts}", event.text);
        table.add([&clock(event.unix_ms), &event.epoch.to_string(), &event.kind, &what]);
    }
    table.print()
}

impl EventView {
    fn of(event: proto::FailoverEvent) -> EventView {
        let proto::FailoverEvent { unix_ms, epoch, kind, text, parts } = event;
        let parts = parts.map(|parts| PartsView {
            detect: parts.detect_ms,
            fence: parts.fence_ms,
            choose: parts.choose_ms,
            open: parts.open_ms,
        });
        EventView { unix_ms, epoch, kind, text, parts }
    }

    pub fn kind(&self) -> &str {
        &self.kind
    }

    pub fn parts(&self) -> Option<PartsView> {
        self.parts
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The time of day, UTC.
fn clock(unix_ms: u64) -> String {
    let s = unix_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", s / 3_600, s / 60 % 60, s % 60, unix_ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_shown_with_their_parts() {
        let parts = proto::FailoverParts { detect_ms: 500, fence_ms: 1, choose_ms: 20, open_ms: 40 };
        let opened = proto::FailoverEvent {
            unix_ms: 86_399_007,
            epoch: 9,
            kind: "opened".to_string(),
            text: "'b' takes writes, 561 ms after the first sign".to_string(),
            parts: Some(parts),
        };
        let text = events_table(&[EventView::of(opened)]);
        for expected in ["23:59:59.007  9      opened", "(detect 500 ms, fence 1 ms, choose 20 ms, open 40 ms)"] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
