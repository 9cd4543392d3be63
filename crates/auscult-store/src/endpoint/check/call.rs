//! Calls of listed functions: arguments, lambdas, windows.

use super::expression::constant;
use super::functions::{Listed, free_arguments, listed, needs_short_array, short_needle_at};
use super::literal::{parts, unescape};
use super::tokens::PARAMETER_MARK;
use super::{Printer, Refused, no, one_line, types};
use sqlparser::ast::*;

/// Longest array that may be searched for each element of another.
const SHORT_ARRAY: usize = 1000;

/// Longest text that may be searched for or matched, bytes.
const SHORT_NEEDLE: usize = 1024;

impl Printer<'_> {
    /// A function of ARRAY JOIN.
    pub(super) fn array_call(&mut self, name: &ObjectName, args: &[FunctionArg]) -> Result<(), Refused> {
        let [name] = parts(name)?[..] else { return no("a function name with a dot") };
        match listed(&name.value) {
            Listed::Unrestricted(found) => self.nested(|p| p.call(found, args)),
            Listed::Aggregate(_, _) | Listed::Window(_) | Listed::No => not_listed(&name.value),
        }
    }

    pub(super) fn function(&mut self, function: &Function) -> Result<(), Refused> {
        let call = FunctionCall::of(function)?;
        match listed(&call.name.value) {
            Listed::No => not_listed(&call.name.value),
            Listed::Unrestricted("displayName")
                if call.args.is_empty() && call.parameters.is_none() && call.over.is_none() =>
            {
                self.string("auscult");
                Ok(())
            }
            Listed::Unrestricted(found) if call.is_plain() => self.call(found, call.args),
            Listed::Unrestricted(found) => no(&format!("parameters, DISTINCT or OVER with {found}()")),
            Listed::Window(found) => {
                self.word(found);
                self.aggregate_call(&call)
            }
            Listed::Aggregate(base, suffixes) => {
                self.word(base);
                suffixes.into_iter().for_each(|suffix| self.word(suffix));
                self.aggregate_call(&call)
            }
        }
    }

    /// What follows the name of a function that aggregates rows or runs over a window.
    fn aggregate_call(&mut self, call: &FunctionCall<'_>) -> Result<(), Refused> {
        if let Some(parameters) = call.parameters {
            self.word("(");
            self.list(parameters, ", ", |p, parameter| match parameter {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                    constant(expression, 0)?;
                    p.expression(expression)
                }
                _ => no("this parameter of an aggregate function"),
            })?;
            self.word(")");
        }
        self.word("(");
        self.word(if call.distinct { "DISTINCT " } else { "" });
        if !matches!(call.args, [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) {
            self.list(call.args, ", ", Self::argument)?;
        }
        self.word(")");
        match call.null_treatment {
            None => {}
            Some(NullTreatment::IgnoreNulls) => self.word(" IGNORE NULLS"),
            Some(NullTreatment::RespectNulls) => self.word(" RESPECT NULLS"),
        }
        self.over(call.over)
    }

    fn over(&mut self, over: Option<&WindowType>) -> Result<(), Refused> {
        match over {
            None => Ok(()),
            Some(WindowType::NamedWindow(window)) => {
                self.word(" OVER ");
                self.ident(window)
            }
            Some(WindowType::WindowSpec(spec)) => {
                self.word(" OVER ");
                self.window(spec)
            }
        }
    }

    /// A text that is searched for or matched has to be a short literal: the cost grows with the product of both lengths.
    pub(super) fn short_needle(&self, name: &str, needle: &Expr) -> Result<(), Refused> {
        match needle {
            Expr::Nested(inner) => self.short_needle(name, inner),
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(raw), span: _ })
                if raw.len() <= SHORT_NEEDLE =>
            {
                Ok(())
            }
            Expr::Value(ValueWithSpan { value: Value::Placeholder(mark), span: _ }) if self.is_short(mark) => Ok(()),
            _ => no(&format!("a text to look for in {name} that is computed or longer than {SHORT_NEEDLE} bytes")),
        }
    }

    fn is_short(&self, mark: &str) -> bool {
        let number = mark.strip_prefix(PARAMETER_MARK).and_then(|n| n.parse::<usize>().ok());
        number.and_then(|n| self.substitutes.get(n)).is_some_and(|text| text.len() <= SHORT_NEEDLE)
    }

    /// A function of one row, with the rules for its arguments.
    fn call(&mut self, name: &'static str, args: &[FunctionArg]) -> Result<(), Refused> {
        if let Some(free) = free_arguments(name) {
            for arg in args.iter().skip(free) {
                literal_argument(name, arg)?;
            }
        }
        if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(needle))) =
            short_needle_at(name).and_then(|at| args.get(at))
        {
            self.short_needle(name, needle)?;
        }
        if needs_short_array(name) && !args.iter().any(is_short_array) {
            return no(&format!("{name}() without an array of up to {SHORT_ARRAY} constants as one of its arguments"));
        }
        if name.starts_with("array") || name.starts_with("map") {
            // The rules for arguments would not hold for a function that is only named.
            if let Some(named) = args.iter().find_map(|arg| self.named_function(arg)) {
                return no(&format!("the function {} by its name in {name}(): write a lambda,", one_line(named)));
            }
        }
        let typed = name == "CAST" || name.starts_with("accurateCast");
        if name == "CAST" && args.len() != 2 {
            return Err(Refused::syntax("CAST takes a value and a type"));
        }
        self.word(name);
        self.word("(");
        self.list_indexed(args, |p, i, arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(ValueWithSpan {
                value: Value::SingleQuotedString(raw),
                span: _,
            }))) if typed && i == 1 => {
                let text = types::from_text(&unescape(raw).unwrap_or_default())?;
                p.string(&text);
                Ok(())
            }
            _ if typed && i == 1 => no("a type that is not written out"),
            arg => p.argument(arg),
        })?;
        self.word(")");
        Ok(())
    }

    /// The name of an engine function that stands alone as an argument.
    fn named_function<'a>(&self, arg: &'a FunctionArg) -> Option<&'a str> {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = arg else { return None };
        let mut expression = expression;
        while let Expr::Nested(inner) = expression {
            expression = inner;
        }
        match expression {
            Expr::Identifier(name) => {
                self.names.functions.contains(&name.value.to_ascii_lowercase()).then_some(name.value.as_str())
            }
            _ => None,
        }
    }

    fn list_indexed(
        &mut self,
        args: &[FunctionArg],
        mut f: impl FnMut(&mut Self, usize, &FunctionArg) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let mut i = 0;
        self.list(args, ", ", |p, arg| {
            f(p, i, arg)?;
            i += 1;
            Ok(())
        })
    }

    /// One argument, which may be a lambda.
    fn argument(&mut self, arg: &FunctionArg) -> Result<(), Refused> {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = arg else {
            return no("a named argument, or * in a function other than count");
        };
        let Expr::Lambda(LambdaFunction { params, body, syntax: LambdaSyntax::Arrow }) = expression else {
            return self.expression(expression);
        };
        let params = match params {
            OneOrManyWithParens::One(param) => std::slice::from_ref(param),
            OneOrManyWithParens::Many(params) => params.as_slice(),
        };
        self.word("(");
        self.list(params, ", ", |p, LambdaFunctionParameter { name, data_type }| match data_type {
            None => p.ident(name),
            Some(_) => no("a type on a parameter of a lambda"),
        })?;
        self.word(") -> ");
        self.expression(body)
    }

    /// A window in parentheses.
    pub(super) fn window(&mut self, spec: &WindowSpec) -> Result<(), Refused> {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        self.word("(");
        if let Some(name) = window_name {
            self.ident(name)?;
        }
        if !partition_by.is_empty() {
            self.word(" PARTITION BY ");
            self.list(partition_by, ", ", Self::expression)?;
        }
        if !order_by.is_empty() {
            self.word(" ORDER BY ");
            self.list(order_by, ", ", Self::order_key)?;
        }
        if let Some(WindowFrame { units, start_bound, end_bound }) = window_frame {
            self.word(match units {
                WindowFrameUnits::Rows => " ROWS",
                WindowFrameUnits::Range => " RANGE",
                WindowFrameUnits::Groups => return no("GROUPS in a window"),
            });
            if end_bound.is_some() {
                self.word(" BETWEEN");
            }
            self.bound(start_bound)?;
            if let Some(end) = end_bound {
                self.word(" AND");
                self.bound(end)?;
            }
        }
        self.word(")");
        Ok(())
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Result<(), Refused> {
        let (distance, word) = match bound {
            WindowFrameBound::CurrentRow => {
                self.word(" CURRENT ROW");
                return Ok(());
            }
            WindowFrameBound::Preceding(distance) => (distance, " PRECEDING"),
            WindowFrameBound::Following(distance) => (distance, " FOLLOWING"),
        };
        match distance {
            None => self.word(" UNBOUNDED"),
            Some(distance) => {
                self.word(" ");
                self.expression(distance)?;
            }
        }
        self.word(word);
        Ok(())
    }
}

