//! Package files → a folder whose programs run on this system, though they may come from a newer one.
//!
//! Invariant: a finished folder appears by one rename, and says in `complete` where it was made for and what is in it;
//! a folder that doesn't match its own word is fetched again. Programs name the unpacked loader and libraries by their
//! final, absolute path (with `patchelf`, itself unpacked and run by that loader), so that they are real programs:
//! `/proc/PID/exe` is mysqld, and a shell can start its client without any environment.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::{self, Suite};
use super::cache::{self, Lock};
use super::{LabError, Progress, Report, Unit, child, limits};

/// What to fetch, and what of it must run.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// For people, and in lower case for its folder.
    pub name: &'static str,
    pub suite: Suite,
    /// As `apt::download` takes them; `patchelf` is added.
    pub packages: &'static [&'static str],
    /// Programs, below the root; these must exist.
    pub programs: &'static [&'static str],
    /// Folders below the root with libraries that programs load while they run; these may be missing.
    pub libraries: &'static [&'static str],
}

/// The root of the product's files: as it was, or fetched now. One process fetches, the others wait for it.
pub fn root(product: &Product, report: Report<'_>) -> Result<PathBuf, LabError> {
    let cache = cache::folder()?;
    let home = cache.join("packages").join(product.name.to_lowercase());
    if is_complete(&home, product) {
        return Ok(home.join("root"));
    }
    let lock = cache.join("packages").join(format!("{}.lock", product.name.to_lowercase()));
    let held = Lock::attempt(&lock)?;
    let _held = match held {
        Some(held) => held,
        None => {
            report(Progress::step("waiting for another process that is fetching"));
            Lock::wait(&lock)?
        }
    };
    if is_complete(&home, product) {
        return Ok(home.join("root"));
    }
    make(product, &cache, &home, report)?;
    Ok(home.join("root"))
}

fn make(product: &Product, cache: &Path, home: &Path, report: Report<'_>) -> Result<(), LabError> {
    let free_bytes = cache::free_bytes(cache)?;
    if free_bytes < limits::FETCH_FREE_BYTES_MIN {
        let wanted_bytes = limits::FETCH_FREE_BYTES_MIN;
        return Err(LabError::DiskFull { path: cache.to_owned(), free_bytes, wanted_bytes });
    }
    let downloads = cache.join("apt").join(product.name.to_lowercase());
    let packages = [product.packages, &["patchelf"]].concat();
    let files = match apt::download(product.name, product.suite, &packages, &downloads, report) {
        Ok(files) => files,
        // What has arrived is worth keeping; a state that confuses apt is not.
        Err(error @ (LabError::Mirror { .. } | LabError::DiskFull { .. })) => return Err(error),
        Err(error) => {
            cache::remove_tree(&downloads)?;
            return Err(error);
        }
    };
    let draft = home.with_extension("draft");
    cache::remove_tree(&draft)?;
    let built = build(product, &files, &draft, home, report);
    // Broken packages would break the next try too.
    cache::remove_tree(&downloads)?;
    if let Err(error) = built {
        cache::remove_tree(&draft)?;
        return Err(error);
    }
    cache::remove_tree(home)?;
    fs::rename(&draft, home).map_err(|e| LabError::io("renaming", &draft, e))
}

fn build(product: &Product, files: &[PathBuf], draft: &Path, home: &Path, report: Report<'_>) -> Result<(), LabError> {
    let root = draft.join("root");
    fs::create_dir_all(&root).map_err(|e| LabError::io("making", &root, e))?;
    let total = files.len() as u64;
    for (done, file) in (0..).zip(files) {
        report(Progress { step: "unpacking packages", done, total, unit: Unit::Packages });
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.arg("--extract").arg(file).arg(&root);
        run(dpkg, file)?;
    }
    for ballast in ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian"] {
        cache::remove_tree(&root.join(ballast))?;
    }
    if product.suite == Suite::WithMysql {
        // The server's packages want it for scripts that nobody runs here.
        cache::remove_tree(&root.join("usr/share/perl"))?;
    }
    merge_usr(&root)?;
    disarm(&root)?;
    report(Progress::step("making the programs run here"));
    let system = Elsewhere::find(&root, home)?;
    for program in product.programs {
        system.patch_program(&root.join(program))?;
    }
    for folder in product.libraries {
        system.patch_libraries(&root.join(folder))?;
    }
    for program in product.programs {
        system.check(&root.join(program))?;
    }
    let mark = mark(home, draft).map_err(|e| LabError::io("reading", draft, e))?;
    let path = draft.join(COMPLETE);
    fs::write(&path, mark).map_err(|e| LabError::io("writing", &path, e))
}

