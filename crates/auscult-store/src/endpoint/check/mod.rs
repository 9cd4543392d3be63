//! What a reader of the store endpoint may run: a statement is parsed, checked by allow-list, and printed anew.
//!
//! The caller's text never reaches the engine. [`check`] parses it with `sqlparser`, walks the whole tree, refuses
//! every construct that is not listed, and prints the statement from the checked tree: each byte of the result is a
//! static keyword, a function name from [`functions`], an identifier in back quotes, an escaped literal or a
//! validated number, and every operation is parenthesised. So it does not matter whether the engine would have read
//! the caller's text in another way than `sqlparser` does. Trees are taken apart field by field, without `..`, so
//! that a field which a newer `sqlparser` adds does not compile until it is decided on.
//!
//! Pure: no engine, no clock. The names of tables and engine functions are an argument.

mod call;
mod expression;
mod from;
pub mod functions;
mod literal;
mod query;
pub mod settings;
mod statement;
mod system;
#[cfg(test)]
mod tests;
mod tokens;
mod types;

use sqlparser::dialect::ClickHouseDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;
use std::collections::BTreeSet;

/// Longest statement, bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// Most tokens of a statement, blanks and comments not counted.
pub const MAX_TOKENS: usize = 30_000;
/// Deepest nesting of brackets.
pub const MAX_BRACKETS: usize = 64;
/// Deepest tree of expressions and subqueries; chains of AND, OR and UNION count once.
pub const MAX_DEPTH: usize = 250;
/// Longest printed statement, bytes.
pub const MAX_PRINTED: usize = 2 * 1024 * 1024;

/// Most tables that one statement names. The engine's analysis of joins costs more for each.
const MAX_TABLES: usize = 100;

/// Most clauses that begin with WITH.
const MAX_WITH: usize = 500;

/// How often the parser may call itself. Brackets cost it several calls each.
const PARSER_RECURSION: usize = 400;

/// Stack for parsing and printing. The deepest tree that [`MAX_TOKENS`] allow (a chain of operators, which the parser
/// builds without recursion, is as deep as it is long) is dropped recursively: 15,000 levels at under 2 KiB each.
/// Pages are touched only when they are used.
const STACK: usize = 256 * 1024 * 1024;

/// The names a statement is checked against.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The one database that may be read.
    pub database: String,
    /// Its tables and views.
    pub tables: BTreeSet<String>,
    /// Functions and table functions of the engine, in lower case.
    pub functions: BTreeSet<String>,
}

/// A statement that may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The text for the engine.
    pub sql: String,
    /// Settings of the statement's own SETTINGS clause, each of the list and in its range.
    pub settings: Vec<(String, String)>,
    /// The output format of the statement's own FORMAT clause.
    pub format: Option<&'static str>,
}

/// Why a statement may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not a statement of the part of the dialect that is understood.
    Syntax,
    /// It uses what a reader may not use.
    Denied,
    /// It names a table that is not there.
    UnknownTable,
    /// It names another database.
    UnknownDatabase,
    /// It sets what a reader may not set.
    Setting,
    /// It is larger or deeper than is allowed.
    TooLarge,
}

/// A refused statement: the reason and one line for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    pub reason: Reason,
    pub text: String,
}

impl Refused {
    fn denied(text: impl Into<String>) -> Refused {
        let text =
            format!("{}; what a reader may run: docs/security.md, \"The read-only store endpoint\"", text.into());
        Refused { reason: Reason::Denied, text }
    }

    fn syntax(text: impl Into<String>) -> Refused {
        Refused { reason: Reason::Syntax, text: text.into() }
    }

    fn too_large(text: impl Into<String>) -> Refused {
        Refused { reason: Reason::TooLarge, text: text.into() }
    }