/// A call in the syntax that ClickHouse has, without clauses of other dialects.
struct FunctionCall<'a> {
    name: &'a Ident,
    /// Of an aggregate function: `quantile(0.5)(x)`.
    parameters: Option<&'a [FunctionArg]>,
    distinct: bool,
    args: &'a [FunctionArg],
    null_treatment: Option<NullTreatment>,
    over: Option<&'a WindowType>,
}

impl<'a> FunctionCall<'a> {
    fn of(function: &'a Function) -> Result<FunctionCall<'a>, Refused> {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment, over } =
            function;
        if *uses_odbc_syntax || !within_group.is_empty() || filter.is_some() {
            return no("WITHIN GROUP, FILTER or ODBC syntax");
        }
        let [name] = parts(name)?[..] else { return no("a function name with a dot") };
        if name.quote_style.is_some() {
            return no("a function name in quotes");
        }
        let FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) = args else {
            return no("a function without parentheses, or with a query as its argument");
        };
        if !clauses.is_empty() {
            return no("a clause among the arguments of a function");
        }
        let parameters = match parameters {
            FunctionArguments::None => None,
            FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses })
                if clauses.is_empty() =>
            {
                Some(args.as_slice())
            }
            FunctionArguments::List(_) | FunctionArguments::Subquery(_) => return no("these parameters of a function"),
        };
        Ok(FunctionCall {
            name,
            parameters,
            distinct: matches!(duplicate_treatment, Some(DuplicateTreatment::Distinct)),
            args,
            null_treatment: *null_treatment,
            over: over.as_ref(),
        })
    }

    /// Only a name and arguments.
    fn is_plain(&self) -> bool {
        self.parameters.is_none() && !self.distinct && self.over.is_none() && self.null_treatment.is_none()
    }
}

