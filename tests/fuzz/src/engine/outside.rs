//! The world outside of the engine as its snapshot tells it: two backends, tight limits.

use std::net::SocketAddr;
use std::sync::Arc;

use weir_core::admission::AdmissionSettings;
use weir_core::allowance::{Allowance, Allowances};
use weir_core::audit::{AuditKind, AuditKinds, AuditSettings};
use weir_core::filters::Filters;
use weir_core::permissions::Permissions;
use weir_core::querylog::QueryLogSettings;
use weir_core::session::overtime::TimeLimits;
use weir_core::snapshot::{
    Address, BackendId, BackendView, Balance, Consistency, Face, Health, Keys, ListenerSettings, Role, Settings,
    Snapshot,
};
use weir_core::tally::failures::LoginSettings;
use weir_core::tally::rates::ConnectSettings;
use weir_core::trace::TraceSettings;
use weir_net::gtid::{GtidSet, Sid};
use weir_planner::filter::Filter;

use crate::draw::Draw;
use crate::{proof, tls};

pub const BACKENDS: usize = 2;
/// The first is as the gate, the second has no TLS, the third lets nobody in without it where limits are tight.
pub const LISTENERS: u16 = 3;
/// Connections to each backend: so few that clients wait for each other.
pub const BUDGET: u32 = 2;
/// The source of every GTID here.
pub const UUID: [u8; 16] = [7; 16];

#[derive(Clone, Debug)]
pub struct Outside {
    generation: u64,
    roles: [Role; BACKENDS],
    health: [Health; BACKENDS],
    /// The last transaction that the replica has executed.
    replicated: u64,
    /// From 9.0 on some commands are gone, and logins take another round.
    version_number: u32,
    settings: Arc<Settings>,
    filters: Option<Filters>,
    /// Connections beyond the budget: those for kills of statements that took too long.
    pub beyond: u32,
}

/// Everything against overload and guessing, with limits that are soon reached.
fn limited() -> Settings {
    let row = Allowance {
        connections_max: 4,
        running_max: 1,
        waiting_max: 1,
        wait_ms_max: Some(200),
        ..Allowance::default()
    };
    let mut events = AuditKinds::default();
    AuditKind::ALL.into_iter().for_each(|kind| events.add(kind));
    Settings {
        times: TimeLimits { statement_ms_max: 300, transaction_ms_max: 700, transaction_idle_ms_max: 400 },
        logins: LoginSettings { failures_max: 1, delay_ms_min: 50, delay_ms_max: 400 },
        connects: ConnectSettings { per_s_max: 6, per_address_per_s_max: 4 },
        allowances: Arc::new(Allowances { others: Some(Arc::new(row)), ..Allowances::default() }),
        admission: AdmissionSettings { is_on: true, target_ms: 20 },
        audit: AuditSettings { events, refuses: true },
        digest_running_max: 1,
        listeners: Arc::from([
            ListenerSettings::default(),
            ListenerSettings::default(),
            ListenerSettings { requires_tls: true, ..ListenerSettings::default() },
        ]),
        ..Settings::default()
    }
}

/// Each action, and a queue that is soon full.
fn filters() -> Filters {
    const TEXT: &str = "create filter a () with_pattern (plans='Select,Update') execute (action='CONCURRENCY_CONTROL', \
        action_args='max_concurrency=1; max_queue_size=2; max_wait_ms=200');\
        create filter b () with_pattern (plans='Delete', query_regex='(?i).*where.*') execute (action='FAIL');\
        create filter c () with_pattern () execute (action='REWRITE', action_args='pattern=\"1\"; replacement=\"(1)\"');\
        create filter e () with_pattern () execute (action='MIRROR', action_args='target=a; percent=50; max_queue_size=2');\
        create filter d () with_pattern (user_regex='.*') execute (action='CONTINUE')";
    let filters = Filter::read_all(TEXT).expect("they mean something");
    Filters::following(None, &filters).expect("they mean something")
}

