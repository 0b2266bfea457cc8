//! What a statement does to a session and to the server, and what it asks about the statement before: sets of flags.
//!
//! Invariant: a set over-states rather than under-states; a missing flag is a bug, a spare one costs sharing only.

macro_rules! flags {
    ($(#[$outer:meta])* $type:ident($bits:ty); $($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $type(pub $bits);

        impl $type {
            $($(#[$doc])* pub const $name: $type = $type(1 << $bit);)*

            /// Every flag with its name, in the order of the bits.
            pub const ALL: &[($type, &str)] = &[$(($type::$name, stringify!($name))),*];

            pub const fn empty() -> $type {
                $type(0)
            }

            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// True when all of `other` is set.
            pub const fn contains(self, other: $type) -> bool {
                self.0 & other.0 == other.0
            }

            /// True when any of `other` is set.
            pub const fn intersects(self, other: $type) -> bool {
                self.0 & other.0 != 0
            }

            pub const fn union(self, other: $type) -> $type {
                $type(self.0 | other.0)
            }

            pub const fn without(self, other: $type) -> $type {
                $type(self.0 & !other.0)
            }

            /// The names of the flags that are set.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                $type::ALL.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
            }
        }

        impl std::ops::BitOr for $type {
            type Output = $type;
            fn bitor(self, other: $type) -> $type {
                self.union(other)
            }
        }

        impl std::ops::BitOrAssign for $type {
            fn bitor_assign(&mut self, other: $type) {
                *self = self.union(other);
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_set().entries(self.names()).finish()
            }
        }
    };
}

flags! {
    /// What a statement does.
    Effects(u64);
    /// Opens a transaction: `BEGIN`, `START TRANSACTION`.
    BEGIN = 0;
    /// `START TRANSACTION READ ONLY`; `BEGIN` is set too.
    BEGIN_READ_ONLY = 1;
    /// `WITH CONSISTENT SNAPSHOT`: never deferred (S10).
    SNAPSHOT = 2;
    COMMIT = 3;
    /// A whole `ROLLBACK`, not one to a savepoint.
    ROLLBACK = 4;
    /// `SAVEPOINT`, `ROLLBACK TO`, `RELEASE SAVEPOINT`.
    SAVEPOINT = 5;
    /// `COMMIT|ROLLBACK AND CHAIN`: the next transaction is open at once.
    CHAIN = 6;
    /// `COMMIT|ROLLBACK RELEASE`: the server closes the connection.
    RELEASE = 7;
    /// Ends an open transaction (S06).
    IMPLICIT_COMMIT = 8;
    /// May change data or metadata on the server.
    WRITES = 9;
    /// Assigns session variables.
    SET_SESSION = 10;
    SET_AUTOCOMMIT = 11;
    /// Transaction characteristics for the next transaction only (S26).
    SET_TRANSACTION_ONCE = 12;
    /// `SET @v`, `:=`, `SELECT … INTO @v`, arguments of `CALL` (S24).
    SET_USER_VARIABLE = 13;
    READS_USER_VARIABLE = 14;
    USE_SCHEMA = 15;
    TEMP_TABLE_CREATE = 16;
    /// `DROP TEMPORARY TABLE`.
    TEMP_TABLE_DROP = 17;
    /// `DROP TABLE`, which may drop a temporary one.
    TABLE_DROP = 18;
    /// `LOCK TABLES`, `FLUSH TABLES t WITH READ LOCK`, `FLUSH TABLES t FOR EXPORT`.
    LOCK_TABLES = 19;
    /// Ends `LOCK_TABLES` and `GLOBAL_READ_LOCK`.
    UNLOCK_TABLES = 20;
    /// `FLUSH TABLES WITH READ LOCK`.
    GLOBAL_READ_LOCK = 21;
    /// `LOCK INSTANCE FOR BACKUP`.
    BACKUP_LOCK = 22;
    BACKUP_UNLOCK = 23;
    GET_LOCK = 24;
    RELEASE_LOCK = 25;
    RELEASE_ALL_LOCKS = 26;
    HANDLER_OPEN = 27;
    HANDLER_CLOSE = 28;
    /// `XA START|BEGIN`.
    XA_START = 29;
    /// `XA END`: the transaction still belongs to the connection.
    XA_END = 30;
    /// `XA PREPARE|COMMIT|ROLLBACK|RECOVER`.
    XA_OTHER = 31;
    TEXT_PREPARE = 32;
    TEXT_EXECUTE = 33;
    TEXT_DEALLOCATE = 34;
    CALL = 35;
    /// `SET GLOBAL|PERSIST|PERSIST_ONLY`, `RESET PERSIST`.
    SET_GLOBAL = 36;
    SET_ROLE = 37;
    SET_PASSWORD = 38;
    /// `SQL_CALC_FOUND_ROWS`: the next statement may ask `FOUND_ROWS()`.
    CALC_FOUND_ROWS = 39;
    /// `LAST_INSERT_ID(expr)`, `SET last_insert_id|identity|insert_id` (S20).
    SETS_LAST_INSERT_ID = 40;
    /// `LOAD DATA LOCAL`: the server asks the client for a file (S43).
    LOAD_LOCAL = 41;
    /// `KILL`: ids are the gate's, never the server's.
    KILL = 42;
    /// Not understood: the primary, pinned, not retried.
    UNKNOWN = 43;
    LOCKING_READ = 44;
    /// `INTO OUTFILE|DUMPFILE`.
    INTO_FILE = 45;
    /// `FLUSH`, `RESET`, `CHANGE …`, table maintenance, plugins, shutdown.
    ADMIN = 46;
    /// Calls a function that is not MySQL's own: it may write, lock and set variables.
    UNKNOWN_FUNCTION = 47;
    /// `XA PREPARE|COMMIT|ROLLBACK`: when it succeeds the connection is free of it.
    XA_FINISH = 48;
    /// `EXECUTE` of a text that is known: its other effects are here too.
    TEXT_NAMED = 49;
    /// Calls a stored function that the operator vouches for (`routines.rs`): it leaves nothing behind.
    VOUCHED_FUNCTION = 50;
    /// All procedures that it calls are vouched for.
    VOUCHED_CALL = 51;
}

flags! {
    /// What a statement asks about the session's previous statements (S20, S21, S30).
    Asks(u16);
    /// `LAST_INSERT_ID()`, `@@last_insert_id`, `@@identity`.
    LAST_INSERT_ID = 0;
    /// `ROW_COUNT()`.
    ROW_COUNT = 1;
    /// `FOUND_ROWS()`.
    FOUND_ROWS = 2;
    /// `SHOW WARNINGS|ERRORS`, `GET DIAGNOSTICS`, `@@warning_count`, `@@error_count`.
    DIAGNOSTICS = 3;
    /// `CONNECTION_ID()`, `@@pseudo_thread_id`: the handshake's id is the answer, not the backend's.
    CONNECTION_ID = 4;
    /// `session_track_*`, or a listing of session variables: the client's own trackers, not the gate's.
    TRACKERS = 5;
    /// Behind another statement of the packet: it shows conditions, or asks about them, and may leave them as they are.
    CONDITIONS_WITHIN = 6;
}

/// A routine that only its definition tells of.
pub(crate) const STORED_FUNCTION: Effects = Effects::UNKNOWN_FUNCTION.union(Effects::VOUCHED_FUNCTION);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_bits_of_their_own() {
        let all = Effects::ALL.iter().fold(Effects::empty(), |sum, (flag, _)| sum | *flag);
        assert_eq!(all.0.count_ones() as usize, Effects::ALL.len());
        assert_eq!(format!("{:?}", Effects::BEGIN | Effects::COMMIT), r#"{"BEGIN", "COMMIT"}"#);
        assert!(!(Effects::BEGIN | Effects::COMMIT).without(Effects::BEGIN).contains(Effects::BEGIN));
        assert!(Asks::ALL.len() == 7 && !Asks::ROW_COUNT.intersects(Asks::FOUND_ROWS));
    }
}
