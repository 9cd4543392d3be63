//! Expressions: each operation in parentheses, each function from the list.

use super::literal::unescape;
use super::tokens::PARAMETER_MARK;
use super::{Printer, Refused, no, one_line};
use sqlparser::ast::*;

impl Printer<'_> {
    pub(super) fn expression(&mut self, expression: &Expr) -> Result<(), Refused> {
        self.nested(|p| p.expression_in(expression))
    }

    fn expression_in(&mut self, expression: &Expr) -> Result<(), Refused> {
        match expression {
            Expr::Identifier(name) => self.name(name),
            Expr::CompoundIdentifier(names) => self.dotted(&names.iter().collect::<Vec<_>>()),
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Expr::Nested(inner) => self.expression(inner),
            Expr::Value(value) => self.value(value),
            Expr::Tuple(items) => self.tuple(items),
            Expr::Array(Array { elem, named: false }) => {
                self.word("[");
                self.list(elem, ", ", Self::expression)?;
                self.word("]");
                Ok(())
            }
            Expr::IsNull(inner) => self.postfix(inner, " IS NULL)"),
            Expr::IsNotNull(inner) => self.postfix(inner, " IS NOT NULL)"),
            Expr::IsDistinctFrom(a, b) => self.call_of("isDistinctFrom(", &[a, b]),
            Expr::IsNotDistinctFrom(a, b) => self.call_of("isNotDistinctFrom(", &[a, b]),
            Expr::BinaryOp { left: _, op: BinaryOperator::And | BinaryOperator::Or, right: _ } => {
                self.chain(expression)
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => self.expression(expr),
            Expr::UnaryOp { op, expr } => {
                self.word(match op {
                    UnaryOperator::Minus => "(-",
                    UnaryOperator::Not => "(NOT ",
                    _ => return no("this prefix operator"),
                });
                // A second sign comes in its own parentheses, so that two never make a comment.
                self.expression(expr)?;
                self.word(")");
                Ok(())
            }
            Expr::Between { expr, negated, low, high } => {
                self.word("(");
                self.expression(expr)?;
                self.word(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.expression(low)?;
                self.word(" AND ");
                self.expression(high)?;
                self.word(")");
                Ok(())
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.short_needle("LIKE", pattern)?;
                self.operation(expr, if *negated { " NOT LIKE " } else { " LIKE " }, pattern)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.short_needle("ILIKE", pattern)?;
                self.operation(expr, if *negated { " NOT ILIKE " } else { " ILIKE " }, pattern)
            }
            Expr::RLike { negated: false, expr, pattern, regexp: _ } => {
                self.short_needle("REGEXP", pattern)?;
                self.call_of("match(", &[expr, pattern])
            }
            Expr::In { expr, target, negated, global: false } => self.in_list(expr, target, *negated),
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.word("(CASE");
                if let Some(operand) = operand {
                    self.word(" ");
                    self.expression(operand)?;
                }
                for CaseWhen { condition, result } in conditions {
                    self.word(" WHEN ");
                    self.expression(condition)?;
                    self.word(" THEN ");
                    self.expression(result)?;
                }
                if let Some(result) = else_result {
                    self.word(" ELSE ");
                    self.expression(result)?;
                }
                self.word(" END)");
                Ok(())
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None } => {
                let data_type = self.type_text(data_type)?;
                self.cast(expr, &data_type)
            }
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }) => {
                let name = match data_type {
                    DataType::Date => "toDate(",
                    DataType::Timestamp(None, TimezoneInfo::None) | DataType::Datetime(None) => "toDateTime(",
                    _ => return no("a literal with a type before it"),
                };
                self.word(name);
                self.value(value)?;
                self.word(")");
                Ok(())
            }
            Expr::Interval(interval) => self.interval(interval),
            Expr::Extract { field, syntax: ExtractSyntax::From, expr } => {
                self.word(match field {
                    DateTimeField::Year => "toYear(",
                    DateTimeField::Quarter => "toQuarter(",
                    DateTimeField::Month => "toMonth(",
                    DateTimeField::Day => "toDayOfMonth(",
                    DateTimeField::Hour => "toHour(",
                    DateTimeField::Minute => "toMinute(",
                    DateTimeField::Second => "toSecond(",
                    _ => return no("this part of a time"),
                });
                self.expression(expr)?;
                self.word(")");
                Ok(())
            }
            Expr::Ceil { expr, field } => self.rounded("ceil(", expr, field),
            Expr::Floor { expr, field } => self.rounded("floor(", expr, field),
            Expr::Position { expr, r#in } => {
                self.short_needle("POSITION", expr)?;
                self.call_of("position(", &[r#in, expr])
            }
            Expr::Substring { expr, substring_from: Some(from), substring_for, special: _, shorthand: _ } => {
                match substring_for {
                    Some(length) => self.call_of("substring(", &[expr, from, length]),
                    None => self.call_of("substring(", &[expr, from]),
                }
            }
            Expr::Trim { trim_where, trim_what: None, expr, trim_characters } => {
                let name = match (trim_where, trim_characters.as_deref()) {
                    (None | Some(TrimWhereField::Both), None) => "trimBoth(",
                    (Some(TrimWhereField::Leading), None) => "trimLeft(",
                    (Some(TrimWhereField::Trailing), None) => "trimRight(",
                    (None, Some([characters])) => return self.call_of("trimBoth(", &[expr, characters]),
                    _ => return no("this form of trim"),
                };
                self.call_of(name, &[expr])
            }
            Expr::Exists { subquery, negated } => {
                self.word(if *negated { "(NOT EXISTS " } else { "(EXISTS " });
                self.subquery(subquery)?;
                self.word(")");
                Ok(())
            }
            Expr::Subquery(query) => self.subquery(query),
            Expr::Function(function) => self.function(function),
            Expr::Lambda(_) => no("a lambda outside the arguments of a function"),
            _ => no("this kind of expression"),
        }
    }

    fn name(&mut self, name: &Ident) -> Result<(), Refused> {
        if name.quote_style.is_none() {
            for number in ["inf", "nan"] {
                if name.value.eq_ignore_ascii_case(number) {
                    self.word(number);
                    return Ok(());
                }
            }
        }
        self.ident(name)
    }

    /// `table.column` or a column and what is inside it.
    pub(super) fn dotted(&mut self, names: &[&Ident]) -> Result<(), Refused> {
        let [first, rest @ ..] = names else { return Err(Refused::syntax("a name is expected")) };
        // The parts of a dotted name are looked up together, never as a function.
        self.ident(first)?;
        for name in rest {
            self.word(".");
            self.ident(name)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &ValueWithSpan) -> Result<(), Refused> {
        let ValueWithSpan { value, span: _ } = value;
        match value {
            Value::Number(text, false) => self.number(text),
            Value::SingleQuotedString(raw) => {
                let value = unescape(raw).ok_or_else(|| {
                    Refused::syntax("an escape in a string is cut short, or the string is not UTF-8 (use unhex())")
                })?;
                self.string(&value);
                Ok(())
            }
            Value::Boolean(true) => {
                self.word("true");
                Ok(())
            }
            Value::Boolean(false) => {
                self.word("false");
                Ok(())
            }
            Value::Null => {
                self.word("NULL");
                Ok(())
            }
            Value::Placeholder(name) => {
                let number = name.strip_prefix(PARAMETER_MARK).and_then(|n| n.parse::<usize>().ok());
                let text = number.and_then(|n| self.substitutes.get(n)).filter(|text| text.starts_with("CAST("));
                let text = text.ok_or_else(|| Refused::syntax(format!("{} is not expected", one_line(name))))?.clone();
                self.out.push_str(&text);
                Ok(())
            }
            _ => no("this form of a literal"),
        }
    }

    fn tuple(&mut self, items: &[Expr]) -> Result<(), Refused> {
        self.word(if items.len() < 2 { "tuple(" } else { "(" });
        self.list(items, ", ", Self::expression)?;
        self.word(")");
        Ok(())
    }

    fn postfix(&mut self, inner: &Expr, word: &'static str) -> Result<(), Refused> {
        self.word("(");
        self.expression(inner)?;
        self.word(word);
        Ok(())
    }

    fn operation(&mut self, left: &Expr, word: &'static str, right: &Expr) -> Result<(), Refused> {
        self.word("(");
        self.expression(left)?;
        self.word(word);
        self.expression(right)?;
        self.word(")");
        Ok(())
    }

    /// `name(` with its arguments; the name is one of the list.
    fn call_of(&mut self, name: &'static str, arguments: &[&Expr]) -> Result<(), Refused> {
        self.word(name);
        self.list(arguments, ", ", |p, argument| p.expression(argument))?;
        self.word(")");
        Ok(())
    }

    /// A chain of ANDs, or of ORs, which is as deep to the left as it is long.
    fn chain(&mut self, expression: &Expr) -> Result<(), Refused> {
        let Expr::BinaryOp { left: _, op: kind, right: _ } = expression else { return no("an operator") };
        let mut operands = Vec::new();
        let mut first = expression;
        while let Expr::BinaryOp { left, op, right } = first {
            if op != kind {
                break;
            }
            operands.push(right.as_ref());
            first = left;
        }
        let word = if *kind == BinaryOperator::And { " AND " } else { " OR " };
        self.word("(");
        self.expression(first)?;
        for operand in operands.into_iter().rev() {
            self.word(word);
            self.expression(operand)?;
        }
        self.word(")");
        Ok(())
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<(), Refused> {
        let word = match op {
            BinaryOperator::Plus => " + ",
            BinaryOperator::Minus => " - ",
            BinaryOperator::Multiply => " * ",
            BinaryOperator::Divide => " / ",
            BinaryOperator::Modulo => " % ",
            BinaryOperator::StringConcat => " || ",
            BinaryOperator::Gt => " > ",
            BinaryOperator::Lt => " < ",
            BinaryOperator::GtEq => " >= ",
            BinaryOperator::LtEq => " <= ",
            BinaryOperator::Eq => " = ",
            BinaryOperator::NotEq => " != ",
            BinaryOperator::Spaceship => return self.call_of("isNotDistinctFrom(", &[left, right]),
            BinaryOperator::Xor => return self.call_of("xor(", &[left, right]),
            BinaryOperator::MyIntegerDivide => return self.call_of("intDiv(", &[left, right]),
            _ => return no("this operator"),
        };
        self.operation(left, word, right)
    }

    /// `x IN (constants)` or `x IN (subquery)`. An identifier is refused there: it could name a table.
    fn in_list(&mut self, left: &Expr, target: &InTarget, negated: bool) -> Result<(), Refused> {
        self.word("(");
        let mut inner = left;
        while let Expr::Nested(deeper) = inner {
            inner = deeper;
        }
        if matches!(inner, Expr::CompoundIdentifier(_)) {
            // The engine looks `a.b` before IN up as a table, too, and says whether it is there.
            self.word("identity(");
            self.expression(inner)?;
            self.word(")");
        } else {
            self.expression(left)?;
        }
        self.word(if negated { " NOT IN " } else { " IN " });
        match target {
            InTarget::Subquery(query) => self.subquery(query)?,
            InTarget::List(items) if !items.is_empty() => {
                for item in items {
                    self.nested(|_| constant(item, 0))?;
                }
                self.word("(");
                self.list(items, ", ", Self::expression)?;
                self.word(")");
            }
            InTarget::List(_) | InTarget::Unnest(_) | InTarget::Table { name: _, args: _ } => {
                return no("IN over anything but constants or a subquery");
            }
        }
        self.word(")");
        Ok(())
    }

    fn cast(&mut self, expression: &Expr, data_type: &str) -> Result<(), Refused> {
        self.word("CAST(");
        self.expression(expression)?;
        self.word(", ");
        self.string(data_type);
        self.word(")");
        Ok(())
    }

    fn interval(&mut self, interval: &Interval) -> Result<(), Refused> {
        let Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } = interval;
        if leading_precision.is_some() || last_field.is_some() || fractional_seconds_precision.is_some() {
            return no("this form of INTERVAL");
        }
        let name = match leading_field {
            Some(DateTimeField::Nanosecond | DateTimeField::Nanoseconds) => "toIntervalNanosecond(",
            Some(DateTimeField::Microsecond | DateTimeField::Microseconds) => "toIntervalMicrosecond(",
            Some(DateTimeField::Millisecond | DateTimeField::Milliseconds) => "toIntervalMillisecond(",
            Some(DateTimeField::Second | DateTimeField::Seconds) => "toIntervalSecond(",
            Some(DateTimeField::Minute | DateTimeField::Minutes) => "toIntervalMinute(",
            Some(DateTimeField::Hour | DateTimeField::Hours) => "toIntervalHour(",
            Some(DateTimeField::Day | DateTimeField::Days) => "toIntervalDay(",
            Some(DateTimeField::Week(None) | DateTimeField::Weeks) => "toIntervalWeek(",
            Some(DateTimeField::Month | DateTimeField::Months) => "toIntervalMonth(",
            Some(DateTimeField::Quarter) => "toIntervalQuarter(",
            Some(DateTimeField::Year | DateTimeField::Years) => "toIntervalYear(",
            _ => return no("this unit of INTERVAL"),
        };
        self.call_of(name, &[value])
    }

    fn rounded(&mut self, name: &'static str, expr: &Expr, field: &CeilFloorKind) -> Result<(), Refused> {
        self.word(name);
        self.expression(expr)?;
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {}
            CeilFloorKind::Scale(scale) => {
                self.word(", ");
                self.value(scale)?;
            }
            CeilFloorKind::DateTimeField(_) => return no("rounding to a part of a time"),
        }
        self.word(")");
        Ok(())
    }

    /// `a[1]`, `a.1`, `f(x).1`, as the calls they stand for.
    fn access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Result<(), Refused> {
        // `table.column[1]`: the leading names stay a name.
        let start = self.out.len();
        self.expression(root)?;
        let mut named = matches!(root, Expr::Identifier(_));
        for access in chain {
            let so_far = self.out.split_off(start);
            match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    self.word("arrayElement(");
                    self.out.push_str(&so_far);
                    self.word(", ");
                    self.expression(index)?;
                    self.word(")");
                    named = false;
                }
                AccessExpr::Dot(Expr::Value(ValueWithSpan { value: Value::Number(index, false), span: _ })) => {
                    self.word("tupleElement(");
                    self.out.push_str(&so_far);
                    self.word(", ");
                    self.number(index)?;
                    self.word(")");
                    named = false;
                }
                AccessExpr::Dot(Expr::Identifier(name)) if named => {
                    self.out.push_str(&so_far);
                    self.word(".");
                    self.ident(name)?;
                }
                AccessExpr::Dot(Expr::Identifier(name)) => {
                    self.word("tupleElement(");
                    self.out.push_str(&so_far);
                    self.word(", ");
                    let name = super::literal::identifier(name, self.names)?;
                    self.string(name);
                    self.word(")");
                }
                AccessExpr::Dot(_)
                | AccessExpr::Subscript(Subscript::Slice { lower_bound: _, upper_bound: _, stride: _ }) => {
                    return no("this access to a part of a value");
                }
            }
            if self.out.len() > super::MAX_PRINTED {
                return Err(Refused::too_large("the statement is too long in full"));
            }
        }
        Ok(())
    }
}

/// Whether an expression is made of literals and functions of literals alone: it has no name in it.
pub(super) fn constant(expression: &Expr, depth: usize) -> Result<(), Refused> {
    let deeper = |e: &Expr| constant(e, depth + 1);
    let named = || no("a name where only constants can stand");
    if depth > super::MAX_BRACKETS {
        return Err(Refused::too_large("constants nest too deep"));
    }
    match expression {
        Expr::Value(_) | Expr::TypedString(_) => Ok(()),
        Expr::Nested(inner) | Expr::UnaryOp { op: _, expr: inner } => deeper(inner),
        Expr::Cast { kind: _, expr, data_type: _, format: _ } => deeper(expr),
        Expr::Tuple(items) | Expr::Array(Array { elem: items, named: _ }) => items.iter().try_for_each(deeper),
        Expr::BinaryOp { left, op: _, right } => deeper(left).and_then(|()| deeper(right)),
        Expr::Interval(interval) => deeper(&interval.value),
        Expr::Function(Function {
            name: _,
            args: FunctionArguments::List(list),
            parameters: FunctionArguments::None,
            ..
        }) => list.args.iter().try_for_each(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => deeper(expression),
            _ => named(),
        }),
        _ => named(),
    }
}
