//! libFuzzer's entry: one program for all targets, so that one link serves them all.
//!
//! `WEIR_FUZZ_TARGET` names the target. With `WEIR_FUZZ_SEEDS` the target's seeds are first written into that folder,
//! which is then given to libFuzzer as a corpus. `.ci/fuzz` builds and runs it.

#![no_main]

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use weir_fuzz::meter::Meter;
use weir_fuzz::target::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: Meter = Meter;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(init: begin(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        target.run(data);
    }
});

fn begin() {
    let name = std::env::var("WEIR_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = Target::named(&name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("WEIR_FUZZ_TARGET is {name:?}; it must be one of {}", names.join(", "));
        std::process::exit(2);
    };
    let _ = TARGET.set(target);
    if let Ok(folder) = std::env::var("WEIR_FUZZ_SEEDS") {
        write_seeds(target, &folder).unwrap_or_else(|error| panic!("writing seeds to {folder}: {error}"));
    }
    // What is made once (keys, certificates) is not the first input's doing.
    target.run(&[]);
}

fn write_seeds(target: &Target, folder: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for seed in target.corpus() {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        std::fs::write(format!("{folder}/seed-{:016x}", hasher.finish()), seed)?;
    }
    Ok(())
}
