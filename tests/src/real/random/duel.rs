//! The duel: one case on MySQL itself and through the gate, and where the two part.
//!
//! Invariant: both runs begin in a new database of the same name and leave none behind, prepared XA transactions included.

use crate::real::compare::{self, Shown};
use crate::real::gate::{Gate, GateOptions};
use crate::real::limits;
use crate::real::noise::Noise;
use crate::real::place::{Admin, Place, USUAL, place};
use crate::real::run::{self, Stage};
use crate::real::script::Session;
use crate::real::wire::{Account, Address};
use std::sync::PoisonError;
use std::time::Duration;
use weir_core::snapshot::Consistency;

use super::Sharing;
use super::case::Case;

/// How a case ended.
#[derive(Debug, Clone)]
pub enum Ending {
    /// `is_cut`: from a refusal that is let pass on nothing was compared.
    Equal { compared: usize, is_cut: bool },
    /// At the step with this index; the traces up to it.
    Differs { at: usize, why: String, direct: Vec<Shown>, gate: Vec<Shown> },
    /// The database could not be made.
    Unready(String),
}

/// A gate of its own and a database name of its own, so that several run beside each other.
pub struct Arena {
    place: &'static Place,
    admin: Admin,
    gate: Gate,
    /// Of the case in hand: a new one for each, as statements prepared for tables that were dropped behind the gate's back, and made
    /// anew under their old names, count other warnings.
    database: String,
    name: String,
    /// Where the noise begins.
    turn: usize,
}

impl Arena {
    pub fn open(place: &'static Place, sharing: Sharing, at: usize) -> Result<Arena, String> {
        let (connections_per_backend, name) = match sharing {
            Sharing::Worst => (limits::WORST_CONNECTIONS, "worst"),
            Sharing::Scatter => (SCATTER_CONNECTIONS, "scatter"),
        };
        let options = GateOptions { connections_per_backend, cores_max: 1, socket: None };
        let gate = Gate::start_with(place, options, |config| {
            let settings = &mut config.settings;
            settings.scatter = sharing == Sharing::Scatter;
            // One session sees at once what another has written, as on one MySQL.
            settings.consistency = Consistency::Instance;
        })?;
        let name = format!("random_{name}_{at}");
        Ok(Arena { place, admin: place.admin()?, gate, database: name.clone(), name, turn: 0 })
    }

    pub fn duel(&mut self, case: &Case) -> Ending {
        let _others = place().stage.read().unwrap_or_else(PoisonError::into_inner);
        let ending = case.session().and_then(|session| self.compare(&session));
        ending.unwrap_or_else(Ending::Unready)
    }

    /// What came of a session on both sides, whole.
    pub fn both(&mut self, session: &Session) -> Result<[Vec<Shown>; 2], String> {
        self.turn += 1;
        self.database = format!("{}_{}", self.name, self.turn);
        let capabilities = session.capabilities.map_or(USUAL, |change| change.apply(USUAL));
        let account = Account { schema: Some(self.database.clone()), capabilities, ..self.place.account() };
        let direct = self.run(session, &account, &self.place.primary(), None)?;
        let address = self.gate.address();
        let mut noise = Noise::new(address.clone(), account.clone(), self.turn);
        noise.wait = NOISE_WAIT;
        let gate = self.run(session, &account, &address, Some(&mut noise))?;
        self.clear()?;
        Ok([direct, gate])
    }

    fn compare(&mut self, session: &Session) -> Result<Ending, String> {
        let [direct, mut gate] = self.both(session)?;
        forgive_types_of_nothing(&direct, &mut gate);
        forgive_rows_of_calls(&direct, &mut gate);
        let Some((at, why)) = compare::first_difference(&direct, &gate) else {
            return Ok(Ending::Equal { compared: direct.len(), is_cut: false });
        };
        if gate[at].says(LET_PASS) {
            return Ok(Ending::Equal { compared: at, is_cut: true });
        }
        let until = |trace: Vec<Shown>| trace.into_iter().take(at + 1).collect();
        Ok(Ending::Differs { at, why, direct: until(direct), gate: until(gate) })
    }

    fn run(
        &mut self,
        session: &Session,
        account: &Account,
        address: &Address,
        noise: Option<&mut Noise>,
    ) -> Result<Vec<Shown>, String> {
        self.clear()?;
        self.admin.sql(&format!("CREATE DATABASE {}", self.database))?;
        for statement in &session.root {
            self.admin.sql(&statement.replace("${db}", &self.database))?;
        }
        if noise.is_some() {
            self.admin.ensure_replicated()?;
        }
        let database = &self.database.clone();
        let locksmith = Some(&mut self.admin);
        let account = account.clone();
        let mut stage = Stage { address, account, database, patience: None, noise, admin: None, locksmith };
        Ok(compare::shown(&run::run(session, &mut stage)))
    }

