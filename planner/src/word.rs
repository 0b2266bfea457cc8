//! A word packed into a number, so that comparing a token with a keyword is one compare.
//!
//! Invariant: two ASCII words of 1 to 16 letters pack to the same number exactly when they are equal without case.
//! Everything else (longer, or with a byte beyond ASCII) packs to 0, which is no keyword.

pub(crate) type Word = u128;

/// Bytes that fit.
pub(crate) const WORD_BYTES_MAX: usize = 16;

/// Packs a keyword at compile time.
pub(crate) const fn word(text: &str) -> Word {
    let mut bytes = text.as_bytes();
    assert!(bytes.len() <= WORD_BYTES_MAX, "a keyword that does not fit");
    let mut packed: Word = 0;
    while let Some((first, rest)) = bytes.split_first() {
        packed = (packed << 8) | first.to_ascii_uppercase() as Word;
        bytes = rest;
    }
    packed
}

/// Adds one byte behind a packed word.
#[inline(always)]
pub(crate) const fn push(packed: Word, byte: u8) -> Word {
    (packed << 8) | byte.to_ascii_uppercase() as Word
}

/// Defines keywords as constants named like themselves.
macro_rules! keywords {
    ($($name:ident)*) => {
        $(#[allow(dead_code)] pub(crate) const $name: $crate::word::Word = $crate::word::word(stringify!($name));)*
    };
}

/// The keywords that the classifier looks at.
pub(crate) mod kw {
    keywords! {
        ALTER ANALYZE AND AS BEGIN BINLOG CACHE CALL CASE CHAIN CHANGE CHAR CHARACTER CHARSET CHECK CHECKSUM CLONE
        CLOSE COLLATE COMMIT COMMITTED CONCURRENT CONNECTION CONNECTION_ID CONSISTENT COUNT CREATE CURRENT DATA
        DATABASE DEALLOCATE DEFAULT DEFINER DELAYED DELETE DESC DESCRIBE DIAGNOSTICS DO DROP DUMPFILE END ERRORS
        EVENT EXECUTE EXPLAIN EXPORT EXTENDED FILTER FILTERS FLUSH FOR FORMAT FOUND_ROWS FROM FUNCTION GET GET_LOCK GLOBAL GRANT
        GRANTS GROUP HANDLER HAVING HELP HIGH_PRIORITY IF IGNORE IMPORT IN INDEX INSERT INSTALL INSTANCE INTO ISOLATION
        IS_USED_LOCK JOIN KEY KILL LAST_INSERT_ID LATERAL LEVEL LIBRARY LIKE LIMIT LOAD LOCAL LOCK LOGFILE LOOP LOW_PRIORITY NAMES NO NOT OF ON ONLY OPEN OPTIMIZE ORDER
        OUTFILE PARTITIONS PASSWORD PERSIST PERSIST_ONLY PREPARE PROCEDURE PS_THREAD_ID PURGE QUERY READ RECOVER RECURSIVE REFERENCES
        RELEASE RELEASE_LOCK RENAME REPAIR REPEAT REPEATABLE REPLACE REPLICA RESET RESIGNAL RESOURCE RESTART REVOKE
        ROLE ROLLBACK ROUTE ROW_COUNT SAVEPOINT SCHEMA SELECT SERIALIZABLE SERVER SESSION SET SHARE SHOW SHUTDOWN
        SIGNAL SLAVE SNAPSHOT SPATIAL STACKED START STATEMENT STOP STRAIGHT_JOIN TABLE TABLES TABLESPACE TEMPORARY TO TRANSACTION
        TRIGGER TRUNCATE UNCOMMITTED UNINSTALL UNION UNLOCK UPDATE USE USER USING VALUE VALUES VARIABLES VIEW WARNINGS WEIR WHERE WHILE WINDOW
        WITH WORK WRITE XA XML
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_pack_without_case() {
        assert_eq!(b"select".iter().fold(0, |packed, byte| push(packed, *byte)), kw::SELECT);
        assert_ne!(word("SELEC"), word("SELECT"));
        assert_ne!(word("A"), word("AA"));
    }
}
