//! The flags that both sides exchange: capabilities of a connection and status of a session.
//!
//! Invariant: unknown bits are kept; what to do about them is the caller's choice.
//! Rule: MySQL "Capabilities Flags", "SERVER_STATUS_flags_enum".

use std::fmt;
use std::ops::BitOr;

macro_rules! flag_set {
    ($(#[$doc:meta])* $set:ident($int:ty) { $($(#[$flag_doc:meta])* $name:ident = $bit:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $set(pub $int);

        impl $set {
            $($(#[$flag_doc])* pub const $name: Self = Self(1 << $bit);)*

            pub const fn empty() -> Self {
                Self(0)
            }

            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// True when every flag of `other` is set here.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// True when at least one flag of `other` is set here.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            pub const fn intersect(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            pub const fn minus(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl BitOr for $set {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }

        impl fmt::Debug for $set {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut left = *self;
                let mut separator = "";
                write!(f, concat!(stringify!($set), "("))?;
                $(if left.contains(Self::$name) {
                    write!(f, concat!("{}", stringify!($name)), separator)?;
                    separator = " ";
                    left = left.minus(Self::$name);
                })*
                if !left.is_empty() {
                    write!(f, "{separator}{:#x}", left.0)?;
                }
                f.write_str(")")
            }
        }
    };
}

flag_set! {
    /// What a connection can do: 32 bits on the wire.
    Capabilities(u64) {
        LONG_PASSWORD = 0;
        /// `affected_rows` counts the rows found, not those changed.
        FOUND_ROWS = 1;
        LONG_FLAG = 2;
        CONNECT_WITH_DB = 3;
        /// Names of the form `schema.table.column` are refused.
        NO_SCHEMA = 4;
        COMPRESS = 5;
        ODBC = 6;
        LOCAL_FILES = 7;
        /// Spaces between a function's name and its parenthesis are allowed, so function names are reserved.
        IGNORE_SPACE = 8;
        PROTOCOL_41 = 9;
        /// `interactive_timeout` instead of `wait_timeout`.
        INTERACTIVE = 10;
        SSL = 11;
        IGNORE_SIGPIPE = 12;
        TRANSACTIONS = 13;
        RESERVED = 14;
        SECURE_CONNECTION = 15;
        MULTI_STATEMENTS = 16;
        MULTI_RESULTS = 17;
        PS_MULTI_RESULTS = 18;
        PLUGIN_AUTH = 19;
        CONNECT_ATTRS = 20;
        PLUGIN_AUTH_LENENC_DATA = 21;
        CAN_HANDLE_EXPIRED_PASSWORDS = 22;
        SESSION_TRACK = 23;
        /// No EOF packet after column definitions; the end of rows is an OK with the header 0xfe.
        DEPRECATE_EOF = 24;
        OPTIONAL_RESULTSET_METADATA = 25;
        ZSTD_COMPRESSION = 26;
        QUERY_ATTRIBUTES = 27;
        MULTI_FACTOR_AUTH = 28;
        CAPABILITY_EXTENSION = 29;
        SSL_VERIFY_SERVER_CERT = 30;
        REMEMBER_OPTIONS = 31;
    }
}

flag_set! {
    /// What OK and EOF packets say about the session.
    Status(u16) {
        IN_TRANS = 0;
        AUTOCOMMIT = 1;
        /// Another result follows this one.
        MORE_RESULTS = 3;
        NO_GOOD_INDEX = 4;
        NO_INDEX = 5;
        /// The statement left an open cursor: rows come with `COM_STMT_FETCH`.
        CURSOR_EXISTS = 6;
        LAST_ROW_SENT = 7;
        DB_DROPPED = 8;
        NO_BACKSLASH_ESCAPES = 9;
        METADATA_CHANGED = 10;
        QUERY_WAS_SLOW = 11;
        /// The result set holds the OUT parameters of a prepared `CALL`.
        PS_OUT_PARAMS = 12;
        IN_TRANS_READONLY = 13;
        /// Trackers are in the OK packet.
        SESSION_STATE_CHANGED = 14;
        /// MariaDB alone: `sql_mode` contains `ANSI_QUOTES`.
        ANSI_QUOTES = 15;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let both = Capabilities::SSL | Capabilities::DEPRECATE_EOF;
        assert_eq!(both.0, 0x0100_0800);
        assert!(both.contains(Capabilities::SSL));
        assert!(!Capabilities::SSL.contains(both));
        assert!(Capabilities::SSL.intersects(both));
        assert_eq!(both.minus(Capabilities::SSL), Capabilities::DEPRECATE_EOF);
        assert_eq!(both.intersect(Capabilities::SSL), Capabilities::SSL);
        assert!(Capabilities::empty().is_empty());
        assert_eq!(Status::SESSION_STATE_CHANGED.0, 0x4000);
        assert_eq!(Status::MORE_RESULTS.0, 8);
    }

    #[test]
    fn unknown_bits_are_kept_and_shown() {
        let set = Status(0x0005);
        assert_eq!(format!("{set:?}"), "Status(IN_TRANS 0x4)");
        assert_eq!(format!("{:?}", Capabilities::empty()), "Capabilities()");
    }
}
