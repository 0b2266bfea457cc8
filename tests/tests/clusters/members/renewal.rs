//! Certificates of gRPC are replaced by those of another authority, step by step, while clients write: nobody may notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use weir_control::client::Client;
use weir_control::config::{Config, ControllersConfig};
use weir_control::ctl;
use weir_control::ctl::cluster::{self, Ask, Edit};
use weir_control::ctl::failover;
use weir_control::ctl::tablets;
use weir_control::gate;
use weir_control::grpc::tls::TlsFiles;
use weir_control::lab::ports;
use weir_control::lab::template::{APP, REPLICATION};
use weir_control::status::BackendStatus;
use weir_tests::keep::process::{Controller, folder, text};
use weir_tests::keep::tablet::Tablet;
use weir_tests::real::lone::Lone;

use super::{PROGRAM, listed, replicate, roles, until};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Of a process on this machine, with its key.
    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// What one process shows and whom it believes.
struct Papers(PathBuf);

impl Papers {
    fn new(folder: &Path, shown: &Authority, believed: &str) -> Papers {
        fs::create_dir_all(folder).unwrap();
        let papers = Papers(folder.to_owned());
        papers.show(shown);
        papers.believe(believed);
        papers
    }

    fn show(&self, authority: &Authority) {
        let (cert, key) = authority.sign();
        self.put("cert.pem", &cert);
        self.put("key.pem", &key);
    }

    fn believe(&self, pem: &str) {
        self.put("ca.pem", pem);
    }

    /// As who renews certificates does it: never half of a file.
    fn put(&self, name: &str, pem: &str) {
        fs::write(self.0.join("next"), pem).unwrap();
        fs::rename(self.0.join("next"), self.0.join(name)).unwrap();
    }

    fn files(&self) -> TlsFiles {
        let file = |name: &str| Some(self.0.join(name));
        TlsFiles { cert: file("cert.pem"), key: file("key.pem"), ca: file("ca.pem") }
    }

    fn flags(&self) -> Vec<String> {
        let file = |name: &str| text(&self.0.join(name));
        let [cert, key, ca] = ["cert.pem", "key.pem", "ca.pem"].map(file);
        ["--tls-cert", &cert, "--tls-key", &key, "--tls-ca", &ca].map(str::to_owned).to_vec()
    }
}

