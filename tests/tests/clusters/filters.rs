//! Filters are one set for all gates of a cluster, kept with the topology's record: in a controller's file, or in etcd.

use std::path::PathBuf;

use tonic::Status;
use weir_control::client::Client;
use weir_control::config::{Config, ControllersConfig};
use weir_control::gate::{self, GateHandle};
use weir_control::grpc::proto;
use weir_control::lab::etcd::Etcd;
use weir_control::lab::ports;
use weir_core::filters::FILTERS_MAX;
use weir_tests::keep::process::{self, Controller, folder, topology};
use weir_tests::real::lone::Lone;

use super::etcd::leads;
use super::members::{LIMIT, PROGRAM, connect, controller, member, roles, runtime, shown, until};

/// One whose admin is `app`.
fn gate_of(controllers: &[String], cache: Option<PathBuf>, cores_max: usize) -> GateHandle {
    let mut config = Config::local(&[], "nobody", "nothing");
    config.controllers = Some(ControllersConfig { addresses: controllers.to_vec(), cache });
    config.settings.admin_users = "app".to_owned();
    config.cores.truncate(cores_max);
    gate::start(config).unwrap_or_else(|error| panic!("{error}"))
}

/// What one gate is told, the others obey, and one that starts later as well, also without controllers.
#[test]
fn filters_hold_at_all_gates() {
    let source = Lone::start(67, "").unwrap();
    source
        .sql(&[
            "CREATE DATABASE weir_filters",
            "CREATE TABLE weir_filters.t (id INT PRIMARY KEY)",
            "GRANT ALL ON weir_filters.* TO app",
        ])
        .unwrap();
    let folder = folder("filters");
    let mut controller = controller(&folder);
    let controllers = vec![controller.address()];
    let tablet = member("m1", &source, &controllers);
    let start = |cache: &str| gate_of(&controllers, Some(folder.join(cache)), 2);
    let (one, two) = (start("one"), start("two"));
    let (mut first, mut second) = (connect(&one), connect(&two));
    let delete = "DELETE FROM weir_filters.t";
    let is_refused = |client: &mut Client| match client.run(delete) {
        Ok(_) => false,
        Err(error) if error.to_string().contains("The filter 'kept' refuses") => true,
        Err(error) => panic!("{error}"),
    };
    let follows = |client: &mut Client, wanted: bool| {
        until("the other gate follows", || if is_refused(client) == wanted { Ok(()) } else { Err("not yet") });
    };
    first.run("CREATE FILTER kept (desc='no') WITH_PATTERN (plans='Delete') EXECUTE (action='FAIL')").unwrap();
    assert!(is_refused(&mut first), "who has the OK has the filter");
    follows(&mut second, true);
    assert_eq!(first.rows("SHOW CREATE FILTER kept").unwrap(), second.rows("SHOW CREATE FILTER kept").unwrap());
    // Either gate may be told, and each knows what the other has made.
    let why = second.run("CREATE FILTER kept () WITH_PATTERN () EXECUTE (action='FAIL')").err().unwrap().to_string();
    assert!(why.contains("exists already"), "{why}");
    second.run("ALTER FILTER kept (status='INACTIVE')").unwrap();
    assert!(!is_refused(&mut second));
    follows(&mut first, false);
    second.run("ALTER FILTER kept (status='ACTIVE')").unwrap();
    follows(&mut first, true);

    // The controller dies: what holds goes on to hold, nothing can be changed, and a gate starts with what it knew last.
    controller.kill9();
    let why = first.run("DROP FILTER kept").err().unwrap().to_string();
    assert!(why.contains("The filters stay as they are"), "{why}");
    assert!(is_refused(&mut first) && is_refused(&mut second));
    drop(second);
    two.stop();
    let again = start("two");
    shown(&again, "the kept word", |all| roles(all) == ["m1 primary"]);
    assert!(is_refused(&mut connect(&again)));
    // Back with its store: it still has them.
    controller.start();
    runtime().block_on(controller.wait(LIMIT));
    until("it is gone", || first.run("DROP FILTER kept").map(drop));
    follows(&mut connect(&again), false);
    drop((first, one, again, tablet));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The same behind etcd, up to the room that a record has: a filter that finds none is refused and leaves the others alone, and whoever
/// leads next has them all.
#[test]
fn etcd_keeps_filters_up_to_the_records_room() {
    let source = Lone::start(70, "").unwrap();
    source.sql(&["CREATE DATABASE weir_filters", "GRANT ALL ON weir_filters.* TO app"]).unwrap();
    let folder = folder("filters-etcd");
    let etcd = Etcd::create(&folder, 1, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    etcd.start(0).unwrap();
    let args = ["--etcd".to_owned(), etcd.addresses().join(",")];
    let ports = ports::free(2).unwrap();
    let mut keepers: Vec<_> = ports.into_iter().map(|port| Controller::new(PROGRAM, port, &args)).collect();
    for keeper in &mut keepers {
        keeper.start();
        runtime().block_on(keeper.wait(LIMIT));
    }
    let controllers: Vec<String> = keepers.iter().map(Controller::address).collect();
    let tablet = member("m1", &source, &controllers);
    let start = || gate_of(&controllers, None, 1);
    let gate = start();
    shown(&gate, "its primary", |all| roles(all) == ["m1 primary"]);
    let mut client = connect(&gate);
    // Eight kilobytes each, and nothing that takes long to compile.
    let (text, tables) = ("x".repeat(4_000), vec!["shop.orders"; 330].join(","));
    let create = |name: usize| {
        format!(
            "CREATE FILTER f{name:03} (desc='{text}') WITH_PATTERN (fully_qualified_table_names='{tables}') \
             EXECUTE (action='CONTINUE')"
        )
    };
    // Most of them at once; statements fill what is left.
    let most: Vec<String> = (0..MOST).map(create).collect();
    until("a leader takes most of them", || {
        let tries = controllers.iter().map(|address| runtime().block_on(propose(address, &most)));
        tries.reduce(|one, other| one.or(other)).expect("there are controllers").map_err(|status| status.to_string())
    });
    // On a busy machine the leader's lease in etcd may end under it: such a refusal says that it may be tried again.
    let mut refused = |name: usize| {
        until("a leader takes it", || match client.run(create(name)).err().map(|why| why.to_string()) {
            Some(why) if why.contains("try again") || why.contains("in time") => Err(why),
            Some(why) if why.contains("exists already") => Ok(None),
            why => Ok(why),
        })
    };
    let kept = (MOST..FILTERS_MAX).find_map(|name| refused(name).map(|why| (name, why)));
    let (kept, why) = kept.expect("the room of a record ends before their number");
    assert!(kept > MOST && why.contains("bytes"), "{kept} filters, then: {why}");
    let names = |client: &mut Client| client.rows("SHOW FILTERS").unwrap().len();
    until("all are heard", || (names(&mut client) == kept).then_some(()).ok_or("not yet"));

    // The other controller leads, and a gate that starts behind it is told all of them.
    let leading = keepers.iter().position(|keeper| runtime().block_on(leads(&keeper.address()))).expect("one leads");
    keepers[leading].kill9();
    until("the other leads", || client.run("DROP FILTER f000").map(drop));
    let other = start();
    shown(&other, "its primary", |all| roles(all) == ["m1 primary"]);
    let mut second = connect(&other);
    until("told of all", || (names(&mut second) == kept - 1).then_some(()).ok_or("not yet"));
    assert_eq!(second.rows("SHOW CREATE FILTER f001").unwrap(), client.rows("SHOW CREATE FILTER f001").unwrap());
    drop((client, second, gate, other, tablet, keepers));
    etcd.kill9(0);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The leader's record with these filters, unless somebody else changes it meanwhile.
async fn propose(address: &str, filters: &[String]) -> Result<(), Status> {
    let mut next = topology(address).await?;
    let epoch_expected = next.epoch;
    (next.filters, next.reason) = (filters.to_vec(), "most of the filters".to_owned());
    let request = proto::ProposeTopologyRequest { epoch_expected, topology: Some(next), former_is_fenced: false };
    process::client(address).await?.propose_topology(request).await.map(drop)
}

const MOST: usize = 110;