    /// ClickHouse's number and name for it.
    pub fn code(&self) -> (u32, &'static str) {
        match self.reason {
            Reason::Syntax => (62, "SYNTAX_ERROR"),
            Reason::Denied => (497, "ACCESS_DENIED"),
            Reason::UnknownTable => (60, "UNKNOWN_TABLE"),
            Reason::UnknownDatabase => (81, "UNKNOWN_DATABASE"),
            Reason::Setting => (115, "UNKNOWN_SETTING"),
            Reason::TooLarge => (62, "SYNTAX_ERROR"),
        }
    }
}

/// Checks `sql` with the values of its `{name:Type}` parameters and returns what to run instead.
///
/// Runs on a thread of its own, because parser and tree need a deep stack; the caller waits.
///
/// # Errors
/// [`Refused`] with the reason for the caller, also when no thread can be started.
pub fn check(sql: &str, parameters: &[(String, String)], names: &Names) -> Result<Checked, Refused> {
    let busy = || Refused::too_large("the statement cannot be checked now, try again");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("statement".to_owned()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, || check_on_this_stack(sql, parameters, names)).map_err(|_| busy())?;
        thread.join().map_err(|_| Refused::syntax("the statement cannot be parsed"))?
    })
}

/// [`check`] on the thread of the caller, which has to have a stack of 256 MiB. For many checks in a row.
///
/// # Errors
/// As [`check`].
pub fn check_on_this_stack(sql: &str, parameters: &[(String, String)], names: &Names) -> Result<Checked, Refused> {
    let (tokens, mut clauses) = tokens::prepare(sql, parameters)?;
    let mut printer = Printer::new(names, std::mem::take(&mut clauses.substitutes));
    if !statement::print(&tokens, &mut printer)? {
        let dialect = ClickHouseDialect {};
        let mut parser = Parser::new(&dialect).with_recursion_limit(PARSER_RECURSION).with_tokens(tokens);
        let query = parser.parse_query().map_err(|e| Refused::syntax(one_line(&e.to_string())))?;
        if parser.peek_token().token != Token::EOF {
            let found = one_line(&parser.peek_token().to_string());
            return Err(Refused::syntax(format!("one SELECT is expected, and after it comes {found}")));
        }
        printer.query(&query)?;
    }
    Ok(Checked { sql: printer.out, settings: clauses.settings, format: clauses.format })
}

/// Text of a caller in an error: one line, of a bounded length, without control characters.
fn one_line(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A refusal of something that is not on a list.
fn no<T>(what: &str) -> Result<T, Refused> {
    Err(Refused::denied(format!("{what} is not taken")))
}

/// Prints a statement while it walks over the tree.
struct Printer<'n> {
    names: &'n Names,
    /// What stands for each placeholder that the token pass put in.
    substitutes: Vec<String>,
    out: String,
    /// Names of the CTEs in scope, innermost last.
    ctes: Vec<String>,
    /// Tables named so far, those of subqueries among them.
    tables: usize,
    depth: usize,
}

impl<'n> Printer<'n> {
    fn new(names: &'n Names, substitutes: Vec<String>) -> Printer<'n> {
        Printer { names, substitutes, out: String::new(), ctes: Vec::new(), tables: 0, depth: 0 }
    }

    fn word(&mut self, text: &'static str) {
        self.out.push_str(text);
    }

    /// Goes one level deeper for the length of `f`.
    fn nested(&mut self, f: impl FnOnce(&mut Self) -> Result<(), Refused>) -> Result<(), Refused> {
        if self.depth >= MAX_DEPTH {
            return Err(Refused::too_large(format!("the statement nests deeper than {MAX_DEPTH} levels")));
        }
        if self.out.len() > MAX_PRINTED {
            return Err(Refused::too_large(format!("the statement is longer than {MAX_PRINTED} bytes in full")));
        }
        self.depth += 1;
        let done = f(self);
        self.depth -= 1;
        done
    }

    /// `f` for each item, with `separator` between.
    fn list<T>(
        &mut self,
        items: &[T],
        separator: &'static str,
        mut f: impl FnMut(&mut Self, &T) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.word(separator);
            }
            f(self, item)?;
        }
        Ok(())
    }
}
