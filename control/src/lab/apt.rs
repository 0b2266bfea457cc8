//! Packages of a Debian or Ubuntu suite, downloaded by apt's own client with private lists, state and cache.
//!
//! Invariant: nothing of the system's is written, no root is needed, and apt checks the archive's signatures as it
//! always does. The mirror is the one that the system's own sources name; no host is known here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::child::{self, Child};
use super::{LabError, Progress, Report, Unit, limits};

/// Which suite to take packages from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// The one that this system is made of.
    Own,
    /// One that has MySQL: on Debian the unstable suite, on Ubuntu its own.
    WithMysql,
    /// A later release of Debian, by its name; there is none on Ubuntu.
    Later(&'static str),
}

/// Downloads these packages with all that they depend on, as if nothing were installed. A name that ends in `*` means
/// the package of that name, or else its newest versioned one (`mysql-server-core-8.4`).
/// `folder` keeps what has arrived, for the next try. Returns the package files.
pub fn download(
    product: &'static str,
    suite: Suite,
    packages: &[&str],
    folder: &Path,
    report: Report<'_>,
) -> Result<Vec<PathBuf>, LabError> {
    let none = |why: String| LabError::NoPackages { product, why, passed: Vec::new() };
    if run("apt-get", None, &["--version"]).is_err() {
        return Err(none("there is no apt-get here, so this is not Debian or Ubuntu".to_owned()));
    }
    let client = Client::prepare(product, suite, folder)?;
    report(Progress::step("reading the package lists"));
    let update = client.run("apt-get", &["-o", "APT::Update::Error-Mode=any", "update", "-q"])?;
    if !update.status.success() {
        return Err(client.blame(&update));
    }
    let mut names = Vec::new();
    for package in packages {
        let found = client.run("apt-cache", &["pkgnames", package.trim_end_matches('*')])?.stdout;
        match choose(package, &found) {
            Some(name) => names.push(name),
            None => {
                return Err(none(format!("this system's suite has no package {}", package.trim_end_matches('*'))));
            }
        }
    }
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(names.iter().map(String::as_str));
    let plan = client.run("apt-get", &[&install[..], &["--print-uris"]].concat())?;
    if !plan.status.success() {
        return Err(client.blame(&plan));
    }
    let wanted = archives(&plan.stdout);
    client.fetch(
        &[&install[..], &["--download-only"]].concat(),
        wanted.iter().map(|(_, bytes)| bytes).sum(),
        report,
    )?;
    // An earlier try may have left versions behind that the mirror has replaced since.
    client.run("apt-get", &["autoclean", "-q"])?;
    let mut files: Vec<PathBuf> = fs::read_dir(client.archives())
        .map_err(|e| LabError::io("listing", &client.archives(), e))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    files.sort();
    Ok(files)
}

/// Downloads the source of one package of this system's own suite into `folder`: the archive that its authors published. Mirrors
/// lack some of the distribution's own changes, and the security suite's sources; neither is needed.
pub fn source(product: &'static str, package: &str, folder: &Path) -> Result<(), LabError> {
    let client = Client::prepare(product, Suite::Own, &folder.join("apt"))?;
    let list = folder.join("apt/sources.list");
    let text = fs::read_to_string(&list).map_err(|e| LabError::io("reading", &list, e))?;
    let plain = text.lines().filter(|line| !line.contains("-security "));
    let sources: String = plain.map(|line| line.replacen("deb ", "deb-src ", 1) + "\n").collect();
    fs::write(&list, sources).map_err(|e| LabError::io("writing", &list, e))?;
    let update = client.run("apt-get", &["-o", "APT::Update::Error-Mode=any", "update", "-q"])?;
    if !update.status.success() {
        return Err(client.blame(&update));
    }
    let mut fetch =
        command("apt-get", Some(&client.folder), &["source", "-q", "--download-only", "--tar-only", package]);
    fetch.current_dir(folder);
    let fetched = child::output(fetch, b"", APT_WAIT).map_err(|e| LabError::io("running", Path::new("apt-get"), e))?;
    if fetched.status.success() { Ok(()) } else { Err(client.blame(&fetched)) }
}

/// apt with a configuration of its own.
struct Client {
    product: &'static str,
    folder: PathBuf,
}

