//! A rule: what a filter means, ready to be held against statements.
//!
//! Invariant: a statement matches when every condition that was given holds: any of its plans, any of its tables, each expression, the
//! template. [`Rule::fits_text`] depends on the text, its facts and the current schema alone, so that its answer may be remembered;
//! [`Rule::fits_client`] on who sends it.

use super::expression::Expression;
use super::{Action, Filter, Seen, plans};
use crate::digest::digest;
use crate::facts::Facts;
use crate::lexer::{Lexer, TokenKind};
use crate::limits::FILTER_DIGEST_BYTES_MAX;
use crate::plan::Kind;

#[derive(Clone, Debug)]
pub struct Rule {
    pub filter: Filter,
    /// Lower ones come first.
    pub priority: u32,
    pub status: Status,
    pub action: Action,
    /// Empty: any.
    kinds: Vec<Kind>,
    tables: Vec<TablePattern>,
    query: Option<Expression>,
    /// A digest.
    template: Option<Box<str>>,
    address: Option<Expression>,
    user: Option<Expression>,
    leading: Option<Expression>,
    trailing: Option<Expression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    Inactive,
    /// It counts what it matches, and does nothing.
    DryRun,
}

/// `d1.t1`, `d1.*`, `*.t1`, `*.*`; None: any.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TablePattern {
    schema: Option<Box<str>>,
    name: Option<Box<str>>,
}

impl Rule {
    /// Err: one sentence on what is wrong and what there is.
    pub fn of(filter: &Filter) -> Result<Rule, String> {
        let value = |key: &str| filter.value(key);
        let whole = |key: &str| Expression::whole(key, value(key));
        if !value("bind_var_conds").trim().is_empty() {
            return Err(
                "bind_var_conds is not there: the gate does not look at values; say query_regex instead".to_string()
            );
        }
        let priority = value("priority").trim().parse().ok();
        let priority = priority.ok_or_else(|| format!("priority='{}' is no whole number from 0", value("priority")))?;
        let of = |name: &str| value("status").eq_ignore_ascii_case(name);
        let status = match () {
            () if of("ACTIVE") => Status::Active,
            () if of("INACTIVE") => Status::Inactive,
            () if of("DRY_RUN") => Status::DryRun,
            () => return Err(format!("status='{}' is not known: use ACTIVE, INACTIVE or DRY_RUN", value("status"))),
        };
        Ok(Rule {
            priority,
            status,
            action: Action::read(value("action").trim(), value("action_args"))?,
            kinds: plans::kinds(value("plans"))?,
            tables: tables(value("fully_qualified_table_names"))?,
            query: whole("query_regex")?,
            template: template(value("query_template"))?,
            address: whole("request_ip_regex")?,
            user: whole("user_regex")?,
            leading: whole("leading_comment_regex")?,
            trailing: whole("trailing_comment_regex")?,
            filter: filter.clone(),
        })
    }

    pub fn fits_text(&self, seen: &Seen<'_>) -> bool {
        // The text is cut only for who looks at it.
        type Text = for<'s> fn(&'s Seen<'_>) -> &'s [u8];
        let fits = |expression: &Option<Expression>, text: Text| {
            expression.as_ref().is_none_or(|expression| expression.fits(text(seen)))
        };
        (self.kinds.is_empty() || self.kinds.contains(&seen.kind))
            && fits(&self.query, |seen| seen.cut().body)
            && fits(&self.leading, |seen| seen.cut().leading)
            && fits(&self.trailing, |seen| seen.cut().trailing)
            && self.template.as_ref().is_none_or(|template| **template == *seen.digest())
            && (self.tables.is_empty() || self.names_table(seen))
    }

    /// `address`: as a server says it, without its port; `localhost` for a Unix socket.
    pub fn fits_client(&self, user: &[u8], address: &str) -> bool {
        self.user.as_ref().is_none_or(|expression| expression.fits(user))
            && self.address.as_ref().is_none_or(|expression| expression.fits(address.as_bytes()))
    }

    fn names_table(&self, seen: &Seen<'_>) -> bool {
        let current = String::from_utf8_lossy(&seen.schema);
        let uses = seen.uses();
        let fits = |schema: &Option<Box<str>>, name: Option<&str>| {
            let schema = schema.as_deref().unwrap_or(&current);
            self.tables.iter().any(|pattern| pattern.fits(schema, name))
        };
        uses.tables.iter().any(|table| fits(&table.schema, Some(&table.name)))
            || uses.schemas.iter().any(|schema| fits(schema, None))
    }
}

impl TablePattern {
    /// Without a name: a whole schema.
    fn fits(&self, schema: &str, name: Option<&str>) -> bool {
        self.schema.as_deref().is_none_or(|wanted| wanted == schema)
            && self.name.as_deref().is_none_or(|wanted| Some(wanted) == name)
    }
}

fn tables(list: &str) -> Result<Vec<TablePattern>, String> {
    let pattern = |typed: &str| {
        let part = |text: &str| {
            let text = text.trim().trim_matches('`');
            (!text.is_empty()).then(|| (text != "*").then(|| Box::<str>::from(text)))
        };
        let (schema, name) = typed.split_once('.')?;
        Some(TablePattern { schema: part(schema)?, name: part(name)? })
    };
    let typed = list.split(',').map(str::trim).filter(|typed| !typed.is_empty());
    let wrong = |typed: &str| {
        format!("fully_qualified_table_names: '{typed}' is not schema.table; write d1.t1, d1.*, *.t1 or *.*")
    };
    typed.map(|typed| pattern(typed).ok_or_else(|| wrong(typed))).collect()
}

/// The digest of a template, whose `:name` stands for a value.
fn template(text: &str) -> Result<Option<Box<str>>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let facts = Facts::default();
    let mut lexer = Lexer::new(text.as_bytes(), &facts);
    let mut plain = Vec::with_capacity(text.len());
    let (mut copied, mut before) = (0, None);
    loop {
        let token = lexer.next();
        if token.kind == TokenKind::End {
            break;
        }
        if token.kind == TokenKind::Bad {
            return Err(format!("query_template='{text}' ends within a quote, or has a byte that no statement has"));
        }
        if let Some(colon) = before.filter(|end: &usize| token.is_name() && *end == token.start) {
            let start = usize::saturating_sub(colon, 1);
            plain.extend_from_slice(text.as_bytes().get(copied..start).unwrap_or_default());
            plain.push(b'?');
            copied = token.end;
        }
        before = (token.kind == TokenKind::Punct(b':')).then_some(token.end);
    }
    plain.extend_from_slice(text.as_bytes().get(copied..).unwrap_or_default());
    Ok(Some(digest(&plain, &facts, FILTER_DIGEST_BYTES_MAX).into()))
}
