//! Trouble: a deed that fails, or is due again at once, rests longer each time, and is tried for ever.

use super::verdict::Deed;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// The last deed; how often it was done in a row, when it may be done again, and why it is due again.
    last: Option<Last>,
}

#[derive(Clone, Debug)]
struct Last {
    deed: Deed,
    count: u32,
    done: Instant,
    rests_until: Instant,
    why: String,
}

/// What a failure says about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Another server, or this one, is not so far yet.
    Soon,
    /// Somebody must change something.
    Later,
}

impl Trouble {
    pub fn handle_success(&mut self, now: Instant, deed: &Deed) {
        let count = self.count(now, deed);
        // Once is no trouble.
        let rest = if count == 0 { Duration::ZERO } else { pause(deed, count - 1) };
        let why = self.last.take().map(|last| last.why).filter(|_| count > 0).unwrap_or_default();
        self.last = Some(Last { deed: deed.clone(), count: count + 1, done: now, rests_until: now + rest, why });
    }

    pub fn handle_failure(&mut self, now: Instant, deed: &Deed, why: String, again: Again) {
        let count = self.count(now, deed);
        let most = if again == Again::Soon { SOON_PAUSE_MAX } else { PAUSE_MAX };
        let rests_until = now + pause(deed, count).min(most);
        self.last = Some(Last { deed: deed.clone(), count: count + 1, done: now, rests_until, why });
    }

    /// A newer record: what failed under the old one is tried at once.
    pub fn clear(&mut self) {
        self.last = None;
    }

    /// Until when this deed rests, and why it failed last.
    pub fn rest(&self, now: Instant, deed: &Deed) -> Option<(Instant, &str)> {
        let last = self.last.as_ref().filter(|last| last.deed.is_like(deed) && now < last.rests_until)?;
        Some((last.rests_until, &last.why))
    }

    /// The last failure, while the same thing is tried; for the word.
    pub fn why(&self, deed: &Deed) -> &str {
        self.last.as_ref().filter(|last| last.deed.is_like(deed)).map_or("", |last| &last.why)
    }

    fn count(&self, now: Instant, deed: &Deed) -> u32 {
        let same = self.last.as_ref().filter(|last| last.deed.is_like(deed) && now < last.done + FORGOTTEN_AFTER);
        same.map_or(0, |last| last.count)
    }
}

fn pause(deed: &Deed, count: u32) -> Duration {
    let most = if matches!(deed, Deed::Fence { .. }) { FENCE_PAUSE_MAX } else { PAUSE_MAX };
    (PAUSE_MIN * 2_u32.saturating_pow(count.min(16))).min(most)
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const SOON_PAUSE_MAX: Duration = Duration::from_millis(250);
/// A server that must not be writable and is: the next attempt finds it as soon as it answers again.
const FENCE_PAUSE_MAX: Duration = Duration::from_millis(100);
/// What has held for so long is no trouble any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_rests_longer_each_time() {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..9 {
            trouble.handle_failure(now, &Deed::Persist, "no".to_string(), Again::Later);
            let (until, why) = trouble.rest(now, &Deed::Persist).unwrap();
            assert_eq!((why, trouble.rest(now, &Deed::Apply)), ("no", None));
            rests.push((until - now).as_millis());
            now = until;
            assert_eq!(trouble.rest(now, &Deed::Persist), None);
        }
        assert_eq!(rests, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        trouble.clear();
        assert_eq!(trouble.why(&Deed::Persist), "");
    }

    #[test]
    fn what_succeeds_once_does_not_rest_and_again_and_again_does() {
        let (mut trouble, now) = (Trouble::default(), Instant::now());
        trouble.handle_success(now, &Deed::Receive);
        assert_eq!(trouble.rest(now, &Deed::Receive), None);
        trouble.handle_success(now, &Deed::Receive);
        assert!(trouble.rest(now, &Deed::Receive).is_some());
        trouble.handle_success(now + FORGOTTEN_AFTER, &Deed::Receive);
        assert_eq!(trouble.rest(now + FORGOTTEN_AFTER, &Deed::Receive), None);
        for _ in 0..20 {
            trouble.handle_failure(now, &Deed::Fence { why: String::new() }, String::new(), Again::Later);
        }
        let (until, _) = trouble.rest(now, &Deed::Fence { why: "another".to_string() }).unwrap();
        assert_eq!(until - now, FENCE_PAUSE_MAX);
    }
}
