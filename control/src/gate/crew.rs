//! The crew: the tasks that watch backends, one each: an agent of our own, or the follower of a tablet's stream.
//!
//! Invariant: backend `n` is watched by task `n`, whose nudge has that index, until it is dismissed. Tasks end with the crew.

use crate::client;
use crate::config::{BackendConfig, Config, MonitorConfig};
use crate::grpc::tls::ClientTls;
use crate::monitor::{Sight, Watcher};
use crate::tablet::follower::{Follower, SILENT};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

pub struct Crew {
    monitor: MonitorConfig,
    /// Towards tablets.
    tls: Option<ClientTls>,
    sender: mpsc::Sender<Sight>,
    nudges: Vec<Arc<Notify>>,
    posts: Vec<Post>,
    source: watch::Sender<Option<[u8; 16]>>,
    tasks: JoinSet<()>,
}

/// Who is watched, and by what task.
struct Post {
    backend: BackendConfig,
    task: AbortHandle,
    is_dismissed: bool,
}

impl Crew {
    /// One task for each backend of the configuration.
    pub fn start(config: &Config, tls: Option<ClientTls>) -> (Crew, mpsc::Receiver<Sight>) {
        let (sender, sights) = mpsc::channel(SIGHTS_MAX);
        let (source, _) = watch::channel(None);
        let monitor = config.monitor.clone();
        let (nudges, posts) = (Vec::new(), Vec::new());
        let mut crew = Crew { monitor, tls, sender, nudges, posts, source, tasks: JoinSet::new() };
        config.backends.iter().for_each(|backend| crew.watch(backend));
        (crew, sights)
    }

    /// The next backend.
    pub fn watch(&mut self, backend: &BackendConfig) {
        self.nudges.push(Arc::new(Notify::new()));
        let task = self.start_task(self.posts.len(), backend);
        self.posts.push(Post { backend: backend.clone(), task, is_dismissed: false });
    }

    /// It is no backend any more; its index stays.
    pub fn dismiss(&mut self, backend: usize) {
        if let Some(post) = self.posts.get_mut(backend) {
            post.task.abort();
            post.is_dismissed = true;
        }
    }

    /// From now on servers are looked at with this account and so often. Tablets tell as before.
    pub fn adopt(&mut self, monitor: &MonitorConfig) {
        self.monitor = monitor.clone();
        for at in 0..self.posts.len() {
            let Post { backend, task, is_dismissed } = &self.posts[at];
            if *is_dismissed || backend.tablet.is_some() {
                continue;
            }
            task.abort();
            let backend = backend.clone();
            self.posts[at].task = self.start_task(at, &backend);
        }
    }

    fn start_task(&mut self, at: usize, backend: &BackendConfig) -> AbortHandle {
        let sights = self.sender.clone();
        if let Some(tablet) = &backend.tablet {
            let tls = self.tls.clone();
            let follower = Follower { backend: at, tablet: tablet.clone(), sights, silent: SILENT, tls };
            return self.tasks.spawn(follower.run());
        }
        let mut options = client::Options::address(&backend.address)
            .user(&self.monitor.user)
            .attribute("program_name", "weir-monitor")
            .timeout(Some(Duration::from_millis(self.monitor.timeout_ms)));
        options.password = self.monitor.password.clone();
        let watcher = Watcher {
            backend: at,
            options,
            interval: Duration::from_millis(self.monitor.interval_ms),
            sights,
            nudge: self.nudges[at].clone(),
            last_nudge: None,
            source: self.source.subscribe(),
            discovers: self.monitor.discover,
            memory: Arc::default(),
            began: Instant::now(),
        };
        self.tasks.spawn(watcher.run())
    }

    /// Look at it at once.
    pub fn nudge(&self, backend: usize) {
        if let Some(nudge) = self.nudges.get(backend) {
            nudge.notify_one();
        }
    }

    pub fn nudge_all(&self) {
        self.nudges.iter().for_each(|nudge| nudge.notify_one());
    }

    /// The primary's uuid, as far as it is known.
    pub fn tell_source(&self, source: Option<[u8; 16]>) {
        self.source.send_if_modified(|seen| std::mem::replace(seen, source) != source);
    }
}

/// News of watchers that the control thread has not taken yet; beyond it they wait.
const SIGHTS_MAX: usize = 256;
