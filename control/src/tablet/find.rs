//! `FindTransactions` on the wire, both ends, and how a gate asks it.

use super::wire::Unreadable;
use crate::grpc::proto;
use crate::grpc::tls::{ClientTls, connect};
use crate::monitor::lookup::{Answer, Question, Sought};
use proto::tablet_finding::Outcome;
use std::time::Duration;
use weir_core::mail::Finding;
use weir_net::gtid::{GtidSet, Sid};

pub fn read_question(request: proto::TabletFindRequest) -> Result<Question, Unreadable> {
    let text = format!("{}:1", request.source_uuid);
    let one = GtidSet::parse(text.as_bytes()).map_err(|_| Unreadable("a source that is no uuid"))?;
    let source = one.iter().next().map(|(sid, ..)| sid.uuid).ok_or(Unreadable("no source"))?;
    if request.sought.len() > SOUGHT_MAX {
        return Err(Unreadable("too much at once"));
    }
    let sought = |sought: proto::TabletSought| {
        let others = GtidSet::parse(sought.others.as_bytes()).map_err(|_| Unreadable("a GTID set that is none"))?;
        let among = sought.among.map(|text| GtidSet::parse(text.as_bytes())).transpose();
        let among = among.map_err(|_| Unreadable("a GTID set that is none"))?;
        Ok(Sought { thread_id: sought.thread_id, others, sent_ms: sought.sent_ms, among })
    };
    Ok(Question { source, sought: request.sought.into_iter().map(sought).collect::<Result<_, _>>()? })
}

pub fn reply(answers: Vec<Answer>) -> proto::TabletFindReply {
    let finding = |answer| proto::TabletFinding {
        outcome: Some(match answer {
            Answer::Found(Finding::Committed(set)) => Outcome::Committed(set.to_string()),
            Answer::Found(Finding::Absent) => Outcome::Absent(true),
            Answer::Found(Finding::Unknown(why)) => Outcome::Unknown(why),
            Answer::Among(set) => Outcome::Among(set.to_string()),
        }),
    };
    proto::TabletFindReply { findings: answers.into_iter().map(finding).collect() }
}

/// Err: why there is no answer; it may be asked again.
pub async fn ask(tablet: &str, tls: Option<&ClientTls>, question: &Question) -> Result<Vec<Answer>, String> {
    let channel = connect(tablet, tls, CONNECT_LIMIT).await?;
    let mut client = proto::tablet_client::TabletClient::new(channel);
    let response = client.find_transactions(request(question)).await;
    let reply = response.map_err(|status| status.message().to_string())?.into_inner();
    if reply.findings.len() != question.sought.len() {
        return Err("its tablet gave another number of answers".to_string());
    }
    reply.findings.into_iter().map(read_finding).collect()
}

fn request(question: &Question) -> proto::TabletFindRequest {
    let mut source = GtidSet::new();
    source.add(Sid::of(question.source), 1, 1);
    let uuid = source.to_string().split(':').next().unwrap_or_default().to_string();
    let sought = |sought: &Sought| proto::TabletSought {
        thread_id: sought.thread_id,
        others: sought.others.to_string(),
        sent_ms: sought.sent_ms,
        among: sought.among.as_ref().map(ToString::to_string),
    };
    proto::TabletFindRequest { source_uuid: uuid, sought: question.sought.iter().map(sought).collect() }
}

fn read_finding(finding: proto::TabletFinding) -> Result<Answer, String> {
    let set = |text: &str| match GtidSet::parse(text.as_bytes()) {
        Ok(set) if !set.is_empty() => Ok(set),
        _ => Err("its tablet named a set that is none".to_string()),
    };
    match finding.outcome {
        Some(Outcome::Committed(text)) => Ok(Answer::Found(Finding::Committed(set(&text)?))),
        Some(Outcome::Absent(true)) => Ok(Answer::Found(Finding::Absent)),
        Some(Outcome::Unknown(why)) => Ok(Answer::Found(Finding::Unknown(why))),
        Some(Outcome::Among(text)) => Ok(Answer::Among(set(&text)?)),
        Some(Outcome::Absent(false)) | None => Err("its tablet gave no answer".to_string()),
    }
}

/// Of one question.
pub const SOUGHT_MAX: usize = 256;

const CONNECT_LIMIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_findings_travel_whole() {
        let set = GtidSet::parse(b"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:tag:7").unwrap();
        let source = set.iter().next().unwrap().0.uuid;
        let sought = vec![Sought { thread_id: 7, others: set.clone(), sent_ms: 9, among: Some(set.clone()) }];
        let read = read_question(request(&Question { source, sought })).unwrap();
        let Sought { thread_id, others, sent_ms, among } = &read.sought[0];
        assert_eq!((read.source, *thread_id, others, *sent_ms, among), (source, 7, &set, 9, &Some(set.clone())));
        let found = [Finding::Committed(set.clone()), Finding::Absent, Finding::Unknown("w".to_string())];
        let mut all: Vec<Answer> = found.into_iter().map(Answer::Found).collect();
        all.push(Answer::Among(set));
        let back: Result<Vec<Answer>, String> = reply(all.clone()).findings.into_iter().map(read_finding).collect();
        assert_eq!(back, Ok(all));
        // Nothing is guessed.
        for outcome in [None, Some(Outcome::Absent(false)), Some(Outcome::Committed(String::new()))] {
            assert!(read_finding(proto::TabletFinding { outcome }).is_err());
        }
    }
}
