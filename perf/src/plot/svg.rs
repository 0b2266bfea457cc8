//! `Svg`: the elements of a picture as text.
//!
//! Invariant: what is written is well-formed XML, whatever texts and attributes hold: they are escaped here and nowhere
//! else. Letters that XML cannot hold at all become U+FFFD.

use std::fmt::Write;

#[derive(Debug)]
pub struct Svg {
    out: String,
}

type Attribute = (&'static str, String);

impl Svg {
    /// On white, as a picture without a ground would be dark on dark elsewhere. The title is for those who hear it.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let (width, height) = (px(width), px(height));
        let mut svg = Self { out: String::new() };
        let attributes = [
            ("xmlns", "http://www.w3.org/2000/svg".to_owned()),
            ("width", width.clone()),
            ("height", height.clone()),
            ("viewBox", format!("0 0 {width} {height}")),
            ("role", "img".to_owned()),
            ("font-family", "system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif".to_owned()),
        ];
        svg.tag("svg", &attributes, ">");
        svg.out.push_str("<title>");
        svg.escape(title);
        svg.out.push_str("</title>\n");
        svg.element("rect", &[("width", width), ("height", height), ("fill", "#ffffff".to_owned())]);
        svg
    }

    pub fn element(&mut self, name: &str, attributes: &[Attribute]) {
        self.tag(name, attributes, "/>");
    }

    pub fn text(&mut self, text: &str, attributes: &[Attribute]) {
        self.tag("text", attributes, ">");
        // Behind the tag's line break, which would be a space before the text.
        self.out.pop();
        self.escape(text);
        self.out.push_str("</text>\n");
    }

    /// A straight thin line.
    pub fn stroke(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let ends = [("x1", px(from.0)), ("y1", px(from.1)), ("x2", px(to.0)), ("y2", px(to.1))];
        let [x1, y1, x2, y2] = ends;
        self.element("line", &[x1, y1, x2, y2, ("stroke", colour.to_owned())]);
    }

    /// A line of data. One point alone has no line.
    pub fn path(&mut self, places: &[(f64, f64)], colour: &str) {
        if places.len() < 2 {
            return;
        }
        let mut points = String::new();
        for (at, (x, y)) in places.iter().enumerate() {
            let space = if at > 0 { " " } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(points, "{space}{},{}", px(*x), px(*y));
        }
        let drawn = [
            ("points", points),
            ("fill", "none".to_owned()),
            ("stroke", colour.to_owned()),
            ("stroke-width", "2".to_owned()),
            ("stroke-linejoin", "round".to_owned()),
        ];
        self.element("polyline", &drawn);
    }

    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    fn tag(&mut self, name: &str, attributes: &[Attribute], end: &str) {
        self.out.push('<');
        self.out.push_str(name);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            self.escape(value);
            self.out.push('"');
        }
        self.out.push_str(end);
        self.out.push('\n');
    }

    fn escape(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                // What a line of text has no use for.
                '\t' | '\n' | '\r' => self.out.push(' '),
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.out.push('\u{fffd}'),
                _ => self.out.push(letter),
            }
        }
    }
}

/// A length in pixels, to the hundredth.
pub fn px(value: f64) -> String {
    let text = format!("{value:.2}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::check;

    #[test]
    fn texts_and_attributes_are_escaped() {
        let wild = "a < b && \"c\" > 'd' \u{1}\u{ffff} µ\n</text>";
        let mut svg = Svg::new(10.0, 10.5, wild);
        svg.text(wild, &[("id", wild.to_owned())]);
        svg.path(&[(0.0, 1.0), (2.005, -0.001)], "red");
        svg.path(&[(0.0, 1.0)], "red");
        let text = svg.finish();
        let elements = check::elements(&text).unwrap();
        let names: Vec<&str> = elements.iter().map(|element| element.name.as_str()).collect();
        assert_eq!(names, ["svg", "title", "rect", "text", "polyline"]);
        let shown = "a < b && \"c\" > 'd' \u{fffd}\u{fffd} µ </text>";
        assert_eq!(elements[3].text, shown);
        assert_eq!(elements[3].attribute("id"), Some(shown));
        assert_eq!(elements[4].attribute("points"), Some("0,1 2,0"));
        assert_eq!(elements[0].attribute("viewBox"), Some("0 0 10 10.5"));
    }
}
