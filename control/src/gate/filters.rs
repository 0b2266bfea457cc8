//! The gate's filters: where they are kept, and which hold.
//!
//! ```text
//!   with controllers   in the topology store: a change is asked of the leader, and heard by all gates
//!   filters_file       this gate's own file of CREATE FILTER statements: written at a change, read when somebody else has changed it
//!   neither            there are none, and a change is told what is missing
//! ```
//! Invariant: they are replaced whole. A file with a mistake changes nothing; of a record, a filter that this version does not
//! understand is left out and told, since a topology must not be refused for it.

use super::cluster::Cluster;
use super::control::By;
use crate::config::Config;
use crate::controller::client::{Client, Controllers, Repeat};
use crate::controller::record::Record;
use crate::controller::wire;
use crate::grpc::proto;
use crate::grpc::tls::ClientTls;
use crate::monitor::Topology;
use crate::renewal::{LOOK_PAUSE, Mark, mark};
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Request;
use weir_core::filters::{FILTERS_MAX, Filters};
use weir_planner::filter::{Filter, Rule, Statement};

pub struct Keeper {
    home: Home,
    held: Option<Filters>,
    /// What the record said last.
    heard: Vec<String>,
    /// Changes that the controllers were asked for.
    asked: JoinSet<Asked>,
    /// When a file is looked at next.
    look_at: Instant,
}

enum Home {
    Nowhere,
    Controllers { addresses: Vec<String>, tls: Option<ClientTls> },
    File { path: PathBuf, mark: Option<Mark> },
}

/// Who wants a change, and what the controllers say of it.
pub struct Asked {
    pub by: By,
    pub outcome: Result<Record, String>,
}

/// What has come.
pub enum News {
    /// Other filters hold.
    Changed,
    Answer(Box<Asked>),
}

impl Keeper {
    /// A file that is not there yet is made by the first change.
    pub fn open(config: &Config, tls: Option<ClientTls>) -> Result<Keeper, String> {
        let (asked, look_at) = (JoinSet::new(), Instant::now());
        let mut keeper = Keeper { home: Home::Nowhere, held: None, heard: Vec::new(), asked, look_at };
        if let Some(controllers) = &config.controllers {
            keeper.home = Home::Controllers { addresses: controllers.addresses.clone(), tls };
        } else if let Some(path) = &config.filters_file {
            keeper.home = Home::File { path: path.clone(), mark: mark(path) };
            keeper.adopt(&read(path)?)?;
        }
        Ok(keeper)
    }

    /// Before the first client: what the controllers have said holds.
    pub fn begin(&mut self, cluster: Option<&Cluster>, topology: &mut Topology) {
        if let Some(record) = cluster.and_then(Cluster::record) {
            self.hear(&record);
        }
        topology.filter(self.held());
    }

    /// What the cores are to obey. None: there never were any.
    pub fn held(&self) -> Option<Filters> {
        self.held.clone()
    }

    fn adopt(&mut self, filters: &[Filter]) -> Result<(), String> {
        if filters.len() > FILTERS_MAX {
            return Err(format!("there would be {} filters: {FILTERS_MAX} at most", filters.len()));
        }
        // Without any, nothing is looked at: no statement pays for them.
        if !(filters.is_empty() && self.held.is_none()) {
            self.held = Some(Filters::following(self.held.as_ref(), filters)?);
            tracing::info!(event = "filters_changed", filters = filters.len(), "filters hold from now on");
        }
        Ok(())
    }

    /// The controllers' word. True: other filters hold.
    pub fn hear(&mut self, record: &Record) -> bool {
        if record.filters == self.heard {
            return false;
        }
        self.heard.clone_from(&record.filters);
        let mut filters = Vec::new();
        for text in &record.filters {
            match Filter::parse_all(text).and_then(|parsed| self.understood(parsed)) {
                Ok(understood) => filters.extend(understood),
                Err(why) => {
                    tracing::error!(event = "filter_left_out", "a filter of the controllers is left out: {why}")
                }
            }
        }
        self.adopt(&filters)
            .map_err(|why| tracing::error!(event = "filters_wrong", "the former ones hold: {why}"))
            .is_ok()
    }

    /// Those that hold already need not be looked at once more.
    fn understood(&self, filters: Vec<Filter>) -> Result<Vec<Filter>, String> {
        let find = |filter: &Filter| self.held.as_ref().and_then(|held| held.find(&filter.name));
        let holds = |filter: &Filter| find(filter).is_some_and(|entry| entry.rule.filter == *filter);
        filters.iter().filter(|filter| !holds(filter)).try_for_each(|filter| Rule::of(filter).map(drop))?;
        Ok(filters)
    }

    /// A change that an admin wants. Some: it is done, or refused; None: the controllers are asked, and it becomes news.
    pub fn change(&mut self, statement: &Statement, user: &str, by: By) -> Option<(By, Result<(), String>)> {
        match &self.home {
            Home::Nowhere => Some((by, Err(NOWHERE.to_string()))),
            Home::File { path, .. } => {
                let path = path.clone();
                let outcome = self.change_file(&path, statement);
                Some((by, outcome))
            }
            Home::Controllers { addresses, tls } => {
                let controllers = Controllers::new(addresses, tls.clone());
                let question = proto::ChangeFiltersRequest { statement: statement.to_string(), by: user.to_string() };
                self.asked.spawn(async move { Asked { by, outcome: ask(controllers, question).await } });
                None
            }
        }
    }

