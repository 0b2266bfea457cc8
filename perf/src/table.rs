//! `Table`: rows of texts, aligned for people.
//!
//! Invariant: every row has as many cells as the heading. The first column is aligned to the left, numbers to the right.

use std::fmt;

#[derive(Clone, Debug)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(heading: &[&str]) -> Self {
        Self { heading: heading.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    /// # Panics
    /// If the row has another number of cells than the heading: a mistake of the caller's.
    pub fn add(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.heading.len(), "cells per row");
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || std::iter::once(&self.heading).chain(&self.rows);
        let width = |column: usize| {
            let cells = all().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        for row in all() {
            for (column, cell) in row.iter().enumerate() {
                let width = width(column);
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A number that was not measured is a dash.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.decimals$}"),
        Some(_) | None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["way", "µs"]);
        table.add(vec!["direct".to_owned(), number(Some(1.26), 1)]);
        table.add(vec!["x".to_owned(), number(None, 1)]);
        table.add(vec!["y".to_owned(), number(Some(f64::NAN), 1)]);
        assert_eq!(table.to_string(), "way      µs\ndirect  1.3\nx         -\ny         -\n");
    }
}
