//! The token pass before the parser: limits, one statement only, parameters, and two forms the parser does not know.
//!
//! Nothing here decides what is safe: whatever this pass makes of the tokens is parsed, checked and printed like
//! everything else.

use super::literal::{quote, unescape};
use super::types::TypeReader;
use super::{MAX_BRACKETS, MAX_BYTES, MAX_TOKENS, Refused, one_line, settings};
use sqlparser::dialect::ClickHouseDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer, Word};

/// Marks a CTE that was written `WITH expression AS name`.
pub(super) const WITH_MARK: &str = "$with";
/// Starts the name of a placeholder or a type that this pass puts in; its number follows.
pub(super) const PARAMETER_MARK: &str = "$parameter";
pub(super) const TYPE_MARK: &str = "auscult$type";

#[derive(Default)]
pub(super) struct Clauses {
    /// Checked text by number, for [`PARAMETER_MARK`] and [`TYPE_MARK`].
    pub substitutes: Vec<String>,
    pub settings: Vec<(String, String)>,
    pub format: Option<&'static str>,
}

/// The tokens of the one statement in `sql`.
pub(super) fn prepare(sql: &str, parameters: &[(String, String)]) -> Result<(Vec<Token>, Clauses), Refused> {
    if sql.len() > MAX_BYTES {
        return Err(Refused::too_large(format!("the statement is longer than {MAX_BYTES} bytes")));
    }
    if let Some(c) = sql.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(Refused::syntax(format!("the statement has the control character U+{:04X} in it", u32::from(c))));
    }
    let dialect = ClickHouseDialect {};
    let tokens = Tokenizer::new(&dialect, sql).with_unescape(false).tokenize();
    let tokens = tokens.map_err(|e| Refused::syntax(one_line(&e.to_string())))?;
    let mut tokens: Vec<Token> = tokens.into_iter().filter(|t| !matches!(t, Token::Whitespace(_))).collect();
    while tokens.last() == Some(&Token::SemiColon) {
        tokens.pop();
    }
    if tokens.is_empty() {
        return Err(Refused::syntax("the statement is empty"));
    }
    if tokens.len() > MAX_TOKENS {
        return Err(Refused::too_large(format!("the statement has more than {MAX_TOKENS} words and signs")));
    }
    let mut depth = 0usize;
    for token in &tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::SemiColon => return Err(Refused::denied("only one statement is taken, and there is more after ;")),
            Token::Char(c) => return Err(Refused::syntax(format!("the character {c:?} is not expected"))),
            _ => {}
        }
        if depth > MAX_BRACKETS {
            return Err(Refused::too_large(format!("brackets nest deeper than {MAX_BRACKETS}")));
        }
    }
    let mut clauses = Clauses::default();
    take_clauses(&mut tokens, &mut clauses)?;
    let tokens = substitute(&tokens, parameters, &mut clauses)?;
    if tokens.iter().filter(|token| is_keyword(Some(token), Keyword::WITH)).count() > super::MAX_WITH {
        return Err(Refused::too_large(format!("the statement has more than {} WITH clauses", super::MAX_WITH)));
    }
    Ok((rewrite_with(&tokens), clauses))
}

fn word(value: String) -> Token {
    Token::Word(Word { value, quote_style: None, keyword: Keyword::NoKeyword })
}

pub(super) fn is_keyword(token: Option<&Token>, keyword: Keyword) -> bool {
    matches!(token, Some(Token::Word(w)) if w.quote_style.is_none() && w.keyword == keyword)
}

/// Takes SETTINGS and FORMAT, in either order, from the end of the statement. The parser would take the words for
/// aliases in `SELECT 1 FORMAT JSON`.
fn take_clauses(tokens: &mut Vec<Token>, clauses: &mut Clauses) -> Result<(), Refused> {
    let named = |token: &Token, name: &str| matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name));
    let mut settings_taken = false;
    loop {
        match &tokens[..] {
            [_, .., word, Token::Word(format)]
                if clauses.format.is_none() && named(word, "FORMAT") && format.quote_style.is_none() =>
            {
                clauses.format = Some(settings::format(&format.value)?);
                tokens.truncate(tokens.len() - 2);
                continue;
            }
            _ => {}
        }
        let at = tokens.iter().rposition(|token| named(token, "SETTINGS")).filter(|at| *at > 0 && !settings_taken);
        let list = at.and_then(|at| setting_list(tokens.get(at + 1..)?));
        let (Some(at), Some(list)) = (at, list) else { return Ok(()) };
        for (name, value) in list {
            if let Some((name, value)) = settings::setting(&name, &value)? {
                clauses.settings.push((name.to_owned(), value));
            }
        }
        tokens.truncate(at);
        settings_taken = true;
    }
}

/// `name = literal, ...` and nothing else.
fn setting_list(tokens: &[Token]) -> Option<Vec<(String, String)>> {
    tokens
        .split(|token| *token == Token::Comma)
        .map(|one| {
            let [Token::Word(name), Token::Eq, value] = one else { return None };
            let value = match value {
                Token::Number(digits, false) => digits.clone(),
                Token::SingleQuotedString(raw) => unescape(raw)?,
                Token::Word(word) if word.value.eq_ignore_ascii_case("true") => "1".to_owned(),
                Token::Word(word) if word.value.eq_ignore_ascii_case("false") => "0".to_owned(),
                _ => return None,
            };
            name.quote_style.is_none().then(|| (name.value.clone(), value))
        })
        .collect()
}