fn not_listed<T>(name: &str) -> Result<T, Refused> {
    Err(Refused::denied(format!("the function {} is not one that a reader may call", one_line(name))))
}

/// A literal in a place where the engine takes a time zone, a format of times or a data type.
fn literal_argument(function: &str, arg: &FunctionArg) -> Result<(), Refused> {
    let computed = || {
        let text = format!("{function}() takes a time zone, a format or a type here, which has to be written out");
        Err(Refused::denied(text))
    };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = arg else { return computed() };
    match expression {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(raw), span: _ }) => {
            let text = unescape(raw).unwrap_or_default();
            if text.trim_start().to_ascii_lowercase().starts_with("file:") {
                return Err(Refused::denied(format!("{} is not the name of a time zone", one_line(&text))));
            }
            Ok(())
        }
        Expr::Value(ValueWithSpan { value: Value::Number(_, _) | Value::Null | Value::Boolean(_), span: _ }) => Ok(()),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } if matches!(expr.as_ref(), Expr::Value(_)) => Ok(()),
        Expr::Interval(Interval { value, .. }) if matches!(value.as_ref(), Expr::Value(_)) => Ok(()),
        _ => computed(),
    }
}

fn is_short_array(arg: &FunctionArg) -> bool {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Array(Array { elem, named: _ }))) => elem.len() <= SHORT_ARRAY,
        _ => false,
    }
}
