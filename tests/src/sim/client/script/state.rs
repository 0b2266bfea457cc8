//! Statements about the session's state: variables, schema, temporary tables, locks, diagnostics, resets, errors.

use weir_net::command::Command;
use weir_net::flags::Capabilities;
use weir_net::writer::Put;

use crate::sim::client::ask::{Ask, Check, Want, is};
use crate::sim::client::mind::{Effect, Mind};
use crate::sim::client::reply::Shape;
use crate::sim::client::script::{Feature, Script, Todo};
use crate::sim::random::Random;
use crate::sim::server::data::SCHEMAS;
use crate::sim::server::variables::Given;

/// What a client sets, as text; a number is set bare.
const SETTINGS: &[(&str, &[&str])] = &[
    ("sql_mode", &["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"]),
    ("time_zone", &["+01:00", "-05:30", "SYSTEM"]),
    ("wait_timeout", &["100", "600"]),
    ("group_concat_max_len", &["4096", "9"]),
    ("sort_buffer_size", &["65536", "1000000"]),
    ("max_execution_time", &["5000"]),
    ("lock_wait_timeout", &["7"]),
    ("foreign_key_checks", &["0", "1"]),
    ("unique_checks", &["0", "1"]),
    ("transaction_isolation", &["READ-COMMITTED", "SERIALIZABLE"]),
    ("character_set_results", &["latin1", "utf8mb4"]),
    ("timestamp", &["1000000000"]),
];

impl Script {
    pub(super) fn variable(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        if random.chance(40) {
            return self.read_variables(random, mind, caps);
        }
        let count = random.between(1, 3);
        let mut variables = Vec::new();
        let mut words = Vec::new();
        for _ in 0..count {
            // `timestamp` pins for the rest of the session: seldom.
            let rare = usize::from(!random.chance(10));
            let (name, values) = *random.pick(&SETTINGS[..SETTINGS.len() - rare]);
            let value = *random.pick(values);
            let number = value.parse::<i64>().ok();
            let (text, given) = match number {
                _ if random.chance(15) => ("DEFAULT".to_string(), Given::Default),
                Some(number) => (value.to_string(), Given::Number(number)),
                None => (format!("'{value}'"), Given::Text(value.to_string())),
            };
            let scope = *random.pick(&["", "SESSION ", "@@", "@@session."]);
            words.push(format!("{scope}{name}={text}"));
            variables.push((name.to_string(), given));
        }
        let ask = self.query(caps, &format!("SET {}", words.join(", ")));
        ask.effect(Effect::Set { variables, user: Vec::new() })
    }

    fn read_variables(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let tag = self.tag();
        let mut names = vec![format!("'{tag}'")];
        let mut row = vec![is(tag)];
        for _ in 0..random.between(1, 3) {
            let (name, _) = *random.pick(&SETTINGS[..SETTINGS.len() - 1]);
            names.push(format!("@@{name}"));
            let value = mind.variables.value(name).unwrap_or_default();
            row.push(match value {
                "ON" => is(1),
                "OFF" => is(0),
                value => is(value),
            });
        }
        Ask::query(tag, caps, &format!("SELECT {}", names.join(", "))).rows(vec![row]).read()
    }

    pub(super) fn names(&mut self, random: &mut Random, caps: Capabilities) -> Ask {
        let charset = *random.pick(&["utf8mb4", "latin1", "ascii"]);
        let variables = vec![("names".to_string(), Given::Text(charset.to_string()))];
        let ask = self.query(caps, &format!("SET NAMES {charset}"));
        ask.effect(Effect::Set { variables, user: Vec::new() })
    }

