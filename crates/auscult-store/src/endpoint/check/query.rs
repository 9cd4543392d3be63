//! SELECT with its clauses.

use super::literal::parts;
use super::tokens::WITH_MARK;
use super::{Printer, Refused, no};
use sqlparser::ast::*;

impl Printer<'_> {
    /// A subquery in parentheses.
    pub(super) fn subquery(&mut self, query: &Query) -> Result<(), Refused> {
        self.word("(");
        self.query(query)?;
        self.word(")");
        Ok(())
    }

    pub(super) fn query(&mut self, query: &Query) -> Result<(), Refused> {
        self.nested(|p| {
            let ctes = p.ctes.len();
            let done = p.query_parts(query);
            p.ctes.truncate(ctes);
            done
        })
    }

    fn query_parts(&mut self, query: &Query) -> Result<(), Refused> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if fetch.is_some() || !locks.is_empty() || for_clause.is_some() || !pipe_operators.is_empty() {
            return no("FETCH, FOR or a pipe operator");
        }
        // Those of the whole statement were taken by the token pass.
        if settings.is_some() || format_clause.is_some() {
            return no("SETTINGS or FORMAT in a subquery, twice, or with other values than literals");
        }
        let start = self.out.len();
        if let Some(with) = with {
            self.with(with)?;
        }
        let head = self.out.split_off(start);
        let plain = order_by.is_none() && limit_clause.is_none();
        match body.as_ref() {
            SetExpr::Select(select) => {
                self.out.push_str(&head);
                self.select(select)?;
            }
            SetExpr::Query(inner) if plain && head.is_empty() => return self.query(inner),
            SetExpr::Query(_) => return no("WITH, ORDER BY or LIMIT around a query in parentheses: use a subquery"),
            SetExpr::SetOperation { left: _, op: _, set_quantifier: _, right: _ } if plain => {
                return self.union(body, &head);
            }
            SetExpr::SetOperation { left: _, op: _, set_quantifier: _, right: _ } => {
                return no(
                    "ORDER BY or LIMIT after UNION (put the union into a subquery, so that it is clear what is sorted)",
                );
            }
            SetExpr::Values(_)
            | SetExpr::Insert(_)
            | SetExpr::Update(_)
            | SetExpr::Delete(_)
            | SetExpr::Merge(_)
            | SetExpr::Table(_) => return no("VALUES, INSERT, UPDATE, DELETE, MERGE or TABLE as a query"),
        }
        if let Some(order_by) = order_by {
            self.order_by(order_by)?;
        }
        if let Some(limit) = limit_clause {
            self.limit(limit)?;
        }
        Ok(())
    }

    /// Operands in parentheses, each with the WITH clause of the whole. A chain to the left is walked, not descended.
    fn union(&mut self, body: &SetExpr, head: &str) -> Result<(), Refused> {
        let mut chain = Vec::new();
        let mut first = body;
        while let SetExpr::SetOperation { left, op, set_quantifier, right } = first {
            let word = match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::All) => " UNION ALL ",
                (SetOperator::Union, SetQuantifier::Distinct) => " UNION DISTINCT ",
                (SetOperator::Except, SetQuantifier::None) => " EXCEPT ",
                (SetOperator::Except, SetQuantifier::Distinct) => " EXCEPT DISTINCT ",
                (SetOperator::Intersect, SetQuantifier::None) => " INTERSECT ",
                (SetOperator::Intersect, SetQuantifier::Distinct) => " INTERSECT DISTINCT ",
                _ => return no("a set operation other than UNION ALL, UNION DISTINCT, EXCEPT and INTERSECT"),
            };
            chain.push((word, right.as_ref()));
            first = left;
        }
        // Operators of different kinds bind differently, so a mixed chain keeps the parser's grouping by parentheses.
        let mixed = chain.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a != b));
        if mixed {
            for _ in 1..chain.len() {
                self.word("(");
            }
        }
        self.operand(first, head)?;
        let last = chain.len().saturating_sub(1);
        for (i, (word, right)) in chain.into_iter().rev().enumerate() {
            self.word(word);
            self.operand(right, head)?;
            if mixed && i < last {
                self.word(")");
            }
        }
        Ok(())
    }

    fn operand(&mut self, operand: &SetExpr, head: &str) -> Result<(), Refused> {
        self.nested(|p| {
            p.word("(");
            match operand {
                SetExpr::Select(select) => {
                    p.out.push_str(head);
                    p.select(select)?;
                }
                SetExpr::Query(query) if head.is_empty() => p.query(query)?,
                SetExpr::SetOperation { left: _, op: _, set_quantifier: _, right: _ } => p.union(operand, head)?,
                _ => return no("this operand of a set operation"),
            }
            p.word(")");
            Ok(())
        })
    }

    fn with(&mut self, with: &With) -> Result<(), Refused> {
        let With { with_token: _, recursive, cte_tables } = with;
        if *recursive {
            return no("WITH RECURSIVE");
        }
        self.word("WITH ");
        self.list(cte_tables, ", ", |p, cte| {
            let Cte { alias, query, from, materialized, closing_paren_token: _ } = cte;
            let TableAlias { explicit: _, name, columns, at } = alias;
            if from.is_some() || materialized.is_some() || !columns.is_empty() || at.is_some() {
                return no("a CTE with columns or MATERIALIZED");
            }
            if let Some(expression) = marked(query) {
                p.expression(expression)?;
                p.word(" AS ");
                return p.ident(name);
            }
            p.ident(name)?;
            p.word(" AS ");
            p.subquery(query)?;
            p.ctes.push(name.value.clone());
            Ok(())
        })?;
        self.word(" ");
        Ok(())
    }

    fn select(&mut self, select: &Select) -> Result<(), Refused> {
        let SelectClauses { distinct, projection, from, prewhere, selection, group_by, having, named_window, qualify } =
            SelectClauses::of(select)?;
        self.word("SELECT ");
        self.distinct(distinct)?;
        if projection.is_empty() {
            return Err(Refused::syntax("SELECT needs columns"));
        }
        self.list(projection, ", ", Self::item)?;
        self.from(from)?;
        self.condition(" PREWHERE ", prewhere)?;
        self.condition(" WHERE ", selection)?;
        self.group_by(group_by)?;
        self.condition(" HAVING ", having)?;
        self.named_windows(named_window)?;
        self.condition(" QUALIFY ", qualify)
    }

    fn distinct(&mut self, distinct: Option<&Distinct>) -> Result<(), Refused> {
        match distinct {
            None | Some(Distinct::All) => {}
            Some(Distinct::Distinct) => self.word("DISTINCT "),
            Some(Distinct::On(columns)) => {
                self.word("DISTINCT ON (");
                self.list(columns, ", ", Self::expression)?;
                self.word(") ");
            }
        }
        Ok(())
    }

    fn condition(&mut self, word: &'static str, condition: Option<&Expr>) -> Result<(), Refused> {
        if let Some(condition) = condition {
            self.word(word);
            self.expression(condition)?;
        }
        Ok(())
    }

    fn named_windows(&mut self, windows: &[NamedWindowDefinition]) -> Result<(), Refused> {
        if windows.is_empty() {
            return Ok(());
        }
        self.word(" WINDOW ");
        self.list(windows, ", ", |p, NamedWindowDefinition(name, window)| {
            p.ident(name)?;
            p.word(" AS ");
            match window {
                NamedWindowExpr::NamedWindow(_) => no("a window that is only another name"),
                NamedWindowExpr::WindowSpec(spec) => p.window(spec),
            }
        })
    }

    fn item(&mut self, item: &SelectItem) -> Result<(), Refused> {
        match item {
            SelectItem::UnnamedExpr(expression) => self.unnamed(expression),
            SelectItem::ExprWithAlias { expr, alias } => {
                self.expression(expr)?;
                self.word(" AS ");
                self.ident(alias)
            }
            SelectItem::ExprWithAliases { expr: _, aliases: _ } => no("several aliases of one column"),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                self.dotted(&parts(name)?)?;
                self.word(".");
                self.wildcard(options)
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _) => no("* after an expression"),
            SelectItem::Wildcard(options) => self.wildcard(options),
        }
    }

    /// `displayName()` names the host in the engine, and is answered here, under the name the engine would give it.
    fn unnamed(&mut self, expression: &Expr) -> Result<(), Refused> {
        self.expression(expression)?;
        if self.out.ends_with("'auscult'")
            && matches!(expression, Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("displayName"))
        {
            self.word(" AS `displayName()`");
        }
        Ok(())
    }

    fn wildcard(&mut self, options: &WildcardAdditionalOptions) -> Result<(), Refused> {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        let odd = opt_ilike.is_some() || opt_exclude.is_some() || opt_replace.is_some() || opt_rename.is_some();
        if odd || opt_alias.is_some() {
            return no("APPLY, REPLACE, ILIKE or an alias after *");
        }
        self.word("*");
        if let Some(ExceptSelectItem { first_element, additional_elements }) = opt_except {
            self.word(" EXCEPT (");
            self.ident(first_element)?;
            for name in additional_elements {
                self.word(", ");
                self.ident(name)?;
            }
            self.word(")");
        }
        Ok(())
    }

    fn group_by(&mut self, group_by: &GroupByExpr) -> Result<(), Refused> {
        let modifiers = match group_by {
            GroupByExpr::All(modifiers) => {
                self.word(" GROUP BY ALL");
                modifiers
            }
            GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty() => return Ok(()),
            GroupByExpr::Expressions(keys, modifiers) => {
                self.word(" GROUP BY ");
                if let [Expr::GroupingSets(sets)] = &keys[..] {
                    self.word("GROUPING SETS (");
                    self.list(sets, ", ", |p, set| {
                        p.word("(");
                        p.list(set, ", ", Self::expression)?;
                        p.word(")");
                        Ok(())
                    })?;
                    self.word(")");
                } else {
                    self.list(keys, ", ", Self::expression)?;
                }
                modifiers
            }
        };
        for modifier in modifiers {
            self.word(match modifier {
                GroupByWithModifier::Rollup => " WITH ROLLUP",
                GroupByWithModifier::Cube => " WITH CUBE",
                GroupByWithModifier::Totals => " WITH TOTALS",
                GroupByWithModifier::GroupingSets(_) => return no("GROUPING SETS after GROUP BY"),
            });
        }
        Ok(())
    }

    fn order_by(&mut self, order_by: &OrderBy) -> Result<(), Refused> {
        let OrderBy { kind, interpolate } = order_by;
        self.word(" ORDER BY ");
        match kind {
            OrderByKind::All(options) => {
                self.word("ALL");
                self.order_options(options)?;
            }
            OrderByKind::Expressions(keys) => self.list(keys, ", ", Self::order_key)?,
        }
        if let Some(Interpolate { exprs }) = interpolate {
            self.word(" INTERPOLATE");
            if let Some(columns) = exprs {
                self.word(" (");
                self.list(columns, ", ", |p, InterpolateExpr { column, expr }| {
                    p.ident(column)?;
                    if let Some(expr) = expr {
                        p.word(" AS ");
                        p.expression(expr)?;
                    }
                    Ok(())
                })?;
                self.word(")");
            }
        }
        Ok(())
    }

    fn order_options(&mut self, options: &OrderByOptions) -> Result<(), Refused> {
        let OrderByOptions { sort, nulls_first } = options;
        match sort {
            None => {}
            Some(OrderBySort::Asc) => self.word(" ASC"),
            Some(OrderBySort::Desc) => self.word(" DESC"),
            Some(OrderBySort::Using(_)) => return no("ORDER BY ... USING"),
        }
        match nulls_first {
            None => {}
            Some(true) => self.word(" NULLS FIRST"),
            Some(false) => self.word(" NULLS LAST"),
        }
        Ok(())
    }

    pub(super) fn order_key(&mut self, key: &OrderByExpr) -> Result<(), Refused> {
        let OrderByExpr { expr, options, with_fill } = key;
        self.expression(expr)?;
        self.order_options(options)?;
        if let Some(WithFill { from, to, step }) = with_fill {
            self.word(" WITH FILL");
            for (word, bound) in [(" FROM ", from), (" TO ", to), (" STEP ", step)] {
                if let Some(bound) = bound {
                    self.word(word);
                    self.expression(bound)?;
                }
            }
        }
        Ok(())
    }

    fn limit(&mut self, limit: &LimitClause) -> Result<(), Refused> {
        match limit {
            LimitClause::OffsetCommaLimit { offset, limit } => {
                self.word(" LIMIT ");
                self.expression(limit)?;
                self.word(" OFFSET ");
                self.expression(offset)
            }
            LimitClause::LimitOffset { limit, offset, limit_by } => {
                if let Some(limit) = limit {
                    self.word(" LIMIT ");
                    self.expression(limit)?;
                }
                if let Some(Offset { value, rows: _ }) = offset {
                    self.word(" OFFSET ");
                    self.expression(value)?;
                }
                if !limit_by.is_empty() {
                    if limit.is_none() {
                        return Err(Refused::syntax("BY needs a LIMIT"));
                    }
                    self.word(" BY ");
                    self.list(limit_by, ", ", Self::expression)?;
                }
                Ok(())
            }
        }
    }
}

