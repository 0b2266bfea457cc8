//! Attend: a gate's stream with the controller that leads: its tag, and kills of clients across gates (S30).
//!
//! Invariant: what is said while there is no stream goes nowhere, and whoever said it is told by [`Heard::Lost`] that its stream
//! is over. A stream without a word for three beats is over.

use super::{Client, Controllers, Repeat};
use crate::controller::limits;
use crate::grpc::{kill, proto};
use proto::gate_order::Order;
use proto::gate_word::Word;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};
use weir_core::mail::{Kill, KillOutcome};

/// What the gate says.
#[derive(Debug)]
pub enum Said {
    Kill { token: u64, kill: Kill },
    Killed { token: u64, outcome: KillOutcome },
}

/// What it hears.
#[derive(Debug)]
pub enum Heard {
    /// A stream has begun; the ids of new clients begin with this.
    Tag(u8),
    Kill {
        token: u64,
        kill: Kill,
    },
    Killed {
        token: u64,
        outcome: KillOutcome,
    },
    /// There is no stream any more, or still none; why.
    Lost(String),
}

/// Until its task is dropped. `hello`: with the one tag that clients have until a controller has given another.
pub async fn attend(
    mut controllers: Controllers,
    mut hello: proto::GateHello,
    mut said: mpsc::Receiver<Said>,
    heard: mpsc::Sender<Heard>,
) {
    let mut pause = limits::PAUSE_MIN;
    loop {
        let (why, was_of_use) = once(&mut controllers, &mut hello, &mut said, &heard).await;
        tracing::debug!(event = "not_attended", "kills don't reach other gates: {why}");
        if heard.send(Heard::Lost(why)).await.is_err() {
            return;
        }
        controllers.give_up();
        pause = if was_of_use { limits::PAUSE_MIN } else { (pause * 2).min(limits::PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// One stream. Says why it ended, and whether it had begun.
async fn once(
    controllers: &mut Controllers,
    hello: &mut proto::GateHello,
    said: &mut mpsc::Receiver<Said>,
    heard: &mpsc::Sender<Heard>,
) -> (String, bool) {
    let (mut orders, words) = match open(controllers, hello).await {
        Ok(open) => open,
        Err(why) => return (why, false),
    };
    let mut is_begun = false;
    loop {
        tokio::select! {
            order = tokio::time::timeout(limits::SILENT, orders.message()) => {
                let order = match order {
                    Ok(Ok(Some(order))) => order.order,
                    Ok(Ok(None)) => return ("the controller has ended the stream".to_string(), is_begun),
                    Ok(Err(status)) => return (status.message().to_string(), is_begun),
                    Err(_) => return ("the controller is silent".to_string(), is_begun),
                };
                let news = match order {
                    Some(Order::Tag(tag)) => {
                        let Some(tag) = u8::try_from(tag).ok().filter(|tag| *tag != 0) else {
                            return (format!("the controller gave the tag {tag}: there is none"), false);
                        };
                        hello.tags.retain(|known| *known != u32::from(tag));
                        hello.tags.push(u32::from(tag));
                        // What was said to an earlier stream has been given up.
                        while !is_begun && said.try_recv().is_ok() {}
                        is_begun = true;
                        Heard::Tag(tag)
                    }
                    Some(Order::Kill(order)) => {
                        let (token, kill) = kill::from_order(order);
                        Heard::Kill { token, kill }
                    }
                    Some(Order::Killed(answer)) => {
                        let (token, outcome) = kill::from_answer(answer);
                        Heard::Killed { token, outcome }
                    }
                    None => continue,
                };
                if heard.send(news).await.is_err() {
                    return ("the gate is ending".to_string(), is_begun);
                }
            }
            Some(said) = said.recv(), if is_begun => {
                let word = match said {
                    Said::Kill { token, kill } => Word::Kill(kill::order(token, kill)),
                    Said::Killed { token, outcome } => Word::Killed(kill::answer(token, outcome)),
                };
                if words.try_send(proto::GateWord { word: Some(word) }).is_err() {
                    return ("the controller reads nothing".to_string(), is_begun);
                }
            }
        }
    }
}

type Words = mpsc::Sender<proto::GateWord>;

/// A stream with the leader, whose first word is the hello.
async fn open(
    controllers: &mut Controllers,
    hello: &proto::GateHello,
) -> Result<(Streaming<proto::GateOrder>, Words), String> {
    // Each controller that is tried gets words of its own; the last one's are those that count.
    let open = Mutex::new(None);
    let call = |mut client: Client, request: Request<proto::GateHello>| {
        let (words, stream) = mpsc::channel(limits::LETTERS_MAX);
        let hello = Word::Hello(request.into_inner());
        // There is room for it: it is the first one.
        let _ = words.try_send(proto::GateWord { word: Some(hello) });
        *open.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        async move { client.attend(ReceiverStream::new(stream)).await }
    };
    let orders = controllers.ask(Repeat::Safe, hello.clone(), call).await;
    let orders = orders.map_err(|status| status.message().to_string())?;
    let words = open.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((orders, words.ok_or("no controller is named")?))
}
