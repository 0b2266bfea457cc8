//! A reader of XML for tests: whether a text is well-formed, and which elements it has.
//!
//! Invariant: it takes less than XML allows (no comments, no CDATA, no processing instructions) and nothing more, so what
//! it takes every reader does.

#[derive(Clone, Debug, Default)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// What stands in it directly.
    pub text: String,
}

impl Element {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// All elements in the order of their beginnings.
pub fn elements(text: &str) -> Result<Vec<Element>, String> {
    let mut found: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut left = text;
    while let Some(at) = left.find('<') {
        let (before, tag) = left.split_at(at);
        add_text(&mut found, &open, before)?;
        let end = tag.find('>').ok_or("a tag without an end")?;
        let inside = &tag[1..end];
        left = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            let number = open.pop().ok_or_else(|| format!("</{name}> closes nothing"))?;
            if found[number].name != name {
                return Err(format!("</{name}> closes <{}>", found[number].name));
            }
            continue;
        }
        if open.is_empty() && !found.is_empty() {
            return Err("a second root".to_owned());
        }
        let (inside, is_whole) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        found.push(element(inside)?);
        if !is_whole {
            open.push(found.len() - 1);
        }
    }
    add_text(&mut found, &open, left)?;
    match open.last() {
        Some(number) => Err(format!("<{}> is not closed", found[*number].name)),
        None if found.is_empty() => Err("no element".to_owned()),
        None => Ok(found),
    }
}

fn add_text(found: &mut [Element], open: &[usize], text: &str) -> Result<(), String> {
    match open.last() {
        Some(number) => found[*number].text.push_str(&plain(text)?),
        None if text.trim().is_empty() => {}
        None => return Err(format!("{text:?} stands outside of the root")),
    }
    Ok(())
}

fn element(inside: &str) -> Result<Element, String> {
    let (name, mut left) = inside.split_at(inside.find(char::is_whitespace).unwrap_or(inside.len()));
    is_name(name)?;
    let mut element = Element { name: name.to_owned(), ..Element::default() };
    while !left.is_empty() {
        let rest = left.trim_start();
        if rest.len() == left.len() {
            return Err(format!("no space before {left:?}"));
        }
        let (name, rest) = rest.split_once("=\"").ok_or_else(|| format!("no attribute in {rest:?}"))?;
        is_name(name)?;
        if element.attribute(name).is_some() {
            return Err(format!("{name} twice"));
        }
        let (value, rest) = rest.split_once('"').ok_or_else(|| format!("{name} has no end"))?;
        element.attributes.push((name.to_owned(), plain(value)?));
        left = rest;
    }
    Ok(element)
}

fn is_name(name: &str) -> Result<(), String> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    match name.starts_with(|letter: char| letter.is_ascii_alphabetic()) && name.chars().all(is_letter) {
        true => Ok(()),
        false => Err(format!("{name:?} is no name")),
    }
}

/// Without escapes.
fn plain(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut left = text;
    while let Some((before, behind)) = left.split_once('&') {
        out.push_str(before);
        let (name, rest) = behind.split_once(';').ok_or_else(|| format!("& alone in {text:?}"))?;
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            other => return Err(format!("&{other}; is not known")),
        });
        left = rest;
    }
    out.push_str(left);
    match out.chars().find(|letter| matches!(letter, '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'))
    {
        Some(letter) => Err(format!("{letter:?} is no letter of XML")),
        None => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_well_formed_is_told() {
        for text in [
            "",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a b=c/>",
            "<a b=\"1\"c=\"2\"/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a>&</a>",
            "<a>&nbsp;</a>",
            "<a>\u{1}</a>",
            "<1/>",
            "<a",
        ] {
            assert!(elements(text).is_err(), "{text:?}");
        }
        let found = elements("<a b=\"1 &lt;\">x<c/>y</a>\n").unwrap();
        assert_eq!((found.len(), found[0].text.as_str(), found[0].attribute("b")), (2, "xy", Some("1 <")));
    }
}
