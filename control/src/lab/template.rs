//! A prepared data folder: initialised once per server version, copied for every new server.
//!
//! Invariant: a template is finished or not there (one rename); it holds the laboratory's accounts, no server's
//! identity (`auto.cnf`) and no GTID, so that all copies begin equal and replication has nothing to repeat.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_net::flavour::Flavour;

use super::cache::{self, Lock};
use super::{LabError, Mysql, Progress, Report, child, limits, mariadb, server};

/// The account that gates and agents watch with: role, lag, executed GTIDs, statements to kill.
/// A gate that checks table permissions itself also wants `GRANT SELECT ON mysql.user`; watching needs it not.
pub const MONITOR: (&str, &str) = ("weir_monitor", "weir_monitor");
/// The account of tests: all rights.
pub const APP: (&str, &str) = ("app", "app");
/// The account that replicas fetch with.
pub const REPLICATION: (&str, &str) = ("repl", "repl");

/// The template for this server, made now if there is none.
pub fn folder(mysql: &Mysql, report: Report<'_>) -> Result<PathBuf, LabError> {
    let templates = cache::folder()?.join("templates");
    let name = name(mysql);
    let finished = templates.join(&name);
    if finished.is_dir() {
        return Ok(finished);
    }
    let _held = Lock::wait(&templates.join(format!("{name}.lock")))?;
    if finished.is_dir() {
        return Ok(finished);
    }
    report(Progress::step("initialising a data folder (once per server version)"));
    let draft = templates.join(format!("{name}.draft"));
    cache::remove_tree(&draft)?;
    initialise(mysql, &draft)?;
    fs::rename(draft.join("data"), &finished).map_err(|e| LabError::io("renaming", &draft, e))?;
    cache::remove_tree(&draft)?;
    Ok(finished)
}

/// Copies a template to `data`, which must not exist; it appears by one rename.
pub fn copy(template: &Path, data: &Path) -> Result<(), LabError> {
    let draft = data.with_extension("draft");
    cache::remove_tree(&draft)?;
    copy_tree(template, &draft)?;
    fs::rename(&draft, data).map_err(|e| LabError::io("renaming", &draft, e))
}

fn initialise(mysql: &Mysql, draft: &Path) -> Result<(), LabError> {
    fs::create_dir_all(draft).map_err(|e| LabError::io("making", draft, e))?;
    let (data, script, log) = (draft.join("data"), draft.join("accounts.sql"), draft.join("init.log"));
    fs::write(&script, accounts(mysql.flavour)).map_err(|e| LabError::io("writing", &script, e))?;
    let mut command = Command::new(&mysql.mysqld);
    command.arg("--no-defaults").args(mysql.own_options());
    command.args(["--skip-log-bin", "--innodb-buffer-pool-size=64M"]);
    command.arg(format!("--datadir={}", data.display())).arg(format!("--log-error={}", log.display()));
    let input = match mysql.flavour {
        Flavour::Mysql => {
            command.arg("--initialize-insecure").arg("--innodb-redo-log-capacity=8M");
            // The compiled default folder need not exist, and then the server would not start.
            command.arg(format!("--init-file={}", script.display())).arg("--secure-file-priv=NULL");
            String::new()
        }
        Flavour::MariaDb => {
            fs::create_dir_all(&data).map_err(|e| LabError::io("making", &data, e))?;
            command.args(["--bootstrap", "--innodb-log-file-size=8M"]);
            mariadb::bootstrap(mysql, &accounts(mysql.flavour))?
        }
    };
    if server::is_root() {
        command.arg("--user=root");
    }
    let what = format!("{} could not initialise a data folder", mysql.mysqld.display());
    let failed = |what: String| LabError::Server { what, log: log.clone(), lines: server::last_lines(&log) };
    let output = child::output(command, input.as_bytes(), limits::INITIALISE_WAIT)
        .map_err(|e| failed(format!("{what}: {e}")))?;
    if !output.status.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        return Err(server::disk_fault(&text, draft).unwrap_or_else(|| failed(what)));
    }
    for identity in ["auto.cnf", "ib_buffer_pool", "#innodb_temp"] {
        let path = data.join(identity);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
    }
    Ok(())
}

fn accounts(flavour: Flavour) -> String {
    let ((monitor, monitor_password), (app, app_password), (repl, repl_password)) = (MONITOR, APP, REPLICATION);
    let watches = match flavour {
        Flavour::Mysql => "REPLICATION CLIENT, PROCESS, CONNECTION_ADMIN",
        Flavour::MariaDb => "BINLOG MONITOR, SLAVE MONITOR, PROCESS, CONNECTION ADMIN",
    };
    format!(
        "CREATE USER '{monitor}'@'%' IDENTIFIED BY '{monitor_password}';\n\
         GRANT {watches} ON *.* TO '{monitor}'@'%';\n\
         GRANT SELECT ON performance_schema.* TO '{monitor}'@'%';\n\
         CREATE USER '{app}'@'%' IDENTIFIED BY '{app_password}';\n\
         GRANT ALL ON *.* TO '{app}'@'%' WITH GRANT OPTION;\n\
         CREATE USER '{repl}'@'%' IDENTIFIED BY '{repl_password}';\n\
         GRANT REPLICATION SLAVE ON *.* TO '{repl}'@'%';\n"
    )
}

/// Another version, another server program or other accounts: another template.
fn name(mysql: &Mysql) -> String {
    let mut hasher = DefaultHasher::new();
    (&mysql.mysqld, accounts(mysql.flavour), server::is_root()).hash(&mut hasher);
    format!("{}-{:016x}", mysql.version, hasher.finish())
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::create_dir_all(to).map_err(|e| LabError::io("making", to, e))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o750)).map_err(|e| LabError::io("closing", to, e))?;
    for entry in fs::read_dir(from).map_err(|e| LabError::io("listing", from, e))? {
        let path = entry.map_err(|e| LabError::io("listing", from, e))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else if !is_spare_redo(&path) {
            // The standard library lets the kernel copy, which shares blocks where the file system can.
            fs::copy(&path, &target).map_err(|e| LabError::io("copying to", &target, e))?;
        }
    }
    Ok(())
}

/// `#ib_redo7_tmp` and the like are empty redo files in reserve, which the server makes again.
fn is_spare_redo(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("#ib_redo") && name.ends_with("_tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_everything_but_the_spare_redo() {
        let dir = std::env::temp_dir().join(format!("weir-template-test-{}", std::process::id()));
        let (from, to) = (dir.join("from"), dir.join("data"));
        fs::create_dir_all(from.join("#innodb_redo")).unwrap();
        for file in ["ibdata1", "#innodb_redo/#ib_redo0", "#innodb_redo/#ib_redo1_tmp"] {
            fs::write(from.join(file), file).unwrap();
        }
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("#innodb_redo/#ib_redo0")).unwrap(), "#innodb_redo/#ib_redo0");
        assert!(to.join("ibdata1").exists() && !to.join("#innodb_redo/#ib_redo1_tmp").exists());
        assert!(!dir.join("data.draft").exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
