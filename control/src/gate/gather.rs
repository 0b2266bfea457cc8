//! Gathering: rounds of reports from all cores, for who asks.
//!
//! Invariant: a round ends when every core has answered or its time is over; an answer to a round that has ended is thrown away.
//! Who wants a picture joins the round of pictures that is under way; a table has a round of its own, so that it shows what was true
//! after it was asked for. At most [`TABLES_MAX`] of those are under way.

use tokio::time::Instant;
use weir_core::stats::Report;

/// Rounds, and who asked for each: `P` for pictures, `T` for tables.
pub struct Gather<P, T> {
    token: u64,
    rounds: Vec<Round<P, T>>,
}

struct Round<P, T> {
    token: u64,
    deadline: Instant,
    cores: usize,
    reports: Vec<Report>,
    asker: Asker<P, T>,
}

pub enum Asker<P, T> {
    Pictures(Vec<P>),
    Table(T),
}

/// What a finished round has brought, and who wants it.
pub struct Gathered<P, T> {
    pub reports: Vec<Report>,
    pub asker: Asker<P, T>,
}

impl<P, T> Default for Gather<P, T> {
    fn default() -> Self {
        Gather { token: 0, rounds: Vec::new() }
    }
}

impl<P, T> Gather<P, T> {
    /// Some: post `Mail::Report` with this token to every core. None: a round is under way, and its end answers this too.
    pub fn handle_ask(&mut self, ask: P, cores: usize, deadline: Instant) -> Option<u64> {
        for round in &mut self.rounds {
            if let Asker::Pictures(asks) = &mut round.asker {
                asks.push(ask);
                return None;
            }
        }
        Some(self.begin(Asker::Pictures(vec![ask]), cores, deadline))
    }

    /// The same for a table. Err: too many are under way.
    pub fn handle_table(&mut self, ask: T, cores: usize, deadline: Instant) -> Result<u64, T> {
        let under_way = self.rounds.iter().filter(|round| matches!(round.asker, Asker::Table(_))).count();
        if under_way >= TABLES_MAX { Err(ask) } else { Ok(self.begin(Asker::Table(ask), cores, deadline)) }
    }

    fn begin(&mut self, asker: Asker<P, T>, cores: usize, deadline: Instant) -> u64 {
        self.token += 1;
        self.rounds.push(Round { token: self.token, deadline, cores, reports: Vec::new(), asker });
        self.token
    }

    pub fn handle_report(&mut self, token: u64, report: Report) -> Option<Gathered<P, T>> {
        let at = self.rounds.iter().position(|round| round.token == token)?;
        let round = self.rounds.get_mut(at)?;
        if round.reports.iter().all(|known| known.core != report.core) {
            round.reports.push(report);
        }
        (round.reports.len() >= round.cores).then(|| self.finish(at))
    }

    /// The next round whose time is over: call it until None.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Gathered<P, T>> {
        let at = self.rounds.iter().position(|round| round.deadline <= now)?;
        Some(self.finish(at))
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.rounds.iter().map(|round| round.deadline).min()
    }

    fn finish(&mut self, at: usize) -> Gathered<P, T> {
        let Round { mut reports, asker, .. } = self.rounds.remove(at);
        reports.sort_by_key(|report| report.core);
        Gathered { reports, asker }
    }
}

/// Tables that are made at once: each holds the reports of all cores, some MB at most.
pub const TABLES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn report(core: u16) -> Report {
        Report { core, ..crate::status::tests::picture().reports[0].clone() }
    }

    /// How many asked, and which cores answered.
    fn told(gathered: Gathered<(), &'static str>) -> (usize, Vec<u16>) {
        let asks = match gathered.asker {
            Asker::Pictures(asks) => asks.len(),
            Asker::Table(_) => 1,
        };
        (asks, gathered.reports.iter().map(|report| report.core).collect())
    }

    #[test]
    fn a_round_ends_with_the_last_core_or_its_time() {
        let now = Instant::now();
        let deadline = now + Duration::from_millis(500);
        let mut gather = Gather::default();
        assert_eq!(gather.handle_ask((), 2, deadline), Some(1));
        assert_eq!(gather.handle_ask((), 2, deadline), None);
        assert!(gather.handle_report(7, report(0)).is_none());
        assert!(gather.handle_report(1, report(1)).is_none());
        assert!(gather.handle_report(1, report(1)).is_none());
        assert_eq!(told(gather.handle_report(1, report(0)).unwrap()), (2, vec![0, 1]));

        assert_eq!(gather.handle_ask((), 2, deadline), Some(2));
        assert!(gather.handle_report(1, report(0)).is_none());
        assert!(gather.handle_timeout(now).is_none());
        assert_eq!(gather.poll_timeout(), Some(deadline));
        assert_eq!(told(gather.handle_timeout(deadline).unwrap()), (1, vec![]));
        assert_eq!(gather.poll_timeout(), None);
    }

    #[test]
    fn tables_have_rounds_of_their_own_and_a_bound() {
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_millis(1), now + Duration::from_millis(2));
        let mut gather = Gather::default();
        assert_eq!(gather.handle_ask((), 1, late), Some(1));
        for token in 2..2 + TABLES_MAX as u64 {
            assert_eq!(gather.handle_table("t", 1, soon), Ok(token));
        }
        assert_eq!(gather.handle_table("one more", 1, soon), Err("one more"));
        assert_eq!(told(gather.handle_report(3, report(0)).unwrap()), (1, vec![0]));
        assert_eq!((gather.handle_table("t", 1, soon), gather.poll_timeout()), (Ok(18), Some(soon)));
        assert_eq!(std::iter::from_fn(|| gather.handle_timeout(soon)).count(), TABLES_MAX);
        assert_eq!(gather.poll_timeout(), Some(late));
    }
}
