//! Forms: what all cores together run of statements with one normal form, for `digest_running_max`.
//!
//! ```text
//!   a plan's memo ── 64 bits of its digest's text ─► Usage: how many run, and the line of those that wait
//! ```
//! Each core numbers its digests itself, so a form is known by a hash that is the same everywhere. Two texts with one hash share a limit:
//! a wait more, never a wrong answer, and with ten thousand forms the odds are one in 10^11.
//!
//! Invariant: a form of which nothing runs and nothing waits is forgotten when there are many, so that the map has at most twice as many as
//! statements are under way, or [`FORMS_SWEPT`].

use super::usage::Usage;
use rustc_hash::FxHashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Forms {
    by_form: FxHashMap<u64, Arc<Usage>>,
    /// As many are looked through next.
    sweep_at: usize,
}

/// Of a digest's text; never 0.
pub fn form_of(digest: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(digest.as_bytes());
    hasher.finish().max(1)
}

impl Forms {
    /// Of which so many may run from now on.
    pub fn usage(&mut self, form: u64, running_max: u32) -> Arc<Usage> {
        if !self.by_form.contains_key(&form) && self.by_form.len() >= self.sweep_at.max(FORMS_SWEPT) {
            self.by_form.retain(|_, usage| Arc::strong_count(usage) > 1);
            self.sweep_at = self.by_form.len() * 2;
        }
        let usage = self.by_form.entry(form).or_default();
        usage.set_running_max(running_max);
        usage.clone()
    }

    pub fn find(&self, form: u64) -> Option<&Arc<Usage>> {
        self.by_form.get(&form)
    }

    /// Another limit holds: all that there are, each of which is to be asked for who is `next`.
    pub fn limit(&mut self, running_max: u32) -> Vec<Arc<Usage>> {
        let all: Vec<_> = self.by_form.values().cloned().collect();
        all.iter().for_each(|usage| usage.set_running_max(running_max));
        all
    }
}

/// Below it a map costs less than a look through it.
pub const FORMS_SWEPT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_at_rest_are_forgotten_and_others_never() {
        let mut forms = Forms::default();
        let busy = forms.usage(form_of("SELECT ?"), 2);
        assert!(busy.begin() && busy.begin() && !busy.begin());
        for n in 0..5 * FORMS_SWEPT {
            forms.usage(form_of(&n.to_string()), 2);
        }
        assert!(forms.by_form.len() <= FORMS_SWEPT + 1, "{}", forms.by_form.len());
        assert!(Arc::ptr_eq(&busy, forms.find(form_of("SELECT ?")).unwrap()));
        assert_eq!(forms.limit(3).len(), forms.by_form.len());
        assert!(busy.begin() && !busy.begin());
    }

    #[test]
    fn a_form_is_the_same_wherever_it_is_made() {
        assert_eq!(form_of("SELECT ?"), form_of("SELECT ?"));
        assert_ne!(form_of("SELECT ?"), form_of("SELECT ?, ..."));
        assert_ne!(form_of(""), 0);
    }
}
