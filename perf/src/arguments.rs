//! `Arguments`: what was typed behind the command, as `--name value` pairs and lone `--flag`s.
//!
//! Invariant: every argument is asked for exactly once by name; [`Arguments::finish`] refuses what nobody asked for,
//! so that a typing error is never a default.

use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use crate::error::Fault;

#[derive(Debug)]
pub struct Arguments {
    left: Vec<String>,
}

impl Arguments {
    pub fn new(typed: impl Iterator<Item = String>) -> Self {
        // `--name=value` is split, so that both ways of writing are one.
        let left = typed.flat_map(|word| match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
            _ => vec![word],
        });
        Self { left: left.collect() }
    }

    /// The command: the first word that was typed.
    pub fn command(&mut self) -> Option<String> {
        match self.left.first() {
            Some(word) if !word.starts_with("--") => Some(self.left.remove(0)),
            _ => None,
        }
    }

    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.left.iter().position(|word| word == name);
        at.map(|at| self.left.remove(at)).is_some()
    }

    pub fn yes_or_no(&mut self, name: &str, default: bool) -> Result<bool, Fault> {
        match self.text(name)?.as_deref() {
            None => Ok(default),
            Some("yes") => Ok(true),
            Some("no") => Ok(false),
            Some(other) => Err(Fault::Usage(format!("{name} {other}: yes or no"))),
        }
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let Some(at) = self.left.iter().position(|word| word == name) else {
            return Ok(None);
        };
        self.left.remove(at);
        if at == self.left.len() {
            return Err(Fault::Usage(format!("{name} wants a value")));
        }
        Ok(Some(self.left.remove(at)))
    }

    pub fn text_or(&mut self, name: &str, default: &str) -> Result<String, Fault> {
        Ok(self.text(name)?.unwrap_or_else(|| default.to_owned()))
    }

    /// A number or another value with a text form.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Fault>
    where
        T::Err: Display,
    {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let parsed = text.parse().map(Some);
        parsed.map_err(|error| Fault::Usage(format!("{name} {text}: {error}")))
    }

    pub fn value_or<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, Fault>
    where
        T::Err: Display,
    {
        Ok(self.value(name)?.unwrap_or(default))
    }

    /// Values between commas.
    pub fn list_or<T: FromStr>(&mut self, name: &str, default: &str) -> Result<Vec<T>, Fault>
    where
        T::Err: Display,
    {
        let text = self.text_or(name, default)?;
        let parts = text.split(',').map(|part| {
            let parsed = part.trim().parse();
            parsed.map_err(|error| Fault::Usage(format!("{name} {part}: {error}")))
        });
        parts.collect()
    }

    pub fn address(&mut self, name: &str) -> Result<Option<SocketAddr>, Fault> {
        self.text(name)?.map(|text| resolve(&text)).transpose()
    }

    /// Everything has been asked for.
    pub fn finish(self) -> Result<(), Fault> {
        match self.left.first() {
            None => Ok(()),
            Some(word) => Err(Fault::Usage(format!("{word} is not known here"))),
        }
    }
}

/// `HOST:PORT`.
pub fn resolve(text: &str) -> Result<SocketAddr, Fault> {
    let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| Fault::Usage(format!("{text} is no address of the form HOST:PORT")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Arguments {
        Arguments::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn values_flags_and_lists() {
        let mut arguments = typed("load --threads 1,8 --text --rate=5.5 --to 127.0.0.1:3306");
        assert_eq!(arguments.command().as_deref(), Some("load"));
        assert!(arguments.flag("--text"));
        assert!(!arguments.flag("--text"));
        assert_eq!(arguments.list_or::<usize>("--threads", "3").unwrap(), [1, 8]);
        assert_eq!(arguments.list_or::<usize>("--threads", "3").unwrap(), [3]);
        assert_eq!(arguments.value_or("--rate", 0.0).unwrap(), 5.5);
        assert_eq!(arguments.address("--to").unwrap().unwrap().port(), 3306);
        arguments.finish().unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut arguments = typed("--time x --left");
        let error = arguments.value_or("--time", 1u64).unwrap_err();
        assert!(error.to_string().starts_with("--time x: "), "{error}");
        let error = arguments.text("--left").unwrap_err();
        assert_eq!(error.to_string(), "--left wants a value");
        let error = typed("--tiem 5").finish().unwrap_err();
        assert_eq!(error.to_string(), "--tiem is not known here");
        assert!(resolve("nowhere").is_err());
    }
}
