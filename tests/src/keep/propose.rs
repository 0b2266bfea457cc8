//! Proposers: clients that change the topology as fast as they can, and write down what they are told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tonic::Code;
use weir_control::grpc::proto;

use super::ledger::Ledger;
use super::process::client;

pub type Shared = Arc<Mutex<Ledger>>;

pub struct Proposers(Vec<JoinHandle<()>>);

impl Proposers {
    /// Each proposes one change after the other, to one of the controllers in turn.
    pub fn start(count: usize, addresses: &[String], ledger: &Shared) -> Proposers {
        let start = |who| tokio::spawn(propose_for_ever(addresses.to_vec(), who, ledger.clone()));
        Proposers((0..count).map(start).collect())
    }

    /// # Panics
    /// If one of them has found a fork or a loss.
    pub async fn stop(self) {
        for proposer in self.0 {
            proposer.abort();
            if let Err(error) = proposer.await
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

pub fn lock(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn propose_for_ever(addresses: Vec<String>, who: usize, ledger: Shared) {
    for turn in 0_usize.. {
        let address = &addresses[(turn + who) % addresses.len()];
        if propose(address, &format!("proposer {who}, turn {turn}"), &ledger).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Until something is refused or not answered.
async fn propose(address: &str, mark: &str, ledger: &Shared) -> Result<(), tonic::Status> {
    let mut client = client(address).await?;
    loop {
        let known = within(client.get_topology(proto::GetTopologyRequest {})).await?.into_inner();
        let mut next = known.topology.ok_or_else(|| tonic::Status::internal("a reply without a topology"))?;
        lock(ledger).see_late(&next);
        let expected = next.epoch;
        next.reason = format!("{mark}, after {expected}");
        lock(ledger).propose(&next.reason, expected + 1);
        let topology = Some(next);
        let request = proto::ProposeTopologyRequest { epoch_expected: expected, topology, former_is_fenced: false };
        match within(client.propose_topology(request)).await {
            Ok(reply) => {
                let made = reply.into_inner().topology.ok_or_else(|| tonic::Status::internal("no topology"))?;
                lock(ledger).acknowledge(&made);
            }
            Err(status) => {
                let mut ledger = lock(ledger);
                match status.code() {
                    Code::Aborted | Code::FailedPrecondition => ledger.refused += 1,
                    _ => ledger.unanswered += 1,
                }
                return Err(status);
            }
        }
    }
}

async fn within<T>(call: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, tonic::Status> {
    tokio::time::timeout(CALL_LIMIT, call).await.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("no answer")))
}

/// After a refusal: another proposer was faster, or nobody is there.
const PAUSE: Duration = Duration::from_millis(2);
const CALL_LIMIT: Duration = Duration::from_secs(4);
