//! The admin port with real drivers: what they say by themselves when they connect, tables, errors, what they would prepare.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use weir_control::lab::child;
use weir_net::secret::Secret;
use weir_tests::drivers::kit::Kit;
use weir_tests::drivers::limits;
use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{ask, place};
use weir_tests::real::wire::Wire;

/// Drivers with their kits, and what they do with a statement that is to be prepared at the server: with a parameter that is refused, with
/// words that say how to write the value into the text, and without one it is answered.
const CLIENTS: [(&str, Kit, &[&str], &str); 6] = [
    ("PyMySQL", Kit::Python, &["admin_port.py", "pymysql"], "not by this driver"),
    ("Connector/Python, pure", Kit::Python, &["admin_port.py", "pure"], PREPARED),
    ("Connector/Python, C", Kit::Python, &["admin_port.py", "c"], PREPARED),
    ("Connector/J, and DBeaver's questions", Kit::Java, &["Admin"], PREPARED),
    ("go-sql-driver", Kit::Go, &["admin"], PREPARED),
    ("mysql2 (Node)", Kit::Node, &["admin_port.mjs"], PREPARED),
];

const PREPARED: &str = "cores 1295";

#[test]
fn real_drivers_come_in_by_the_admin_port() {
    let place = place();
    let kits: BTreeSet<Kit> = CLIENTS.iter().map(|(_, kit, ..)| *kit).collect();
    // Those that are missing are installed first.
    kits.iter().for_each(|kit| drop(kit.ready(&place.mysql).unwrap_or_else(|why| panic!("{kit:?}: {why}"))));
    let options = GateOptions { connections_per_backend: 4, cores_max: 1, socket: None };
    let gate = Gate::start_with(place, options, |config| {
        config.admin_sql.listen = Some("127.0.0.1:0".parse().expect("an address"));
        config.admin_sql.password = Secret::from(&b"door"[..]);
        config.settings.digests = true;
    })
    .unwrap_or_else(|why| panic!("{why}"));
    thread::scope(|scope| {
        let all: Vec<_> = CLIENTS.iter().map(|client| scope.spawn(|| check(&gate, *client))).collect();
        let faults: Vec<String> = all.into_iter().filter_map(|one| one.join().unwrap().err()).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    });
}

fn check(gate: &Gate, (name, kit, args, prepared): (&str, Kit, &[&str], &str)) -> Result<(), String> {
    let place = place();
    let mut victim = Wire::login(&gate.address(), &place.account()).map_err(|why| format!("{name}: {why:?}"))?;
    ask(&mut victim, "DO 1")?;
    let ready = kit.ready(&place.mysql)?;
    let mut command = Command::new(&ready.program[0]);
    command.args(&ready.program[1..]).args(args).current_dir(&ready.folder);
    command.envs(ready.env.iter().map(|(name, value)| (name, value)));
    let port = gate.admin_sql_port().ok_or("there is no admin port")?;
    let values = [
        ("HOST", "127.0.0.1"),
        ("PORT", &port.to_string()),
        ("USER", "weir"),
        ("PASSWORD", "door"),
        ("VICTIM", &victim.connection_id.to_string()),
    ];
    command.envs(values.map(|(name, value)| (format!("WEIR_{name}"), value)));
    let output = child::output(command, b"", limits::RUN_WAIT).map_err(|error| format!("{name}: {error}"))?;
    let expected = format!(
        "status cores\nsession app\ndigests 1\nroute Read\nratio 41\nkilled\nerror 1064\nprepared {prepared}\nend 1\n"
    );
    if !output.status.success() || output.stdout != expected {
        return Err(format!("{name}: {}\n{}\n{}", output.status, output.stdout, output.stderr));
    }
    match ask(&mut victim, "DO 1") {
        Ok(_) => Err(format!("{name}: whom it has killed lives")),
        Err(_) => Ok(()),
    }
}
