//! Text of a script: what stands for bytes and for what only the run knows.
//!
//! Invariant: `unescape` works when a script is read, `fill` when it runs; neither fails on a text without `\` or `${`.
//!
//! | in a script | means |
//! |---|---|
//! | `${db}` | the session's own database |
//! | `${id}`, `${id:b}` | the thread id that the greeting gave to this connection, or to connection b |
//! | `${ab*3}` | `ababab` |

/// What `fill` may ask for.
pub trait Context {
    fn database(&self) -> &str;
    /// The thread id of a connection; the empty label is the one that speaks.
    fn connection_id(&self, label: &str) -> Result<u32, String>;
}

/// Replaces every `${…}`.
pub fn fill(text: &[u8], context: &dyn Context) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut left = text;
    while let Some(at) = find(left, b"${") {
        let len = find(&left[at..], b"}").ok_or("a ${ without its }")?;
        let inner = &left[at + 2..at + len];
        out.extend_from_slice(&left[..at]);
        put_value(&mut out, inner, context)?;
        left = &left[at + len + 1..];
    }
    out.extend_from_slice(left);
    Ok(out)
}

fn put_value(out: &mut Vec<u8>, inner: &[u8], context: &dyn Context) -> Result<(), String> {
    let name = String::from_utf8_lossy(inner).into_owned();
    match name.split_once(':') {
        _ if name == "db" => out.extend_from_slice(context.database().as_bytes()),
        _ if name == "id" => out.extend_from_slice(context.connection_id("")?.to_string().as_bytes()),
        Some(("id", label)) => out.extend_from_slice(context.connection_id(label)?.to_string().as_bytes()),
        _ => {
            let (unit, times) = name.rsplit_once('*').ok_or_else(|| format!("${{{name}}} means nothing"))?;
            let times: usize = times.parse().map_err(|_| format!("${{{name}}} has no number"))?;
            out.extend_from_slice(&unit.as_bytes().repeat(times));
        }
    }
    Ok(())
}

/// Reads `\xNN`, `\n`, `\t`, `\r`, `\0` and `\\`.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next() {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.and_then(|d| char::from(d).to_digit(16)));
                let [Some(high), Some(low)] = digits else {
                    return Err("\\x wants two hexadecimal digits".to_owned());
                };
                (high * 16 + low) as u8
            }
            _ => return Err("an unknown escape".to_owned()),
        });
    }
    Ok(out)
}

/// Splits at blanks outside of single quotes; the quotes go, and `''` within them is one.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let (mut word, mut has_word, mut is_quoted) = (String::new(), false, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' if is_quoted && letters.peek() == Some(&'\'') => {
                letters.next();
                word.push('\'');
            }
            '\'' => (is_quoted, has_word) = (!is_quoted, true),
            ' ' if !is_quoted => {
                if has_word {
                    words.push(std::mem::take(&mut word));
                }
                has_word = false;
            }
            other => {
                word.push(other);
                has_word = true;
            }
        }
    }
    if is_quoted {
        return Err("a quote is not closed".to_owned());
    }
    if has_word {
        words.push(word);
    }
    Ok(words)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Context for Fixed {
        fn database(&self) -> &str {
            "d1"
        }

        fn connection_id(&self, label: &str) -> Result<u32, String> {
            match label {
                "" => Ok(7),
                "b" => Ok(8),
                other => Err(format!("no connection {other}")),
            }
        }
    }

    #[test]
    fn values_are_filled_in() {
        let check =
            |text: &str, expected: &str| assert_eq!(fill(text.as_bytes(), &Fixed).unwrap(), expected.as_bytes());
        check("USE ${db}_2; KILL ${id:b} /* ${id} */", "USE d1_2; KILL 8 /* 7 */");
        check("'${ab*3}' ${*2*2}", "'ababab' *2*2");
        check("plain", "plain");
        for wrong in ["${", "${x}", "${x*y}", "${id:z}"] {
            assert!(fill(wrong.as_bytes(), &Fixed).is_err(), "{wrong}");
        }
    }

    #[test]
    fn escapes_and_words() {
        assert_eq!(unescape("a\\x00\\xffb\\n\\\\").unwrap(), b"a\0\xffb\n\\");
        assert!(unescape("\\x0").is_err() && unescape("\\q").is_err());
        assert_eq!(words("s1 str:'a ''b'  i8:5 ''").unwrap(), ["s1", "str:a 'b", "i8:5", ""]);
        assert!(words("'a").is_err());
    }
}
