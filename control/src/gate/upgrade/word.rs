//! The words that processes of one gate say to each other after a hand-over: whose client is to end, what came of it, and that nobody
//! has to come back.
//!
//! Invariant: what is decoded is what was encoded; anything else is no word, and is passed over, since a newer version may know more.

use weir_core::mail::{Kill, KillOutcome};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Has one of yours this id? Answer with the token.
    Kill {
        token: u64,
        kill: Kill,
    },
    Killed {
        token: u64,
        outcome: KillOutcome,
    },
    /// The sockets are in good hands, or closed on purpose: leave them for good.
    Over,
}

impl Word {
    pub fn encode(&self) -> String {
        match self {
            Word::Kill { token, kill } => {
                let what = if kill.query_only { "query" } else { "connection" };
                let hex = |user: &[u8]| user.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                let asker = kill.asker.as_ref().map_or(ANYBODY.to_string(), |user| format!("={}", hex(user)));
                format!("kill {token} {} {what} {asker}", kill.connection_id)
            }
            Word::Killed { token, outcome } => match outcome {
                KillOutcome::Done => format!("killed {token} done"),
                KillOutcome::NoSuchThread => format!("killed {token} nobody"),
                KillOutcome::NotOwner => format!("killed {token} foreign"),
                KillOutcome::NotOfAGate => format!("killed {token} unrelated"),
                KillOutcome::Unknown(why) => format!("killed {token} unknown {why}"),
            },
            Word::Over => "over".to_string(),
        }
    }

    pub fn decode(text: &str) -> Option<Word> {
        let parts: Vec<&str> = text.splitn(5, ' ').collect();
        match parts[..] {
            ["kill", token, id, what @ ("query" | "connection"), asker] => {
                let asker = if asker == ANYBODY { None } else { Some(unhex(asker.strip_prefix('=')?)?.into()) };
                let kill = Kill { connection_id: id.parse().ok()?, query_only: what == "query", asker };
                Some(Word::Kill { token: token.parse().ok()?, kill })
            }
            ["killed", token, outcome, ref why @ ..] => {
                let outcome = match outcome {
                    "done" => KillOutcome::Done,
                    "nobody" => KillOutcome::NoSuchThread,
                    "foreign" => KillOutcome::NotOwner,
                    "unrelated" => KillOutcome::NotOfAGate,
                    _ => KillOutcome::Unknown(why.join(" ").into()),
                };
                Some(Word::Killed { token: token.parse().ok()?, outcome })
            }
            ["over"] => Some(Word::Over),
            _ => None,
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some((digit(*pair.first()?)? << 4) | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Who asks is an operator, who may end anybody's.
const ANYBODY: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_as_they_were_meant() {
        let kill = |asker: Option<&[u8]>, query_only| Kill {
            connection_id: 0x0900_0001,
            query_only,
            asker: asker.map(Box::from),
        };
        let mut all = vec![Word::Over];
        for (at, asker) in [None, Some(&b"app"[..]), Some(b""), Some(b"\xff a *")].into_iter().enumerate() {
            all.push(Word::Kill { token: at as u64, kill: kill(asker, at % 2 == 0) });
        }
        for outcome in [KillOutcome::Done, KillOutcome::NoSuchThread, KillOutcome::NotOwner, KillOutcome::NotOfAGate] {
            all.push(Word::Killed { token: u64::MAX, outcome });
        }
        all.push(Word::Killed { token: 5, outcome: KillOutcome::Unknown("a core of its gate is silent".into()) });
        for word in all {
            assert_eq!(Word::decode(&word.encode()), Some(word));
        }
        for text in
            ["", "yours", "kill 1 2 all *", "kill 1 2 query app", "kill 1 2 query =xy", "kill x 2 query *", "over it"]
        {
            assert_eq!(Word::decode(text), None, "{text}");
        }
    }
}