/// Packages from before the merged /usr have programs in `bin`, newer ones all in `usr/bin`.
fn merge_usr(root: &Path) -> Result<(), LabError> {
    let target = root.join("usr/bin");
    for path in fs::read_dir(root.join("bin")).into_iter().flatten().flatten().map(|entry| entry.path()) {
        fs::create_dir_all(&target).map_err(|e| LabError::io("making", &target, e))?;
        fs::rename(&path, target.join(path.file_name().unwrap_or_default()))
            .map_err(|e| LabError::io("moving", &path, e))?;
    }
    Ok(())
}

/// The loader and the libraries of the system that the packages come from.
struct Elsewhere {
    loader: PathBuf,
    /// Where libraries are now, and where they will be.
    library_path: String,
    library_path_final: String,
    loader_final: PathBuf,
    patchelf: PathBuf,
}

impl Elsewhere {
    fn find(root: &Path, home: &Path) -> Result<Elsewhere, LabError> {
        let missing = |what: &str| LabError::Unpack { what: what.to_owned(), detail: "it is in no package".to_owned() };
        let is_triplet = |path: &PathBuf| path.to_string_lossy().ends_with("-linux-gnu") && path.is_dir();
        let folders: Vec<PathBuf> = (["usr/lib", "lib"].iter())
            .flat_map(|parent| fs::read_dir(root.join(parent)).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(is_triplet)
            .collect();
        let is_loader = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("ld-linux") && name.contains(".so.")
        };
        let loader = (folders.iter())
            .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .find(is_loader)
            .ok_or_else(|| missing("The loader (ld-linux)"))?;
        let final_root = home.join("root");
        let moved = |path: &Path| path.strip_prefix(root).map_or(path.to_owned(), |below| final_root.join(below));
        let private = ["usr/lib/mysql/private", "usr/lib/mysql-router", "usr/lib/mysqlrouter/private"];
        let all: Vec<PathBuf> = folders.iter().cloned().chain(private.iter().map(|path| root.join(path))).collect();
        let join = |paths: &mut dyn Iterator<Item = PathBuf>| {
            paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
        };
        let patchelf = root.join("usr/bin/patchelf");
        if !patchelf.exists() {
            return Err(missing("patchelf"));
        }
        Ok(Elsewhere {
            loader_final: moved(&loader),
            library_path: join(&mut all.iter().cloned()),
            library_path_final: join(&mut all.iter().map(|path| moved(path))),
            loader,
            patchelf,
        })
    }

    /// A command that runs an unpacked program before it is patched or where it will be.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.loader);
        command.arg("--library-path").arg(&self.library_path).arg(program);
        command
    }

    fn patch_program(&self, program: &Path) -> Result<(), LabError> {
        let mut patch = self.command(&self.patchelf);
        patch.arg("--set-interpreter").arg(&self.loader_final);
        // A plain rpath holds for libraries of libraries too, which a runpath does not.
        patch.args(["--force-rpath", "--set-rpath"]).arg(&self.library_path_final).arg(program);
        run(patch, program)
    }

    fn patch_libraries(&self, folder: &Path) -> Result<(), LabError> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(());
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_elf(path)) {
            let mut patch = self.command(&self.patchelf);
            patch.args(["--force-rpath", "--set-rpath"]).arg(&self.library_path_final).arg(&path);
            run(patch, &path)?;
        }
        Ok(())
    }

    /// Every library that the program names must be found among the unpacked ones.
    fn check(&self, program: &Path) -> Result<(), LabError> {
        let mut list = Command::new(&self.loader);
        list.arg("--library-path").arg(&self.library_path).arg("--list").arg(program);
        let what = program.display().to_string();
        let output = child::output(list, b"", limits::VERSION_WAIT)
            .map_err(|e| LabError::Unpack { what: what.clone(), detail: e.to_string() })?;
        let stray = output.stdout.lines().find(|line| line.contains("not found"));
        match stray {
            Some(line) => Err(LabError::Unpack { what, detail: line.trim().to_owned() }),
            None if !output.status.success() => Err(LabError::Unpack { what, detail: output.stderr }),
            None => Ok(()),
        }
    }
}

