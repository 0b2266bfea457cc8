//! Evidence: what one server's own word says about its role and its delay.
//!
//! Invariant: a role is positive evidence. What could be two things is unknown, with a note that says what to do.

use super::facts::{Channel, Facts, Receiver};
use super::group::{Group, Place};
use super::standing::Standing;
use weir_core::snapshot::Role;

/// The role, and what is odd about it.
pub fn role(facts: &Facts) -> (Role, String) {
    if facts.standing == Standing::ServerWiped && !facts.is_replicating() {
        let text = format!(
            "has lost {} transactions that it had: restore it or let it replicate; if that is meant, restart its agent",
            facts.lost
        );
        return (Role::Unknown, text);
    }
    if let Some(group) = &facts.group {
        return group.role(facts.read_only);
    }
    match &facts.channels {
        Err(error) => {
            let text = format!(
                "does not tell whether it replicates: {error}; give the monitor's account REPLICATION CLIENT and SELECT on performance_schema"
            );
            (Role::Unknown, text)
        }
        Ok(channels) if facts.is_replicating() => (Role::Replica, stopped_note(channels)),
        Ok(_) if !facts.read_only => (Role::Primary, String::new()),
        Ok(channels) if !channels.is_empty() => (Role::Replica, stopped_note(channels)),
        Ok(_) => {
            let text = "is read-only and replicates from nobody: set role = \"primary\" or \"replica\" for it, or \
                        make it what it should be";
            (Role::Unknown, text.to_string())
        }
    }
}

fn stopped_note(channels: &[Channel]) -> String {
    let stopped = channels.iter().find(|channel| !channel.applier_runs || channel.receiver == Receiver::Stopped);
    let Some(channel) = stopped else { return String::new() };
    let what = if channel.applier_runs { "its receiver" } else { "its applier" };
    let why = if channel.last_error.is_empty() { "START REPLICA starts it" } else { &channel.last_error };
    format!("{what} has stopped: {why}")
}

/// The delay by what the replica itself has received and executed; None: unknown, or its applier has stopped.
pub fn lag_ms(facts: &Facts) -> Option<u64> {
    if let Some(group) = &facts.group {
        return lag_in_group_ms(facts, group);
    }
    let channels = facts.channels.as_deref().ok()?;
    if channels.iter().any(|channel| !channel.applier_runs) {
        return None;
    }
    let knows_sets = channels.iter().all(|channel| !channel.received.is_empty());
    if knows_sets && channels.iter().all(|channel| facts.executed.contains(&channel.received)) {
        return Some(0);
    }
    let seconds = channels.iter().filter_map(|channel| channel.seconds_behind).max().map(|seconds| seconds * 1_000);
    match knows_sets {
        // Between two transactions nothing is being applied: then the newest received one tells.
        true => facts.applying_ms.or(facts.received_ms).or(seconds),
        false => seconds.max(facts.applying_ms),
    }
}

/// What the group has agreed on is in the applier's queue at once: the delay is that queue's.
fn lag_in_group_ms(facts: &Facts, group: &Group) -> Option<u64> {
    if group.place != Place::Secondary || !group.applier_runs {
        return None;
    }
    match facts.executed.contains(&group.received) {
        true => Some(0),
        false => Some(facts.applying_ms.or(facts.received_ms).unwrap_or(0)),
    }
}
