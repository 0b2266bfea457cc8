//! Rust's drivers, as applications use them: mysql_async, sqlx, diesel; the argument says which.

mod trace;

mod mysql_async;

mod sqlx;

mod diesel;

use trace::Outcome;

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match std::env::args().nth(1).as_deref() {
        Some("mysql_async") => runtime.block_on(mysql_async::run()),
        Some("sqlx") => runtime.block_on(sqlx::run()),
        Some("diesel") => diesel::run(),
        other => Err(format!("{other:?} is no driver").into()),
    }
}
