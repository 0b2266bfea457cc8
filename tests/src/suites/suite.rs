//! The suites: which driver's, how its script is called, and what the server must hold before it runs.
//!
//! Invariant: a name is one line of SUITES.md and one name in accepted.txt.

use super::outcome::Format;
use crate::drivers::kit::Kit;

#[derive(Debug, Clone, Copy)]
pub struct Suite {
    pub name: &'static str,
    /// Its script in `tests/drivers/suites`, called with `build` or `run` and these arguments.
    pub script: &'static str,
    pub args: &'static [&'static str],
    /// Other files beside the script that its home follows from.
    pub pins: &'static [&'static str],
    pub kit: Option<Kit>,
    /// The Debian source package that it is taken from.
    pub debian: Option<&'static str>,
    pub format: Format,
    pub sharing: Sharing,
    /// Statements that make its databases and accounts anew, run before each of its runs.
    pub seed: &'static str,
}

/// How the gate's connections are shared while the suite runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Two connections to each backend and a noisy second session: the worst.
    Worst,
    /// So many connections and noise, because …
    Noisy(usize, &'static str),
    /// So many connections and nobody else, because …
    Alone(usize, &'static str),
}

pub const SUITES: &[Suite] = &[
    Suite {
        seed: "CREATE DATABASE test1; CREATE DATABASE test2;",
        ..python("PyMySQL", "pymysql.sh", &["pymysql.txt", "pytest.txt", "python.sh"])
    },
    Suite { seed: TEST, ..python("mysqlclient", "mysqlclient.sh", &["mysqlclient.txt", "pytest.txt", "python.sh"]) },
    Suite { seed: "CREATE DATABASE gotest;", ..suite("go-sql-driver", "go.sh", Format::Go) },
    Suite {
        args: &["mysql_async", "0.37.1", "40d11da0e2d9fad4640c9f9198ee431c6d68444568f83ef1f10f3367270071e4"],
        seed: TEST,
        ..suite("mysql_async", "crate.sh", Format::Libtest)
    },
    Suite { format: Format::Unittest, ..python("Django", "django.sh", &["django.txt", "pytest.txt", "python.sh"]) },
    Suite {
        args: &["pymysql"],
        sharing: Sharing::Noisy(16, "its pools hold several transactions at once"),
        seed: SQLALCHEMY,
        ..python("SQLAlchemy", "sqlalchemy.sh", &["sqlalchemy.txt", "pytest.txt", "python.sh"])
    },
    Suite { ..python("aiomysql", "aiomysql.sh", &["aiomysql.txt", "pytest.txt", "python.sh"]) },
    Suite {
        args: &["mysqli"],
        sharing: Sharing::Noisy(16, "`CALL` keeps its connection, and tests log in again beside it"),
        debian: Some("php8.2"),
        kit: Some(Kit::Php),
        seed: TEST,
        ..suite("PHP mysqli", "php.sh", Format::Lines)
    },
    Suite {
        args: &["pdo_mysql"],
        sharing: Sharing::Noisy(16, "`CALL` keeps its connection, and tests log in again beside it"),
        debian: Some("php8.2"),
        kit: Some(Kit::Php),
        seed: TEST,
        ..suite("PHP PDO", "php.sh", Format::Lines)
    },
    Suite {
        args: &["mysql"],
        debian: Some("libdbd-mysql-perl"),
        kit: Some(Kit::Perl),
        seed: TEST,
        ..suite("DBD::mysql", "perl.sh", Format::Lines)
    },
    Suite {
        args: &["MariaDB"],
        debian: Some("libdbd-mariadb-perl"),
        kit: Some(Kit::Perl),
        seed: TEST,
        ..suite("DBD::MariaDB", "perl.sh", Format::Lines)
    },
];

const TEST: &str = "CREATE DATABASE test CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;";

const SQLALCHEMY: &str = "CREATE DATABASE test CHARACTER SET utf8mb4; CREATE DATABASE test_schema CHARACTER SET utf8mb4; \
    CREATE DATABASE test_schema_2 CHARACTER SET utf8mb4;";

const fn python(name: &'static str, script: &'static str, pins: &'static [&'static str]) -> Suite {
    Suite { kit: Some(Kit::Python), pins, ..suite(name, script, Format::Pytest) }
}

const fn suite(name: &'static str, script: &'static str, format: Format) -> Suite {
    let sharing = Sharing::Worst;
    Suite { name, script, args: &[], pins: &[], kit: None, debian: None, format, sharing, seed: "" }
}
