//! The lexer of the server's tiny SQL.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Word(String),
    Text(String),
    Number(i64),
    /// `@@name` or `@@session.name`
    System(String),
    /// `@@global.name`
    Global(String),
    User(String),
    Symbol(char),
}

/// Comments are left out. Two quotes in a string are one; the backslash has no meaning, no text here has one.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    let mut left = text;
    while let Some(c) = left.chars().next() {
        if c.is_ascii_whitespace() {
            left = &left[1..];
        } else if let Some(comment) = left.strip_prefix("/*") {
            let end = comment.find("*/").ok_or("comment without an end")?;
            left = &comment[end + 2..];
        } else if c == '\'' {
            let (value, rest) = string(&left[1..])?;
            all.push(Token::Text(value));
            left = rest;
        } else if let Some(hex) = left.strip_prefix("0x") {
            let len = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let bytes: Vec<u8> =
                (0..len / 2).filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect();
            // An introducer such as `_utf8mb4` belongs to the literal.
            all.pop_if(|token| matches!(token, Token::Word(word) if word.starts_with('_')));
            all.push(Token::Text(String::from_utf8_lossy(&bytes).into_owned()));
            left = &hex[len..];
        } else if c.is_ascii_digit() {
            let len = left.find(|c: char| !c.is_ascii_digit()).unwrap_or(left.len());
            // The largest number of MySQL's is above i64: it stands for "no limit".
            all.push(Token::Number(left[..len].parse().unwrap_or(i64::MAX)));
            left = &left[len..];
        } else if let Some(name) = left.strip_prefix("@@") {
            let (name, rest) = word(name);
            let (name, rest) = match rest.strip_prefix('.') {
                Some(inner) if name.eq_ignore_ascii_case("global") => {
                    let (name, rest) = word(inner);
                    all.push(Token::Global(name.into()));
                    left = rest;
                    continue;
                }
                Some(inner) if name.eq_ignore_ascii_case("session") => word(inner),
                _ => (name, rest),
            };
            all.push(Token::System(name.into()));
            left = rest;
        } else if let Some(name) = left.strip_prefix('@') {
            let (name, rest) = word(name);
            all.push(Token::User(name.into()));
            left = rest;
        } else if c.is_ascii_alphabetic() || c == '_' {
            let (name, rest) = word(left);
            all.push(Token::Word(name.into()));
            left = rest;
        } else {
            all.push(Token::Symbol(c));
            left = &left[c.len_utf8()..];
        }
    }
    Ok(all)
}

fn word(text: &str) -> (&str, &str) {
    let len = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(len)
}

fn string(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut left = text;
    loop {
        let end = left.find('\'').ok_or("string without an end")?;
        value.push_str(&left[..end]);
        left = &left[end + 1..];
        match left.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                left = more;
            }
            None => return Ok((value, left)),
        }
    }
}
