//! The Debian package: built from the program at hand, judged by lintian, unpacked and run, installed and purged on a copy of this
//! machine that is thrown away.

use crate::place::{WEIR, folder, root, run, text};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn build(out: &Path) -> PathBuf {
    let output = run(Command::new(root().join("packaging/debian/build"))
        .args(["--level", "0", "--binary", WEIR, "--out"])
        .arg(out));
    assert!(output.status.success(), "{}", text(&output.stderr));
    PathBuf::from(text(&output.stdout).trim())
}

/// One for all tests: to compress a program takes most of their time.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| build(&folder("debian-package")))
}

fn say(program: &str, args: &[&str]) -> String {
    let output = run(Command::new(program).args(args));
    assert!(output.status.success(), "{program} {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_package_is_complete_and_the_same_each_time() {
    let dir = folder("debian");
    let package = package();
    let deb = package.display().to_string();
    let unpacked = dir.join("root");
    say("dpkg-deb", &["-x", &deb, &unpacked.display().to_string()]);
    let version = say(&unpacked.join("usr/bin/weir").display().to_string(), &["--version"]);
    assert_eq!(version.trim(), format!("weir {}", env!("CARGO_PKG_VERSION")));

    let listed = say("dpkg-deb", &["-c", &deb]);
    for (mode, path) in [
        ("-rwxr-xr-x root/root", "./usr/bin/weir"),
        ("-rw-r----- root/root", "./etc/weir/gate.toml"),
        ("-rw-r----- root/root", "./etc/weir/tablet.toml"),
        ("-rw-r----- root/root", "./etc/weir/controller.toml"),
        ("-rw-r--r-- root/root", "./usr/lib/systemd/system/weir-gate.service"),
        ("-rw-r--r-- root/root", "./usr/lib/systemd/system/weir-tablet.service"),
        ("-rw-r--r-- root/root", "./usr/lib/systemd/system/weir-controller.service"),
        ("-rw-r--r-- root/root", "./usr/share/man/man1/weir-gate.1.gz"),
        ("-rw-r--r-- root/root", "./usr/share/man/man5/weir.toml.5.gz"),
        ("-rw-r--r-- root/root", "./usr/share/bash-completion/completions/weir"),
        ("-rw-r--r-- root/root", "./usr/share/zsh/vendor-completions/_weir"),
        ("-rw-r--r-- root/root", "./usr/share/fish/vendor_completions.d/weir.fish"),
        ("-rw-r--r-- root/root", "./usr/share/doc/weir/copyright"),
        ("-rw-r--r-- root/root", "./usr/share/doc/weir/reference.md.gz"),
        ("-rw-r--r-- root/root", "./usr/share/weir/prometheus/weir.rules.yml"),
        ("-rw-r--r-- root/root", "./usr/share/weir/grafana/weir.json"),
    ] {
        let is_it = |line: &str| line.starts_with(mode) && line.ends_with(&format!(" {path}"));
        assert!(listed.lines().any(is_it), "{mode} {path} is not in\n{listed}");
    }
    let conffiles = say("dpkg-deb", &["-I", &deb, "conffiles"]);
    assert_eq!(conffiles, "/etc/weir/controller.toml\n/etc/weir/gate.toml\n/etc/weir/tablet.toml\n");
    assert!(say("dpkg-deb", &["-f", &deb, "Depends"]).contains("libc6"), "what the binary needs is named");

    let first = std::fs::read(package).expect("the package");
    assert!(first == std::fs::read(build(&dir.join("again"))).expect("the package"), "two builds differ");
}

#[test]
fn lintian_finds_no_error() {
    let package = package();
    let output = run(Command::new("lintian").args(["--fail-on", "error", "--allow-root"]).arg(package));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said} (lintian is needed)");
    println!("{said}");
}

/// Over this machine's own files lies a layer in memory: dpkg installs for real, and nothing of it stays.
#[test]
fn dpkg_installs_it_and_takes_it_away() {
    let (dir, package) = (folder("install"), package());
    let script = format!(
        "set -e; mount --make-rprivate /; mkdir {dir}/layer; mount -t tmpfs tmpfs {dir}/layer; \
         mkdir {dir}/layer/up {dir}/layer/work {dir}/layer/all; \
         mount -t overlay overlay -o lowerdir=/,upperdir={dir}/layer/up,workdir={dir}/layer/work {dir}/layer/all; \
         mount -t proc proc {dir}/layer/all/proc; cp {deb} {dir}/layer/all/weir.deb; exec chroot {dir}/layer/all sh -c '{inside}'",
        dir = dir.display(),
        deb = package.display(),
        inside = "set -e; export DEBIAN_FRONTEND=noninteractive; dpkg -i --force-depends /weir.deb; weir --version; getent passwd weir; \
                  stat -c \"%n %U:%G %a\" /etc/weir /etc/weir/gate.toml; \
                  setpriv --reuid weir --regid weir --clear-groups weir gate --check-config --config /etc/weir/gate.toml || echo refused; \
                  mkdir -p /var/lib/weir; chown weir:weir /var/lib/weir; \
                  setpriv --reuid weir --regid weir --clear-groups weir gate --check-config --config /etc/weir/gate.toml; \
                  dpkg -P weir; ls /etc/weir /usr/bin/weir /var/lib/weir || echo gone"
    );
    let output = run(Command::new("unshare").args(["-m", "sh", "-c", &script]));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    for line in [
        &format!("weir {}\n", env!("CARGO_PKG_VERSION")),
        ":/var/lib/weir:/usr/sbin/nologin\n",
        "/etc/weir root:weir 750\n",
        "/etc/weir/gate.toml root:weir 640\n",
        "the configuration is right\n",
        "gone\n",
    ] {
        assert!(said.contains(line), "{line:?} not in\n{said}");
    }
    assert!(!Path::new("/etc/weir/gate.toml").exists(), "something stayed on this machine");
}
