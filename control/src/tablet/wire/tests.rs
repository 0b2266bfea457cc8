use super::*;

const A: &str = "3aecbfe0-e779-11f1-be4c-02fc00000001";

fn executed(text: &str) -> Arc<GtidSet> {
    Arc::new(GtidSet::parse(text.as_bytes()).unwrap())
}

fn word(set: &str) -> Word {
    let executed = executed(set);
    let channel = Channel {
        name: "c".to_string(),
        source_uuid: A.to_string(),
        receiver: Receiver::Connecting,
        applier_runs: true,
        received: GtidSet::parse(format!("{A}:1-99").as_bytes()).unwrap(),
        seconds_behind: Some(3),
        last_error: "none".to_string(),
    };
    let facts = Facts {
        version: "9.7.4".to_string(),
        version_number: 90_704,
        charset: 255,
        native_password: true,
        read_only: true,
        server_uuid: A.to_string(),
        executed: executed.clone(),
        channels: Ok(vec![channel]),
        group: Some(crate::monitor::group::tests::group(crate::monitor::group::Place::Secondary, 7, A)),
        applying_ms: Some(4),
        received_ms: None,
        vitals: Vitals { uptime_s: Some(9), threads_running: 2, report_port: 3306, ..Vitals::default() },
        standing: Standing::ServerRestarted,
        lost: 1,
        restarts: 2,
    };
    Word {
        standing: Standing::ServerRestarted,
        role: Role::Replica,
        epoch: 7,
        primary: "two".to_string(),
        enrolment: Enrolment::NotRegistered,
        enrolment_why: "nobody answers".to_string(),
        care: Care {
            is_managed: true,
            settled: 7,
            trouble: "no".to_string(),
            extra: Arc::new(GtidSet::parse(set.as_bytes()).unwrap()),
        },
        facts: Some(Arc::new(facts)),
        executed,
        ..Word::new("one", None)
    }
}

#[test]
fn what_is_written_is_read_and_sets_travel_as_changes() {
    let (mut writer, mut reader) = (Writer::default(), Reader::default());
    let sent = |text: &str| Some(proto::tablet_word::Executed::ExecutedAdded(text.to_string()));
    let full = |text: &str| Some(proto::tablet_word::Executed::ExecutedFull(text.to_string()));
    let cases = [
        (format!("{A}:1-9"), full(&format!("{A}:1-9"))),
        (format!("{A}:1-9"), sent("")),
        (format!("{A}:1-9:11-12"), sent(&format!("{A}:11-12"))),
        (format!("{A}:1-12"), sent(&format!("{A}:10"))),
        // It was reset.
        (format!("{A}:1"), full(&format!("{A}:1"))),
        (format!("{A}:1-2"), sent(&format!("{A}:2"))),
    ];
    for (set, executed) in cases {
        let word = word(&set);
        let written = writer.write(&word);
        assert_eq!(written.executed, executed, "{set}");
        assert_eq!(reader.read(written), Ok(word), "{set}");
    }
}

#[test]
fn a_word_without_facts_and_one_that_does_not_tell_of_its_sources() {
    let fault = Word { standing: Standing::BadCredentials, why: "no".to_string(), ..Word::new("one", None) };
    assert_eq!(Reader::default().read(Writer::default().write(&fault)), Ok(fault));
    let mut shy = word(&format!("{A}:1"));
    let error = ServerError { code: 1227, state: "42000".to_string(), message: "denied".to_string() };
    shy.facts = shy.facts.map(|facts| Arc::new(Facts { channels: Err(error), ..(*facts).clone() }));
    assert_eq!(Reader::default().read(Writer::default().write(&shy)), Ok(shy));
}

#[test]
fn what_cannot_be_read_is_not_guessed() {
    let good = Writer::default().write(&word(&format!("{A}:1")));
    let read = |change: &dyn Fn(&mut proto::TabletWord)| {
        let mut word = good.clone();
        change(&mut word);
        Reader::default().read(word).unwrap_err().0
    };
    use proto::tablet_word::Executed;
    assert_eq!(read(&|word| word.executed = None), "a word without an executed set");
    assert_eq!(
        read(&|word| word.executed = Some(Executed::ExecutedAdded(String::new()))),
        "a set's change without the set"
    );
    assert_eq!(read(&|word| word.executed = Some(Executed::ExecutedFull("x".to_string()))), "a GTID set that is none");
    assert_eq!(read(&|word| word.state = 99), "a state that is none");
    assert_eq!(read(&|word| word.facts.as_mut().unwrap().charset = 999), "a character set that is none");
}
