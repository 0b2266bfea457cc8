//! The demo's data: a small shop, the same every time, and its one account.

use std::fmt::Write as _;

use crate::lab::client::{self, Login};
use crate::lab::{LabError, Mysql};

pub const USER: &str = "shop";
pub const PASSWORD: &str = "shop";
pub const DATABASE: &str = "shop";
pub const CUSTOMERS: u32 = 1_000;
pub const PRODUCTS: u32 = 200;
pub const ORDERS: u32 = 5_000;

/// Statements for root: an ordinary account that may do everything in its own database and nothing elsewhere.
pub fn account() -> String {
    format!(
        "CREATE DATABASE IF NOT EXISTS {DATABASE};\n\
         CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON {DATABASE}.* TO '{USER}'@'%';\n"
    )
}

pub fn login(port: u16) -> Login {
    Login::Account { port, user: USER.to_owned(), password: PASSWORD.to_owned() }
}

/// Loads the shop, unless it is there from an earlier demo.
pub fn load(mysql: &Mysql, login: &Login) -> Result<(), LabError> {
    let look = format!(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema='{DATABASE}' AND table_name='complete'"
    );
    let rows = client::run(mysql, login, &look)?;
    if rows.first().and_then(|row| row.first()).is_some_and(|count| count == "1") {
        return Ok(());
    }
    client::run(mysql, login, &text()).map(|_| ())
}

fn text() -> String {
    let mut text = format!(
        "USE {DATABASE};\n\
         DROP TABLE IF EXISTS orders, carts, products, customers;\n\
         CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(60) NOT NULL, city VARCHAR(40) NOT NULL, KEY (city));\n\
         CREATE TABLE products (id INT PRIMARY KEY, name VARCHAR(60) NOT NULL, price DECIMAL(8,2) NOT NULL);\n\
         CREATE TABLE carts (customer_id INT PRIMARY KEY, items INT NOT NULL);\n\
         CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT NOT NULL, product_id INT NOT NULL, \
         amount INT NOT NULL, ordered_on DATE NOT NULL, KEY (customer_id), KEY (product_id));\n"
    );
    let mut dice = Dice(7);
    insert(&mut text, "customers", CUSTOMERS, |id| {
        let (first, last) = (dice.pick(&FIRST_NAMES), dice.pick(&LAST_NAMES));
        format!("({id},'{first} {last}','{}')", dice.pick(&CITIES))
    });
    insert(&mut text, "products", PRODUCTS, |id| {
        let price = dice.below(20_000) + 99;
        format!("({id},'{} {}',{}.{:02})", dice.pick(&KINDS), dice.pick(&THINGS), price / 100, price % 100)
    });
    insert(&mut text, "carts", CUSTOMERS, |id| format!("({id},0)"));
    insert(&mut text, "orders", ORDERS, |id| {
        let (customer, product) = (dice.below(CUSTOMERS) + 1, dice.below(PRODUCTS) + 1);
        let (amount, month, day) = (dice.below(5) + 1, dice.below(12) + 1, dice.below(28) + 1);
        format!("({id},{customer},{product},{amount},'2025-{month:02}-{day:02}')")
    });
    // The last statement says that all before it were run.
    text + "CREATE TABLE complete (yes INT PRIMARY KEY);\n"
}

fn insert(text: &mut String, table: &str, count: u32, mut row: impl FnMut(u32) -> String) {
    for id in 1..=count {
        let is_first = (id - 1) % ROWS_PER_STATEMENT == 0;
        let is_last = id % ROWS_PER_STATEMENT == 0 || id == count;
        let before = if is_first { format!("INSERT INTO {table} VALUES ") } else { String::new() };
        let _ = write!(text, "{before}{}{}", row(id), if is_last { ";\n" } else { "," });
    }
}

/// Numbers that look random and are the same every time (a linear congruence with Knuth's constants).
#[derive(Debug, Clone, Copy)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(limit.max(1))) as u32
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words.get(self.below(words.len() as u32) as usize).copied().unwrap_or_default()
    }
}

const ROWS_PER_STATEMENT: u32 = 500;
const FIRST_NAMES: [&str; 10] = ["Ada", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Ida", "Jonas"];
const LAST_NAMES: [&str; 8] = ["Brook", "Ford", "Lake", "Mill", "Poole", "Rivers", "Shore", "Wells"];
const CITIES: [&str; 6] = ["Basel", "Bergen", "Bristol", "Ghent", "Porto", "Turku"];
const KINDS: [&str; 6] = ["Blue", "Folding", "Large", "Light", "Plain", "Small"];
const THINGS: [&str; 8] = ["anchor", "bucket", "canoe", "float", "net", "oar", "rope", "sluice"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_is_whole_and_the_same_every_time() {
        let text = text();
        assert_eq!(text, super::text());
        let rows = |table: &str| -> usize {
            let start = format!("INSERT INTO {table} VALUES ");
            text.lines().filter_map(|line| line.strip_prefix(&start)).map(|line| line.matches("),(").count() + 1).sum()
        };
        assert_eq!((rows("customers"), rows("products"), rows("orders")), (1_000, 200, 5_000));
        assert!(text.lines().filter(|line| line.starts_with("INSERT")).all(|line| line.ends_with(");")));
        assert!(text.trim_end().ends_with("CREATE TABLE complete (yes INT PRIMARY KEY);"));
    }

    #[test]
    fn dice_stay_below_their_limit() {
        let mut dice = Dice(1);
        assert!((0..1000).all(|_| dice.below(7) < 7));
        assert_eq!(dice.below(0), 0);
    }
}