/// Takes the set-user-id bits of what root unpacks: these files are for running a laboratory, not for `su`.
fn disarm(root: &Path) -> Result<(), LabError> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| LabError::io("listing", &folder, e))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let meta = entry.metadata().map_err(|e| LabError::io("reading", &path, e))?;
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file() && meta.permissions().mode() & 0o7000 != 0 {
                let plain = fs::Permissions::from_mode(meta.permissions().mode() & 0o777);
                fs::set_permissions(&path, plain).map_err(|e| LabError::io("changing the mode of", &path, e))?;
            }
        }
    }
    Ok(())
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let is_plain = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    is_plain && fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

fn run(command: Command, about: &Path) -> Result<(), LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let what = about.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = match child::output(command, b"", limits::INITIALISE_WAIT) {
        Ok(output) => output,
        Err(e) => {
            return Err(LabError::Unpack { what, detail: format!("{program}: {e}") });
        }
    };
    if output.status.success() {
        return Ok(());
    }
    if output.stderr.contains("No space left") || output.stderr.contains("Disk quota exceeded") {
        return Err(LabError::DiskFull { path: about.to_owned(), free_bytes: 0, wanted_bytes: 0 });
    }
    let detail = output.stderr.lines().next().unwrap_or("it failed without a word").to_owned();
    Err(LabError::Unpack { what, detail })
}

fn is_complete(home: &Path, product: &Product) -> bool {
    let word = fs::read_to_string(home.join(COMPLETE)).unwrap_or_default();
    let programs = product.programs.iter().all(|program| home.join("root").join(program).exists());
    programs && mark(home, home).is_ok_and(|mark| mark == word)
}

/// What a folder at `now`, made to live at `home`, has to say of itself.
fn mark(home: &Path, now: &Path) -> std::io::Result<String> {
    let (files, bytes) = cache::census(&now.join("root"))?;
    Ok(format!("{}\n{files} files, {bytes} bytes\n", home.display()))
}

const COMPLETE: &str = "complete";

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCT: Product =
        Product { name: "Thing", suite: Suite::Own, packages: &[], programs: &["usr/bin/thing"], libraries: &[] };

    fn finished(name: &str) -> PathBuf {
        let home = std::env::temp_dir().join(format!("weir-unpack-test-{}-{name}", std::process::id()));
        fs::create_dir_all(home.join("root/usr/bin")).unwrap();
        fs::write(home.join("root/usr/bin/thing"), "x").unwrap();
        fs::write(home.join(COMPLETE), mark(&home, &home).unwrap()).unwrap();
        assert!(is_complete(&home, &PRODUCT));
        home
    }

    #[test]
    fn a_truncated_file_is_noticed() {
        let home = finished("truncated");
        fs::write(home.join("root/usr/bin/thing"), "").unwrap();
        assert!(!is_complete(&home, &PRODUCT));
        fs::remove_dir_all(home).unwrap();
    }

    #[test]
    fn a_lost_program_and_a_lost_mark_are_noticed() {
        let home = finished("lost");
        fs::remove_file(home.join(COMPLETE)).unwrap();
        assert!(!is_complete(&home, &PRODUCT));
        fs::remove_file(home.join("root/usr/bin/thing")).unwrap();
        fs::write(home.join(COMPLETE), mark(&home, &home).unwrap()).unwrap();
        assert!(!is_complete(&home, &PRODUCT));
        fs::remove_dir_all(home).unwrap();
    }

    #[test]
    fn a_moved_folder_is_noticed() {
        let home = finished("here");
        let there = home.with_extension("there");
        fs::rename(&home, &there).unwrap();
        assert!(!is_complete(&there, &PRODUCT));
        fs::remove_dir_all(there).unwrap();
    }

    #[test]
    fn set_user_id_bits_are_taken() {
        let home = finished("bits");
        let thing = home.join("root/usr/bin/thing");
        fs::set_permissions(&thing, fs::Permissions::from_mode(0o4755)).unwrap();
        disarm(&home).unwrap();
        assert_eq!(fs::metadata(&thing).unwrap().permissions().mode() & 0o7777, 0o755);
        fs::remove_dir_all(home).unwrap();
    }
}