    fn change_file(&mut self, path: &Path, statement: &Statement) -> Result<(), String> {
        // Somebody may have changed it a moment ago.
        let next = statement.apply(&read(path)?)?;
        let former = self.held.clone();
        self.adopt(&next)?;
        match write(path, &next) {
            Ok(()) => {
                self.home = Home::File { path: path.to_path_buf(), mark: mark(path) };
                Ok(())
            }
            Err(error) => {
                let filters = former.map(|former| former.filters()).unwrap_or_default();
                self.adopt(&filters)?;
                Err(format!("{} cannot be written ({error})", path.display()))
            }
        }
    }

    /// Waits for an answer of the controllers, or for a file that somebody else has changed.
    pub async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                Some(asked) = self.asked.join_next() => if let Ok(asked) = asked {
                    return News::Answer(Box::new(asked));
                },
                () = look_due(&self.home, self.look_at) => {
                    self.look_at = Instant::now() + LOOK_PAUSE;
                    if self.reload() {
                        return News::Changed;
                    }
                }
            }
        }
    }

    /// Reads the file if it is another one. True: other filters hold.
    pub fn reload(&mut self) -> bool {
        let Home::File { path, mark: known } = &mut self.home else { return false };
        let now = mark(path);
        if now == *known {
            return false;
        }
        *known = now;
        let path = path.clone();
        let outcome = read(&path).and_then(|filters| self.adopt(&filters));
        outcome.map_err(|why| tracing::error!(event = "filters_wrong", "the last good ones hold: {why}")).is_ok()
    }
}

async fn look_due(home: &Home, at: Instant) {
    match home {
        Home::File { .. } => tokio::time::sleep_until(at).await,
        Home::Nowhere | Home::Controllers { .. } => std::future::pending().await,
    }
}

async fn ask(mut controllers: Controllers, question: proto::ChangeFiltersRequest) -> Result<Record, String> {
    let call = |mut client: Client, request: Request<_>| async move { client.change_filters(request).await };
    let reply: Result<proto::ChangeFiltersReply, _> = controllers.ask(Repeat::Unsafe, question, call).await;
    let topology = reply.map_err(|status| status.message().to_string())?.topology;
    topology.ok_or_else(|| "the controller has sent no topology".to_string()).and_then(wire::from_proto)
}

/// One that is not there is empty.
pub fn read(path: &Path) -> Result<Vec<Filter>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("the file of filters {} cannot be read ({error})", path.display())),
    };
    Filter::read_all(&text).map_err(|why| format!("the file of filters {}: {why}", path.display()))
}

/// A crash leaves the old one or the new one.
fn write(path: &Path, filters: &[Filter]) -> std::io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = std::fs::File::create(&draft)?;
    for filter in filters {
        writeln!(file, "{filter};")?;
    }
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

const NOWHERE: &str = "this gate has nowhere to keep filters: set filters_file under [gate] and restart it, or give it controllers, \
                       which keep them for all gates";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keeper: &Keeper) -> Vec<String> {
        keeper
            .held()
            .map(|held| held.filters().iter().map(|filter| filter.name.to_string()).collect())
            .unwrap_or_default()
    }

    fn run(keeper: &mut Keeper, statement: &str) -> Result<(), String> {
        keeper.change(&Statement::read(statement).unwrap(), "ops", By::Core(0, 1)).expect("nobody is asked").1
    }

    fn create(name: &str) -> String {
        format!("create filter {name} () with_pattern (plans='Select') execute (action='FAIL')")
    }

    #[test]
    fn a_file_keeps_them_and_is_read_when_it_changes() {
        let path = std::env::temp_dir().join(format!("weir-filters-{}.sql", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut config = Config::local(&[], "nobody", "nothing");
        let mut nowhere = Keeper::open(&config, None).unwrap();
        assert!(run(&mut nowhere, &create("a")).unwrap_err().contains("set filters_file"));
        config.filters_file = Some(path.clone());
        let mut keeper = Keeper::open(&config, None).unwrap();
        assert!(keeper.held().is_none() && !keeper.reload());
        run(&mut keeper, &create("a")).unwrap();
        run(&mut keeper, &create("b")).unwrap();
        assert!(run(&mut keeper, &create("b")).unwrap_err().contains("exists already"));
        assert_eq!(names(&keeper), ["a", "b"]);
        assert!(!keeper.reload(), "it is our own");
        assert_eq!(names(&Keeper::open(&config, None).unwrap()), ["a", "b"]);
        std::fs::write(&path, format!("{};", create("c"))).unwrap();
        assert!(keeper.reload());
        assert_eq!(names(&keeper), ["c"]);
        std::fs::write(&path, "drop filter everything").unwrap();
        assert!(!keeper.reload() && Keeper::open(&config, None).err().unwrap().contains("only CREATE FILTER"));
        assert_eq!(names(&keeper), ["c"]);
        assert!(run(&mut keeper, &create("d")).is_err(), "what somebody has written is not overwritten");
        std::fs::write(&path, "").unwrap();
        assert!(keeper.reload() && keeper.held().is_some_and(|held| held.entries.is_empty()));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_record_is_obeyed_but_for_what_nobody_understands() {
        use crate::controller::record::Phase;
        use crate::controller::record::tests::record;
        let mut keeper = Keeper::open(&Config::local(&[], "nobody", "nothing"), None).unwrap();
        let mut word = record(7, Phase::Forming);
        assert!(!keeper.hear(&word) && keeper.held().is_none());
        word.filters = vec![create("a"), "create filter of the future".to_string()];
        assert!(keeper.hear(&word) && !keeper.hear(&word));
        assert_eq!(names(&keeper), ["a"]);
    }
}
