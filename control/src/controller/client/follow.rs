//! Follow: one stream of topology after the other, from whichever controller is alive.

use super::{Client, Controllers, Told};
use crate::controller::{limits, wire};
use crate::grpc::proto;
use std::time::Duration;

/// Until its task is dropped. Without controllers the last word holds (S78).
pub async fn follow(mut controllers: Controllers, told: Told) {
    let mut pause = limits::PAUSE_MIN;
    let mut was_heard = true;
    loop {
        let mut heard = false;
        let why = match controllers.open().await {
            Ok((address, client)) => {
                let why = follow_one(client, &told, &mut heard).await;
                format!("{address}: {why}")
            }
            Err(status) => status.message().to_string(),
        };
        controllers.give_up();
        if was_heard && !heard {
            tracing::warn!(event = "controllers_silent", epoch = told.epoch().number(), "the last word holds: {why}");
        }
        was_heard = heard;
        pause = if heard { limits::PAUSE_MIN } else { (pause * 2).min(limits::PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// Says why it ended.
async fn follow_one(mut client: Client, told: &Told, heard: &mut bool) -> String {
    let question = proto::WatchTopologyRequest { epoch_seen: told.epoch().number() };
    let mut words = match within(client.watch_topology(question)).await {
        Ok(response) => response.into_inner(),
        Err(why) => return why,
    };
    loop {
        let word = match within(words.message()).await {
            Ok(Some(word)) => word,
            Ok(None) => return "it ended the stream".to_string(),
            Err(why) => return why,
        };
        let Some(topology) = word.topology else {
            *heard = true;
            continue;
        };
        match wire::from_proto(topology).map(|record| told.admit(record)) {
            Ok(true) => *heard = true,
            Ok(false) => return "it tells of another past".to_string(),
            Err(why) => return format!("it sent a topology that is wrong: {why}"),
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, String> {
    let limit: Duration = limits::SILENT;
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(status)) => Err(status.message().to_string()),
        Err(_) => Err(format!("no word for {} ms", limit.as_millis())),
    }
}
