//! What the kernel says of this process, under the names that Prometheus' own client libraries use.
//!
//! Invariant: a figure that cannot be read is left out, never 0. Sockets that lie in io_uring's table of files are no open files.

use super::exposition::put;
use std::fs;

/// The figures of now.
pub fn put_all(out: &mut String) {
    let read = |path: &str| fs::read_to_string(path).ok();
    let stat = read("/proc/self/stat").and_then(|text| Stat::read(&text));
    let began = read("/proc/stat").and_then(|text| number_behind(&text, "btime "));
    let status = read("/proc/self/status").unwrap_or_default();
    let bytes = |name| number_behind(&status, name).map(|kib| kib * 1_024);
    let limits = read("/proc/self/limits").unwrap_or_default();
    let mut put_some = |name: &str, kind: &str, help: &str, value: Option<String>| {
        if let Some(value) = value {
            put(out, name, kind, help, value);
        }
    };
    let (cpu, threads) = ("process_cpu_seconds_total", "process_threads");
    let ticks = stat.map(|stat| format!("{:.2}", stat.cpu_ticks as f64 / TICKS_PER_SECOND));
    put_some(cpu, "counter", "Time on CPUs, of user and system.", ticks);
    let start =
        stat.zip(began).map(|(stat, boot)| format!("{:.2}", boot as f64 + stat.began_ticks as f64 / TICKS_PER_SECOND));
    put_some("process_start_time_seconds", "gauge", "When it was started, since 1970-01-01 UTC.", start);
    put_some(threads, "gauge", "Threads of the process.", stat.map(|stat| stat.threads.to_string()));
    let resident = bytes("VmRSS:").map(|bytes| bytes.to_string());
    put_some("process_resident_memory_bytes", "gauge", "Memory that is in RAM.", resident);
    let virtual_ = bytes("VmSize:").map(|bytes| bytes.to_string());
    put_some("process_virtual_memory_bytes", "gauge", "Address space in use.", virtual_);
    // The descriptor that lists them is one too.
    let open = fs::read_dir("/proc/self/fd").ok().map(|all| all.count().saturating_sub(1).to_string());
    put_some("process_open_fds", "gauge", "Open file descriptors.", open);
    let limit = number_behind(&limits, "Max open files").map(|limit| limit.to_string());
    put_some("process_max_fds", "gauge", "Most file descriptors that it may open.", limit);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Since the machine's start.
    began_ticks: u64,
}

impl Stat {
    /// proc_pid_stat(5). The program's name may hold blanks and brackets: fields are counted from its last bracket.
    fn read(text: &str) -> Option<Stat> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // The first of them is the third of the page.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat { cpu_ticks: field(14)? + field(15)?, threads: field(20)?, began_ticks: field(22)? })
    }
}

/// The first number behind these words.
fn number_behind(text: &str, words: &str) -> Option<u64> {
    text.split_once(words)?.1.split_whitespace().next()?.parse().ok()
}

/// Of `/proc`, on every architecture of Linux that Rust has.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::super::exposition::tests::parsed;
    use super::*;

    #[test]
    fn this_process_is_described() {
        let mut out = String::new();
        put_all(&mut out);
        let samples = parsed(&out).samples;
        assert_eq!(samples.len(), 7, "{out}");
        assert!(samples["process_resident_memory_bytes"] > 1e5, "{out}");
        assert!(samples["process_virtual_memory_bytes"] >= samples["process_resident_memory_bytes"], "{out}");
        assert!(
            samples["process_open_fds"] >= 3.0 && samples["process_max_fds"] >= samples["process_open_fds"],
            "{out}"
        );
        assert!(samples["process_threads"] >= 1.0, "{out}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - samples["process_start_time_seconds"];
        // The kernel says when the machine was started in whole seconds.
        assert!((-2.0..7_200.0).contains(&age), "{age}");
    }

    #[test]
    fn a_programs_name_cannot_move_the_fields() {
        let text = "7 (a) b 1 (2)) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 3 0 4200 1000 200 18446744073709551615";
        let stat = Stat { cpu_ticks: 200, threads: 3, began_ticks: 4_200 };
        assert_eq!(Stat::read(text), Some(stat));
        assert_eq!(Stat::read("7 (a) S 1"), None);
        assert_eq!(number_behind("Max open files            unlimited            files", "Max open files"), None);
    }
}
