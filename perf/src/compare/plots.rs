//! The plots of a comparison: latency by percentile for each number of clients, CPU and throughput by clients.
//!
//! Invariant: a door has the same colour in all of them. What was not measured is no point; a plot without any point is
//! left out, and why is told in its place.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

use super::report::{Cell, Report};
use crate::door::Kind;
use crate::error::Fault;
use crate::plot::{Axis, Line, PERCENT_MAX, Plot, Scale};

/// What has become of one plot.
#[derive(Clone, Debug, PartialEq)]
pub enum Drawn {
    Written(PathBuf),
    /// Its file's name, and why.
    LeftOut(String, String),
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(path) => write!(f, "plot written to {}", path.display()),
            Self::LeftOut(name, why) => write!(f, "no {name}: {why}"),
        }
    }
}

/// Writes them to this folder, which is made if need be.
pub fn write(report: &Report, folder: &Path) -> Result<Vec<Drawn>, Fault> {
    fs::create_dir_all(folder).map_err(|error| Fault::io(format!("making {}", folder.display()), error))?;
    let mut plots: Vec<(String, Plot)> = clients(report)
        .into_iter()
        .map(|clients| (format!("latency-{clients}.svg"), latency(report, clients)))
        .collect();
    plots.push(("cpu.svg".to_owned(), cpu(report)));
    plots.push(("throughput.svg".to_owned(), throughput(report)));
    let mut drawn = Vec::new();
    for (name, plot) in plots {
        let svg = match plot.to_svg() {
            Ok(svg) => svg,
            Err(error) => {
                drawn.push(Drawn::LeftOut(name, error.to_string()));
                continue;
            }
        };
        let path = folder.join(name);
        fs::write(&path, svg).map_err(|error| Fault::io(format!("writing {}", path.display()), error))?;
        drawn.push(Drawn::Written(path));
    }
    Ok(drawn)
}

/// The numbers of clients, rising.
fn clients(report: &Report) -> Vec<usize> {
    let mut clients: Vec<usize> = report.cells.iter().map(|cell| cell.clients).collect();
    clients.sort_unstable();
    clients.dedup();
    clients
}

fn latency(report: &Report, clients: usize) -> Plot {
    let cells = report.cells.iter().filter(|cell| cell.clients == clients);
    let lines = cells.filter_map(|cell| {
        let points = percentiles(&cell.latency()?);
        Some(Line { points, ..line_of(cell.kind) })
    });
    Plot {
        title: format!("Latency by percentile, {clients} client{}", if clients == 1 { "" } else { "s" }),
        subtitle: format!("{}, taken together", report.title),
        x: Axis { label: "percentile of queries (%)".to_owned(), scale: Scale::Percentile },
        y: Axis { label: "latency (ms), log scale".to_owned(), scale: Scale::Log },
        lines: lines.collect(),
    }
}

fn cpu(report: &Report) -> Plot {
    Plot {
        title: "CPU of the proxy per query".to_owned(),
        y: Axis { label: "CPU time per query (µs)".to_owned(), scale: Scale::Linear },
        ..by_clients(report, |cell| cell.proxy_cpu_us())
    }
}

fn throughput(report: &Report) -> Plot {
    Plot {
        title: "Throughput by connections".to_owned(),
        y: Axis { label: "queries per second".to_owned(), scale: Scale::Linear },
        ..by_clients(report, |cell| cell.queries_per_second())
    }
}

