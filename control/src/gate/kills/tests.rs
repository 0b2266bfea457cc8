use super::*;

struct Stage {
    kills: Kills,
    said: mpsc::Receiver<Said>,
    now: Instant,
}

/// A gate with the tag 3 and two cores, that has a stream with the leader.
fn attended() -> Stage {
    let (said, says) = mpsc::channel(LETTERS_MAX);
    let (_, heard) = mpsc::channel(1);
    let mut kills = Kills::new(3, Road::Controllers { said, heard, cut: Some("none yet".to_string()) });
    let now = Instant::now();
    assert!(kills.handle_heard(now, Heard::Tag(3), 2).is_empty(), "nothing new for the cores");
    Stage { kills, said: says, now }
}

fn kill(connection_id: u32) -> Kill {
    Kill { connection_id, query_only: false, asker: Some(Box::from(&b"app"[..])) }
}

fn outcome(letters: Letters) -> (usize, u64, KillOutcome) {
    match <[_; 1]>::try_from(letters) {
        Ok([(core, Mail::Killed { token, outcome })]) => (core, token, outcome),
        other => panic!("{other:?}"),
    }
}

fn is_unknown((_, _, outcome): &(usize, u64, KillOutcome), what: &str) -> bool {
    matches!(outcome, KillOutcome::Unknown(why) if why.contains(what))
}

#[test]
fn a_cores_question_is_answered_once_by_whom_the_leader_asked() {
    let Stage { mut kills, mut said, now } = attended();
    assert!(kills.handle_kill(now, 1, 50, kill(0x0900_0001)).is_empty());
    let Ok(Said::Kill { token, kill: passed }) = said.try_recv() else { panic!("it was not passed on") };
    assert_eq!(passed, kill(0x0900_0001));
    let answer = |kills: &mut Kills| kills.handle_heard(now, Heard::Killed { token, outcome: KillOutcome::Done }, 2);
    assert_eq!(outcome(answer(&mut kills)), (1, 50, KillOutcome::Done));
    assert!(answer(&mut kills).is_empty());
    assert_eq!(kills.poll_timeout(), None);
    // Nobody's is the primary's; with a tag of ours it is a client that is gone.
    for (id, expected) in [(0x0900_0001, KillOutcome::NotOfAGate), (0x0300_0001, KillOutcome::NoSuchThread)] {
        assert!(kills.handle_kill(now, 0, 51, kill(id)).is_empty());
        let Ok(Said::Kill { token, .. }) = said.try_recv() else { panic!("it was not passed on") };
        let letters = kills.handle_heard(now, Heard::Killed { token, outcome: KillOutcome::NotOfAGate }, 2);
        assert_eq!(outcome(letters), (0, 51, expected));
    }
}

#[test]
fn nobody_waits_for_ever_and_nothing_is_done_by_silence() {
    let Stage { mut kills, said, now } = attended();
    assert!(kills.handle_kill(now, 0, 1, kill(0x0900_0001)).is_empty());
    let late = kills.poll_timeout().unwrap();
    assert_eq!(late, now + KILL_LIMIT);
    assert!(kills.handle_timeout(late - Duration::from_millis(1)).is_empty());
    assert!(is_unknown(&outcome(kills.handle_timeout(late)), "in time"));
    assert!(kills.handle_timeout(late).is_empty());
    // The stream breaks under it, and is not there for the next one.
    assert!(kills.handle_kill(now, 1, 2, kill(0x0900_0001)).is_empty());
    let lost = outcome(kills.handle_heard(now, Heard::Lost("cut off".to_string()), 2));
    assert!(is_unknown(&lost, "lost (cut off)") && (lost.0, lost.1) == (1, 2), "{lost:?}");
    assert!(is_unknown(&outcome(kills.handle_kill(now, 1, 3, kill(0x0900_0001))), "not reached (cut off)"));
    // It comes back; more than may be are refused.
    kills.handle_heard(now, Heard::Tag(3), 2);
    for token in 0..KILLS_MAX as u64 {
        assert!(kills.handle_kill(now, 0, token, kill(0x0900_0001)).is_empty());
    }
    assert!(is_unknown(&outcome(kills.handle_kill(now, 0, 99, kill(0x0900_0001))), "too many"));
    assert_eq!(kills.handle_timeout(late).len(), KILLS_MAX);
    // Words that nobody takes.
    drop(said);
    assert!(is_unknown(&outcome(kills.handle_kill(now, 0, 100, kill(0x0900_0001))), "no words"));
}