impl Outside {
    pub fn new(flags: u8) -> Outside {
        let settings = Settings {
            connections_per_backend_max: BUDGET,
            connections_warm_min: u32::from(flags & 1),
            connection_idle_ms_max: 5_000,
            connection_age_ms_max: 60_000,
            waiters_max: 4,
            wait_ms_max: 500,
            clients_max: 6,
            handshake_ms_max: 1_000,
            client_idle_ms_max: 60_000,
            dial_ms_max: 300,
            balance: if flags & 2 == 2 { Balance::Random } else { Balance::LeastOutstanding },
            read_write_splitting: flags & 4 == 0,
            split_read_only_transactions: flags & 8 == 8,
            consistency: if flags & 16 == 16 { Consistency::Eventual } else { Consistency::Session },
            statements_per_connection_max: 2,
            drain_ms_max: 1_000,
            query_log: QueryLogSettings { sample: 2, slow_ms: 400, shows_literals: true },
            traces: TraceSettings { is_on: flags & 4 == 4, sample: 2, per_s_max: 1_000 },
            digests: flags & 8 == 8,
            ..if flags & 24 == 24 { limited() } else { Settings::default() }
        };
        Outside {
            generation: 0,
            roles: [Role::Primary, Role::Replica],
            health: [Health::Up; BACKENDS],
            replicated: 3,
            version_number: if flags & 32 == 32 { 80_400 } else { 90_704 },
            settings: Arc::new(settings),
            filters: (flags & 8 == 8).then(filters),
            beyond: u32::from(flags & 24 == 24),
        }
    }

    /// Something changes: a role, a health, a position.
    pub fn change(&mut self, draw: &mut Draw<'_>) {
        let at = draw.below(BACKENDS);
        match draw.below(4) {
            0 => self.roles.swap(0, 1),
            1 => self.roles[at] = draw.pick(&[Role::Primary, Role::Replica, Role::Unknown]),
            2 => self.health[at] = draw.pick(&[Health::Up, Health::Down, Health::Gone]),
            _ => self.replicated = u64::from(draw.u8()),
        }
        // One primary at most, as the control thread sees to.
        if self.roles == [Role::Primary; BACKENDS] {
            self.roles[1 - at] = Role::Replica;
        }
    }

    /// The end: nothing is to be kept.
    pub fn close(&mut self) {
        self.health = [Health::Gone; BACKENDS];
    }

    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        self.generation += 1;
        Arc::new(Snapshot {
            generation: self.generation,
            backends: (0..BACKENDS).map(|at| self.view(at)).collect(),
            settings: self.settings.clone(),
            keys: Keys {
                tls: Some(tls::server_config()),
                listeners: Arc::from([Some(tls::server_config()), None]),
                backend_tls: None,
                rsa: Arc::new(proof::rsa_key().clone()),
            },
            // They allow everything: whether they are there must make no difference.
            permissions: Some(Permissions { rules: Arc::default(), version: 1 }),
            filters: self.filters.clone(),
            face: Face { version: "9.7.4-weir".to_owned(), charset: 255, native_password: false },
            mandate: Default::default(),
        })
    }

    fn view(&self, at: usize) -> BackendView {
        let mut executed = GtidSet::new();
        executed.add(Sid::of(UUID), 1, self.replicated);
        BackendView {
            id: BackendId(at as u16),
            name: format!("server{at}"),
            uuid: Some(UUID),
            address: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 10_000 + at as u16))),
            role: self.roles[at],
            health: self.health[at],
            lag_ms: Some(0),
            executed: Arc::new(executed),
            weight: 100,
            version: "9.7.4".to_owned(),
            version_number: self.version_number,
            read_only: self.roles[at] == Role::Replica,
            zone: String::new(),
            queries_per_second: 0,
            threads_connected: 0,
            threads_running: 0,
        }
    }
}