/// S76, S78: both authorities are believed, then the new one's certificates are shown, then the old one is forgotten; each process follows by
/// itself. What stands goes on, what is new is made with the new ones, no role moves, and every write is answered.
#[test]
fn another_authority_takes_over_and_nobody_notices() {
    let (source, replica) = (Lone::start(68, "").unwrap(), Lone::start(69, "super-read-only=ON\n").unwrap());
    source
        .sql(&[
            "CREATE DATABASE weir_renewal",
            "CREATE TABLE weir_renewal.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)",
        ])
        .unwrap();
    replicate(&replica, &source);
    let dir = folder("renewal");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let of = |name: &str| Papers::new(&dir.join(name), &old, &old.pem());
    let papers = ["controller", "m1", "m2", "gate"].map(of);
    let store = ["--store".to_owned(), text(&dir.join("store.db"))];
    let mut controller =
        Controller::new(PROGRAM, ports::free(1).unwrap().remove(0), &[&store[..], &papers[0].flags()].concat());
    controller.start();
    let [mut m1, mut m2] = [("m1", &source, 1), ("m2", &replica, 2)].map(|(name, lone, at)| {
        let config = steward(&dir, name);
        let mut args: Vec<&str> = vec!["--config", &config, "--controller"];
        let (address, flags) = (controller.address(), papers[at].flags());
        args.push(&address);
        args.extend(flags.iter().map(String::as_str));
        Tablet::new(PROGRAM, name, &lone.server().address(), &args)
    });
    [&mut m1, &mut m2].into_iter().for_each(Tablet::start);
    let mut config = Config::local(&[], "nobody", "nothing");
    config.controllers = Some(ControllersConfig { addresses: vec![controller.address()], cache: None });
    config.grpc_tls = papers[3].files();
    config.cores.truncate(1);
    let gate = gate::start(config).unwrap_or_else(|error| panic!("{error}"));
    let grpc = gate.addresses().grpc.unwrap().to_string();

    // How each is asked by somebody with these papers.
    let (controller_at, tablets_at) = (controller.address(), [m1.address(), m2.address()]);
    let ask = |tls: &TlsFiles| Ask { controllers: vec![controller_at.clone()], tls: tls.clone() };
    let answers = |at: usize, tls: &TlsFiles| -> Result<(), String> {
        match at {
            0 => cluster::topology(&ask(tls)).map(drop),
            3 => ctl::status_over(&grpc, tls).map(drop),
            at => tablets::asked_directly(&[tablets_at[at - 1].clone()], tls).map(drop),
        }
    };
    let visitor = |name: &str, shown: &Authority, believed: &Authority| {
        Papers::new(&dir.join(name), shown, &believed.pem()).files()
    };
    let [stranger, guest] = [visitor("stranger", &new, &old), visitor("guest", &new, &new)];
    let relic = visitor("relic", &old, &new);
    let before = visitor("before", &old, &old);
    // Whichever tablet came first.
    let members = |tls: &TlsFiles| -> Result<Vec<BackendStatus>, String> {
        let mut all = ctl::status_over(&grpc, tls)?.backends;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    };
    let whole = |tls: &TlsFiles| -> Result<(), String> {
        let all = members(tls)?;
        let is_whole = roles(&all) == ["m1 primary", "m2 replica"] && all[1].lag_ms.is_some();
        if is_whole { Ok(()) } else { Err(format!("{all:?}")) }
    };
    until("a whole cluster", || whole(&before));
    listed(&ask(&before), "leases", |all| all.len() == 2 && all.iter().all(|one| one.lease_left_ms > Some(0)));
    let told = |tls: &TlsFiles| {
        let topology: serde_json::Value =
            serde_json::from_str(&cluster::json(&cluster::topology(&ask(tls)).unwrap()).unwrap()).unwrap();
        // That it waits for a tablet, it may say.
        let moves = failover::events(&ask(tls)).unwrap().iter().filter(|event| event.kind() != "waits").count();
        (topology["primary"].clone(), moves)
    };
    let first = told(&before);

    let over = AtomicBool::new(false);
    let (options, over) = (gate.client_options(APP.0, APP.1).unwrap(), &over);
    let write = |keeps: bool| -> Result<usize, String> {
        let (mut written, mut client) = (0, Client::connect(&options).map_err(|error| error.to_string())?);
        while !over.load(Ordering::Relaxed) {
            if !keeps {
                client = Client::connect(&options).map_err(|error| format!("login after {written}: {error}"))?;
            }
            let insert = format!("INSERT INTO weir_renewal.t (v) VALUES ({written})");
            client.run(insert).map_err(|error| format!("write {written}: {error}"))?;
            written += 1;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(written)
    };
    let written: usize = thread::scope(|scope| {
        let writers = [true, true, false].map(|keeps| scope.spawn(move || write(keeps)));
        let everybody = |what: &str, tls: &TlsFiles, wanted: bool| {
            for at in 0..papers.len() {
                until(&format!("{what}, {at}"), || match answers(at, tls) {
                    outcome if outcome.is_ok() == wanted => Ok(()),
                    outcome => Err(format!("{outcome:?}")),
                });
            }
        };
        assert!((0..papers.len()).all(|at| answers(at, &stranger).is_err()), "another authority's");
        papers.iter().for_each(|papers| papers.believe(&(old.pem() + &new.pem())));
        everybody("both are believed", &stranger, true);
        for (at, papers) in papers.iter().enumerate() {
            papers.show(&new);
            until("the new one's certificate is shown", || answers(at, &guest));
        }
        papers.iter().for_each(|papers| papers.believe(&new.pem()));
        everybody("the old one is forgotten", &relic, false);
        everybody("the new one holds", &guest, true);

        // All connections anew: of tablets and the gate to the controller, of the gate to a tablet.
        controller.kill9();
        controller.start();
        m2.kill9();
        m2.start();
        until("the controller is back", || answers(0, &guest));
        listed(&ask(&guest), "leases again", |all| all.len() == 2 && all.iter().all(|one| one.lease_left_ms > Some(0)));
        until("a whole cluster again", || whole(&guest));
        cluster::set(&ask(&guest), "m2", &Edit { weight: Some(7), ..Edit::default() }).unwrap();
        until("the gate is told", || match members(&guest)?[1].weight {
            7 => Ok(()),
            other => Err(other.to_string()),
        });
        over.store(true, Ordering::Relaxed);
        writers.map(|writer| writer.join().unwrap().unwrap_or_else(|why| panic!("{why}"))).into_iter().sum()
    });
    assert!(written > 100, "{written}");
    let (primary, moves) = told(&guest);
    assert!(primary == first.0 && moves <= first.1, "{primary} after {}, {moves} moves after {}", first.0, first.1);
    let count = source.root().unwrap().cell("SELECT COUNT(*) FROM weir_renewal.t").unwrap();
    assert_eq!(count, Some(written.to_string()));
    gate.stop();
    fs::remove_dir_all(&dir).unwrap();
}

/// A tablet's file: it manages its server.
fn steward(dir: &Path, name: &str) -> String {
    let secret = |what: &str, secret: &str| {
        let path = dir.join(format!("{what}-{name}"));
        fs::write(&path, secret).unwrap();
        text(&path)
    };
    let (admin, replication) = (secret("admin", APP.1), secret("replication", REPLICATION.1));
    let path = dir.join(format!("tablet-{name}.toml"));
    let lines = format!(
        "[tablet]\nadmin_user = \"{}\"\nadmin_password_file = \"{admin}\"\nreplication_user = \"{}\"\n\
         replication_password_file = \"{replication}\"\nhttp_listen = \"off\"\n",
        APP.0, REPLICATION.0
    );
    fs::write(&path, lines).unwrap();
    text(&path)
}