#[test]
fn another_gates_order_goes_to_the_core_that_gives_such_ids() {
    let Stage { mut kills, mut said, now } = attended();
    let ordered = |letters: Letters| match <[_; 1]>::try_from(letters) {
        Ok([(core, Mail::Kill { from: mail::Asker::Control, token, kill })]) => (core, token, kill),
        other => panic!("{other:?}"),
    };
    let mut answer = |kills: &mut Kills, number, outcome| {
        kills.handle_killed(now, number, outcome);
        match said.try_recv() {
            Ok(Said::Killed { token, outcome }) => Some((token, outcome)),
            _ => None,
        }
    };
    let (core, number, passed) =
        ordered(kills.handle_heard(now, Heard::Kill { token: 70, kill: kill(0x0300_0005) }, 2));
    assert_eq!((core, passed), (1, kill(0x0300_0005)));
    assert_eq!(answer(&mut kills, number, KillOutcome::NotOwner), Some((70, KillOutcome::NotOwner)));
    assert_eq!(answer(&mut kills, number, KillOutcome::Done), None, "it was answered");
    // Its clients keep the ids of an older tag, and are found by them.
    assert_eq!(kills.handle_heard(now, Heard::Tag(4), 2).len(), 2);
    assert_eq!(kills.tag(), 4);
    for (id, expected) in [(0x0300_0004, KillOutcome::NoSuchThread), (0x0900_0004, KillOutcome::NotOfAGate)] {
        let (core, number, _) = ordered(kills.handle_heard(now, Heard::Kill { token: 71, kill: kill(id) }, 2));
        assert_eq!((core, answer(&mut kills, number, KillOutcome::NoSuchThread)), (0, Some((71, expected))));
    }
    // A core that does not answer.
    let (sender, mut receiver) = oneshot::channel();
    ordered(kills.handle_peer(now, (kill(0x0400_0001), sender), 2));
    assert!(kills.handle_timeout(now + KILL_LIMIT).is_empty());
    assert!(matches!(receiver.try_recv(), Ok(KillOutcome::Unknown(_))));
    for token in 0..ORDERS_MAX as u64 {
        ordered(kills.handle_heard(now, Heard::Kill { token, kill: kill(0x0400_0001) }, 2));
    }
    assert!(kills.handle_heard(now, Heard::Kill { token: 1, kill: kill(0x0400_0001) }, 2).is_empty());
    assert!(matches!(said.try_recv(), Ok(Said::Killed { token: 1, outcome: KillOutcome::Unknown(_) })));
}

#[test]
fn a_gate_that_knows_no_other_leaves_it_to_the_primary() {
    let mut kills = Kills::new(3, Road::None);
    let now = Instant::now();
    assert_eq!(outcome(kills.handle_kill(now, 1, 1, kill(0x0900_0001))), (1, 1, KillOutcome::NotOfAGate));
    assert_eq!(outcome(kills.handle_kill(now, 1, 2, kill(0x0300_0001))), (1, 2, KillOutcome::NoSuchThread));
}

