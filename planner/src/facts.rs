//! What the planner must know of a session before it can read a statement of it.
//!
//! Invariant: two sessions with equal facts get equal plans for equal bytes; the plan cache rests on it.

/// Facts about a session. Small and `Copy`: they are a part of every cache key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// `sql_mode` contains `ANSI_QUOTES`: `"x"` is a name.
    pub ansi_quotes: bool,
    /// `sql_mode` contains `NO_BACKSLASH_ESCAPES` (the server's status flag says so too).
    pub no_backslash_escapes: bool,
    /// How the bytes of a statement group into characters: `character_set_client`.
    pub charset: Charset,
    /// The current schema is `information_schema`, `performance_schema`, `mysql` or `sys`.
    pub system_schema: bool,
    /// The backends' version as MySQL counts it, 90704 for 9.7.4: judges `/*!NNNNN … */`.
    pub server_version: u32,
    /// The client may send several statements in one packet (`CLIENT_MULTI_STATEMENTS`, `COM_SET_OPTION`).
    pub multi_statements: bool,
}

impl Facts {
    /// The backends are MariaDB's, which counts from 10.0 on: MySQL has not come so far. A field of its own would cost every look into
    /// the plan cache a compare.
    pub fn is_mariadb(&self) -> bool {
        self.server_version >= 100_000
    }

    /// `SET NAMES` without a collation leads to what the server has chosen for the character set (MariaDB's
    /// `character_set_collations`), and to another than `SET character_set_connection` does.
    pub fn chooses_collations(&self) -> bool {
        self.server_version >= 110_200
    }
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            ansi_quotes: false,
            no_backslash_escapes: false,
            charset: Charset::Utf8,
            system_schema: false,
            server_version: 80_400,
            multi_statements: false,
        }
    }
}

/// How bytes group into characters, as far as it can change what is a quote, a backslash or a space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Charset {
    /// UTF-8 of any width and ASCII: no byte of a character beyond ASCII looks like ASCII punctuation.
    #[default]
    Utf8,
    /// The EUC sets (`ujis`, `euckr`, `gb2312`): cut as UTF-8 is, with other letters.
    Euc,
    /// One byte, one character (`latin1`, `cp1251`, …): nothing to group, but some byte above 0x7f is a space.
    Single,
    Gbk,
    Big5,
    /// `sjis` and `cp932`.
    Sjis,
    Gb18030,
}

impl Charset {
    /// The grouping of a character set by MySQL's name for it, in any case. Sets that are not known are taken as single
    /// bytes, whose odd bytes outside of quotes lead to the primary.
    pub fn of_name(name: &str) -> Charset {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name {
            _ if is("utf8mb4") || is("utf8mb3") || is("utf8") || is("ascii") || is("binary") => Charset::Utf8,
            _ if is("ujis") || is("eucjpms") || is("euckr") || is("gb2312") => Charset::Euc,
            _ if is("gbk") => Charset::Gbk,
            _ if is("big5") => Charset::Big5,
            _ if is("sjis") || is("cp932") => Charset::Sjis,
            _ if is("gb18030") => Charset::Gb18030,
            _ => Charset::Single,
        }
    }

    /// The same for the number of a collation, as a login has it.
    pub fn of_collation(id: u8) -> Charset {
        match id {
            1 | 84 => Charset::Big5,
            13 | 88 | 95 | 96 => Charset::Sjis,
            28 | 87 => Charset::Gbk,
            248..=250 => Charset::Gb18030,
            12 | 19 | 24 | 85 | 86 | 91 | 97 | 98 => Charset::Euc,
            // 0 is what a client says that wants the server's own.
            0 | 11 | 33 | 45 | 46 | 63 | 65 | 76 | 83 | 192..=247 | 251..=255 => Charset::Utf8,
            _ => Charset::Single,
        }
    }
}

/// True for the schemas whose content is about one server (S04). Names are compared without case, as a server with
/// `lower_case_table_names` does: a table called `MYSQL.x` on another server goes to the primary, which is right too.
pub fn schema_is_system(name: &[u8]) -> bool {
    const SYSTEM: [&[u8]; 4] = [b"information_schema", b"performance_schema", b"mysql", b"sys"];
    SYSTEM.iter().any(|system| name.eq_ignore_ascii_case(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sets_and_schemas() {
        assert_eq!(Charset::of_name("UTF8MB4"), Charset::Utf8);
        assert_eq!(Charset::of_name("cp932"), Charset::Sjis);
        assert_eq!(Charset::of_name("latin1"), Charset::Single);
        assert_eq!(Charset::of_name("ujis"), Charset::Euc);
        let collations = [(8, Charset::Single), (28, Charset::Gbk), (45, Charset::Utf8), (255, Charset::Utf8)];
        assert!(collations.iter().all(|(id, set)| Charset::of_collation(*id) == *set));
        assert!(schema_is_system(b"MySQL") && schema_is_system(b"sys") && !schema_is_system(b"system"));
    }
}