impl Client {
    fn prepare(product: &'static str, suite: Suite, folder: &Path) -> Result<Client, LabError> {
        let none = |why: &str| LabError::NoPackages { product, why: why.to_owned(), passed: Vec::new() };
        for part in ["lists/partial", "cache/archives/partial", "state", "log", "empty"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(|e| LabError::io("making", &path, e))?;
        }
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let format = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)";
        let targets = run("apt-get", None, &["indextargets", "--format", format, "Created-By: Packages"])
            .map_err(|e| LabError::io("running", Path::new("apt-get"), e))?;
        let system = System::read(&release, &targets.stdout);
        let sources = system
            .sources(suite)
            .ok_or_else(|| none("apt's sources name no mirror of the distribution itself with its main component"))?;
        let settings = run("apt-config", None, &["dump"]).map(|output| output.stdout).unwrap_or_default();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| LabError::io("writing", &path, e))
        };
        write("sources.list", &sources)?;
        write("status", "")?;
        write("apt.conf", &configuration(folder, &settings))?;
        Ok(Client { product, folder: folder.to_owned() })
    }

    fn archives(&self) -> PathBuf {
        self.folder.join("cache/archives")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<child::Output, LabError> {
        run(program, Some(&self.folder), arguments).map_err(|e| LabError::io("running", Path::new(program), e))
    }

    fn fetch(&self, arguments: &[&str], missing: u64, report: Report<'_>) -> Result<(), LabError> {
        let log = self.folder.join("log/download");
        let file = fs::File::create(&log).map_err(|e| LabError::io("writing", &log, e))?;
        let copy = file.try_clone().map_err(|e| LabError::io("writing", &log, e))?;
        let mut command = command("apt-get", Some(&self.folder), arguments);
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        let child = Child::spawn(command).map_err(|e| LabError::io("running", Path::new("apt-get"), e))?;
        let before = bytes_in(&self.archives());
        let status = loop {
            let done = bytes_in(&self.archives()).saturating_sub(before).min(missing);
            report(Progress { step: "downloading packages", done, total: missing, unit: Unit::Bytes });
            match child.ended() {
                Some(status) => break status,
                None => thread::sleep(limits::REPORT_PAUSE),
            }
        };
        if status.success() {
            return Ok(());
        }
        let stderr = fs::read_to_string(&log).unwrap_or_default();
        Err(self.blame(&child::Output { status, stdout: String::new(), stderr }))
    }

    fn blame(&self, output: &child::Output) -> LabError {
        let complaints: Vec<&str> = (output.stderr.lines())
            .filter(|line| line.starts_with("E: ") || line.starts_with("W: ") || line.starts_with("Err:"))
            .map(|line| line.get(3..).unwrap_or_default().trim().trim_end_matches('.'))
            .collect();
        let detail = match complaints.as_slice() {
            [] => output.stderr.lines().last().unwrap_or("apt-get failed without a word").trim().to_owned(),
            [first, ..] => (*first).to_owned(),
        };
        match Fault::of(&output.stderr) {
            Fault::Disk => LabError::DiskFull {
                path: self.folder.clone(),
                free_bytes: super::cache::free_bytes(&self.folder).unwrap_or(0),
                wanted_bytes: limits::FETCH_FREE_BYTES_MIN,
            },
            Fault::Signature => LabError::Signature { detail },
            Fault::Mirror => LabError::Mirror { product: self.product, detail, passed: Vec::new() },
            Fault::Other => {
                LabError::NoPackages { product: self.product, why: format!("apt-get says: {detail}"), passed: vec![] }
            }
        }
    }
}

/// Whose fault a failed run of apt is, by its own words (in the C locale).
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Disk,
    Signature,
    Mirror,
    Other,
}

impl Fault {
    fn of(text: &str) -> Fault {
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["No space left", "enough free space", "Disk quota exceeded"]) {
            Fault::Disk
        } else if says(&["NO_PUBKEY", "is not signed", "EXPKEYSIG", "no longer signed", "signatures were invalid"]) {
            Fault::Signature
        } else if says(&["Failed to fetch", "Could not resolve", "Could not connect", "Unable to connect", "timed out"])
            || says(&[
                "Unable to fetch",
                "does not have a Release file",
                "Temporary failure",
                "Some index files failed",
            ])
        {
            Fault::Mirror
        } else {
            Fault::Other
        }
    }
}

/// What the system says of itself: its name, its suite, its mirrors.
#[derive(Debug, PartialEq, Eq)]
struct System {
    id: String,
    suite: String,
    /// Mirror, suite and component, each as apt's sources name it.
    targets: Vec<(String, String, String)>,
}

