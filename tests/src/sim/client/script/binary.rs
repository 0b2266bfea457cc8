//! Statements that a client prepares: executes with and without types, long data, cursors, resets, closes.

use weir_net::command::Command;
use weir_net::flags::Capabilities;
use weir_net::writer::Put;

use crate::sim::client::ask::{Ask, Check, Want, is};
use crate::sim::client::mind::{Effect, Mind, Prepared, Slot};
use crate::sim::client::reply::Shape;
use crate::sim::client::script::{Feature, Script, Todo, slot_of};
use crate::sim::oracle::Tag;
use crate::sim::random::Random;
use crate::sim::server::values::pad;

const TYPE_LONGLONG: u16 = 8;
const TYPE_VAR_STRING: u16 = 253;
const STATEMENTS_MAX: usize = 6;

enum Value {
    Text(String),
    Number(i64),
    /// Sent ahead as long data.
    Long,
}

impl Script {
    pub(super) fn prepared(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        if mind.statements.is_empty() || random.chance(25) && mind.statements.len() < STATEMENTS_MAX {
            let kind = *random.pick(Prepared::ALL);
            if kind != Prepared::Home || mind.schema.is_some() {
                return self.prepare(mind, kind);
            }
        }
        let count = mind.statements.len();
        if count == 0 {
            return self.small(random, mind, caps);
        }
        let at = random.below(count as u64) as usize;
        let id = mind.statements[at].id;
        match random.below(12) {
            0 => {
                let mut ask = Ask::new(Command::StmtClose, Shape::Nothing);
                ask.payload.put_u32(id);
                ask.checks.clear();
                ask.effect(Effect::CloseStatement(id))
            }
            1 => {
                let mut ask = Ask::new(Command::StmtReset, Shape::Simple);
                ask.payload.put_u32(id);
                ask
            }
            2 => {
                let mut ask = Ask::new(Command::StmtExecute, Shape::Binary).check(Check::Fault(1243));
                ask.payload.put_u32(0xdead);
                ask.payload.put_bytes(&[0, 1, 0, 0, 0]);
                ask
            }
            _ => match self.execute(random, mind, caps, at) {
                Some(ask) => ask,
                None => self.small(random, mind, caps),
            },
        }
    }

    fn prepare(&mut self, mind: &Mind, kind: Prepared) -> Ask {
        // It is executed right away, once or more.
        self.todo.push_back(Todo::Execute(mind.statements.len()));
        let (text, columns, params) = kind.text();
        let mut ask = Ask::new(Command::StmtPrepare, Shape::Prepare).check(Check::Prepared { columns, params });
        ask.payload.put_bytes(text.as_bytes());
        ask.effect(Effect::Prepare(kind))
    }

    pub(super) fn execute(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities, at: usize) -> Option<Ask> {
        let slot = mind.statements.get(at)?;
        let read_only = mind.transaction.as_ref().is_some_and(|open| open.read_only);
        let tag = self.tag();
        let mut ask = Ask::new(Command::StmtExecute, Shape::Binary);
        ask.tag = Some(tag);
        let values = match slot.kind {
            Prepared::ReadKv => {
                let key = self.key(random);
                ask = ask.read().check(self.value_check(self.level(mind, None), mind, tag, "db1", key));
                vec![Value::Text(tag.to_string()), Value::Number(key)]
            }
            Prepared::ReplaceKv | Prepared::Ledger if read_only => return None,
            Prepared::ReplaceKv => {
                let (key, value) = (self.key(random), format!("value of {tag}"));
                ask.checks = vec![Check::Ok { affected: None, tagged: true }];
                ask = ask.effect(Effect::Write { schema: "db1".to_string(), key, value: value.clone() });
                vec![Value::Number(key), Value::Text(value)]
            }
            Prepared::Ledger => {
                let id = self.fresh();
                ask.checks = vec![Check::Ok { affected: Some(1), tagged: true }];
                ask.ledger = Some(id);
                ask = ask.effect(Effect::Ledger(id));
                vec![Value::Number(id), Value::Text(tag.to_string())]
            }
            Prepared::Big => {
                let rows = random.below(self.rules.rows_max) as i64;
                ask = ask.rows(big_rows(tag, 0, rows)).read();
                vec![Value::Text(tag.to_string()), Value::Number(rows)]
            }
            Prepared::Home => {
                let home = slot.schema.as_deref().unwrap_or_default();
                ask = ask.rows(vec![vec![is(tag), is(format!("home of {home}"))]]).read();
                vec![Value::Text(tag.to_string())]
            }
        };
        let sends_types = !slot.bound || random.chance(40);
        put_execute(&mut ask.payload, slot, &values, caps, 0, sends_types);
        Some(self.numbered(ask.touches()))
    }

