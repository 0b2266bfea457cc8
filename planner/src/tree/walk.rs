//! The walk over a tree: what is left to visit, and which names are common table expressions where.

use super::TableUse;
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, GroupByExpr,
    GroupByWithModifier, InTarget, JoinConstraint, JoinOperator, LimitClause, NamedWindowExpr, ObjectName,
    ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
    WindowSpec, WindowType,
};

/// Where names are looked up: an index into the walk's list of common table expressions.
pub(super) type Scope = Option<usize>;
pub(super) const OUTERMOST: Scope = None;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    Query(&'a Query, Scope),
    Set(&'a SetExpr, Scope),
    Joined(&'a TableWithJoins, Use, Scope),
    Factor(&'a TableFactor, Use, Scope),
    Expr(&'a Expr, Scope),
}

#[derive(Debug, Default)]
pub(super) struct Walk<'a> {
    left: Vec<Node<'a>>,
    /// Each common table expression, with the scope around it.
    named: Vec<(&'a str, Scope)>,
    found: Vec<TableUse>,
}

impl<'a> Walk<'a> {
    pub(super) fn push(&mut self, node: Node<'a>) {
        self.left.push(node);
    }

    pub(super) fn exprs(&mut self, exprs: impl IntoIterator<Item = &'a Expr>, scope: Scope) {
        self.left.extend(exprs.into_iter().map(|expr| Node::Expr(expr, scope)));
    }

    pub(super) fn order(&mut self, order: &'a [OrderByExpr], scope: Scope) -> Option<()> {
        if order.iter().any(|by| by.with_fill.is_some()) {
            return None;
        }
        self.exprs(order.iter().map(|by| &by.expr), scope);
        Some(())
    }

    /// Visits all that is left. None: something is not known.
    pub(super) fn finish(mut self) -> Option<Vec<TableUse>> {
        while let Some(node) = self.left.pop() {
            match node {
                Node::Query(query, scope) => self.query(query, scope)?,
                Node::Set(set, scope) => self.set(set, scope)?,
                Node::Joined(table, usage, scope) => self.joined(table, usage, scope)?,
                Node::Factor(factor, usage, scope) => self.factor(factor, usage, scope)?,
                Node::Expr(expr, scope) => self.expr(expr, scope)?,
            }
        }
        Some(self.found)
    }

    /// Notes a table, unless the name is a common table expression's.
    pub(super) fn found(&mut self, name: &ObjectName, usage: Use, scope: Scope) -> Option<()> {
        let part = |part: &'_ ObjectNamePart| match part {
            ObjectNamePart::Identifier(ident) => Some(Box::from(ident.value.as_str())),
            ObjectNamePart::Function(_) => None,
        };
        let (schema, name) = match name.0.as_slice() {
            [name] => (None, part(name)?),
            [schema, name] => (Some(part(schema)?), part(name)?),
            _ => return None,
        };
        if schema.is_none() && self.names_expression(&name, scope) {
            return Some(());
        }
        self.found.push(TableUse { schema, name, write: usage == Use::Write });
        Some(())
    }

    fn names_expression(&self, name: &str, mut scope: Scope) -> bool {
        while let Some((named, outer)) = scope.and_then(|at| self.named.get(at)) {
            // In the letter case that it has, as a server compares them whose tables have one.
            if *named == name {
                return true;
            }
            scope = *outer;
        }
        false
    }

    fn name_expression(&mut self, name: &'a str, outer: Scope) -> Scope {
        self.named.push((name, outer));
        self.named.len().checked_sub(1)
    }

    fn query(&mut self, query: &'a Query, outer: Scope) -> Option<()> {
        let exotic = query.fetch.is_some()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if exotic {
            return None;
        }
        let mut scope = outer;
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                // Without RECURSIVE an expression sees those before it; with it also itself.
                let inner = self.name_expression(&cte.alias.name.value, scope);
                self.push(Node::Query(&cte.query, if with.recursive { inner } else { scope }));
                scope = inner;
            }
        }
        self.push(Node::Set(&query.body, scope));
        if let Some(order) = &query.order_by {
            match &order.kind {
                OrderByKind::Expressions(exprs) if order.interpolate.is_none() => self.order(exprs, scope)?,
                _ => return None,
            }
        }
        match &query.limit_clause {
            None => (),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                self.exprs(limit.iter().chain(offset.as_ref().map(|offset| &offset.value)), scope);
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => self.exprs([offset, limit], scope),
            Some(_) => return None,
        }
        Some(())
    }

    fn set(&mut self, set: &'a SetExpr, scope: Scope) -> Option<()> {
        match set {
            SetExpr::Select(select) => self.select(select, scope)?,
            SetExpr::Query(query) => self.push(Node::Query(query, scope)),
            SetExpr::SetOperation { left, right, .. } => {
                self.push(Node::Set(left, scope));
                self.push(Node::Set(right, scope));
            }
            SetExpr::Values(values) => {
                values.rows.iter().for_each(|row| self.exprs(&row.content, scope));
            }
            // `TABLE t` keeps its names as bare texts; writes inside of a query are not MySQL's.
            _ => return None,
        }
        Some(())
    }

    fn select(&mut self, select: &'a Select, scope: Scope) -> Option<()> {
        let exotic = select.into.is_some()
            || select.top.is_some()
            || select.exclude.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.qualify.is_some();
        if exotic {
            return None;
        }
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    self.push(Node::Expr(expr, scope));
                }
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => (),
                SelectItem::ExprWithAliases { .. } => return None,
            }
        }
        for table in &select.from {
            self.push(Node::Joined(table, Use::Read, scope));
        }
        self.exprs(select.selection.iter().chain(&select.having), scope);
        match &select.group_by {
            GroupByExpr::Expressions(exprs, modifiers) => {
                if modifiers.iter().any(|m| matches!(m, GroupByWithModifier::GroupingSets(_))) {
                    return None;
                }
                self.exprs(exprs, scope);
            }
            GroupByExpr::All(_) => return None,
        }
        for window in &select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &window.1 {
                self.window(spec, scope)?;
            }
        }
        Some(())
    }

    fn joined(&mut self, table: &'a TableWithJoins, usage: Use, scope: Scope) -> Option<()> {
        self.push(Node::Factor(&table.relation, usage, scope));
        for join in &table.joins {
            self.push(Node::Factor(&join.relation, usage, scope));
            let constraint = match &join.join_operator {
                JoinOperator::Join(c)
                | JoinOperator::Inner(c)
                | JoinOperator::Left(c)
                | JoinOperator::LeftOuter(c)
                | JoinOperator::Right(c)
                | JoinOperator::RightOuter(c)
                | JoinOperator::CrossJoin(c)
                | JoinOperator::StraightJoin(c) => c,
                _ => return None,
            };
            if let JoinConstraint::On(expr) = constraint {
                self.push(Node::Expr(expr, scope));
            }
        }
        Some(())
    }

    fn factor(&mut self, factor: &'a TableFactor, usage: Use, scope: Scope) -> Option<()> {
        match factor {
            TableFactor::Table { name, args: None, version: None, sample: None, json_path: None, .. } => {
                self.found(name, usage, scope)
            }
            TableFactor::Derived { subquery, .. } => {
                self.push(Node::Query(subquery, scope));
                Some(())
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.push(Node::Joined(table_with_joins, usage, scope));
                Some(())
            }
            TableFactor::JsonTable { json_expr, .. } => {
                self.push(Node::Expr(json_expr, scope));
                Some(())
            }
            _ => None,
        }
    }

    fn expr(&mut self, expr: &'a Expr, scope: Scope) -> Option<()> {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::TypedString(_) => (),
            Expr::IsFalse(e)
            | Expr::IsNotFalse(e)
            | Expr::IsTrue(e)
            | Expr::IsNotTrue(e)
            | Expr::IsNull(e)
            | Expr::IsNotNull(e)
            | Expr::IsUnknown(e)
            | Expr::IsNotUnknown(e)
            | Expr::Nested(e)
            | Expr::UnaryOp { expr: e, .. }
            | Expr::Cast { expr: e, .. }
            | Expr::Extract { expr: e, .. }
            | Expr::Ceil { expr: e, .. }
            | Expr::Floor { expr: e, .. }
            | Expr::Collate { expr: e, .. }
            | Expr::Prefixed { value: e, .. } => self.push(Node::Expr(e, scope)),
            Expr::BinaryOp { left, right, .. }
            | Expr::AnyOp { left, right, .. }
            | Expr::AllOp { left, right, .. }
            | Expr::RLike { expr: left, pattern: right, .. }
            | Expr::Position { expr: left, r#in: right } => self.exprs([&**left, right], scope),
            Expr::Like { expr, pattern, escape_char, .. } => {
                self.exprs([&**expr, pattern].into_iter().chain(escape_char.as_deref()), scope);
            }
            Expr::Between { expr, low, high, .. } => self.exprs([&**expr, low, high], scope),
            Expr::In { expr, target, .. } => {
                self.push(Node::Expr(expr, scope));
                match target {
                    InTarget::List(list) => self.exprs(list, scope),
                    InTarget::Subquery(query) => self.push(Node::Query(query, scope)),
                    _ => return None,
                }
            }
            Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => self.push(Node::Query(subquery, scope)),
            Expr::Tuple(list) => self.exprs(list, scope),
            Expr::Convert { expr, styles, .. } => self.exprs(styles.iter().chain([&**expr]), scope),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                self.exprs(
                    [&**expr].into_iter().chain(substring_from.as_deref()).chain(substring_for.as_deref()),
                    scope,
                );
            }
            Expr::Trim { trim_what, expr, trim_characters: None, .. } => {
                self.exprs([&**expr].into_iter().chain(trim_what.as_deref()), scope);
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.exprs(operand.as_deref().into_iter().chain(else_result.as_deref()), scope);
                conditions.iter().for_each(|when| self.exprs([&when.condition, &when.result], scope));
            }
            Expr::Interval(interval) => self.push(Node::Expr(&interval.value, scope)),
            Expr::Function(function) => self.function(function, scope)?,
            Expr::MatchAgainst { .. } => (),
            _ => return None,
        }
        Some(())
    }

    fn function(&mut self, function: &'a Function, scope: Scope) -> Option<()> {
        if !matches!(function.parameters, FunctionArguments::None) || !function.within_group.is_empty() {
            return None;
        }
        match &function.args {
            FunctionArguments::None => (),
            FunctionArguments::Subquery(query) => self.push(Node::Query(query, scope)),
            FunctionArguments::List(list) => {
                for arg in &list.args {
                    match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.push(Node::Expr(expr, scope)),
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => (),
                        _ => return None,
                    }
                }
                for clause in &list.clauses {
                    match clause {
                        FunctionArgumentClause::OrderBy(order) => self.order(order, scope)?,
                        FunctionArgumentClause::Separator(_) => (),
                        _ => return None,
                    }
                }
            }
        }
        self.exprs(function.filter.as_deref(), scope);
        match &function.over {
            Some(WindowType::WindowSpec(spec)) => self.window(spec, scope),
            Some(WindowType::NamedWindow(_)) | None => Some(()),
        }
    }

    fn window(&mut self, spec: &'a WindowSpec, scope: Scope) -> Option<()> {
        self.exprs(&spec.partition_by, scope);
        self.order(&spec.order_by, scope)
    }
}