/// The clauses of a SELECT that are printed.
struct SelectClauses<'a> {
    distinct: Option<&'a Distinct>,
    projection: &'a [SelectItem],
    from: &'a [TableWithJoins],
    prewhere: Option<&'a Expr>,
    selection: Option<&'a Expr>,
    group_by: &'a GroupByExpr,
    having: Option<&'a Expr>,
    named_window: &'a [NamedWindowDefinition],
    qualify: Option<&'a Expr>,
}

impl<'a> SelectClauses<'a> {
    /// Refuses a SELECT with any other clause. Every field is named, so that a clause that the parser learns is refused or printed,
    /// and never left out in silence.
    fn of(select: &'a Select) -> Result<SelectClauses<'a>, Refused> {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        let odd = !optimizer_hints.is_empty()
            || select_modifiers.is_some()
            || top.is_some()
            || exclude.is_some()
            || into.is_some()
            || !lateral_views.is_empty()
            || !connect_by.is_empty()
            || !cluster_by.is_empty()
            || !distribute_by.is_empty()
            || !sort_by.is_empty()
            || value_table_mode.is_some();
        if odd || !matches!(flavor, SelectFlavor::Standard) {
            return no("a clause of SELECT that ClickHouse does not have, INTO or FROM before SELECT");
        }
        Ok(SelectClauses {
            distinct: distinct.as_ref(),
            projection,
            from,
            prewhere: prewhere.as_ref(),
            selection: selection.as_ref(),
            group_by,
            having: having.as_ref(),
            named_window,
            qualify: qualify.as_ref(),
        })
    }
}

/// The expression of a CTE that the token pass made from `WITH expression AS name`.
fn marked(query: &Query) -> Option<&Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    match &select.projection[..] {
        [
            SelectItem::UnnamedExpr(Expr::Value(ValueWithSpan { value: Value::Placeholder(mark), span: _ })),
            SelectItem::UnnamedExpr(expression),
        ] if mark == WITH_MARK && select.from.is_empty() && select.selection.is_none() => Some(expression),
        _ => None,
    }
}