fn by_clients(report: &Report, value: impl Fn(&Cell) -> Option<f64>) -> Plot {
    let mut lines: Vec<Line> = Vec::new();
    for kind in Kind::ALL {
        let cells = report.cells.iter().filter(|cell| cell.kind == kind);
        let mut points: Vec<(f64, f64)> = cells.filter_map(|cell| Some((cell.clients as f64, value(cell)?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        lines.push(Line { points, ..line_of(kind) });
    }
    let steps = clients(report).into_iter().map(|clients| clients as f64);
    Plot {
        title: String::new(),
        subtitle: format!("{}, medians", report.title),
        x: Axis { label: "client connections, log scale".to_owned(), scale: Scale::Steps(steps.collect()) },
        y: Axis { label: String::new(), scale: Scale::Linear },
        lines,
    }
}

fn line_of(kind: Kind) -> Line {
    let number = Kind::ALL.iter().position(|other| *other == kind).unwrap_or(0);
    Line { name: kind.name().to_owned(), number, points: Vec::new() }
}

/// From the fastest query to the percentile that only one of them exceeds, at most to the end of the scale: further
/// out a line would show nothing but its last sample again.
fn percentiles(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    if latency.is_empty() {
        return Vec::new();
    }
    let nines_max = (latency.len() as f64).log10();
    let even = (0..=STEPS).map(|step| NINES * f64::from(step) / f64::from(STEPS));
    let mut shares: Vec<f64> = (even.filter(|nines| *nines <= nines_max))
        .map(|nines| (100.0 * (1.0 - 10f64.powf(-nines))).min(PERCENT_MAX))
        .chain(MARKED.into_iter().filter(|percent| (1.0 - percent / 100.0) * latency.len() as f64 >= 0.999))
        .collect();
    shares.sort_by(f64::total_cmp);
    let ms = |percent: f64| latency.value_at_quantile(percent / 100.0).max(1) as f64 / 1e6;
    shares.into_iter().map(|percent| (percent, ms(percent))).collect()
}

/// Points of a line: one about every three pixels.
const STEPS: u32 = 200;
/// Where the axis has a tick, on which no step falls exactly.
const MARKED: [f64; 5] = [50.0, 90.0, 99.0, 99.9, PERCENT_MAX];
/// How many nines the scale goes to.
const NINES: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::report::Sample;
    use crate::load::new_histogram;

    fn report(latency: Option<Histogram<u64>>, cpu: Option<f64>) -> Report {
        let cell = |kind, clients| {
            let mut cell = Cell::new(kind, clients);
            let sample = Sample { queries_per_second: 1000.0, proxy_cpu_us: cpu, ..Sample::default() };
            cell.samples.push(Sample { latency: latency.clone(), ..sample });
            cell
        };
        let cells = vec![cell(Kind::Relay, 8), cell(Kind::Weir, 8), cell(Kind::Relay, 1), cell(Kind::Weir, 1)];
        Report { title: "a < b".to_owned(), cells, notes: Vec::new() }
    }

    fn histogram() -> Histogram<u64> {
        let mut latency = new_histogram();
        for value in 1..=1000u64 {
            latency.saturating_record(value * 10_000);
        }
        latency
    }

    #[test]
    fn lines_are_those_of_the_doors() {
        let report = report(Some(histogram()), Some(9.5));
        let plot = latency(&report, 8);
        let names: Vec<(&str, usize)> = plot.lines.iter().map(|line| (line.name.as_str(), line.number)).collect();
        assert_eq!(names, [("relay", 1), ("weir", 2)]);
        assert!(plot.to_svg().is_ok());
        let weir = &throughput(&report).lines[2];
        assert_eq!(weir.points, [(1.0, 1000.0), (8.0, 1000.0)]);
        assert_eq!(cpu(&report).lines[1].points[0], (1.0, 9.5));
    }

    #[test]
    fn percentiles_end_with_the_samples() {
        let points = percentiles(&histogram());
        let at = |percent: f64| points.iter().find(|point| point.0 == percent).map(|point| point.1);
        for (percent, ms) in [(0.0, 0.01), (50.0, 5.0), (90.0, 9.0), (99.0, 9.9), (99.9, 9.99)] {
            let found = at(percent).unwrap();
            assert!((found - ms).abs() < ms / 100.0, "{percent}: {found}");
        }
        // Of a thousand samples none is beyond 99.9 %.
        assert!(points.last().unwrap().0 < 99.91 && at(99.99).is_none());
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        assert!(percentiles(&new_histogram()).is_empty());
    }

    #[test]
    fn what_was_not_measured_is_left_out_in_words() {
        let folder = std::env::temp_dir().join(format!("weir-perf-plots-{}", std::process::id()));
        let drawn = write(&report(None, None), &folder).unwrap();
        let text: Vec<String> = drawn.iter().map(Drawn::to_string).collect();
        assert_eq!(text[0], "no latency-1.svg: there is nothing to draw for \"Latency by percentile, 1 client\"");
        assert!(text[1].starts_with("no latency-8.svg: ") && text[2].starts_with("no cpu.svg: "), "{text:?}");
        assert_eq!(drawn[3..], [Drawn::Written(folder.join("throughput.svg"))]);
        assert!(fs::read_to_string(folder.join("throughput.svg")).unwrap().contains("a &lt; b"));
        let file = folder.join("throughput.svg");
        assert!(write(&report(None, None), &file).is_err(), "a file is no folder");
        fs::remove_dir_all(folder).unwrap();
    }
}
