//! What metrics are made of, read at one moment.

use std::collections::BTreeMap;
use std::fs;

use backend::{BackendHistory, PoolHistory};
use tokio::time::timeout;

use crate::limits::SCRIPTS_TIME;
use proxy::{
    BackendWork, Control, QueryLogReport, QueueReport, ScriptReport, Status, Work, WorkerReport,
};

/// Of the whole process.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) status: Status,
    pub(crate) work: Work,
    /// Sessions by what they do.
    pub(crate) sessions: BTreeMap<&'static str, u64>,
    /// Those that were not removed.
    pub(crate) backends: Vec<BackendSnapshot>,
    pub(crate) scripts: Vec<ScriptReport>,
    pub(crate) workers: Vec<WorkerReport>,
    pub(crate) query_logs: Vec<QueryLogReport>,
    /// In spans; `None` where nothing is traced.
    pub(crate) traces: Option<QueueReport>,
    pub(crate) process: ProcessSnapshot,
}

/// Of one backend.
#[derive(Debug, Clone)]
pub(crate) struct BackendSnapshot {
    /// As configured.
    pub(crate) address: String,
    pub(crate) role: &'static str,
    pub(crate) takes_clients: bool,
    pub(crate) is_up: bool,
    pub(crate) clients: u64,
    pub(crate) idle: u64,
    pub(crate) waiting: u64,
    pub(crate) history: BackendHistory,
    pub(crate) pool: PoolHistory,
    pub(crate) work: BackendWork,
}

/// As the system counts it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcessSnapshot {
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: u64,
    pub(crate) cpu_seconds: f64,
}

impl Snapshot {
    pub(crate) async fn take(control: &Control) -> Self {
        let work = control.work();
        Self {
            status: control.status(),
            sessions: sessions(control),
            backends: backends(control, &work),
            scripts: timeout(SCRIPTS_TIME, control.scripts())
                .await
                .unwrap_or_default(),
            workers: control.workers(),
            query_logs: control.query_logs(),
            traces: control.traces(),
            process: ProcessSnapshot::take(),
            work,
        }
    }
}

fn sessions(control: &Control) -> BTreeMap<&'static str, u64> {
    let activities = control.activities();
    BTreeMap::from([
        ("login", activities.login),
        ("idle", activities.idle),
        ("command", activities.command),
    ])
}

fn backends(control: &Control, work: &Work) -> Vec<BackendSnapshot> {
    let present = control.backends().present();
    let snapshots = present.iter().map(|backend| {
        let pool = backend.pool();
        let idle = pool.idle_by_user().into_iter().map(|(_, idle)| idle as u64);
        BackendSnapshot {
            address: backend.address().to_string(),
            role: backend.role().name(),
            takes_clients: backend.takes_clients(),
            is_up: backend.health().is_up(),
            clients: backend.clients() as u64,
            idle: idle.sum(),
            waiting: pool.waiting() as u64,
            history: backend.history(),
            pool: pool.history(),
            work: work
                .backends
                .get(&backend.index())
                .cloned()
                .unwrap_or_default(),
        }
    });
    snapshots.collect()
}

impl ProcessSnapshot {
    /// What the system does not say is 0.
    fn take() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 = statm
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .unwrap_or_default();
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Self {
            resident_bytes: pages * rustix::param::page_size() as u64,
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        }
    }
}
