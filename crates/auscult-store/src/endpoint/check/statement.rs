//! SHOW, DESCRIBE and EXISTS in the few forms that clients use, taken apart by their tokens.

use super::literal::{identifier, unescape};
use super::{Printer, Reason, Refused, one_line, system};
use sqlparser::ast::Ident;
use sqlparser::tokenizer::{Span, Token};

/// Prints the statement, or returns `false` when it begins like a query.
///
/// # Errors
/// [`Refused`] for every other statement, and for these in other forms.
pub(super) fn print(tokens: &[Token], printer: &mut Printer) -> Result<bool, Refused> {
    let mut cursor = TokenReader { tokens, at: 0 };
    let first = match tokens.first() {
        Some(Token::LParen) => return Ok(false),
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        Some(other) => {
            return Err(Refused::syntax(format!("a statement cannot begin with {}", one_line(&other.to_string()))));
        }
        None => return Err(Refused::syntax("the statement is empty")),
    };
    match first.as_str() {
        "SELECT" | "WITH" => return Ok(false),
        "SHOW" => show(&mut cursor, printer)?,
        "DESCRIBE" | "DESC" => {
            cursor.at += 1;
            cursor.skip(&["TABLE"]);
            let table = cursor.table(printer)?;
            printer.word("DESCRIBE TABLE ");
            printer.stored(&table);
        }
        "EXISTS" => {
            cursor.at += 1;
            cursor.skip(&["TABLE", "VIEW"]);
            let (_, name) = cursor.name(printer)?;
            printer.word("SELECT toUInt8(count() > 0) AS result FROM system.tables WHERE database = ");
            printer.string(&printer.names.database.clone());
            printer.word(" AND name = ");
            printer.string(&name);
        }
        other => {
            return Err(Refused::denied(format!(
                "a reader runs SELECT, SHOW, DESCRIBE and EXISTS, not {}",
                one_line(other)
            )));
        }
    }
    cursor.end()?;
    Ok(true)
}

fn show(cursor: &mut TokenReader, printer: &mut Printer) -> Result<(), Refused> {
    cursor.at += 1;
    if cursor.skip(&["CREATE"]) {
        cursor.skip(&["TABLE", "VIEW"]);
        let table = cursor.table(printer)?;
        printer.word("SHOW CREATE TABLE ");
        printer.stored(&table);
        return Ok(());
    }
    if cursor.skip(&["DATABASES"]) {
        printer.word("SELECT name FROM system.databases WHERE name = ");
        printer.string(&printer.names.database.clone());
        return cursor.like(printer, "ORDER BY");
    }
    let columns = cursor.skip(&["COLUMNS", "FIELDS"]);
    if !columns && !cursor.skip(&["TABLES"]) {
        return Err(Refused::denied("of SHOW a reader has DATABASES, TABLES, COLUMNS and CREATE TABLE"));
    }
    if columns {
        if !cursor.skip(&["FROM", "IN"]) {
            return Err(Refused::syntax("SHOW COLUMNS needs FROM and a table"));
        }
        let table = cursor.table(printer)?;
        printer.word("SELECT name AS field, type, default_expression AS `default`, comment FROM system.columns WHERE database = ");
        printer.string(&printer.names.database.clone());
        printer.word(" AND table = ");
        printer.string(&table);
        return cursor.like(printer, "");
    }
    if cursor.skip(&["FROM", "IN"]) {
        let database = cursor.word(printer)?;
        printer.check_database(&database)?;
    }
    printer.word("SELECT name FROM system.tables WHERE database = ");
    printer.string(&printer.names.database.clone());
    cursor.like(printer, "ORDER BY")
}

struct TokenReader<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl TokenReader<'_> {
    /// Goes past an unquoted word if it is one of these.
    fn skip(&mut self, words: &[&str]) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(word))
            if word.quote_style.is_none() && words.iter().any(|w| word.value.eq_ignore_ascii_case(w)));
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, printer: &Printer) -> Result<String, Refused> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else {
            return Err(Refused::syntax("a name is expected"));
        };
        self.at += 1;
        let ident = Ident { value: word.value.clone(), quote_style: word.quote_style, span: Span::empty() };
        identifier(&ident, printer.names).map(str::to_owned)
    }

    /// A name with or without its database, which is checked.
    fn name(&mut self, printer: &Printer) -> Result<(bool, String), Refused> {
        let first = self.word(printer)?;
        if self.tokens.get(self.at) != Some(&Token::Period) {
            return Ok((false, first));
        }
        self.at += 1;
        printer.check_database(&first)?;
        Ok((true, self.word(printer)?))
    }

    /// A table of the store.
    fn table(&mut self, printer: &Printer) -> Result<String, Refused> {
        let (_, name) = self.name(printer)?;
        printer.check_table(&name)?;
        Ok(name)
    }

    /// `[NOT] [I]LIKE 'pattern'` over the column `name`, then the order.
    fn like(&mut self, printer: &mut Printer, order: &str) -> Result<(), Refused> {
        let negated = self.skip(&["NOT"]);
        let any_case = self.skip(&["ILIKE"]);
        if any_case || self.skip(&["LIKE"]) {
            let Some(Token::SingleQuotedString(raw)) = self.tokens.get(self.at) else {
                return Err(Refused::syntax("LIKE needs a pattern in quotes"));
            };
            self.at += 1;
            let pattern = unescape(raw).ok_or_else(|| Refused::syntax("the pattern is cut short"))?;
            printer.word(match (negated, any_case) {
                (false, false) => " AND name LIKE ",
                (false, true) => " AND name ILIKE ",
                (true, false) => " AND name NOT LIKE ",
                (true, true) => " AND name NOT ILIKE ",
            });
            printer.string(&pattern);
        } else if negated {
            return Err(Refused::syntax("LIKE is expected after NOT"));
        }
        printer.word(if order.is_empty() { " ORDER BY position" } else { " ORDER BY name" });
        Ok(())
    }

    fn end(&self) -> Result<(), Refused> {
        match self.tokens.get(self.at) {
            None => Ok(()),
            Some(more) => Err(Refused::denied(format!("{} is not expected here", one_line(&more.to_string())))),
        }
    }
}

impl Printer<'_> {
    pub(super) fn check_database(&self, database: &str) -> Result<(), Refused> {
        if database == self.names.database {
            return Ok(());
        }
        let (asked, ours) = (one_line(database), &self.names.database);
        let text = format!("the database {asked} cannot be read here, only {ours}");
        Err(Refused { reason: Reason::UnknownDatabase, text })
    }

    pub(super) fn check_table(&self, table: &str) -> Result<(), Refused> {
        if self.names.tables.contains(table) {
            return Ok(());
        }
        let text = format!("there is no table or view {} in {}", one_line(table), self.names.database);
        Err(Refused { reason: Reason::UnknownTable, text })
    }

    /// A table of the store, with its database.
    pub(super) fn stored(&mut self, table: &str) {
        self.quoted(&self.names.database.clone());
        self.word(".");
        self.quoted(table);
    }

    /// A table of `system`, as a query.
    pub(super) fn system(&mut self, table: &str) -> Result<(), Refused> {
        let query = system::table(&table.to_ascii_lowercase(), &self.names.database).ok_or_else(|| {
            let offered = system::TABLES.join(", ");
            Refused::denied(format!("of the system tables a reader has {offered}, not {}", one_line(table)))
        })?;
        self.out.push_str(&query);
        Ok(())
    }
}