/// The newest of three processes, whose ids begin with 3: the others' began with 1 and 2.
fn family() -> (Kills, [Line; 2]) {
    let mut kills = Kills::new(3, Road::None);
    let (ours, theirs): (Vec<Line>, Vec<_>) = [(); 2].map(|()| Line::pair().unwrap()).into_iter().unzip();
    kills.follow(ours.into_iter().map(|line| (Arc::new(line.polled().unwrap()), true)).collect(), &[1, 2]);
    let lines: Vec<Line> = theirs.into_iter().map(Line::new).collect();
    (kills, lines.try_into().unwrap())
}

fn heard(line: &Line) -> Option<Word> {
    Word::decode(&line.receive(crate::gate::upgrade::Patience::None).ok()??.text)
}

/// A question of one of our cores, and its kin's answers.
#[tokio::test]
async fn kin_are_asked_before_anybody_else() {
    let (mut kills, lines) = family();
    let now = Instant::now();
    use KillOutcome::{Done, NoSuchThread, NotOfAGate};
    for (at, (id, first, second, expected)) in [
        (0x0100_0001, Done, NotOfAGate, Done),
        (0x0100_0001, NoSuchThread, NotOfAGate, NoSuchThread),
        // Of a process that has ended, and of nobody here.
        (0x0200_0001, NotOfAGate, NotOfAGate, NoSuchThread),
        (0x0900_0001, NotOfAGate, NotOfAGate, NotOfAGate),
    ]
    .into_iter()
    .enumerate()
    {
        let token = at as u64 + 7;
        assert!(kills.handle_kill(now, 1, token, kill(id)).is_empty());
        let mut letters = Vec::new();
        for (line, outcome) in lines.iter().zip([first, second]) {
            let Some(Word::Kill { token, kill: passed }) = heard(line) else { panic!("it was not asked") };
            assert_eq!(passed, kill(id));
            line.send(&Word::Killed { token, outcome }.encode(), &[]).unwrap();
            let news = kills.heard().await;
            letters.extend(kills.handle_news(now, news, 2).0);
        }
        assert_eq!(outcome(letters), (1, token, expected));
        assert_eq!(kills.poll_timeout(), None);
    }
    // One hangs.
    assert!(kills.handle_kill(now, 0, 1, kill(0x0100_0001)).is_empty());
    let late = kills.poll_timeout().unwrap();
    assert!(is_unknown(&outcome(kills.handle_timeout(late)), "does not answer"));
}

/// A question of one of our kin: our own cores first, then the others of them.
#[tokio::test]
async fn kin_find_each_other_by_the_newest() {
    let (mut kills, [asker, other]) = family();
    let now = Instant::now();
    for (ours, theirs, expected) in [
        (KillOutcome::NotOwner, None, KillOutcome::NotOwner),
        (KillOutcome::NoSuchThread, Some(KillOutcome::Done), KillOutcome::Done),
        (KillOutcome::NoSuchThread, Some(KillOutcome::NotOfAGate), KillOutcome::NoSuchThread),
    ] {
        asker.send(&Word::Kill { token: 70, kill: kill(0x0200_0005) }.encode(), &[]).unwrap();
        let news = kills.heard().await;
        let (letters, _) = kills.handle_news(now, news, 2);
        let [(1, Mail::Kill { token, .. })] = letters[..] else { panic!("{letters:?}") };
        kills.handle_killed(now, token, ours);
        if let Some(theirs) = theirs {
            let Some(Word::Kill { token, .. }) = heard(&other) else { panic!("it was not asked") };
            other.send(&Word::Killed { token, outcome: theirs }.encode(), &[]).unwrap();
            let news = kills.heard().await;
            assert!(kills.handle_news(now, news, 2).0.is_empty());
        }
        assert_eq!(heard(&asker), Some(Word::Killed { token: 70, outcome: expected }));
        assert_eq!((heard(&asker), heard(&other)), (None, None), "who asks is not asked");
    }
    drop(other);
    let news = kills.heard().await;
    assert_eq!(kills.handle_news(now, news, 2).1, Some(KinNews::FormerEnded));
}