    pub(super) fn autocommit(&mut self, random: &mut Random, caps: Capabilities, on: bool) -> Ask {
        if !on {
            // Not for ever: a session without autocommit keeps its connection most of the time.
            self.todo.extend([Todo::ReadValue, Todo::WriteValue, Todo::ReadValue]);
            self.todo.push_back(if random.chance(70) { Todo::Commit } else { Todo::Rollback });
            self.todo.push_back(Todo::Autocommit(true));
        }
        let variables = vec![("autocommit".to_string(), Given::Number(i64::from(on)))];
        let mut ask = self.query(caps, if on { "SET autocommit=1" } else { "SET autocommit=0" });
        ask.commits = on;
        ask.effect(Effect::Set { variables, user: Vec::new() })
    }

    pub(super) fn user_variable(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let name = *random.pick(&["x", "y"]);
        let tag = self.tag();
        if random.chance(50) {
            let want = Want::Is(mind.user_variables.get(name).cloned().flatten());
            return Ask::query(tag, caps, &format!("SELECT '{tag}', @{name}")).rows(vec![vec![is(tag), want]]).read();
        }
        let user = vec![(name.to_string(), Some(tag.to_string()))];
        // The gate knows the one and has to ask for the other.
        let value = if random.chance(50) { format!("'{tag}'") } else { format!("CONCAT('{tag}')") };
        let ask = Ask::query(tag, caps, &format!("SET @{name}={value}"));
        ask.effect(Effect::Set { variables: Vec::new(), user })
    }

