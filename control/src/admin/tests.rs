//! The port with the gate's own strict client: logins, what is answered, what is refused.

use super::*;
use crate::client::{AsyncClient, Options, Outcome, Reply};
use crate::gate::desk::Ask;
use crate::gate::keys;
use tokio::task::JoinHandle;
use weir_core::mail::KillOutcome;
use weir_core::show::{Show, Shown, What};

struct Port {
    address: SocketAddr,
    /// Ends with the tables, kills and settings that it was asked for.
    control: JoinHandle<Vec<String>>,
}

/// The port, and a control thread that answers every table with one row.
async fn port() -> Port {
    let (desk, mut asks, mut kills) = Desk::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = keys::make(&crate::config::Tls::Ephemeral, None).unwrap().tls;
    let door = Arc::new(Door::new("ops", &Secret::from(&b"pa55"[..]), tls, desk));
    tokio::spawn(serve(listener, door));
    let control = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            tokio::select! {
                Some(ask) = asks.recv() => match ask {
                    Ask::Table(show, sender) => {
                        seen.push(format!("{:?}", show.what));
                        let _ = sender.send(table(&show));
                    }
                    Ask::Set(set, sender) => {
                        seen.push(format!("{} {:?}", set.user, set.values));
                        let _ = sender.send(());
                    }
                    Ask::Filters(sender) => drop(sender.send(None)),
                    Ask::ChangeFilters(user, statement, sender) => {
                        seen.push(format!("{user} {statement}"));
                        let _ = sender.send(Err("there is no filter 'x'".to_string()));
                    }
                    Ask::Settings(sender) => drop(sender.send(weir_core::snapshot::Settings::default())),
                    Ask::Picture(_) | Ask::Reload(_) | Ask::Upgrade(_) => {}
                },
                Some((kill, sender)) = kills.recv() => {
                    seen.push(format!("kill {} {:?}", kill.connection_id, kill.asker));
                    let outcome = if kill.connection_id == 9 { KillOutcome::Done } else { KillOutcome::NoSuchThread };
                    let _ = sender.send(outcome);
                    if kill.query_only {
                        return seen;
                    }
                }
            }
        }
    });
    Port { address, control }
}

fn table(show: &Show) -> Result<Shown, String> {
    if show.what == What::FlushDigests {
        return Ok(Shown::default());
    }
    let row = vec!["clients_open".to_string(), "3".to_string()];
    Ok(Shown { columns: vec!["name", "value"], rows: vec![row], note: Some("core 1 did not answer".to_string()) })
}

fn options(port: &Port) -> Options {
    Options::tcp("127.0.0.1", port.address.port()).user("ops").password("pa55")
}

fn cells(reply: &Reply) -> Vec<Vec<String>> {
    let Some(Outcome::Rows(rows)) = reply.outcomes.first() else { panic!("{reply:?}") };
    let text = |cell: &crate::client::Value| cell.as_text().unwrap_or_default();
    rows.rows.iter().map(|row| row.iter().map(text).collect()).collect()
}

fn refusal(reply: &Reply) -> (u16, String) {
    let Some(Outcome::Err(error)) = reply.outcomes.first() else { panic!("{reply:?}") };
    (error.code, error.message.clone())
}

#[tokio::test]
async fn what_admins_ask_is_answered() {
    let port = port().await;
    for tls in [false, true] {
        let mut options = options(&port);
        if tls {
            options = options.tls(crate::client::ClientTls::Unverified);
        }
        let mut client = AsyncClient::connect(&options).await.unwrap();
        assert_eq!(cells(&client.query("SHOW WEIR STATUS").await.unwrap()), [["clients_open", "3"]]);
        let warned = cells(&client.query("SHOW WARNINGS").await.unwrap());
        assert_eq!(warned[0][2], "core 1 did not answer");
        assert_eq!(cells(&client.query("SELECT @@read_write_splitting_ratio").await.unwrap()), [["100"]]);
        assert_eq!(cells(&client.query("SELECT @@version_comment LIMIT 1").await.unwrap()), [["Weir admin port"]]);
        for ok in ["SET NAMES utf8mb4", "SET autocommit=1", "FLUSH WEIR DIGESTS", "KILL 9", "USE x", "COMMIT"] {
            let reply = client.query(ok).await.unwrap();
            assert!(matches!(reply.outcomes[..], [Outcome::Ok(_)]), "{ok}: {reply:?}");
        }
        let set = client.query("SET GLOBAL read_write_splitting_ratio = 40").await.unwrap();
        assert!(matches!(set.outcomes[..], [Outcome::Ok(_)]), "{set:?}");
        for (sql, code, words) in [
            ("SELECT * FROM t", 1064, "SHOW WEIR STATUS|BACKENDS"),
            ("SHOW WEIR NONSENSE", 1064, "is not known: use one of"),
            ("KILL 10", 1094, "its own gate"),
            ("SET GLOBAL read_write_splitting_ratio = 400", 1231, "can't be set to the value of '400'"),
            ("SET GLOBAL read_after_write_gtid = ''", 1228, "is a SESSION variable"),
            ("SET GLOBAL max_connections = 4", 1193, "SHOW WEIR VARIABLES"),
            ("DROP FILTER x", 1105, "The filters stay as they are: there is no filter 'x'"),
            ("SHOW FILTER y", 1105, "there is no filter 'y'"),
            ("CREATE FILTER x () WITH_PATTERN () EXECUTE ()", 1064, "action is missing"),
            ("INSERT INTO t VALUES (1)", 1064, "statements for MySQL go to the gate's own port"),
        ] {
            let (found, text) = refusal(&client.query(sql).await.unwrap());
            assert!(found == code && text.contains(words), "{sql}: {found} {text}");
        }
    }
    let mut client = AsyncClient::connect(&options(&port)).await.unwrap();
    client.query("KILL QUERY 9").await.unwrap();
    let seen = port.control.await.unwrap();
    assert!(seen.contains(&"kill 9 None".to_string()), "{seen:?}");
    assert!(seen.contains(&r#"ops [("read_write_splitting_ratio", "40")]"#.to_string()), "{seen:?}");
    assert!(seen.contains(&"ops drop filter `x`".to_string()), "{seen:?}");
    assert!(!seen.iter().any(|what| what.contains("400")), "{seen:?}");
}

#[tokio::test]
async fn strangers_are_refused() {
    let port = port().await;
    for (user, password) in [("ops", "wrong"), ("root", "pa55"), ("ops", ""), ("", "")] {
        for tls in [false, true] {
            let mut options = Options::tcp("127.0.0.1", port.address.port()).user(user).password(password);
            if tls {
                options = options.tls(crate::client::ClientTls::Unverified);
            }
            let refused = AsyncClient::connect(&options).await.err().expect("a stranger is let in").to_string();
            assert!(refused.contains("Access denied") || refused.contains("1045"), "{user}: {refused}");
        }
    }
}

#[tokio::test]
async fn more_clients_than_there_is_room_for() {
    let port = port().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS_MAX {
        clients.push(AsyncClient::connect(&options(&port)).await.unwrap());
    }
    let refused = AsyncClient::connect(&options(&port)).await.err().expect("one too many").to_string();
    assert!(refused.contains("Too many connections"), "{refused}");
    drop(clients);
    for attempt in 0.. {
        match AsyncClient::connect(&options(&port)).await {
            Ok(_) => break,
            Err(error) if attempt == 50 => panic!("no room again: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
