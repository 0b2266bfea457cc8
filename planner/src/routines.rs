//! Stored procedures and functions that the operator vouches for: they leave nothing behind in the session that calls them.
//!
//! What a routine does no statement tells: it may set user variables, lock, prepare, create temporary tables. So one that is not
//! known pins its session. Names count without their schema, since a call need not name it.

/// Names in lower case, as routines' names are compared in MySQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routines {
    names: Box<[(Box<[u8]>, Data)]>,
}

/// What a routine does with data, by MySQL's characteristics `READS SQL DATA` and `MODIFIES SQL DATA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    Reads,
    Modifies,
}

impl Routines {
    /// From two lists of names, with commas between; `f_*` stands for all that begin so. Whoever is in both modifies.
    ///
    /// # Errors
    /// What is wrong with a name, and what to write.
    pub fn parse(reading: &str, modifying: &str) -> Result<Routines, String> {
        let mut names = Vec::new();
        // The first that fits counts.
        for (list, data) in [(modifying, Data::Modifies), (reading, Data::Reads)] {
            let named = || list.split(',').map(str::trim).filter(|name| !name.is_empty());
            if named().count() > NAMES_MAX {
                return Err(format!("more than {NAMES_MAX} routines are named: use 'beginning*' for several"));
            }
            for name in named() {
                check(name)?;
                names.push((name.to_ascii_lowercase().into_bytes().into(), data));
            }
        }
        Ok(Routines { names: names.into() })
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What the operator says of a routine; None: nothing.
    pub fn data(&self, name: &[u8]) -> Option<Data> {
        let fits = |pattern: &[u8]| match pattern {
            [beginning @ .., b'*'] => {
                name.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
            }
            whole => name.eq_ignore_ascii_case(whole),
        };
        self.names.iter().find(|(pattern, _)| fits(pattern)).map(|(_, data)| *data)
    }
}

fn check(name: &str) -> Result<(), String> {
    let stem = name.strip_suffix('*').unwrap_or(name);
    if name.contains('.') {
        return Err(format!("'{name}': name a routine without its schema; it is meant in every schema"));
    }
    if stem.contains(['*', '`', '\'', '"']) || name.chars().any(char::is_whitespace) {
        return Err(format!(
            "'{name}' is no routine's name: write it as it is, without quotes; '*' may stand at its end"
        ));
    }
    Ok(())
}

/// Of each list: a call that is not MySQL's own is held against all of them, once for a text.
pub const NAMES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_by_their_beginning() {
        let routines = Routines::parse("f_total, g_*", "g_write,P").unwrap();
        let found = ["F_TOTAL", "g_read", "G_", "g_write", "p", "pp", "f_totals", "g"];
        assert_eq!(
            found.map(|name| routines.data(name.as_bytes())),
            [
                Some(Data::Reads),
                Some(Data::Reads),
                Some(Data::Reads),
                Some(Data::Modifies),
                Some(Data::Modifies),
                None,
                None,
                None
            ]
        );
        assert!(Routines::parse(" , ", "").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_name_is_said() {
        assert!(Routines::parse("shop.f", "").unwrap_err().contains("without its schema"));
        assert!(Routines::parse("", "a*b").unwrap_err().contains("'*' may stand at its end"));
        assert!(Routines::parse("`f`", "").unwrap_err().contains("without quotes"));
        assert!(Routines::parse(&"f,".repeat(NAMES_MAX + 1), "").unwrap_err().contains("more than 1024"));
    }
}