    fn clear(&mut self) -> Result<(), String> {
        // A prepared XA transaction outlives its connection, and holds its locks.
        for row in self.admin.sql("XA RECOVER")?.rows() {
            let name = row.last().cloned().flatten().unwrap_or_default();
            let name = String::from_utf8_lossy(&name).into_owned();
            if name.starts_with(&self.database) {
                self.admin.sql(&format!("XA ROLLBACK '{name}'"))?;
            }
        }
        self.admin.sql(&format!("DROP DATABASE IF EXISTS {}", self.database))?;
        self.admin.sql(&format!("DROP DATABASE IF EXISTS {}_2", self.database)).map(|_| ())
    }
}

/// A user variable that was never set, or set to NULL first, has the type that another session gave it when it is read in a
/// transaction or behind a `CALL`, where its connection can't be cleaned: its column may differ, its value (NULL) may not.
fn forgive_types_of_nothing(direct: &[Shown], gate: &mut [Shown]) {
    const NAME: &str = "name: [64, ";
    const NEVER_SET: [&str; 3] = [
        "kind: 253, flags: 128, decimals: 31 }",
        "kind: 250, flags: 128, decimals: 31 }",
        "kind: 251, flags: 0, decimals: 31 }",
    ];
    let lines = direct.iter().zip(&mut *gate).flat_map(|(direct, gate)| direct.lines.iter().zip(&mut gate.lines));
    for (direct, gate) in lines.filter(|(direct, gate)| direct.contains(NAME) && gate.contains(NAME)) {
        if NEVER_SET.iter().any(|kind| direct.contains(kind)) {
            gate.clone_from(direct);
        }
    }
    forgive_types_with_nothing(direct, gate);
}

/// The same where it is a part of an expression, or has another name: in a transaction or behind a `CALL`, and only where nothing but
/// the columns' types differs, or that the variable is there already.
fn forgive_types_with_nothing(direct: &[Shown], gate: &mut [Shown]) {
    let is_column = |line: &String| line.contains(" Column Column {");
    let reads = |shown: &Shown| ["(@", " @", "=@", ",@"].iter().any(|before| shown.is_of(before));
    let mut has_called = false;
    for (direct, gate) in direct.iter().zip(gate) {
        has_called |= [": CALL ", "; CALL ", ": EXECUTE ", ": @execute "].iter().any(|call| direct.is_of(call));
        let is_open = has_called || direct.says("IN_TRANS");
        let others = |lines: &[String]| lines.iter().filter(|line| !is_column(line)).cloned().collect::<Vec<_>>();
        // Who reads one that does not exist in a write makes it, and may be told of a changed state.
        let untold = |line: &String| match line.strip_suffix(", StateChanged(true)") {
            Some(line) => line.replace(" SESSION_STATE_CHANGED", ""),
            None => line.clone(),
        };
        let (told, shown) = (others(&direct.lines), others(&gate.lines));
        let is_equal = told == shown || told.iter().map(untold).collect::<Vec<_>>() == shown;
        if is_open && reads(direct) && is_equal {
            gate.lines.clone_from(&direct.lines);
        }
    }
}

/// A procedure that changes no row answers with the number of the statement before it, if that ran on the same connection
/// (seen on 9.7).
fn forgive_rows_of_calls(direct: &[Shown], gate: &mut [Shown]) {
    const ANSWER: &str = " Ok 0x00 affected ";
    let is_call = |shown: &Shown| {
        [": CALL ", ": @execute o", ": @execute r", ": EXECUTE t0"].iter().any(|call| shown.is_of(call))
    };
    for (direct, gate) in direct.iter().zip(gate).filter(|(direct, _)| is_call(direct)) {
        let lines = direct.lines.iter().zip(&mut gate.lines);
        for (direct, gate) in lines.filter(|(direct, gate)| direct.contains(ANSWER) && gate.contains(ANSWER)) {
            let behind = |line: &str| line.split_once(", insert id").map(|(_, rest)| rest.to_owned());
            if behind(direct) == behind(gate) {
                gate.clone_from(direct);
            }
        }
    }
}

/// Connections to each backend when leases are scattered: one that each of three sessions may pin, one more to go to, and
/// one for the noise.
const SCATTER_CONNECTIONS: usize = 5;

/// How long the noise waits for a connection: it is let go of, since two sessions often pin all of them.
const NOISE_WAIT: Duration = Duration::from_millis(4);

/// The gate's refusal to guess what only a connection knew that others needed (tests/accepted.txt, `get-diagnostics`).
const LET_PASS: &str = "What the server knew about this session's previous statement is gone";
