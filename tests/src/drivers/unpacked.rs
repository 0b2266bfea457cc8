//! Debian packages of tool chains, unpacked into the cache, whose programs are started by the loader that came with them.
//!
//! Invariant: a program sees the libraries of its own packages only, so it runs whatever the system has.

use std::fs;
use std::path::{Path, PathBuf};

use weir_control::lab::apt::Suite;
use weir_control::lab::unpack::{self, Product};

#[derive(Debug, Clone)]
pub struct Unpacked {
    pub root: PathBuf,
}

impl Unpacked {
    /// Fetches and unpacks, or finds what was.
    pub fn root(name: &'static str, packages: &'static [&'static str]) -> Result<Unpacked, String> {
        let product = Product { name, suite: Suite::Own, packages, programs: &[], libraries: &[] };
        let mut said = "";
        let root = unpack::root(&product, &mut |progress| {
            if progress.step != said {
                said = progress.step;
                eprintln!("{name}: {progress}");
            }
        });
        Ok(Unpacked { root: root.map_err(|error| error.to_string())? })
    }

    /// What starts this program (a path below the root): the loader, its options, the program.
    pub fn command(&self, program: &Path) -> Result<Vec<String>, String> {
        let machine = self.machine()?;
        let loader = find(&machine, |name| name.starts_with("ld-linux") && name.contains(".so."))
            .or_else(|| find(&self.root.join("lib64"), |name| name.starts_with("ld-linux")))
            .ok_or("the packages have no loader")?;
        let path = |path: &Path| path.display().to_string();
        let old = self.root.join("lib").join(machine.file_name().unwrap_or_default());
        let libraries = format!("{}:{}", path(&machine), path(&old));
        Ok(vec![path(&loader), "--library-path".to_owned(), libraries, path(program)])
    }

    /// `usr/lib/MACHINE-linux-gnu`.
    pub fn machine(&self) -> Result<PathBuf, String> {
        let is_machine = |name: &str| name.ends_with("-linux-gnu");
        find(&self.root.join("usr/lib"), is_machine).ok_or_else(|| "the packages have no libraries".to_owned())
    }

    /// The first program of this kind in `usr/bin`.
    pub fn program(&self, is_it: impl Fn(&str) -> bool) -> Result<PathBuf, String> {
        find(&self.root.join("usr/bin"), is_it).ok_or_else(|| "the packages lack the program".to_owned())
    }
}

/// The first entry of a folder, by name, that is meant.
pub fn find(folder: &Path, is_it: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut names: Vec<String> =
        fs::read_dir(folder).ok()?.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names.into_iter().find(|name| is_it(name)).map(|name| folder.join(name))
}
