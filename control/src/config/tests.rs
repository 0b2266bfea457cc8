use super::*;
use std::path::Path;
use weir_core::snapshot::Balance;

fn judged(text: &str, flags: &GateFlags) -> Result<Config, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut typed = typed::Typed::default();
    file::read_text(Path::new("w.toml"), text, &mut typed, &mut mistakes);
    typed::overlay_environment(&mut typed, &|_| None);
    flags.overlay(&mut typed);
    meaning::judge(typed, mistakes)
}

/// Of a file with a server, and these rows.
pub(super) fn beside_a_server(rows: &str) -> Result<Config, String> {
    let text = format!("[[backends]]\naddress = \"127.0.0.1:1\"\n{rows}");
    judged(&text, &GateFlags::default()).map_err(|found| found.to_string())
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = judged(text, &GateFlags::default()).unwrap_err();
    mistakes.0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_whole_file_is_understood() {
    let config = judged(
        r#"
        [gate]
        listen = ["127.0.0.1:4406", "unix:/tmp/weir-config-test.sock"]
        admin_listen = "127.0.0.1:4500"
        cores = 1
        tls = false
        [[backends]]
        address = "127.0.0.1:1"
        name = "one"
        role = "primary"
        [[backends]]
        address = "[::1]"
        weight = 7
        [monitor]
        user = "watch"
        password = "secret"
        interval_ms = 1_000
        lag_ms_max = 5
        [pool]
        connections_per_backend_max = 0x10
        [routing]
        balance = "random"
        read_write_splitting = false
        [log]
        format = "json"
        "#,
        &GateFlags::default(),
    )
    .unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.grpc_listen, Some("127.0.0.1:4501".parse().unwrap()));
    assert_eq!(config.cores.len(), 1);
    assert_eq!(config.tls, Tls::Off);
    assert_eq!((config.backends[0].name.as_str(), config.backends[0].role), ("one", Some(Role::Primary)));
    assert_eq!((address::show(&config.backends[1].address).as_str(), config.backends[1].weight), ("[::1]:3306", 7));
    assert_eq!(config.monitor.password, Secret::from(&b"secret"[..]));
    assert_eq!((config.monitor.interval_ms, config.settings.replica_lag_ms_max), (1_000, 5));
    assert_eq!(config.settings.connections_per_backend_max, 16);
    assert_eq!(config.settings.balance, Balance::Random);
    assert!(!config.settings.read_write_splitting);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let found = mistakes(
        "[gate]
lisen = \"x\"
listen = [\"nowhere\", 5]
cores = \"0-99999\"
connections_per_backend_max = 3
[pool]
connections_per_backend_max = 0
wait_ms_max = \"1s\"
[rooting]
balance = 1
[routing]
balance = \"leastoutstanding\"
[[backends]]
name = \"a\"
wieght = 1
[[backends]]
address = \"127.0.0.1:70000\"
weight = -1
",
    );
    let expected = [
        "w.toml:2:1: [gate] has no key 'lisen'; did you mean 'listen'?",
        "w.toml:3:22: listen must be a text in quotes, not a value of type integer",
        "w.toml:5:1: 'connections_per_backend_max' belongs into [pool], not into [gate]: move it",
        "w.toml:8:15: wait_ms_max must be a whole number, not a value of type string",
        "w.toml:9:2: there is no section 'rooting'; did you mean 'routing'?",
        "w.toml:15:1: [backends] has no key 'wieght'; did you mean 'weight'?",
        "w.toml:18:10: weight must be a whole number from 0 up",
        "w.toml:7:31: connections_per_backend_max must be a whole number from 1 to 100000",
        "w.toml:12:11: balance cannot be 'leastoutstanding'; did you mean 'least_outstanding'?",
        "w.toml:3:11: 'nowhere' has no port: write nowhere:3306",
        "w.toml:4:9: ",
        "w.toml:13:1: this backend has no address",
        "w.toml:17:11: '70000' in '127.0.0.1:70000' is no port",
    ];
    for expected in expected {
        assert!(found.iter().any(|text| text.starts_with(expected)), "{expected}\nnot in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn a_key_that_is_near_one_of_another_section_is_told_so() {
    let found = mistakes("[gate]\nconnections_per_backend = 3\n[[backends]]\naddress = \"127.0.0.1:1\"\n");
    let wanted = "[gate] has no key 'connections_per_backend'; did you mean 'connections_per_backend_max' of [pool]?";
    assert!(found.iter().any(|text| text.ends_with(wanted)), "{found:?}");
}

#[test]
fn broken_syntax_is_reported_and_the_rest_is_still_read() {
    let found = mistakes("[gate]\ncores = = 2\nlistn = 1\n[[backends]]\naddress = \"127.0.0.1:1\"\n");
    assert!(found.iter().any(|text| text.starts_with("w.toml:2:")), "{found:?}");
    assert!(found.iter().any(|text| text.starts_with("w.toml:3:1: ")), "{found:?}");
}

#[test]
fn contradictions_are_reported() {
    let backend = "[[backends]]\naddress = \"127.0.0.1:1\"\n";
    let cases = [
        ("[gate]\ntls_cert = \"/dev/null\"", "needs its private key"),
        ("[gate]\ntls_key = \"/dev/null\"", "needs its certificate"),
        ("[gate]\ntls_cert = \"/dev/null\"\ntls_key = \"/nowhere/key\"", "'/nowhere/key' cannot be read"),
        ("[gate]\ntls_cert = \"/dev/null\"\ntls_dir = \"/tmp\"", "contradict each other"),
        ("[gate]\ntls = false\ntls_dir = \"/tmp\"", "switched off"),
        ("[gate]\nlisten = [\"127.0.0.1:5\", \"127.0.0.1:5\"]", "listened on twice"),
        ("[gate]\nlisten = []", "listen is empty"),
        ("[gate]\nlisten = \"127.0.0.1:7306\"", "admin_listen is an address that clients use"),
        ("[gate]\ngrpc_listen = \"127.0.0.1:7306\"", "the same address"),
        ("[monitor]\npassword = \"a\"\npassword_file = \"b\"", "contradict each other"),
        ("[monitor]\npassword_file = \"/nowhere/b\"", "cannot be read"),
        ("[monitor]\npassword_file = \"/dev/null\"", "'/dev/null' has an empty first line: put the password"),
        ("[pool]\nconnections_warm_min = 300", "lower the first or raise the second"),
        ("[[backends]]\naddress = \"127.0.0.1:1\"", "is a backend already"),
        ("[log]\nlevel = \"a=b=c\"", "no log level"),
        ("[traces]\nendpoint = \"http://[::1]:1\"\nheaders_file = \"/nowhere/h\"", "'/nowhere/h' cannot be read"),
        ("[traces]\nheaders_file = \"/dev/null\"", "no collector to be sent headers"),
    ];
    for (text, says) in cases {
        let found = mistakes(&format!("{text}\n{backend}"));
        assert!(found.iter().any(|mistake| mistake.contains(says)), "{text}: {found:?}");
    }
    let two = "[[backends]]\naddress = \"127.0.0.1:1\"\nrole = \"primary\"\n[[backends]]\naddress = \"127.0.0.1:2\"\nrole = \"primary\"";
    assert!(mistakes(two)[0].contains("two backends are pinned as primary"));
    assert!(mistakes("")[0].contains("add --backend HOST:PORT"));
}

#[test]
fn flags_are_stronger_than_the_file_and_wrong_ones_name_themselves() {
    let file = "[gate]\ncores = 99999\ntls_dir = \"/nowhere\"\n[[backends]]\naddress = \"127.0.0.1:1\"\n[monitor]\npassword = \"x\"";
    let flags = GateFlags {
        backend: vec!["127.0.0.1:2".to_string(), "unix:/tmp/x.sock".to_string()],
        cores: Some("1".to_string()),
        no_tls: true,
        no_split: true,
        monitor_password: Some("y".to_string()),
        connections_per_backend: Some("9".to_string()),
        ..GateFlags::default()
    };
    let config = judged(file, &flags).unwrap();
    assert_eq!((config.cores.len(), config.backends.len(), config.tls), (1, 2, Tls::Off));
    assert_eq!(config.backends[1].name, "unix:/tmp/x.sock");
    assert!(!config.settings.read_write_splitting);
    assert_eq!(config.settings.connections_per_backend_max, 9);
    assert_eq!(config.monitor.password, Secret::from(&b"y"[..]));

    let flags =
        GateFlags { balance: Some("rnadom".to_string()), connections_per_backend: Some("many".to_string()), ..flags };
    let found = judged(file, &flags).unwrap_err().to_string();
    assert!(found.contains("--balance: balance cannot be 'rnadom'; did you mean 'random'?"), "{found}");
    assert!(found.contains("--connections-per-backend: connections_per_backend_max must be"), "{found}");
}

#[test]
fn the_environment_is_stronger_than_the_file_only() {
    let flags = GateFlags { backend: vec!["127.0.0.1:2".to_string()], ..GateFlags::default() };
    let variable = |name: &str| (name == typed::PASSWORD_VARIABLE).then(|| "from-env".to_string());
    assert_eq!(load(&flags, &variable).unwrap().monitor.password, Secret::from(&b"from-env"[..]));
    let flags = GateFlags { monitor_password: Some("flag".to_string()), ..flags };
    assert_eq!(load(&flags, &variable).unwrap().monitor.password, Secret::from(&b"flag"[..]));
    let flags = GateFlags { config: Some("/nowhere/weir.toml".into()), ..flags };
    assert!(load(&flags, &variable).unwrap_err().to_string().starts_with("/nowhere/weir.toml: cannot be read"));
}

#[test]
fn what_is_printed_can_be_read_again() {
    let flags = GateFlags {
        backend: vec!["127.0.0.1:2".to_string(), "127.0.0.1:3".to_string()],
        listen: vec!["127.0.0.1:0".to_string()],
        balance: Some("random".to_string()),
        monitor_password: Some("hush".to_string()),
        ..GateFlags::default()
    };
    let config = load(&flags, &|_| None).unwrap();
    let printed = print::print(&config);
    assert!(!printed.contains("hush"));
    assert!(printed.contains("\nbalance = \"random\"") && printed.contains("# wait_ms_max = 10000"), "{printed}");
    let again = judged(&printed, &GateFlags::default()).unwrap();
    assert_eq!((&again.backends, &again.settings, &again.listen), (&config.backends, &config.settings, &config.listen));
    // With the defaults uncommented too, except for what excludes each other.
    let full = printed
        .replace("\n# ", "\n")
        .lines()
        .filter(|line| {
            let key = line.split(" = ").next().unwrap_or_default();
            line.starts_with('[') || (line.contains(" = ") && !key.contains(' ') && !line.ends_with("\"\""))
        })
        .collect::<Vec<_>>()
        .join("\n");
    let again = judged(&full, &GateFlags::default()).unwrap();
    assert_eq!((again.settings, again.memory), (config.settings, config.memory));
}

#[test]
fn tablets_stand_for_backends_and_contradict_an_address() {
    let text = "[[backends]]\ntablet = \"db1:7406\"\n";
    let flags = GateFlags { tablet: vec!["127.0.0.1:7406".to_string()], discover: true, ..GateFlags::default() };
    let config = judged("", &flags).unwrap();
    assert_eq!((config.backends[0].tablet.as_deref(), config.monitor.discover), (Some("127.0.0.1:7406"), true));
    assert!(mistakes(&text.replace("db1:7406", "127.0.0.1"))[0].starts_with("w.toml:2:10: '127.0.0.1' has no port"));
    let both = "[[backends]]\naddress = \"127.0.0.1\"\ntablet = \"127.0.0.1:7406\"\n";
    assert!(mistakes(both)[0].starts_with("w.toml:3:10: address and tablet contradict"));
    let twice = "[[backends]]\ntablet = \"127.0.0.1:7406\"\n[[backends]]\ntablet = \"127.0.0.1:7406\"\n";
    assert!(mistakes(twice)[0].contains("is a backend already"));
    assert!(print::print(&config).contains("tablet = \"127.0.0.1:7406\""));
}

#[test]
fn permissions_and_the_query_log_are_files() {
    let backend = "[[backends]]\naddress = \"127.0.0.1\"\n";
    let text = "[query_log]\nfile = \"q.log\"\nsample = 10\nliterals = \"shown\"\n";
    let config = judged(&format!("{backend}{text}"), &GateFlags::default()).unwrap();
    assert!(config.query_log.file.as_ref().unwrap().ends_with("q.log"));
    assert_eq!((config.query_log.sample, config.query_log.slow_ms, config.query_log.shows_literals), (10, 1_000, true));
    assert!(print::print(&config).contains("q.log\"\n") && print::print(&config).contains("\nsample = 10\n"));
    let found = mistakes(&format!("{backend}[query_log]\nsample = 10\n"));
    assert!(found[0].starts_with("w.toml:4:10: there is no query log"), "{found:?}");
    let found = mistakes(&format!("{backend}[gate]\npermissions = \"/nowhere/acl.toml\"\n"));
    assert!(found[0].starts_with("w.toml:4:15: /nowhere/acl.toml: cannot be read"), "{found:?}");
}

#[test]
fn controllers_stand_for_backends() {
    let flags = GateFlags { controller: Some("c1:7506,127.0.0.1:7506".to_string()), ..GateFlags::default() };
    let config = judged("[gate]\ncontrollers_cache = \"word\"\n", &flags).unwrap();
    let controllers = config.controllers.clone().unwrap();
    assert_eq!(controllers.addresses, ["c1:7506", "127.0.0.1:7506"]);
    assert!(controllers.cache.unwrap().ends_with("word") && config.backends.is_empty());
    assert!(print::print(&config).contains("\ncontrollers = \"c1:7506,127.0.0.1:7506\"\n"));
    assert!(mistakes("[gate]\ncontrollers = \"c1\"\n")[0].starts_with("w.toml:2:15: 'c1' is no address"));
    let found = mistakes("[[backends]]\naddress = \"127.0.0.1\"\n[gate]\ncontrollers_cache = \"word\"\n");
    assert!(found[0].starts_with("w.toml:4:21: there are no controllers"), "{found:?}");
    // Without them the other gates may be named.
    let config =
        judged("[[backends]]\naddress = \"127.0.0.1\"\n[gate]\npeers = \"g2:7307, g3:7307\"\n", &GateFlags::default());
    let config = config.unwrap();
    assert_eq!(config.peers, ["g2:7307", "g3:7307"]);
    assert!(print::print(&config).contains("\npeers = \"g2:7307,g3:7307\"\n"));
    let found = mistakes("[gate]\ncontrollers = \"c1:7506\"\npeers = \"g2:7307\"\n");
    assert!(found[0].starts_with("w.toml:3:9: peers are for gates without controllers"), "{found:?}");
    let found = mistakes("[[backends]]\naddress = \"127.0.0.1\"\n[gate]\ngrpc_tls_key = \"none.key\"\n");
    assert!(found[0].starts_with("w.toml:4:16: none.key needs its certificate"), "{found:?}");
}

/// S46: what clients may compress with, and from where balancers name them.
#[test]
fn compression_and_the_proxy_protocol() {
    let gate =
        |keys: &str| format!("[gate]\n{keys}\n[[backends]]\naddress = \"127.0.0.1:1\"\n[monitor]\npassword = \"x\"");
    let good = |keys: &str| judged(&gate(keys), &GateFlags::default()).unwrap();
    let names = |config: &Config| config.settings.compression.names().collect::<Vec<_>>();
    let usual = good("");
    assert_eq!(names(&usual), ["zlib", "zstd", "uncompressed"]);
    assert!(usual.settings.proxy_networks.is_empty());
    let keys = "compression = [\"uncompressed\", \"zstd\"]\nproxy_protocol = \"required\"\n\
                proxy_protocol_networks = [\"10.0.0.0/8\", \"unix\"]";
    let config = good(keys);
    assert_eq!(names(&config), ["zstd", "uncompressed"]);
    assert_eq!(config.settings.proxy_networks.texts().collect::<Vec<_>>(), ["10.0.0.0/8", "unix"]);
    let again = judged(&print::print(&config), &GateFlags::default());
    assert!(again.is_ok_and(|again| again.settings.proxy_networks == config.settings.proxy_networks));
    for (keys, why) in [
        ("compression = []", "nobody could log in"),
        ("compression = [\"gzip\"]", "'gzip'"),
        ("compression = [\"zlib\", \"zlib\"]", "twice"),
        ("proxy_protocol = \"required\"", "from nobody"),
        ("proxy_protocol_networks = [\"10.0.0.0/8\"]", "is off"),
        ("proxy_protocol = \"on\"", "cannot be 'on'"),
        ("proxy_protocol = \"required\"\nproxy_protocol_networks = [\"10.0.0.0/8\", \"here\"]", "'here' is no network"),
    ] {
        let mistakes = mistakes(&gate(keys));
        assert!(mistakes.iter().any(|mistake| mistake.contains(why)), "{keys}: {mistakes:?}");
    }
}

/// S46: addresses with a policy of their own: what they say, what they leave to the gate, and that they are printed so.
#[test]
fn listeners_say_what_differs_from_the_gate() {
    use listeners::{TlsUse, wanted};
    let read = |text: &str| {
        let text = format!("[[backends]]\naddress = \"127.0.0.1:1\"\n[monitor]\npassword = \"x\"\n{text}");
        judged(&text, &GateFlags::default()).unwrap()
    };
    let rows = "[[listeners]]\naddress = \"127.0.0.1:4407\"\ntls = \"off\"\nproxy_protocol = \"required\"\n\
                [[listeners]]\naddress = \"127.0.0.1:4408\"\ntls = \"required\"\n\
                [[listeners]]\naddress = \"127.0.0.1:4409\"\n";
    let gate = "[gate]\nlisten = \"127.0.0.1:4406\"\nproxy_protocol_networks = \"10.0.0.0/8\"\n";
    let config = read(&format!("{gate}{rows}"));
    assert_eq!((config.listen.len(), config.listeners.len()), (4, 3));
    let holds = |config: &Config| -> Vec<(bool, usize)> {
        wanted(config).iter().map(|one| (one.requires_tls, one.proxy_networks.texts().count())).collect()
    };
    assert_eq!(holds(&config), [(false, 0), (false, 1), (true, 0), (false, 0)]);
    let used: Vec<TlsUse> = config.listeners.iter().map(|row| row.tls_use(&config)).collect();
    assert_eq!(used, [TlsUse::Off, TlsUse::Required, TlsUse::Optional]);
    assert!(config.own_keys(&config.listen[1]).is_some_and(|(tls, _)| tls == Tls::Off));
    assert_eq!(config.own_keys(&config.listen[2]), None, "the gate's own certificate");
    let again = judged(&print::print(&config), &GateFlags::default()).unwrap();
    assert_eq!((&again.listen, &again.listeners), (&config.listen, &config.listeners));

    // What a row does not say follows the gate.
    let strict = read(&format!("{gate}require_secure_transport = true\n{rows}"));
    assert_eq!(holds(&strict), [(true, 0), (false, 1), (true, 0), (true, 0)]);
    let balanced = read(&format!("{gate}proxy_protocol = \"required\"\n{rows}"));
    assert_eq!(holds(&balanced), [(false, 1), (false, 1), (true, 1), (false, 1)]);
    // Rows alone, and none at all.
    let alone = read(rows.replace("proxy_protocol = \"required\"\n", "").as_str());
    assert_eq!(alone.listen.len(), 3);
    let again = judged(&print::print(&alone), &GateFlags::default()).unwrap();
    assert_eq!((&again.listen, &again.listeners), (&alone.listen, &alone.listeners));
    assert!(wanted(&read("")).is_empty());
}
