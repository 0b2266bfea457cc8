//! The policy for clients' TLS, with the `mysql` program and the certificates that a server has made for itself.

use std::process::Command;
use std::sync::PoisonError;

use weir_control::lab::child;
use weir_tests::real::limits;
use weir_tests::real::place::{Place, ask, first_cell, place};
use weir_tests::real::wire::Wire;

use super::reload::Process;

/// What the program says for one statement: its result, or the error.
fn said(place: &Place, gate: &Process, user: &str, flags: &[&str]) -> String {
    let mut command = Command::new(&place.mysql.client);
    command.args(["--no-defaults", "--protocol=TCP", "--host=127.0.0.1", "-N", &format!("--user={user}")]);
    command.arg(format!("--port={}", gate.port())).args(["-e", "SELECT 'in'"]).args(flags).env("MYSQL_PWD", "app");
    let output = child::output(command, b"", limits::CLIENT_PROGRAM_WAIT).unwrap();
    output.stdout + &output.stderr
}

/// S46: who has to use TLS, and who has to show a certificate, by MySQL's own rules and errors; a reload changes all of it.
#[test]
fn transport_and_certificates_are_required() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let mut direct = Wire::login(&place.primary(), &place.account()).unwrap();
    let mut asked = |statement: &str| first_cell(&ask(&mut direct, statement).unwrap().rows());
    let (data, version) = (asked("SELECT @@datadir"), asked("SELECT @@version"));
    let version = version.split('-').next().unwrap_or_default();
    let mut admin = place.admin().unwrap();
    for user in ["weir_ssl", "weir_x509", "weir_subject", "weir_stranger"] {
        admin.sql(&format!("DROP USER IF EXISTS {user}")).unwrap();
        admin.sql(&format!("CREATE USER {user} IDENTIFIED BY 'app'")).unwrap();
    }
    admin.ensure_replicated().unwrap();
    let subject = format!("subject:/CN=MySQL_Server_{version}_Auto_Generated_Client_Certificate");
    let issuer = format!("issuer:/CN=MySQL_Server_{version}_Auto_Generated_CA_Certificate");
    let accounts = format!(
        "[[accounts]]\nuser = \"weir_ssl\"\nrequire = \"ssl\"\n[[accounts]]\nuser = \"weir_x509\"\nrequire = \"x509\"\n\
         [[accounts]]\nuser = \"weir_subject\"\nrequire = [\"{subject}\", \"{issuer}\"]\n\
         [[accounts]]\nuser = \"weir_stranger\"\nrequire = \"subject:/CN=stranger\"\n"
    );
    let settings = |more: &str| format!("tls_ca = \"{data}ca.pem\"\n{more}\n{accounts}");
    let gate = Process::start("secure", &settings("tls_client_auth = \"optional\""), &[]);
    let key = [format!("--ssl-cert={data}client-cert.pem"), format!("--ssl-key={data}client-key.pem")];
    let (plain, tls) = (["--ssl-mode=DISABLED", "--get-server-public-key"], ["--ssl-mode=REQUIRED"]);
    let proven = ["--ssl-mode=REQUIRED", &key[0], &key[1]];
    let denied =
        |user: &str| format!("ERROR 1045 (28000): Access denied for user '{user}'@'127.0.0.1' (using password: YES)\n");
    for (user, way, expected) in [
        ("app", &plain[..], "in\n".to_owned()),
        ("app", &tls, "in\n".to_owned()),
        ("weir_ssl", &plain, denied("weir_ssl")),
        ("weir_ssl", &tls, "in\n".to_owned()),
        ("weir_x509", &tls, denied("weir_x509")),
        ("weir_x509", &proven, "in\n".to_owned()),
        ("weir_subject", &tls, denied("weir_subject")),
        ("weir_subject", &proven, "in\n".to_owned()),
        ("weir_stranger", &proven, denied("weir_stranger")),
    ] {
        assert_eq!(said(place, &gate, user, way), expected, "{user} {way:?}\n{}", gate.log());
    }

    let mut kept = gate.client();
    gate.write(&settings("tls_client_auth = \"required\"\ntls_min_version = \"1.3\"\nrequire_secure_transport = true"));
    let changes = gate.reload().unwrap();
    assert_eq!(changes.lines().count(), 3, "{changes}");
    let refused = said(place, &gate, "app", &plain);
    let words = "ERROR 3159 (HY000): Connections using insecure transport are prohibited while --require_secure_transport=ON.\n";
    assert_eq!(refused, words);
    assert!(said(place, &gate, "app", &tls).starts_with("ERROR 2"), "TLS needs a certificate now");
    assert_eq!(said(place, &gate, "app", &proven), "in\n");
    let old = [&proven[..], &["--tls-version=TLSv1.2"]].concat();
    assert!(said(place, &gate, "app", &old).starts_with("ERROR 2026"), "{}", said(place, &gate, "app", &old));
    assert_eq!(kept.cell("SELECT 1").unwrap().as_deref(), Some("1"), "who is here stays, by plain TCP too");

    gate.write(&settings("tls_client_auth = \"off\""));
    let why = gate.reload().unwrap_err();
    assert!(
        why.contains("tls_ca is named, yet tls_client_auth = \"off\"")
            && why.contains("this account needs a certificate"),
        "{why}"
    );
}