    pub(super) fn temporary(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Option<Ask> {
        let schema = mind.schema.clone()?;
        let name = format!("t{}", random.between(1, 2));
        let full = format!("{schema}.{name}");
        if !mind.temporary.contains_key(&full) {
            self.todo.push_back(Todo::ReadTemporary(full.clone()));
            let ask = self.query(caps, &format!("CREATE TEMPORARY TABLE {name} (a INT)"));
            return Some(ask.effect(Effect::CreateTemporary(full)));
        }
        if random.chance(40) {
            return self.drop_temporary(mind, caps, &full);
        }
        self.todo.push_back(Todo::ReadTemporary(full.clone()));
        if random.chance(60) {
            self.todo.push_back(Todo::DropTemporary(full.clone()));
        }
        let value = random.below(100) as i64;
        let ask = self.query(caps, &format!("INSERT INTO {name} VALUES ({value})"));
        Some(ask.effect(Effect::FillTemporary(full, value)))
    }

    pub(super) fn read_temporary(&mut self, mind: &Mind, caps: Capabilities, full: &str) -> Option<Ask> {
        let rows = mind.temporary.get(full)?;
        let name = local(mind, full)?;
        let tag = self.tag();
        let wants = rows.iter().map(|value| vec![is(tag), is(value)]).collect();
        Some(Ask::query(tag, caps, &format!("SELECT '{tag}', a FROM {name}")).rows(wants))
    }

    pub(super) fn drop_temporary(&mut self, mind: &Mind, caps: Capabilities, full: &str) -> Option<Ask> {
        mind.temporary.get(full)?;
        let name = local(mind, full)?;
        let ask = self.query(caps, &format!("DROP TEMPORARY TABLE {name}"));
        Some(ask.effect(Effect::DropTemporary(full.to_string())))
    }

    /// Names of its own: nobody else ever has them.
    pub(super) fn lock(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let name = format!("lock {} {}", self.client, self.session);
        if mind.locks.contains(&name) {
            self.todo.push_back(Todo::Unlock(name));
            return self.small(random, mind, caps);
        }
        if random.chance(80) {
            self.todo.push_back(Todo::Unlock(name.clone()));
        }
        let tag = self.tag();
        let ask = Ask::query(tag, caps, &format!("SELECT '{tag}', GET_LOCK('{name}', 0)"));
        ask.rows(vec![vec![is(tag), is(1)]]).effect(Effect::Lock(name))
    }

    pub(super) fn unlock(&mut self, mind: &Mind, caps: Capabilities, name: &str) -> Option<Ask> {
        let tag = self.tag();
        let held = mind.locks.contains(name);
        let ask = Ask::query(tag, caps, &format!("SELECT '{tag}', RELEASE_LOCK('{name}')"));
        let ask = ask.rows(vec![vec![is(tag), is(u8::from(held))]]).effect(Effect::Unlock(name.to_string()));
        held.then_some(ask)
    }

    /// A statement, and behind it a question about it (S21).
    pub(super) fn diagnostics(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        match random.below(3) {
            0 => {
                let tag = self.tag();
                let modes = mind.variables.value("sql_mode").unwrap_or_default();
                let warned = modes.contains("ERROR_FOR_DIVISION_BY_ZERO").then_some(tag);
                self.todo.push_back(Todo::ShowWarnings(warned));
                let ask = Ask::query(tag, caps, &format!("SELECT '{tag}', 1/0"));
                ask.rows(vec![vec![is(tag), Want::Is(None)]]).read()
            }
            1 => {
                self.todo.push_back(Todo::RowCount(1));
                self.ledger(caps)
            }
            _ => {
                let ask = self.big(random, caps);
                let rows = match &ask.checks[..] {
                    [Check::Rows(rows)] => rows.len() as u64,
                    _ => 0,
                };
                self.todo.push_back(Todo::FoundRows(rows));
                ask
            }
        }
    }

    pub(super) fn about_previous(&mut self, caps: Capabilities, todo: Todo) -> Ask {
        let tag = self.tag();
        let mut ask = match todo {
            Todo::ShowWarnings(warned) => {
                let row = |tag| vec![is("Warning"), is(1365), is(format!("Division by 0 {tag}"))];
                let rows = warned.map(row).into_iter().collect();
                Ask::query(tag, caps, &format!("SHOW WARNINGS /* {tag} */")).rows(rows)
            }
            Todo::RowCount(count) => Ask::query(tag, caps, &format!("SELECT '{tag}', ROW_COUNT()"))
                .rows(vec![vec![is(tag), is(count)]])
                .read(),
            Todo::FoundRows(count) => Ask::query(tag, caps, &format!("SELECT '{tag}', FOUND_ROWS()"))
                .rows(vec![vec![is(tag), is(count)]])
                .read(),
            other => unreachable!("{other:?} is not about the previous statement"),
        };
        ask.may_be_gone = true;
        ask
    }

    pub(super) fn schema(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let schema = *random.pick(SCHEMAS);
        match random.below(4) {
            0 => self.query(caps, &format!("USE {schema}")).effect(Effect::Use(schema.to_string())),
            1 => {
                let mut ask = Ask::new(Command::InitDb, Shape::Simple);
                ask.payload.put_bytes(schema.as_bytes());
                ask.effect(Effect::Use(schema.to_string()))
            }
            2 => match &mind.schema {
                Some(schema) => {
                    let tag = self.tag();
                    let rows = vec![vec![is(tag), is(format!("home of {schema}"))]];
                    let ask = Ask::query(tag, caps, &format!("SELECT '{tag}', v FROM kv WHERE k=0")).rows(rows);
                    self.numbered(ask.read().touches())
                }
                None => self.query(caps, "SELECT v FROM kv WHERE k=0").check(Check::Fault(1046)),
            },
            _ => {
                let tag = self.tag();
                let want = Want::Is(mind.schema.clone());
                Ask::query(tag, caps, &format!("SELECT '{tag}', DATABASE()")).rows(vec![vec![is(tag), want]]).read()
            }
        }
    }

    pub(super) fn multi(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let tag = self.tag();
        if !mind.multi_statements {
            if random.chance(50) {
                return self.small(random, mind, caps);
            }
            return Ask::query(tag, caps, &format!("SELECT '{tag}'; SELECT '{tag}'")).check(Check::Fault(1064));
        }
        let row = |want: Want| Check::Rows(vec![vec![is(tag), want]]);
        if random.chance(25) {
            let mut ask = Ask::query(tag, caps, &format!("SELECT '{tag}', 1; USE nowhere; SELECT '{tag}', 2"));
            ask.checks = vec![row(is(1)), Check::Fault(1049)];
            return ask;
        }
        if random.chance(20) {
            let mut ask = self.query(caps, "CALL two()");
            let one = |text: &str| Check::Rows(vec![vec![is(text)]]);
            ask.checks = vec![one("first"), one("second"), Check::Ok { affected: None, tagged: true }];
            return ask;
        }
        let id = self.fresh();
        let zone = mind.variables.value("time_zone").unwrap_or_default().to_string();
        let text =
            format!("SELECT '{tag}', 1; INSERT INTO db1.ledger VALUES ({id},'{tag}'); SELECT '{tag}', @@time_zone");
        let mut ask = Ask::query(tag, caps, &text).effect(Effect::Ledger(id)).touches();
        ask.checks = vec![row(is(1)), Check::Ok { affected: Some(1), tagged: true }, row(is(zone))];
        ask.ledger = Some(id);
        self.numbered(ask)
    }

    pub(super) fn reset(&mut self) -> Ask {
        Ask::new(Command::ResetConnection, Shape::Simple).effect(Effect::Reset)
    }

    /// The claim is made by the client's login, with the nonce that it knows.
    pub(super) fn change_user(&mut self, random: &mut Random) -> Ask {
        let user = random.pick(&self.rules.users).clone();
        let schema = random.chance(60).then(|| random.pick(SCHEMAS).to_string());
        Ask::new(Command::ChangeUser, Shape::Simple).effect(Effect::ChangeUser { user, schema })
    }

    pub(super) fn error(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let (text, code) = *random.pick(&[
            ("SELEKT 1", 1064),
            ("SELECT v FROM db1.nothing WHERE k=1", 1146),
            ("SELECT nowhere", 1054),
            ("USE nowhere", 1049),
            ("SET sql_mode='NONSENSE'", 1231),
            ("SET wait_timeout='x', sql_mode='ANSI_QUOTES'", 1232),
            ("SET nonsense=1", 1193),
            ("SET NAMES klingon", 1115),
            ("CALL nothing()", 1305),
        ]);
        if !mind.autocommit() && code == 1146 {
            return self.small(random, mind, caps);
        }
        let mut ask = self.query(caps, text).check(Check::Fault(code));
        ask.is_read = text.starts_with("SELECT");
        ask
    }

    pub(super) fn small(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let harmless = |mut ask: Ask| {
            ask.is_harmless = true;
            ask
        };
        match random.below(6) {
            0 | 1 => harmless(Ask::new(Command::Ping, Shape::Simple)),
            2 => harmless(Ask::new(Command::Statistics, Shape::Statistics).check(Check::Words)),
            3 if mind.schema.is_some() => {
                let mut ask = Ask::new(Command::FieldList, Shape::FieldList).check(Check::Definitions);
                ask.payload.put_nul_bytes(b"kv");
                harmless(ask)
            }
            4 => {
                let tag = self.tag();
                let rows = vec![vec![is(tag), is(format!("{}@%", mind.user))]];
                Ask::query(tag, caps, &format!("SELECT '{tag}', CURRENT_USER()")).rows(rows).read()
            }
            5 if self.has(Feature::Multi) => {
                let on = random.chance(50);
                let mut ask = Ask::new(Command::SetOption, Shape::Simple);
                ask.payload.put_u16(u16::from(!on));
                ask.effect(Effect::SetOption(on))
            }
            5 => {
                let mut ask = Ask::new(Command::Query, Shape::Text);
                if caps.contains(Capabilities::QUERY_ATTRIBUTES) {
                    ask.payload.put_bytes(&[0, 1]);
                }
                ask.payload.put_bytes(b"SELECT CONNECTION_ID()");
                harmless(ask.rows(vec![vec![is(mind.connection_id)]]))
            }
            _ => self.sum(caps),
        }
    }
}

/// The short name of a temporary table, when the session is in its schema.
fn local<'a>(mind: &Mind, full: &'a str) -> Option<&'a str> {
    let (schema, name) = full.split_once('.')?;
    (mind.schema.as_deref() == Some(schema)).then_some(name)
}
