//! Questions in words, and what is left of a table.

use super::{Show, Shown, What, is_like};

fn table() -> Shown {
    let row = |name: &str, count: &str| vec![name.to_string(), count.to_string()];
    let rows = vec![row("b", "9"), row("a", "10"), row("ab", "1")];
    Shown { columns: vec!["name", "total_us"], rows, note: None }
}

fn names(words: &str) -> Result<String, String> {
    let shown = Show::parse(words)?.finish(table())?;
    Ok(shown.rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>().join(" "))
}

#[test]
fn questions_are_understood() {
    for (words, expected) in [
        ("STATUS", "b a ab"),
        ("STATUS LIKE 'A%'", "a ab"),
        ("STATUS LIKE 'A%' ORDER BY TOTAL LIMIT 1", "a"),
        ("STATUS ORDER BY TOTAL_US ASC", "ab b a"),
        ("STATUS ORDER BY NAME", "a ab b"),
        ("STATUS ORDER BY `NAME` DESC LIMIT 2", "b ab"),
        ("STATUS LIMIT 0", ""),
    ] {
        assert_eq!(names(words).as_deref(), Ok(expected), "{words}");
    }
    assert_eq!(Show::parse("PINS BY ACCOUNT").map(|show| show.what), Ok(What::PinsByAccount));
    assert_eq!(Show::parse("PINS").map(|show| show.what), Ok(What::Pins));
    let unknown = Show::parse("POOL").unwrap_err();
    assert!(unknown.contains("POOLS, SESSIONS") && unknown.contains("VARIABLES"), "{unknown}");
    for words in ["STATUS LIKE A", "STATUS LIKE 'A", "STATUS LIMIT", "STATUS LIMIT -1", "STATUS ORDER NAME", "STATUS A"]
    {
        assert!(Show::parse(words).unwrap_err().contains("[LIMIT n]"), "{words}");
    }
    assert!(names("STATUS ORDER BY SIZE").unwrap_err().contains("name, total_us"));
}

#[test]
fn what_is_cut_is_said() {
    let rows = (0..1_500).map(|n| vec![n.to_string()]).collect();
    let all = Shown { columns: vec!["core"], rows, note: Some("core 1 is silent".to_string()) };
    let shown = Show::parse("POOLS").unwrap().finish(all.clone()).unwrap();
    let note = shown.note.unwrap();
    assert!(
        shown.rows.len() == 1_000 && note.contains("1000 of 1500") && note.starts_with("core 1 is silent; "),
        "{note}"
    );
    let shown = Show::parse("POOLS LIMIT 1200").unwrap().finish(all).unwrap();
    assert_eq!((shown.rows.len(), shown.note.as_deref()), (1_200, Some("core 1 is silent")));
}

#[test]
fn patterns_match_as_mysqls() {
    for (text, pattern, matches) in [
        ("read_after_write_gtid", "read_%", true),
        ("read_after_write_gtid", "READ\\_after%gtid", true),
        ("readXafter", "read\\_after", false),
        ("readXafter", "read_after", true),
        ("read", "read_", false),
        ("read", "%", true),
        ("read", "%e%d", true),
        ("read", "%e%d%%", true),
        ("a%b", "a\\%b", true),
        ("axb", "a\\%b", false),
        ("", "", true),
        ("", "%", true),
        ("a", "", false),
    ] {
        assert_eq!(is_like(text.as_bytes(), pattern.as_bytes()), matches, "{text} LIKE {pattern}");
    }
    // Nobody's pattern takes long.
    assert!(!is_like(&[b'a'; 4_000], &b"%a".repeat(100).into_iter().chain(*b"b").collect::<Vec<_>>()));
}