/// Puts placeholders in for `{name:Type}`, and marked names for `DateTime('zone')`, which the parser does not know.
fn substitute(tokens: &[Token], parameters: &[(String, String)], clauses: &mut Clauses) -> Result<Vec<Token>, Refused> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    // A parameter may be named many times.
    let mut substituted = 0usize;
    while let Some(token) = tokens.get(at) {
        let rest = tokens.get(at..).unwrap_or_default();
        match rest {
            [Token::LBrace, Token::Word(name), Token::Colon, of_type @ ..] => {
                let mut reader = TypeReader::new(of_type);
                let type_name = reader.read()?;
                let used = reader.used();
                if of_type.get(used) != Some(&Token::RBrace) {
                    return Err(Refused::syntax(format!(
                        "the parameter {} has no closing brace",
                        one_line(&name.value)
                    )));
                }
                let value = parameters.iter().rev().find(|(n, _)| *n == name.value).map(|(_, v)| v);
                let Some(value) = value else {
                    let text = format!("the parameter {} has no value: send param_{0}", one_line(&name.value));
                    return Err(Refused::syntax(text));
                };
                substituted = substituted.saturating_add(value.len() + type_name.len());
                if substituted > super::MAX_PRINTED {
                    return Err(Refused::too_large("the values of the parameters are too long in all"));
                }
                out.push(Token::Placeholder(format!("{PARAMETER_MARK}{}", clauses.substitutes.len())));
                clauses.substitutes.push(parameter(&name.value, value, &type_name)?);
                at += 3 + used + 1;
            }
            [Token::Word(name), Token::LParen, Token::SingleQuotedString(_), Token::RParen, ..]
                if name.quote_style.is_none()
                    && ["datetime", "datetime32"].contains(&name.value.to_ascii_lowercase().as_str()) =>
            {
                out.push(word(format!("{TYPE_MARK}{}", clauses.substitutes.len())));
                clauses.substitutes.push(TypeReader::new(rest).read()?);
                at += 4;
            }
            _ => {
                out.push(token.clone());
                at += 1;
            }
        }
    }
    Ok(out)
}

/// A parameter's value as a literal of its type. The value comes in the text format: tab as `\t`, backslash doubled.
fn parameter(name: &str, value: &str, type_name: &str) -> Result<String, Refused> {
    let mut printed = String::from("CAST(");
    if value == "\\N" && type_name.starts_with("Nullable(") {
        printed.push_str("NULL");
    } else {
        // As the engine reads it: a text is escaped, everything else stands as it is.
        let is_text = ["Array(", "Map(", "Tuple("].iter().all(|whole| !type_name.contains(whole));
        let cut = || Refused::syntax(format!("the value of the parameter {} is cut short", one_line(name)));
        if is_text {
            quote(&unescape_text(value).ok_or_else(cut)?, &mut printed);
        } else {
            quote(value, &mut printed);
        }
    }
    printed.push_str(", ");
    quote(type_name, &mut printed);
    printed.push(')');
    Ok(printed)
}

/// As [`unescape`], but a quote is only a quote.
fn unescape_text(value: &str) -> Option<String> {
    let mut doubled = String::with_capacity(value.len());
    let mut escaped = false;
    for c in value.chars() {
        if c == '\'' && !escaped {
            doubled.push('\'');
        }
        doubled.push(c);
        escaped = c == '\\' && !escaped;
    }
    unescape(&doubled)
}

/// `WITH expression AS name` becomes `WITH name AS (SELECT $with, expression)`, the form the parser knows.
fn rewrite_with(tokens: &[Token]) -> Vec<Token> {
    let mut out = Vec::with_capacity(tokens.len() + 16);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        out.push(token.clone());
        at += 1;
        let opens = is_keyword(Some(token), Keyword::WITH)
            && ![Keyword::FILL, Keyword::TIES, Keyword::TOTALS, Keyword::ROLLUP, Keyword::CUBE, Keyword::RECURSIVE]
                .iter()
                .any(|k| is_keyword(tokens.get(at), *k));
        if !opens {
            continue;
        }
        // Items up to SELECT on this level; without one the rest stays as it is, and the parser says why not.
        while let Some(end) = end_of_item(tokens, at) {
            let item = tokens.get(at..end).unwrap_or_default();
            match item {
                [Token::Word(_), a_s, Token::LParen, first, ..]
                    if is_keyword(Some(a_s), Keyword::AS) && starts_query(first) =>
                {
                    out.extend(rewrite_with(item));
                }
                [expression @ .., a_s, name @ Token::Word(_)] if is_keyword(Some(a_s), Keyword::AS) => {
                    out.extend([name.clone(), a_s.clone(), Token::LParen]);
                    out.push(Token::make_keyword("SELECT"));
                    out.extend([Token::Placeholder(WITH_MARK.to_owned()), Token::Comma]);
                    out.extend(rewrite_with(expression));
                    out.push(Token::RParen);
                }
                other => out.extend_from_slice(other),
            }
            at = end;
            if tokens.get(at) != Some(&Token::Comma) {
                break;
            }
            out.push(Token::Comma);
            at += 1;
        }
    }
    out
}

fn starts_query(token: &Token) -> bool {
    *token == Token::LParen || [Keyword::SELECT, Keyword::WITH].iter().any(|k| is_keyword(Some(token), *k))
}

/// Where the item of a WITH clause that begins at `at` ends: a comma or SELECT outside brackets.
fn end_of_item(tokens: &[Token], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return None,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma if depth == 0 => return Some(i),
            token if depth == 0 && is_keyword(Some(token), Keyword::SELECT) => return Some(i),
            _ => {}
        }
    }
    None
}
