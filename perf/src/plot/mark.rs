//! The colours and marks of lines, by the line's number.
//!
//! Invariant: seven numbers in a row differ in colour and in shape. The colours are Okabe and Ito's, made for eyes that
//! see red and green alike, without their yellow, which is too pale on white.

use super::svg::{Svg, px};

pub fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

/// Draws the mark of this line around a place. Its white rim keeps marks apart that lie over each other.
pub fn put(svg: &mut Svg, number: usize, (x, y): (f64, f64)) {
    let corners: &[(f64, f64)] = match number % COLOURS.len() {
        0 => {
            let place = [("cx", px(x)), ("cy", px(y)), ("r", px(4.2))];
            let [cx, cy, r] = place;
            let [fill, stroke] = paint(number);
            return svg.element("circle", &[cx, cy, r, fill, stroke]);
        }
        1 => &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)],
        2 => &[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)],
        3 => &[(0.0, -5.2), (5.0, 4.0), (-5.0, 4.0)],
        4 => &[(0.0, 5.2), (5.0, -4.0), (-5.0, -4.0)],
        5 => &[(-5.2, 0.0), (4.0, -5.0), (4.0, 5.0)],
        _ => &[(5.2, 0.0), (-4.0, -5.0), (-4.0, 5.0)],
    };
    let points: Vec<String> = corners.iter().map(|(dx, dy)| format!("{},{}", px(x + dx), px(y + dy))).collect();
    let [fill, stroke] = paint(number);
    svg.element("polygon", &[("points", points.join(" ")), fill, stroke]);
}

fn paint(number: usize) -> [(&'static str, String); 2] {
    [("fill", colour(number).to_owned()), ("stroke", "#ffffff".to_owned())]
}

const COLOURS: [&str; 7] = ["#4d4d4d", "#e69f00", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"];