    /// Long data, or a cursor.
    pub(super) fn statement_extra(
        &mut self,
        random: &mut Random,
        mind: &Mind,
        caps: Capabilities,
        feature: Feature,
    ) -> Option<Ask> {
        let kind = if feature == Feature::LongData { Prepared::ReplaceKv } else { Prepared::Big };
        let Some((at, slot)) = slot_of(mind, kind) else {
            if mind.statements.len() >= STATEMENTS_MAX {
                return None;
            }
            return Some(self.prepare(mind, kind));
        };
        if feature == Feature::LongData {
            return self.long_data(random, mind, caps, slot);
        }
        let slot = &mind.statements[at];
        let rows = random.below(self.rules.rows_max.min(40)) as i64;
        let tag = self.tag();
        let mut ask = Ask::new(Command::StmtExecute, Shape::Binary).check(Check::CursorOpened);
        ask.tag = Some(tag);
        let values = [Value::Text(tag.to_string()), Value::Number(rows)];
        put_execute(&mut ask.payload, slot, &values, caps, 1, !slot.bound || random.chance(40));
        self.todo.push_front(Todo::Fetch { id: slot.id, row: 0, rows, tag });
        Some(self.numbered(ask.touches()).effect(Effect::CursorOpened))
    }

    pub(super) fn fetch(&mut self, random: &mut Random, id: u32, row: i64, rows: i64, tag: Tag) -> Ask {
        let wanted = random.between(1, 20) as i64;
        let last = (row + wanted).min(rows);
        let mut ask = Ask::new(Command::StmtFetch, Shape::Fetch).check(Check::Rows(big_rows(tag, row, last)));
        ask.payload.put_u32(id);
        ask.payload.put_u32(wanted as u32);
        ask.columns = 2;
        if last < rows {
            self.todo.push_front(Todo::Fetch { id, row: last, rows, tag });
            return ask;
        }
        ask.effect(Effect::CursorClosed)
    }

    /// The value goes ahead in pieces; those have no reply, so the execute follows at once.
    fn long_data(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities, slot: &Slot) -> Option<Ask> {
        if mind.transaction.as_ref().is_some_and(|open| open.read_only) {
            return None;
        }
        let (key, tag) = (self.key(random), self.tag());
        let value = format!("value of {tag} {}", "z".repeat(random.below(900) as usize));
        let mut ask = Ask::new(Command::StmtExecute, Shape::Binary).effect(Effect::Write {
            schema: "db1".to_string(),
            key,
            value: value.clone(),
        });
        ask.tag = Some(tag);
        ask.checks = vec![Check::Ok { affected: None, tagged: true }];
        put_execute(&mut ask.payload, slot, &[Value::Number(key), Value::Long], caps, 0, true);
        let middle = random.below(value.len() as u64) as usize;
        for piece in [&value[..middle], &value[middle..]] {
            let mut payload = vec![Command::StmtSendLongData.to_byte()];
            payload.put_u32(slot.id);
            payload.put_u16(1);
            payload.put_bytes(piece.as_bytes());
            ask.before.push(payload);
        }
        Some(self.numbered(ask.touches()))
    }
}

fn big_rows(tag: Tag, from: i64, to: i64) -> Vec<Vec<Want>> {
    (from..to).map(|at| vec![is(tag), is(pad(at))]).collect()
}

/// Rule: MySQL "COM_STMT_EXECUTE".
fn put_execute(out: &mut Vec<u8>, slot: &Slot, values: &[Value], caps: Capabilities, cursor: u8, sends_types: bool) {
    let named = caps.contains(Capabilities::QUERY_ATTRIBUTES);
    out.put_u32(slot.id);
    out.put_u8(cursor);
    out.put_u32(1);
    if named {
        out.put_lenenc(values.len() as u64);
    }
    out.put_bytes(&vec![0; values.len().div_ceil(8)]);
    out.put_u8(u8::from(sends_types));
    if sends_types {
        for value in values {
            out.put_u16(if matches!(value, Value::Number(_)) { TYPE_LONGLONG } else { TYPE_VAR_STRING });
            if named {
                out.put_lenenc_bytes(b"");
            }
        }
    }
    for value in values {
        match value {
            Value::Text(text) => out.put_lenenc_bytes(text.as_bytes()),
            Value::Number(number) => out.put_u64(*number as u64),
            Value::Long => {}
        }
    }
}
