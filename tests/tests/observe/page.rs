//! The status page in a real browser: its numbers are the gate's, hostile names are texts, and it can be looked at.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_tests::real::gate::{Gate, GateOptions};
use weir_tests::real::place::{Place, ask, place};
use weir_tests::real::wire::{Account, Wire};

use super::scene::{folder, get, page, run};

/// Markup that runs a script if anybody takes it for that; the title tells.
const HOSTILE: &str = "<img src=x onerror=document.title='taken'>\"'&";

/// A user may have 32 letters.
const HOSTILE_USER: &str = "<b onclick=x>\"'&</b>";

pub fn start(place: &Place, more: impl FnOnce(&mut weir_control::config::Config)) -> Gate {
    let options = GateOptions { connections_per_backend: 16, cores_max: 2, socket: None };
    let gate = Gate::start_with(place, options, |config| {
        config.settings.digests = true;
        for (at, backend) in config.backends.iter_mut().enumerate() {
            backend.name = format!("db{}", at + 1);
            backend.zone = ["a", "b", "c"][at % 3].to_owned();
        }
        more(config);
    });
    gate.unwrap_or_else(|why| panic!("{why}"))
}

/// Clients that do this and that until they are told to end.
pub fn load(place: &Place, gate: &Gate, is_over: &AtomicBool) {
    let statements = [
        "SELECT User, Host FROM mysql.user WHERE User LIKE 'a%'",
        "SELECT 1",
        "SELECT COUNT(*) FROM information_schema.tables",
        "SELECT COUNT(*) FROM mysql.user FOR UPDATE",
    ];
    let mut wire = Wire::login(&gate.address(), &place.account()).expect("a login");
    for at in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        ask(&mut wire, statements[at % statements.len()]).expect("an answer");
    }
}

fn chromium(home: &Path, args: &[String]) -> String {
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
    ]);
    command.arg(format!("--user-data-dir={}", home.display())).args(args);
    let output = run(command, Duration::from_secs(60));
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout
}

/// The page after some virtual seconds of looking at it.
fn looked_at(home: &Path, http: SocketAddr, seconds: u32) -> String {
    let budget = format!("--virtual-time-budget={}", seconds * 1_000);
    chromium(home, &[budget, "--dump-dom".to_owned(), format!("http://{http}/")])
}

/// What stands in the element with this id, up to the next tag; its attribute `data-value`.
fn value(dom: &str, id: &str) -> u64 {
    let tag = dom.split(&format!("id=\"{id}\"")).nth(1).unwrap_or_else(|| panic!("no {id} in\n{dom}"));
    let tag = tag.split('>').next().unwrap_or_default();
    let value = tag.split("data-value=\"").nth(1).and_then(|rest| rest.split('"').next());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{id} has no number: {tag}"))
}

#[test]
fn a_browser_shows_the_gates_numbers_and_takes_no_name_for_markup() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut admin = place.admin().expect("the servers");
    let quoted = HOSTILE_USER.replace('\'', "''");
    for statement in
        [format!("CREATE USER IF NOT EXISTS '{quoted}' IDENTIFIED BY 'x'"), format!("GRANT ALL ON *.* TO '{quoted}'")]
    {
        admin.sql(&statement).expect("an account");
    }
    admin.ensure_replicated().expect("replicas");
    let gate = start(place, |config| config.backends[1].name = HOSTILE.to_owned());
    let http = gate.http().expect("its page");
    let account = Account { user: HOSTILE_USER.to_owned(), password: "x".to_owned(), ..place.account() };
    let mut hostile = Wire::login(&gate.address(), &account).expect("a login");
    ask(&mut hostile, "SELECT GET_LOCK('weir_page', 1)").expect("a lock");
    for _ in 0..25 {
        ask(&mut hostile, &format!("SELECT 1 AS `{}`", HOSTILE.replace('`', ""))).expect("an answer");
    }

    let (head, body) = get(http, "/ui").expect("the page");
    assert!(head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"), "{head}");
    assert!(head.contains("cache-control: no-store") && head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(!body.contains(HOSTILE) && !body.contains(HOSTILE_USER), "the plain part took a name for markup");

    let home = folder("chromium");
    let dom = looked_at(&home.join("profile"), http, 3);
    // Nobody asks meanwhile, so the numbers are to the statement.
    assert_eq!((value(&dom, "clients"), value(&dom, "pinned"), value(&dom, "waiting")), (1, 1, 0));
    assert_eq!(value(&dom, "commands"), 26);
    for part in ["GET_LOCK", "db1", "&lt;img src=x onerror=", "&lt;b onclick=x&gt;", "primary_found", ">ready<"] {
        assert!(dom.contains(part), "{part} is not in\n{dom}");
    }
    assert!(!dom.contains("<img") && !dom.contains("<b onclick") && !dom.contains("<title>taken"), "{dom}");
    // The script ran: what is for browsers without one is hidden, and each figure was drawn.
    assert!(dom.contains("<pre id=\"plain\" hidden"), "{dom}");
    assert!(dom.matches("<svg").count() >= 4, "{dom}");
}

/// `WEIR_SHOTS=folder` keeps the pictures, for people to look at.
#[test]
fn a_browser_takes_a_picture_of_it_under_load() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, |_| {});
    let http = gate.http().expect("its page");
    let home = folder("shots");
    let kept = std::env::var_os("WEIR_SHOTS").map_or(home.clone(), Into::into);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| load(place, &gate, &is_over));
        }
        for (name, size, more) in [
            ("light", "1280,1500", ""),
            ("dark", "1280,1500", "--blink-settings=preferredColorScheme=0"),
            ("narrow", "480,2600", ""),
        ] {
            let picture = kept.join(format!("{name}.png"));
            let mut args = vec![
                format!("--screenshot={}", picture.display()),
                format!("--window-size={size}"),
                "--virtual-time-budget=40000".to_owned(),
            ];
            args.extend((!more.is_empty()).then(|| more.to_owned()));
            args.push(format!("http://{http}/"));
            chromium(&home.join("profile"), &args);
            let bytes = std::fs::read(&picture).expect("a picture");
            assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 30_000, "{name}: {} bytes", bytes.len());
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let status: serde_json::Value = serde_json::from_str(&page(http, "/status")).expect("JSON");
    assert!(status["counters"]["commands"].as_u64() > Some(100), "{status}");
}
