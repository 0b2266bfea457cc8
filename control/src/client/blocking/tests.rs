use super::*;
use crate::client::AsyncClient;
use crate::client::fake::{PASSWORD, start};
use crate::client::request::{Cursor, Execute, Types};

fn options(port: u16) -> Options {
    Options::tcp("127.0.0.1", port).user("me").password(PASSWORD)
}

/// S47: RSA on plain TCP, the password itself over TLS, the server's own error for a wrong one.
#[test]
fn logs_in_by_rsa_and_over_tls() {
    let port = start();
    for tls in [ClientTls::Off, ClientTls::Unverified] {
        let mut client = Client::connect(&options(port).tls(tls.clone())).unwrap();
        assert_eq!((client.connection_id(), client.session().version.as_str()), (42, "9.7.4"));
        assert_eq!(client.capabilities().contains(Capabilities::SSL), !matches!(tls, ClientTls::Off));
        assert_eq!(client.cell("hello").unwrap().as_deref(), Some("hello"));
        let long = "x".repeat(100_000);
        assert_eq!(client.cell(&long).unwrap(), Some(long));
        let refused = Client::connect(&options(port).tls(tls).password("wrong"));
        assert_eq!(refused.err().unwrap().code(), Some(1045));
    }
}

#[test]
fn replies_files_and_pipelines() {
    let mut client = Client::connect(&options(start())).unwrap();
    assert_eq!(client.query("fail").unwrap().error().unwrap().code, 1064);
    assert_eq!(client.rows("fail").unwrap_err().code(), Some(1064));
    let content = vec![b'a'; 200_000];
    let loaded = client.query_with_file("load", &content).unwrap();
    assert_eq!(loaded.rows().unwrap().texts(), [[Some("200000".to_string())]]);
    assert_eq!(client.cell("load").unwrap().as_deref(), Some("0"));
    client.ping().unwrap();
    // S48: two commands ahead, replies in order.
    for text in ["one", "two"] {
        client.send_command(Command::Query, text.as_bytes()).unwrap();
    }
    for text in ["one", "two"] {
        client.expect_seq(1);
        let reply = client.read_reply(ReplyKind::Query, None).unwrap();
        assert_eq!(reply.rows().unwrap().texts(), [[Some(text.to_string())]]);
    }
    let statement = Statement { id: 1, params: Vec::new(), columns: Vec::new(), warnings: 0 };
    let execute = Execute {
        statement_id: statement.id,
        params: &[Value::Int(1)],
        long_data: &[],
        types: Types::Send,
        cursor: Cursor::None,
    };
    assert!(client.execute_with(&execute).unwrap().done().is_some());
    assert!(!client.is_ended());
}

#[test]
fn a_server_that_breaks_the_rules_is_caught() {
    let mut client = Client::connect(&options(start())).unwrap();
    client.set_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.query("hang").unwrap_err().is_timeout());
    let mut client = Client::connect(&options(start())).unwrap();
    assert!(matches!(client.query("skip"), Err(ClientError::Sequence { expected: 1, found: 2 })));
}

/// The twin over tokio does the same.
#[test]
fn the_asynchronous_twin() {
    let port = start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for tls in [ClientTls::Off, ClientTls::Unverified] {
            let mut client = AsyncClient::connect(&options(port).tls(tls)).await.unwrap();
            let reply = client.query("hello").await.unwrap();
            assert_eq!(reply.rows().unwrap().texts(), [[Some("hello".to_string())]]);
            assert_eq!(client.query("fail").await.unwrap().error().unwrap().code, 1064);
            let hang = client.query_within(Duration::from_millis(50), "hang").await;
            assert!(hang.unwrap_err().is_timeout());
        }
        let refused = AsyncClient::connect(&options(port).password("wrong")).await;
        assert_eq!(refused.err().unwrap().code(), Some(1045));
    });
}
