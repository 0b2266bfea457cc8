//! The tablet over gRPC: `weir.v1.Tablet`.
//!
//! Invariant: whatever changes something asks [`Caller::may_change`] first.

use super::admin::{self, Admin, Caller};
use super::find;
use super::hub::Hub;
use super::wire::{Writer, refusal};
use crate::acl::Permissions;
use crate::client::{ClientError, Reply};
use crate::grpc::proto;
use crate::monitor::lookup;
use proto::tablet_server::{Tablet, TabletServer};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Service {
    pub hub: Hub,
    pub admin: Admin,
    pub permissions: Permissions,
    pub accounts: lookup::Accounts,
}

pub fn server(service: Service) -> TabletServer<Service> {
    TabletServer::new(service)
}

#[tonic::async_trait]
impl Tablet for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<proto::TabletWord, Status>> + Send>>;

    async fn watch(&self, _: Request<proto::TabletWatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (sender, receiver) = mpsc::channel(WORDS_MAX);
        tokio::spawn(send_words(self.hub.clone(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn find_transactions(
        &self,
        request: Request<proto::TabletFindRequest>,
    ) -> Result<Response<proto::TabletFindReply>, Status> {
        let question =
            find::read_question(request.into_inner()).map_err(|unreadable| Status::invalid_argument(unreadable.0))?;
        match lookup::look_up(&self.accounts, &question).await {
            Ok(findings) => Ok(Response::new(find::reply(findings))),
            Err(why) => Err(Status::unavailable(why)),
        }
    }

    async fn execute(
        &self,
        request: Request<proto::TabletExecuteRequest>,
    ) -> Result<Response<proto::TabletExecuteReply>, Status> {
        let caller = let_in(&request, "execute")?;
        let proto::TabletExecuteRequest { statement, within_ms } = request.into_inner();
        let within = Duration::from_millis(u64::from(within_ms));
        let reply = server_said(self.admin.execute(&caller, &statement, within).await)?;
        let (columns, rows, is_cut) = admin::rows(&reply, ROWS_MAX);
        let row = |cells: Vec<Option<String>>| proto::TabletRow {
            cells: cells.into_iter().map(|text| proto::TabletCell { text }).collect(),
        };
        Ok(Response::new(proto::TabletExecuteReply {
            columns,
            rows: rows.into_iter().map(row).collect(),
            affected_rows: reply.done().map_or(0, |done| done.affected_rows),
            is_cut,
            error: reply.error().map(refusal),
        }))
    }

    async fn kill(
        &self,
        request: Request<proto::TabletKillRequest>,
    ) -> Result<Response<proto::TabletKillReply>, Status> {
        let caller = let_in(&request, "kill")?;
        let proto::TabletKillRequest { connection_id, connection } = request.into_inner();
        let reply = server_said(self.admin.kill(&caller, connection_id, connection).await)?;
        Ok(Response::new(proto::TabletKillReply { error: reply.error().map(refusal) }))
    }

    async fn reload_permissions(
        &self,
        request: Request<proto::TabletReloadRequest>,
    ) -> Result<Response<proto::TabletReloadReply>, Status> {
        let caller = let_in(&request, "reload_permissions")?;
        let mistakes = self.permissions.reload();
        admin::audit(&caller, "reload_permissions", "", &Ok(Reply::default()));
        let groups = u32::try_from(self.permissions.current().len()).unwrap_or(u32::MAX);
        Ok(Response::new(proto::TabletReloadReply { mistakes, groups }))
    }
}

/// Every word until the reader leaves. A word that nobody has taken is followed by the newest, not by the next.
async fn send_words(hub: Hub, sender: mpsc::Sender<Result<proto::TabletWord, Status>>) {
    let mut words = hub.subscribe();
    let mut writer = Writer::default();
    loop {
        // First the room, then the word: it is as new as can be when it goes.
        let Ok(room) = sender.reserve().await else { return };
        let word = words.borrow_and_update().clone();
        room.send(Ok(writer.write(&word)));
        tokio::select! {
            changed = words.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(BEAT) => {}
            () = sender.closed() => return,
        }
    }
}

fn let_in<T>(request: &Request<T>, action: &str) -> Result<Caller, Status> {
    // The access table has let it in already; that stands in front of this service, and this is what it guards.
    let caller = Caller::of(request.extensions());
    match caller.may_change() {
        true => Ok(caller),
        false => {
            admin::audit_refused(&caller, action);
            Err(Status::permission_denied("this needs a client certificate, or a call from the loopback"))
        }
    }
}

/// An error of the server's is an answer; that it can't be asked is not.
fn server_said(outcome: Result<Reply, ClientError>) -> Result<Reply, Status> {
    match outcome {
        Ok(reply) => Ok(reply),
        Err(ClientError::Server(error)) => Err(Status::failed_precondition(format!("the admin account: {error}"))),
        Err(error) if error.is_timeout() => Err(Status::deadline_exceeded(error.to_string())),
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}

/// Words on their way to one reader.
const WORDS_MAX: usize = 4;

/// Between two words at most.
const BEAT: Duration = Duration::from_millis(1_000);

/// Of one answer.
const ROWS_MAX: usize = 10_000;
