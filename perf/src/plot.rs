//! `Plot`: lines in a frame with two axes, as an SVG that needs nothing but itself.
//!
//! ```text
//! title
//! subtitle
//!  y ┌───────────────┐  ● direct
//!    │    lines      │  ■ weir
//!    └───────────────┘  ▲ haproxy
//!            x
//! ```
//! Invariant: what is drawn is what was given; a plot with nothing in it, or with a point that its axes cannot show, is
//! an error. A line of the same number has the same colour and mark in every plot, so that plots can be laid side by
//! side, and marks differ as well as colours. It knows no measurement.

mod axis;

mod number;

mod svg;

mod mark;

#[cfg(test)]
mod check;

use std::fmt;

pub use self::axis::{PERCENT_MAX, Scale};
use self::axis::{Ruler, Tick};
use self::svg::{Svg, px};

#[derive(Clone, Debug)]
pub struct Axis {
    /// What and in which unit.
    pub label: String,
    pub scale: Scale,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    /// Which colour and mark.
    pub number: usize,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Debug)]
pub struct Plot {
    pub title: String,
    pub subtitle: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq)]
pub enum PlotError {
    Nothing { title: String },
    Point { line: String, x: f64, y: f64 },
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { title } => write!(f, "there is nothing to draw for \"{title}\""),
            Self::Point { line, x, y } => write!(f, "the axes cannot show the point ({x}, {y}) of {line}"),
        }
    }
}

impl std::error::Error for PlotError {}

impl Plot {
    /// The text of an SVG file.
    pub fn to_svg(&self) -> Result<String, PlotError> {
        let nothing = || PlotError::Nothing { title: self.title.clone() };
        for line in &self.lines {
            for &(x, y) in &line.points {
                if !self.x.scale.can_show(x) || !self.y.scale.can_show(y) {
                    return Err(PlotError::Point { line: line.name.clone(), x, y });
                }
            }
        }
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Ruler::of(&self.x.scale, points().map(|point| point.0)).ok_or_else(nothing)?;
        let y = Ruler::of(&self.y.scale, points().map(|point| point.1)).ok_or_else(nothing)?;
        let mut svg = Svg::new(WIDTH, HEIGHT, &self.title);
        self.put_heading(&mut svg);
        self.put_axes(&mut svg, &x, &y);
        for (at, line) in self.lines.iter().filter(|line| !line.points.is_empty()).enumerate() {
            put_line(&mut svg, line, &x, &y);
            put_legend(&mut svg, line, at);
        }
        Ok(svg.finish())
    }

    fn put_heading(&self, svg: &mut Svg) {
        let at = |y: f64| [("x", px(FRAME.left)), ("y", px(y))];
        let [x, y] = at(26.0);
        svg.text(&shortened(&self.title, TITLE_LETTERS_MAX), &[x, y, size(16.0), weight("600"), fill(INK)]);
        let [x, y] = at(46.0);
        svg.text(&shortened(&self.subtitle, SUBTITLE_LETTERS_MAX), &[x, y, size(12.0), fill(PALE_INK)]);
    }

    fn put_axes(&self, svg: &mut Svg, x: &Ruler, y: &Ruler) {
        let (bottom, right) = (FRAME.bottom, FRAME.right);
        for Tick { place, label } in &x.ticks {
            let at = FRAME.x(*place);
            svg.stroke((at, FRAME.top), (at, bottom), GRID);
            svg.text(label, &[("x", px(at)), ("y", px(bottom + 18.0)), middle(), size(12.0), fill(PALE_INK)]);
        }
        for Tick { place, label } in &y.ticks {
            let at = FRAME.y(*place);
            svg.stroke((FRAME.left, at), (right, at), GRID);
            let [end, small] = [("text-anchor", "end".to_owned()), size(12.0)];
            svg.text(label, &[("x", px(FRAME.left - 8.0)), ("y", px(at + 4.0)), end, small, fill(PALE_INK)]);
        }
        svg.stroke((FRAME.left, bottom), (right, bottom), RULE);
        svg.stroke((FRAME.left, FRAME.top), (FRAME.left, bottom), RULE);
        let (centre, height) = ((FRAME.left + right) / 2.0, (FRAME.top + bottom) / 2.0);
        let below = [("x", px(centre)), ("y", px(bottom + 42.0)), middle(), size(13.0), fill(INK)];
        svg.text(&self.x.label, &below);
        let turned = ("transform", format!("rotate(-90 18 {})", px(height)));
        svg.text(&self.y.label, &[("x", px(18.0)), ("y", px(height)), turned, middle(), size(13.0), fill(INK)]);
    }
}

fn put_line(svg: &mut Svg, line: &Line, x: &Ruler, y: &Ruler) {
    let place = |point: &(f64, f64)| (FRAME.x(x.place(point.0)), FRAME.y(y.place(point.1)));
    let places: Vec<(f64, f64)> = line.points.iter().map(place).collect();
    svg.path(&places, mark::colour(line.number));
    // Where the axis has a tick: a line of many points would be nothing but marks.
    let at_tick = |point: &&(f64, f64)| x.ticks.iter().any(|tick| (tick.place - x.place(point.0)).abs() < 1e-9);
    for point in line.points.iter().filter(at_tick) {
        mark::put(svg, line.number, place(point));
    }
}

fn put_legend(svg: &mut Svg, line: &Line, at: usize) {
    let (left, y) = (FRAME.right + 18.0, FRAME.top + 10.0 + at as f64 * 22.0);
    svg.path(&[(left, y), (left + 26.0, y)], mark::colour(line.number));
    mark::put(svg, line.number, (left + 13.0, y));
    let name = shortened(&line.name, NAME_LETTERS_MAX);
    svg.text(&name, &[("x", px(left + 34.0)), ("y", px(y + 4.5)), size(13.0), fill(INK)]);
}

fn shortened(text: &str, letters_max: usize) -> String {
    match text.char_indices().nth(letters_max) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
    }
}

fn size(pixels: f64) -> (&'static str, String) {
    ("font-size", px(pixels))
}

fn fill(colour: &str) -> (&'static str, String) {
    ("fill", colour.to_owned())
}

fn weight(weight: &str) -> (&'static str, String) {
    ("font-weight", weight.to_owned())
}

fn middle() -> (&'static str, String) {
    ("text-anchor", "middle".to_owned())
}

/// Where the lines are drawn, in pixels from the picture's corner.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, place: f64) -> f64 {
        self.left + place * (self.right - self.left)
    }

    fn y(&self, place: f64) -> f64 {
        self.bottom - place * (self.bottom - self.top)
    }
}

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 480.0;
const FRAME: Frame = Frame { left: 84.0, right: 650.0, top: 66.0, bottom: 418.0 };
const INK: &str = "#1f2328";
const PALE_INK: &str = "#59636e";
const GRID: &str = "#e4e7eb";
const RULE: &str = "#59636e";
/// What there is room for at the sizes above.
const TITLE_LETTERS_MAX: usize = 76;
const SUBTITLE_LETTERS_MAX: usize = 112;
const NAME_LETTERS_MAX: usize = 14;

#[cfg(test)]
mod tests;
