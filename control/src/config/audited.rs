//! `[audit_log]`: what was typed into what it means.

use super::mistake::{Given, Mistakes, suggestion};
use super::typed::Typed;
use super::{AuditLogConfig, outside};
use weir_core::audit::{AuditKind, AuditKinds};

/// After the plain keys; an empty file is none.
pub fn judge(typed: &Typed, config: &mut AuditLogConfig, mistakes: &mut Mistakes) {
    if let Some(Given { value, place }) = typed.audit_log.as_ref().filter(|file| !file.value.as_os_str().is_empty()) {
        mistakes.keep(place, outside::writable_file(value));
        config.file = Some(value.clone());
    }
    if let Some(words) = &typed.audit_events {
        config.events = AuditKinds::default();
        for Given { value, place } in words {
            match AuditKind::of_word(value) {
                Some(kind) => config.events.add(kind),
                None => {
                    let help = suggestion(value, AuditKind::ALL.map(AuditKind::word));
                    mistakes.add(place, format!("events cannot be '{value}'; {help}"));
                }
            }
        }
    }
    // Its usual values may stand there without a file.
    let set = typed.plain.iter().rev().find(|(key, _)| key.section == "audit_log");
    if let (None, false, Some((_, given))) = (&config.file, *config == AuditLogConfig::default(), set) {
        mistakes.add(&given.place, "there is no audit log to be set up: name its file in [audit_log]");
    }
}
