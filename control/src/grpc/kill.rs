//! Kills of clients across gates as protobuf: the types stop here.

use super::proto;
use weir_core::mail::{Kill, KillOutcome};

pub fn order(token: u64, kill: Kill) -> proto::KillOrder {
    let Kill { connection_id, query_only, asker } = kill;
    let operator = asker.is_none();
    proto::KillOrder { token, connection_id, query_only, asker: asker.unwrap_or_default().into(), operator }
}

/// Its token and what is wanted.
pub fn from_order(order: proto::KillOrder) -> (u64, Kill) {
    let proto::KillOrder { token, connection_id, query_only, asker, operator } = order;
    (token, Kill { connection_id, query_only, asker: (!operator).then(|| asker.into()) })
}

pub fn answer(token: u64, outcome: KillOutcome) -> proto::KillAnswer {
    use proto::KillOutcome as Word;
    let (word, why) = match outcome {
        KillOutcome::Done => (Word::Done, String::new()),
        KillOutcome::NoSuchThread => (Word::NoSuchThread, String::new()),
        KillOutcome::NotOwner => (Word::NotOwner, String::new()),
        KillOutcome::NotOfAGate => (Word::NotOfAGate, String::new()),
        KillOutcome::Unknown(why) => (Word::Unknown, why.into()),
    };
    proto::KillAnswer { token, outcome: word.into(), why }
}

/// Its token and what came of it; a word that this version does not know is no success.
pub fn from_answer(answer: proto::KillAnswer) -> (u64, KillOutcome) {
    use proto::KillOutcome as Word;
    let outcome = match answer.outcome() {
        Word::Done => KillOutcome::Done,
        Word::NoSuchThread => KillOutcome::NoSuchThread,
        Word::NotOwner => KillOutcome::NotOwner,
        Word::NotOfAGate => KillOutcome::NotOfAGate,
        Word::Unknown => KillOutcome::Unknown(answer.why.as_str().into()),
        Word::Unspecified => KillOutcome::Unknown("its gate's answer is of a newer version".into()),
    };
    (answer.token, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_and_answered_survives_the_wire() {
        for asker in [Some(Box::from(&b"\xffapp"[..])), Some(Box::default()), None] {
            let kill = Kill { connection_id: u32::MAX, query_only: true, asker };
            assert_eq!(from_order(order(7, kill.clone())), (7, kill));
        }
        let all = [
            KillOutcome::Done,
            KillOutcome::NoSuchThread,
            KillOutcome::NotOwner,
            KillOutcome::NotOfAGate,
            KillOutcome::Unknown("it is silent".into()),
        ];
        for outcome in all {
            assert_eq!(from_answer(answer(8, outcome.clone())), (8, outcome));
        }
        // Neither a word that is missing nor one that is to come is a success.
        for outcome in [0, 77] {
            let answer = proto::KillAnswer { token: 9, outcome, why: String::new() };
            assert!(matches!(from_answer(answer), (9, KillOutcome::Unknown(_))));
        }
    }
}
