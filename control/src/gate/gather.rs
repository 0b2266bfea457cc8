//! Gathering: one round of reports from all cores, for everyone who asks meanwhile.
//!
//! Invariant: at most one round is under way. It ends when every core has answered or its time is over; an answer to an
//! older round is thrown away.

use super::desk::Ask;
use tokio::time::Instant;
use weir_core::stats::Report;

#[derive(Default)]
pub struct Gather {
    token: u64,
    round: Option<Round>,
}

struct Round {
    deadline: Instant,
    cores: usize,
    reports: Vec<Report>,
    asks: Vec<Ask>,
}

/// What a finished round has brought, and who wants it.
pub struct Gathered {
    pub reports: Vec<Report>,
    pub asks: Vec<Ask>,
}

impl Gather {
    /// Some: post `Mail::Report` with this token to every core. None: a round is under way, and its end answers this too.
    pub fn handle_ask(&mut self, ask: Ask, cores: usize, deadline: Instant) -> Option<u64> {
        if let Some(round) = &mut self.round {
            round.asks.push(ask);
            return None;
        }
        self.token += 1;
        self.round = Some(Round { deadline, cores, reports: Vec::new(), asks: vec![ask] });
        Some(self.token)
    }

    pub fn handle_report(&mut self, token: u64, report: Report) -> Option<Gathered> {
        let round = self.round.as_mut().filter(|_| token == self.token)?;
        if round.reports.iter().all(|known| known.core != report.core) {
            round.reports.push(report);
        }
        (round.reports.len() >= round.cores).then(|| self.finish())?
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Gathered> {
        let is_due = self.round.as_ref().is_some_and(|round| round.deadline <= now);
        is_due.then(|| self.finish())?
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.round.as_ref().map(|round| round.deadline)
    }

    fn finish(&mut self) -> Option<Gathered> {
        let Round { mut reports, asks, .. } = self.round.take()?;
        reports.sort_by_key(|report| report.core);
        Some(Gathered { reports, asks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    fn report(core: u16) -> Report {
        Report { core, ..crate::status::tests::picture().reports[0].clone() }
    }

    #[test]
    fn a_round_ends_with_the_last_core_or_its_time() {
        let now = Instant::now();
        let deadline = now + Duration::from_millis(500);
        let mut gather = Gather::default();
        let ask = || oneshot::channel().0;
        assert_eq!(gather.handle_ask(ask(), 2, deadline), Some(1));
        assert_eq!(gather.handle_ask(ask(), 2, deadline), None);
        assert!(gather.handle_report(7, report(0)).is_none());
        assert!(gather.handle_report(1, report(1)).is_none());
        assert!(gather.handle_report(1, report(1)).is_none());
        let gathered = gather.handle_report(1, report(0)).unwrap();
        assert_eq!((gathered.asks.len(), gathered.reports.len(), gathered.reports[0].core), (2, 2, 0));

        assert_eq!(gather.handle_ask(ask(), 2, deadline), Some(2));
        assert!(gather.handle_report(1, report(0)).is_none());
        assert!(gather.handle_timeout(now).is_none());
        assert_eq!(gather.poll_timeout(), Some(deadline));
        let gathered = gather.handle_timeout(deadline).unwrap();
        assert_eq!((gathered.asks.len(), gathered.reports.len()), (1, 0));
        assert_eq!(gather.poll_timeout(), None);
    }
}