impl System {
    fn read(release: &str, targets: &str) -> System {
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim().trim_matches('"').to_owned()
        };
        let target = |line: &str| {
            let mut parts = line.split('|').map(str::to_owned);
            Some((parts.next()?, parts.next()?, parts.next()?))
        };
        System {
            id: field("ID"),
            suite: field("VERSION_CODENAME"),
            targets: targets.lines().filter_map(target).collect(),
        }
    }

    /// The text of a sources.list, or `None` where no mirror of the distribution is known.
    fn sources(&self, suite: Suite) -> Option<String> {
        let components: &[&str] = if self.id == "ubuntu" { &["main", "universe"] } else { &["main"] };
        let of_distribution: Vec<_> =
            (self.targets.iter()).filter(|(_, _, component)| components.contains(&component.as_str())).collect();
        let signed = self.keyring().map(|path| format!("[signed-by={}] ", path.display())).unwrap_or_default();
        let elsewhere = match suite {
            Suite::WithMysql => (self.id == "debian").then_some("sid"),
            Suite::Later(_) if self.id != "debian" => return None,
            Suite::Later(name) => Some(name),
            Suite::Own => None,
        };
        if let Some(elsewhere) = elsewhere {
            let names = [self.suite.as_str(), "sid", "unstable", "testing", "stable", "oldstable"];
            let mirror = names
                .iter()
                .find_map(|name| of_distribution.iter().find(|(_, release, _)| !name.is_empty() && release == name))?;
            return Some(format!("deb {signed}{} {elsewhere} main\n", mirror.0));
        }
        let ours = |release: &str| match release.strip_prefix(self.suite.as_str()) {
            Some("" | "-updates" | "-security") => !self.suite.is_empty(),
            _ => ["sid", "unstable", "testing", "stable"].contains(&release),
        };
        let lines: String = (of_distribution.iter())
            .filter(|(_, release, _)| ours(release))
            .map(|(mirror, release, component)| format!("deb {signed}{mirror} {release} {component}\n"))
            .collect();
        Some(lines).filter(|lines| !lines.is_empty())
    }

    /// Without one, apt trusts the keys that it trusts for the system.
    fn keyring(&self) -> Option<PathBuf> {
        let name = |ending| PathBuf::from(format!("/usr/share/keyrings/{}-archive-keyring.{ending}", self.id));
        [name("gpg"), name("pgp")].into_iter().find(|path| path.exists())
    }
}

/// The system's settings for fetching (proxies, retries), with everything else our own. The system's configuration
/// folder is left out for the sake of its hooks, which would tidy the system's caches.
fn configuration(folder: &Path, settings: &str) -> String {
    let kept = settings.lines().filter(|line| {
        line.starts_with("Acquire::")
            && !["Acquire::IndexTargets", "Acquire::Languages"].iter().any(|ours| line.starts_with(ours))
    });
    let mut text: String = kept.map(|line| format!("{line}\n")).collect();
    let paths = [
        ("Dir::Etc::main", "empty/main"),
        ("Dir::Etc::parts", "empty"),
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::Etc::sourceparts", "empty"),
        ("Dir::Etc::preferences", "empty/preferences"),
        ("Dir::Etc::preferencesparts", "empty"),
        ("Dir::State", "state"),
        ("Dir::State::lists", "lists"),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "cache"),
        ("Dir::Log", "log"),
    ];
    for (name, path) in paths {
        text.push_str(&format!("{name} \"{}\";\n", folder.join(path).display()));
    }
    // Root's downloads would otherwise run as a user who cannot enter root's cache.
    text.push_str("APT::Sandbox::User \"root\";\nDebug::NoLocking \"true\";\nAcquire::Languages \"none\";\n");
    text.push_str("APT::Install-Recommends \"false\";\nAPT::Get::List-Cleanup \"false\";\n");
    text
}

fn choose(package: &str, names: &str) -> Option<String> {
    let Some(stem) = package.strip_suffix('*') else {
        return names.lines().find(|name| *name == package).map(str::to_owned);
    };
    let version = |name: &str| -> Option<Vec<u32>> {
        match name.strip_prefix(stem)? {
            "" => Some(vec![u32::MAX]),
            rest => rest.strip_prefix('-')?.split('.').map(|part| part.parse().ok()).collect(),
        }
    };
    names.lines().filter_map(|name| Some((version(name)?, name))).max().map(|(_, name)| name.to_owned())
}

/// `--print-uris` lines are `'URI' FILE BYTES HASH`.
fn archives(text: &str) -> Vec<(String, u64)> {
    let archive = |line: &str| {
        let mut parts = line.strip_prefix('\'')?.split_once("' ")?.1.split(' ');
        Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?))
    };
    text.lines().filter_map(archive).collect()
}

fn bytes_in(folder: &Path) -> u64 {
    super::cache::census(folder).map_or(0, |(_, bytes)| bytes)
}

fn command(program: &str, folder: Option<&Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    if let Some(folder) = folder {
        command.env("APT_CONFIG", folder.join("apt.conf"));
    }
    command
}

fn run(program: &str, folder: Option<&Path>, arguments: &[&str]) -> std::io::Result<child::Output> {
    child::output(command(program, folder, arguments), b"", APT_WAIT)
}

/// How long apt may take for its lists: 10 MB over a slow line. It has time-outs and retries of its own within.
const APT_WAIT: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
