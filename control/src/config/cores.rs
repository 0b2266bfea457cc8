//! The CPUs that a gate runs on: `4` for so many, `2,3` or `0-3` for these.
//!
//! Without a word it takes every CPU that the process may run on, and no more than its cgroup's quota pays for: cores
//! that are throttled in the middle of a turn would hold up every session they have.

use weir_core::drive;

/// A number alone is a count; a single CPU by its number is written as a range, `2-2`.
pub fn parse(text: &str, allowed: &[usize]) -> Result<Vec<usize>, String> {
    let text = text.trim();
    match text.parse::<usize>() {
        Ok(count) => first(count, allowed),
        Err(_) => these(&list(text)?, allowed),
    }
}

/// The first `count` CPUs of those allowed.
pub fn first(count: usize, allowed: &[usize]) -> Result<Vec<usize>, String> {
    match allowed.get(..count) {
        Some(cpus) if count > 0 => Ok(cpus.to_vec()),
        _ => Err(format!(
            "{count} cores are not to be had: use 1 to {} (the CPUs that this process may run on)",
            allowed.len()
        )),
    }
}

pub fn these(cpus: &[usize], allowed: &[usize]) -> Result<Vec<usize>, String> {
    if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        return Err(format!("CPU {cpu} is not available to this process: choose among {}", show(allowed)));
    }
    let mut seen = cpus.to_vec();
    seen.sort_unstable();
    seen.dedup();
    match seen.len() == cpus.len() && !cpus.is_empty() {
        true => Ok(cpus.to_vec()),
        false => Err("name each CPU once, and at least one".to_string()),
    }
}

fn list(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',').map(str::trim) {
        let wrong = || {
            format!("'{part}' is neither a CPU nor a range of them: write a count (4), a list (2,3) or a range (0-3)")
        };
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let from: usize = from.trim().parse().map_err(|_| wrong())?;
        let to: usize = to.trim().parse().map_err(|_| wrong())?;
        if from > to || to - from >= CPUS_MAX {
            return Err(wrong());
        }
        cpus.extend(from..=to);
    }
    Ok(cpus)
}

/// The CPUs of the process's affinity mask.
pub fn allowed() -> Vec<usize> {
    drive::available_cpus().unwrap_or_default()
}

/// What the gate takes when nobody says anything.
pub fn usual(allowed: &[usize]) -> Vec<usize> {
    // It knows the quotas of cgroups, which the mask does not show.
    let paid = std::thread::available_parallelism().map_or(allowed.len(), std::num::NonZero::get);
    allowed.iter().copied().take(paid).collect()
}

pub fn show(cpus: &[usize]) -> String {
    let numbers: Vec<String> = cpus.iter().map(usize::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("{one}-{one}"),
        _ => numbers.join(","),
    }
}

/// `CPU_SETSIZE`: what an affinity mask can hold.
const CPUS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lists_and_ranges() {
        let allowed = [0, 2, 3, 5];
        let good: [(&str, &[usize]); 6] =
            [("1", &[0]), ("4", &[0, 2, 3, 5]), ("2,3", &[2, 3]), ("2-3", &[2, 3]), ("5-5", &[5]), (" 5, 0 ", &[5, 0])];
        for (typed, meant) in good {
            assert_eq!(parse(typed, &allowed).unwrap(), meant, "{typed}");
        }
        let bad = [
            ("0", "use 1 to 4"),
            ("5", "use 1 to 4"),
            ("1,2", "CPU 1 is not available to this process: choose among 0,2,3,5"),
            ("2,2", "name each CPU once"),
            ("3-2", "neither a CPU nor a range"),
            ("0-99999999999", "neither a CPU nor a range"),
            ("all", "neither a CPU nor a range"),
            ("", "neither a CPU nor a range"),
        ];
        for (typed, says) in bad {
            let text = parse(typed, &allowed).unwrap_err();
            assert!(text.contains(says), "{typed}: {text}");
        }
        assert_eq!(parse(&show(&[2]), &allowed), Ok(vec![2]));
        assert!(!usual(&super::allowed()).is_empty());
    }
}
