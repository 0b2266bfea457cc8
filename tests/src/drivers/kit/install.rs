//! How each kit is installed and started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_control::lab::Mysql;

use super::super::unpacked::{Unpacked, find};
use super::{Kit, Ready, run};

pub fn install(kit: Kit, folder: &Path, home: &Path) -> Result<(), String> {
    match kit {
        // Programs and scripts as they are.
        Kit::Mysql | Kit::Mariadb | Kit::Php | Kit::Perl | Kit::Ruby | Kit::Percona | Kit::Mydumper => Ok(()),
        Kit::Python => python(folder, home),
        Kit::Node => node(folder, home),
        Kit::Go => go(folder, home),
        Kit::Java => java(folder, home),
        Kit::Rust => rust(folder, home),
        Kit::Ghost => ghost(folder, home),
    }
}

pub fn ready(kit: Kit, folder: &Path, home: &Path, mysql: &Mysql) -> Result<Ready, String> {
    let mut ready = Ready { folder: folder.to_owned(), ..Ready::default() };
    match kit {
        Kit::Mysql => beside_mysql(&mut ready, mysql),
        Kit::Mariadb => mariadb(&mut ready)?,
        Kit::Python => {
            ready.program = vec![shown(&home.join("venv/bin/python"))];
            ready.env = vec![("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()), plugins(&library()?)?];
            // pip may install what it built for another folder before; this one has nothing but the client library.
            ready.env.push(("LD_LIBRARY_PATH".to_owned(), shown(&home.join("lib"))));
        }
        Kit::Node => {
            // Node looks for packages beside a script, so the scripts go where the packages are.
            copy(folder, home)?;
            ready.program = vec!["node".to_owned()];
            ready.folder = home.to_owned();
        }
        Kit::Go => ready.program = vec![shown(&home.join("drivers"))],
        Kit::Java => {
            let classes = format!("{0}/classes:{0}/jars/*", home.display());
            let options =
                ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Duser.timezone=UTC", "-cp", &classes];
            ready.program = options.map(str::to_owned).to_vec();
        }
        Kit::Rust => {
            ready.program = vec![shown(&home.join("drivers"))];
            ready.env = vec![plugins(&library()?)?, ("LD_LIBRARY_PATH".to_owned(), shown(&home.join("lib")))];
        }
        Kit::Php => php(&mut ready)?,
        Kit::Perl => perl(&mut ready)?,
        Kit::Ruby => ruby(&mut ready)?,
        Kit::Percona => percona(&mut ready, mysql)?,
        Kit::Mydumper => mydumper(&mut ready, mysql)?,
        Kit::Ghost => {
            beside_mysql(&mut ready, mysql);
            ready.env.push(("GHOST".to_owned(), shown(&home.join("gh-ost"))));
        }
    }
    Ok(ready)
}

/// A shell script that knows where MySQL's programs are.
fn beside_mysql(ready: &mut Ready, mysql: &Mysql) {
    ready.program = vec!["bash".to_owned()];
    ready.env = vec![("BIN".to_owned(), shown(mysql.client.parent().unwrap_or(Path::new("/"))))];
}

fn python(folder: &Path, home: &Path) -> Result<(), String> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(home.join("venv"));
    run(venv, "making Python's folder (python3 and its venv are needed)")?;
    let library = ClientLibrary::find(home)?;
    let mut pip = Command::new(home.join("venv/bin/python"));
    pip.args(["-m", "pip", "install", "-q", "-r"]).arg(folder.join("requirements.txt"));
    library.tell(&mut pip);
    run(pip, "installing Python's drivers").map(drop)
}

fn node(folder: &Path, home: &Path) -> Result<(), String> {
    copy(folder, home)?;
    let mut npm = Command::new("npm");
    npm.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(home);
    run(npm, "installing Node's drivers (node and npm are needed)").map(drop)
}

fn go(folder: &Path, home: &Path) -> Result<(), String> {
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-o"]).arg(home.join("drivers")).arg(".").current_dir(folder);
    run(build, "building Go's drivers (go is needed)").map(drop)
}

fn java(folder: &Path, home: &Path) -> Result<(), String> {
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(folder.join("pom.xml")).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", home.join("jars").display()));
    run(maven, "fetching Java's drivers (mvn is needed)")?;
    let mut compile = Command::new("javac");
    compile.args(["-nowarn", "-cp", &format!("{}/jars/*", home.display()), "-d"]).arg(home.join("classes"));
    for source in ["Trace.java", "Jdbc.java", "Hibernate.java", "Admin.java"] {
        compile.arg(folder.join(source));
    }
    run(compile, "compiling Java's clients (a JDK is needed)").map(drop)
}

fn ghost(folder: &Path, home: &Path) -> Result<(), String> {
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-o"]).arg(home.join("gh-ost")).arg("github.com/github/gh-ost/go/cmd/gh-ost");
    build.current_dir(folder);
    run(build, "building gh-ost (go is needed)").map(drop)
}

/// A project of its own, so that Weir's own build needs none of it.
fn rust(folder: &Path, home: &Path) -> Result<(), String> {
    let library = ClientLibrary::find(home)?;
    let target = home.join("target");
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    build.arg("--target-dir").arg(&target);
    // As mysqlclient-sys' build wants to hear it.
    build.env("MYSQLCLIENT_LIB_DIR", &library.lib).env("MYSQLCLIENT_LIBNAME", "mariadb");
    build.env("MYSQLCLIENT_VERSION", library.version()?);
    run(build, "building Rust's drivers")?;
    let io = |error: std::io::Error| format!("{}: {error}", home.display());
    fs::copy(target.join("debug/weir-drivers"), home.join("drivers")).map_err(io)?;
    fs::remove_dir_all(target).map_err(io)
}

fn mariadb(ready: &mut Ready) -> Result<(), String> {
    let unpacked = Unpacked::root("driver-mariadb", &["mariadb-client"])?;
    let bin = unpacked.root.join("usr/bin");
    ready.program = vec!["bash".to_owned()];
    // The script names programs by their folder, behind the loader.
    let run = unpacked.command(&bin)?;
    let loader = run.get(..run.len().saturating_sub(1)).unwrap_or_default().join(" ");
    ready.env = vec![("RUN".to_owned(), loader), ("BIN".to_owned(), shown(&bin)), plugins(&unpacked)?];
    Ok(())
}

fn php(ready: &mut Ready) -> Result<(), String> {
    let unpacked = Unpacked::root("driver-php", &["php-cli", "php-mysql"])?;
    let program =
        unpacked.program(|name| name.starts_with("php") && name[3..].starts_with(|c: char| c.is_ascii_digit()))?;
    let extensions = find(&unpacked.root.join("usr/lib/php"), |name| name.parse::<u32>().is_ok());
    let extensions = extensions.ok_or("the packages have no extensions of PHP")?;
    ready.program = unpacked.command(&program)?;
    // No ini file: the system's, if there is one, is not for this PHP.
    ready.program.extend(["-n".to_owned(), "-d".to_owned(), format!("extension_dir={}", extensions.display())]);
    for extension in ["mysqlnd", "mysqli", "pdo", "pdo_mysql"] {
        ready.program.extend(["-d".to_owned(), format!("extension={extension}")]);
    }
    Ok(())
}

fn perl(ready: &mut Ready) -> Result<(), String> {
    let unpacked = Unpacked::root("driver-perl", &["perl-base", "libdbd-mysql-perl", "libdbd-mariadb-perl"])?;
    let machine = unpacked.machine()?;
    let native = find(&machine.join("perl5"), |_| true).ok_or("the packages have no modules of Perl")?;
    ready.program = unpacked.command(&unpacked.root.join("usr/bin/perl"))?;
    let path = [native, unpacked.root.join("usr/share/perl5"), machine.join("perl-base")].map(|path| shown(&path));
    ready.env = vec![("PERL5LIB".to_owned(), path.join(":")), plugins(&unpacked)?];
    Ok(())
}

fn ruby(ready: &mut Ready) -> Result<(), String> {
    let unpacked = Unpacked::root("driver-rails", &["ruby", "ruby-mysql2", "ruby-activerecord"])?;
    let machine = unpacked.machine()?;
    let program = unpacked.program(|name| name.starts_with("ruby") && name.ends_with(|c: char| c.is_ascii_digit()))?;
    let version = |folder: &Path| find(folder, |name| name.starts_with(|c: char| c.is_ascii_digit()));
    let plain = unpacked.root.join("usr/lib/ruby");
    let mut path = vec![plain.join("vendor_ruby"), machine.join("ruby/vendor_ruby")];
    for folder in [plain, machine.join("ruby"), machine.join("ruby/vendor_ruby")] {
        path.extend(version(&folder));
    }
    let gems = unpacked.root.join("usr/share/rubygems-integration");
    for gem in fs::read_dir(gems.join("all/gems")).into_iter().flatten().flatten() {
        let lib = gem.path().join("lib");
        // One has its files a folder deeper.
        path.extend([lib.join(CONCURRENT), lib]);
    }
    ready.program = unpacked.command(&program)?;
    ready.program.push("--disable-gems".to_owned());
    let path: Vec<String> = path.iter().map(|path| shown(path)).collect();
    ready.env = vec![("RUBYLIB".to_owned(), path.join(":")), plugins(&unpacked)?];
    Ok(())
}

/// The toolkit is in Perl, and wants more of it than its driver does.
fn percona(ready: &mut Ready, mysql: &Mysql) -> Result<(), String> {
    let unpacked = Unpacked::root("driver-percona", &["perl", "percona-toolkit"])?;
    let machine = unpacked.machine()?;
    let version = |folder: PathBuf| find(&folder, |name| name.starts_with(|c: char| c.is_ascii_digit()));
    let mut path = vec![machine.join("perl5"), unpacked.root.join("usr/share/perl5"), machine.join("perl-base")];
    path.extend(version(machine.join("perl5")));
    path.extend(version(machine.join("perl")));
    path.extend(version(unpacked.root.join("usr/share/perl")));
    let mut perl = unpacked.command(&unpacked.root.join("usr/bin/perl"))?;
    perl.push(shown(&unpacked.root.join("usr/bin/pt-online-schema-change")));
    let path: Vec<String> = path.iter().map(|path| shown(path)).collect();
    beside_mysql(ready, mysql);
    ready.env.extend([("OSC".to_owned(), perl.join(" ")), ("PERL5LIB".to_owned(), path.join(":"))]);
    ready.env.push(plugins(&unpacked)?);
    Ok(())
}

fn mydumper(ready: &mut Ready, mysql: &Mysql) -> Result<(), String> {
    let unpacked = Unpacked::root("driver-mydumper", &["mydumper"])?;
    beside_mysql(ready, mysql);
    for (name, program) in [("DUMPER", "mydumper"), ("LOADER", "myloader")] {
        let command = unpacked.command(&unpacked.root.join("usr/bin").join(program))?;
        ready.env.push((name.to_owned(), command.join(" ")));
    }
    ready.env.push(plugins(&unpacked)?);
    Ok(())
}

const CONCURRENT: &str = "concurrent-ruby";

/// The files of a folder, not its folders.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let io = |error: std::io::Error| format!("{}: {error}", from.display());
    for path in fs::read_dir(from).map_err(io)?.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        fs::copy(&path, to.join(path.file_name().unwrap_or_default())).map_err(io)?;
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Tells the C client library of MariaDB's where its plugins are, which it looks for at a fixed place.
fn plugins(unpacked: &Unpacked) -> Result<(String, String), String> {
    Ok(("MARIADB_PLUGIN_DIR".to_owned(), shown(&unpacked.machine()?.join("libmariadb3/plugin"))))
}

fn library() -> Result<Unpacked, String> {
    Unpacked::root("driver-library", &["libmariadb-dev"])
}

/// The C client library with its headers, for drivers that are built on it.
struct ClientLibrary {
    include: PathBuf,
    /// Only this library: its folder in the packages holds a C library too.
    lib: PathBuf,
}

impl ClientLibrary {
    fn find(home: &Path) -> Result<ClientLibrary, String> {
        let unpacked = library()?;
        let lib = home.join("lib");
        fs::create_dir_all(&lib).map_err(|error| format!("{}: {error}", lib.display()))?;
        let machine = unpacked.machine()?;
        for name in ["libmariadb.so", "libmariadb.so.3"] {
            let (from, to) = (machine.join(name), lib.join(name));
            std::os::unix::fs::symlink(&from, &to).map_err(|error| format!("{}: {error}", to.display()))?;
        }
        Ok(ClientLibrary { include: unpacked.root.join("usr/include/mariadb"), lib })
    }

    /// As its header tells it.
    fn version(&self) -> Result<String, String> {
        let header = self.include.join("mariadb_version.h");
        let text = fs::read_to_string(&header).map_err(|error| format!("{}: {error}", header.display()))?;
        let line = text.lines().find(|line| line.starts_with("#define MARIADB_CLIENT_VERSION_STR"));
        let version = line.and_then(|line| line.split('"').nth(1)).map(str::to_owned);
        version.ok_or_else(|| format!("{} tells no version", header.display()))
    }

    /// As mysqlclient's build wants to hear it.
    fn tell(&self, command: &mut Command) {
        let (include, lib) = (self.include.display(), self.lib.display());
        command.env("MYSQLCLIENT_CFLAGS", format!("-I{include}"));
        command.env("MYSQLCLIENT_LDFLAGS", format!("-L{lib} -Wl,-rpath,{lib} -lmariadb"));
    }
}
