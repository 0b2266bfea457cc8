//! `weir-paths NAME ROUNDS`: walks one hot path so often. What is counted is what happens within [`counted`]: by callgrind, told to
//! collect there alone, in instructions; and by this program itself, in allocations.
//!
//! ```text
//!   set up, warm up ─► prepare a round ─► counted(one walk) ─► finish the round ─► …        uncounted: all but the middle
//!   output:  rounds allocations bytes
//! ```
//! Everything that costs is ours: one thread, no clock, no sockets, an allocator that takes the same steps on every machine.
//! `weir-paths` alone lists the names.

mod heap;
mod path;
mod paths;
mod world;

use heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap::new();

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => {
            for (name, what, _) in paths::ALL {
                println!("{name}\t{what}");
            }
            std::process::ExitCode::SUCCESS
        }
        [name, rounds] => match (paths::find(name), rounds.parse()) {
            (Some(make), Ok(rounds)) if rounds > 0 => {
                let before = walk(make, rounds);
                println!("{rounds} {} {}", before.allocations, before.bytes);
                std::process::ExitCode::SUCCESS
            }
            (None, _) => complain(&format!("there is no path '{name}'; weir-paths alone lists them")),
            _ => complain(&format!("'{rounds}' is no number of rounds above 0")),
        },
        _ => complain("usage: weir-paths [NAME ROUNDS]"),
    }
}

fn complain(what: &str) -> std::process::ExitCode {
    eprintln!("weir-paths: {what}");
    std::process::ExitCode::FAILURE
}

/// What was allocated within the counted parts.
fn walk(make: fn() -> Box<dyn path::Path>, rounds: u32) -> heap::Count {
    let mut path = make();
    for _ in 0..WARM_UP {
        path.prepare();
        path.walk();
        path.finish();
    }
    weir_armed();
    let mut all = heap::Count::default();
    for _ in 0..rounds {
        path.prepare();
        let before = HEAP.count();
        weir_counted(&mut *path);
        all.add(&HEAP.count().since(&before));
        path.finish();
    }
    all
}

/// The only part that callgrind collects. It has a plain name for that.
#[unsafe(no_mangle)]
#[inline(never)]
#[allow(improper_ctypes_definitions)]
extern "C" fn weir_counted(path: &mut dyn path::Path) {
    path.walk();
}

/// Where callgrind is told to forget what it has collected until here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn weir_armed() {
    std::hint::black_box(());
}

/// Rounds before the first that counts: lists have grown, connections are open, plans are kept.
const WARM_UP: u32 = 200;
