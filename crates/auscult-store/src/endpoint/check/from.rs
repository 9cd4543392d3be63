//! FROM: tables of the store, subqueries, JOIN and ARRAY JOIN.

use super::literal::{identifier, parts};
use super::{Printer, Refused, no, one_line};
use sqlparser::ast::*;

impl Printer<'_> {
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<(), Refused> {
        if from.is_empty() {
            return Ok(());
        }
        self.word(" FROM ");
        // After ARRAY JOIN a comma separates arrays, where the parser sees further tables.
        let mut arrays = false;
        self.list(from, ", ", |p, TableWithJoins { relation, joins }| {
            if arrays {
                p.array(relation)?;
            } else {
                p.factor(relation)?;
            }
            for Join { relation, global, join_operator } in joins {
                if *global {
                    return no("GLOBAL JOIN");
                }
                let array_join = match join_operator {
                    JoinOperator::ArrayJoin | JoinOperator::InnerArrayJoin => Some(" ARRAY JOIN "),
                    JoinOperator::LeftArrayJoin => Some(" LEFT ARRAY JOIN "),
                    _ => None,
                };
                if let Some(word) = array_join {
                    p.word(word);
                    p.array(relation)?;
                    arrays = true;
                    continue;
                }
                if arrays {
                    return no("a JOIN after ARRAY JOIN: use a subquery");
                }
                p.join(relation, join_operator)?;
            }
            Ok(())
        })
    }

    fn join(&mut self, relation: &TableFactor, operator: &JoinOperator) -> Result<(), Refused> {
        let (word, constraint) = match operator {
            JoinOperator::Join(c) | JoinOperator::Inner(c) => (" INNER JOIN ", c),
            JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (" LEFT JOIN ", c),
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (" RIGHT JOIN ", c),
            JoinOperator::FullOuter(c) => (" FULL JOIN ", c),
            JoinOperator::CrossJoin(c) => (" CROSS JOIN ", c),
            JoinOperator::LeftSemi(c) | JoinOperator::Semi(c) => (" LEFT SEMI JOIN ", c),
            JoinOperator::RightSemi(c) => (" RIGHT SEMI JOIN ", c),
            JoinOperator::LeftAnti(c) | JoinOperator::Anti(c) => (" LEFT ANTI JOIN ", c),
            JoinOperator::RightAnti(c) => (" RIGHT ANTI JOIN ", c),
            JoinOperator::CrossApply
            | JoinOperator::OuterApply
            | JoinOperator::AsOf { match_condition: _, constraint: _ }
            | JoinOperator::StraightJoin(_)
            | JoinOperator::ArrayJoin
            | JoinOperator::LeftArrayJoin
            | JoinOperator::InnerArrayJoin => return no("this kind of JOIN"),
        };
        self.word(word);
        self.factor(relation)?;
        match constraint {
            JoinConstraint::On(condition) => {
                self.word(" ON ");
                self.expression(condition)
            }
            JoinConstraint::Using(columns) => {
                self.word(" USING (");
                self.list(columns, ", ", |p, name| match parts(name)?[..] {
                    [column] => p.ident(column),
                    _ => no("a dotted name in USING"),
                })?;
                self.word(")");
                Ok(())
            }
            JoinConstraint::None if word == " CROSS JOIN " => Ok(()),
            JoinConstraint::None => Err(Refused::syntax("JOIN needs ON or USING")),
            JoinConstraint::UsingAlias(_, _) | JoinConstraint::Natural => no("NATURAL JOIN or an alias of USING"),
        }
    }

    /// A table or a subquery of FROM.
    fn factor(&mut self, factor: &TableFactor) -> Result<(), Refused> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_directives,
                inheritance,
            } => {
                if args.is_some() {
                    return no(&format!("the table function {}", one_line(&name.to_string())));
                }
                let odd = !with_hints.is_empty()
                    || version.is_some()
                    || *with_ordinality
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || sample.is_some()
                    || !index_directives.is_empty()
                    || inheritance.is_some();
                if odd {
                    return no("FINAL, SAMPLE or another addition to a table");
                }
                self.table(&parts(name)?, alias.as_ref())
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                if *lateral || sample.is_some() {
                    return no("LATERAL or SAMPLE");
                }
                self.subquery(subquery)?;
                self.alias(alias.as_ref(), None)
            }
            TableFactor::NestedJoin { table_with_joins: _, alias: _ }
            | TableFactor::TableFunction { expr: _, alias: _ }
            | TableFactor::Function { lateral: _, name: _, args: _, with_ordinality: _, alias: _ } => {
                no("a table function, or JOIN in parentheses")
            }
            _ => no("this kind of table"),
        }
    }

    fn table(&mut self, name: &[&Ident], alias: Option<&TableAlias>) -> Result<(), Refused> {
        self.tables += 1;
        if self.tables > super::MAX_TABLES {
            return Err(Refused::too_large(format!("the statement names more than {} tables", super::MAX_TABLES)));
        }
        let mut checked = Vec::with_capacity(2);
        for part in name {
            // `system.functions` and the like are looked up by name below.
            checked.push(identifier(part, self.names)?);
        }
        match checked[..] {
            [table] if self.ctes.iter().any(|cte| cte == table) => {
                self.quoted(table);
                self.alias(alias, None)
            }
            [table] => {
                self.check_table(table)?;
                self.stored(table);
                self.alias(alias, Some(table))
            }
            [database, table] if database.eq_ignore_ascii_case("system") && self.names.database != database => {
                self.system(table)?;
                self.alias(alias, Some(table))
            }
            [database, table] => {
                self.check_database(database)?;
                self.check_table(table)?;
                self.stored(table);
                self.alias(alias, Some(table))
            }
            _ => no("a table name of more than two parts"),
        }
    }

    /// ` AS name`; without an alias the name the table had, so that columns can still be qualified by it.
    fn alias(&mut self, alias: Option<&TableAlias>, own: Option<&str>) -> Result<(), Refused> {
        match alias {
            Some(TableAlias { explicit: _, name, columns, at }) => {
                if !columns.is_empty() || at.is_some() {
                    return no("an alias with columns");
                }
                // Words of ClickHouse that the parser takes for an alias.
                let meant =
                    ["ALL", "ANTI", "ANY", "ARRAY", "ASOF", "FINAL", "GLOBAL", "LOCAL", "PASTE", "SAMPLE", "SEMI"];
                if name.quote_style.is_none() && meant.contains(&name.value.to_ascii_uppercase().as_str()) {
                    return no(&format!("{} after a table", name.value.to_ascii_uppercase()));
                }
                self.word(" AS ");
                self.ident(name)
            }
            None => {
                if let Some(own) = own {
                    self.word(" AS ");
                    self.quoted(own);
                }
                Ok(())
            }
        }
    }

    /// An array of ARRAY JOIN, which the parser takes for a table.
    fn array(&mut self, relation: &TableFactor) -> Result<(), Refused> {
        let TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_directives,
            inheritance,
        } = relation
        else {
            return no("ARRAY JOIN over anything but a column or a function");
        };
        if !with_hints.is_empty()
            || version.is_some()
            || !partitions.is_empty()
            || !index_directives.is_empty()
            || inheritance.is_some()
        {
            return no("an addition to an array");
        }
        match args {
            None => self.dotted(&parts(name)?)?,
            Some(TableFunctionArgs { args, settings: None }) => self.array_call(name, args)?,
            Some(TableFunctionArgs { args: _, settings: Some(_) }) => return no("SETTINGS in a function"),
        }
        self.alias(alias.as_ref(), None)
    }
}
