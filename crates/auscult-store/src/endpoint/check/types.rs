//! Data types in CAST and in query parameters: a short list, printed in ClickHouse's own spelling.

use super::literal::{parts, unescape};
use super::tokens::TYPE_MARK;
use super::{Printer, Refused, one_line};
use sqlparser::ast::{ArrayElemTypeDef, DataType, ExactNumberInfo, MapBracketKind, StructField, TypeModifier};
use sqlparser::dialect::ClickHouseDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Types without arguments.
const PLAIN: &[&str] = &[
    "Bool", "Date", "Date32", "DateTime", "Float32", "Float64", "IPv4", "IPv6", "Int128", "Int16", "Int256", "Int32",
    "Int64", "Int8", "String", "UInt128", "UInt16", "UInt256", "UInt32", "UInt64", "UInt8", "UUID",
];

/// Deepest nesting of a type.
const DEEPEST: usize = 8;

/// Whether `zone` has the form of a name of the time zone database. The engine opens a file of any path where a zone
/// is named `file:/path`, so no other form may reach it.
pub(super) fn is_zone(zone: &str) -> bool {
    zone.len() <= 64
        && zone.starts_with(|c: char| c.is_ascii_alphabetic())
        && zone.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'/'))
}

/// Reads a type from tokens.
pub(super) struct TypeReader<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl<'t> TypeReader<'t> {
    pub(super) fn new(tokens: &'t [Token]) -> TypeReader<'t> {
        TypeReader { tokens, at: 0 }
    }

    /// Tokens read so far.
    pub(super) fn used(&self) -> usize {
        self.at
    }

    pub(super) fn read(&mut self) -> Result<String, Refused> {
        self.read_at(0)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(found);
        found
    }

    fn read_at(&mut self, depth: usize) -> Result<String, Refused> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else {
            return Err(Refused::syntax("a type is expected"));
        };
        let name = word.value.as_str();
        let unknown = || Refused::denied(format!("the type {} is not one that is taken", one_line(name)));
        if word.quote_style.is_some() || depth > DEEPEST {
            return Err(unknown());
        }
        self.at += 1;
        let known = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if !self.take(&Token::LParen) {
            return PLAIN.iter().find(|plain| known(plain)).map(|plain| (*plain).to_owned()).ok_or_else(unknown);
        }
        let printed = match self.tokens.get(self.at) {
            Some(Token::SingleQuotedString(_)) if known("DateTime") => format!("DateTime({})", self.zone()?),
            Some(Token::Number(..)) if known("DateTime64") => {
                let digits = self.digits(9)?;
                let zone = if self.take(&Token::Comma) { format!(", {}", self.zone()?) } else { String::new() };
                format!("DateTime64({digits}{zone})")
            }
            Some(Token::Number(..)) if known("FixedString") => format!("FixedString({})", self.digits(4096)?),
            Some(Token::Number(..)) if known("Decimal") => {
                let precision = self.digits(76)?;
                let scale = if self.take(&Token::Comma) { self.digits(76)? } else { 0 };
                format!("Decimal({precision}, {scale})")
            }
            _ if known("Array") => format!("Array({})", self.read_at(depth + 1)?),
            _ if known("Nullable") => format!("Nullable({})", self.read_at(depth + 1)?),
            _ if known("LowCardinality") => format!("LowCardinality({})", self.read_at(depth + 1)?),
            _ if known("Map") => {
                let key = self.read_at(depth + 1)?;
                if !self.take(&Token::Comma) {
                    return Err(unknown());
                }
                format!("Map({key}, {})", self.read_at(depth + 1)?)
            }
            _ if known("Tuple") => {
                let mut elements = vec![self.read_at(depth + 1)?];
                while elements.len() < 32 && self.take(&Token::Comma) {
                    elements.push(self.read_at(depth + 1)?);
                }
                format!("Tuple({})", elements.join(", "))
            }
            _ => return Err(unknown()),
        };
        if self.take(&Token::RParen) { Ok(printed) } else { Err(unknown()) }
    }

    fn digits(&mut self, most: u64) -> Result<u64, Refused> {
        let Some(Token::Number(text, false)) = self.tokens.get(self.at) else {
            return Err(Refused::syntax("a number is expected in a type"));
        };
        self.at += 1;
        let value = text.parse().ok().filter(|value| *value <= most);
        value.ok_or_else(|| Refused::syntax(format!("the number {} in a type is too large", one_line(text))))
    }

    fn zone(&mut self) -> Result<String, Refused> {
        let Some(Token::SingleQuotedString(raw)) = self.tokens.get(self.at) else {
            return Err(Refused::syntax("a time zone is expected in a type"));
        };
        self.at += 1;
        zone_literal(&unescape(raw).unwrap_or_default())
    }
}

fn zone_literal(zone: &str) -> Result<String, Refused> {
    if is_zone(zone) {
        Ok(format!("'{zone}'"))
    } else {
        Err(Refused::denied(format!("{} is not the name of a time zone", one_line(zone))))
    }
}

/// A type from its text, such as the second argument of `CAST(x, 'UInt8')`.
pub(super) fn from_text(text: &str) -> Result<String, Refused> {
    let dialect = ClickHouseDialect {};
    let tokens = Tokenizer::new(&dialect, text).with_unescape(false).tokenize();
    let tokens: Vec<Token> = tokens
        .map_err(|e| Refused::syntax(one_line(&e.to_string())))?
        .into_iter()
        .filter(|t| !matches!(t, Token::Whitespace(_)))
        .collect();
    let mut reader = TypeReader::new(&tokens);
    let printed = reader.read()?;
    if reader.used() == tokens.len() { Ok(printed) } else { Err(Refused::syntax("a type ends earlier than its text")) }
}

impl Printer<'_> {
    /// The text of a type that the parser read.
    pub(super) fn type_text(&self, data_type: &DataType) -> Result<String, Refused> {
        self.type_at(data_type, 0)
    }

    fn type_at(&self, data_type: &DataType, depth: usize) -> Result<String, Refused> {
        let unknown =
            || Refused::denied(format!("the type {} is not one that is taken", one_line(&data_type.to_string())));
        if depth > DEEPEST {
            return Err(unknown());
        }
        let inner = |t: &DataType| self.type_at(t, depth + 1);
        Ok(match data_type {
            DataType::Bool | DataType::Boolean => "Bool".to_owned(),
            DataType::Int8(None) => "Int8".to_owned(),
            DataType::Int16 => "Int16".to_owned(),
            DataType::Int32 => "Int32".to_owned(),
            DataType::Int64 => "Int64".to_owned(),
            DataType::Int128 => "Int128".to_owned(),
            DataType::Int256 => "Int256".to_owned(),
            DataType::UInt8 => "UInt8".to_owned(),
            DataType::UInt16 => "UInt16".to_owned(),
            DataType::UInt32 => "UInt32".to_owned(),
            DataType::UInt64 => "UInt64".to_owned(),
            DataType::UInt128 => "UInt128".to_owned(),
            DataType::UInt256 => "UInt256".to_owned(),
            DataType::Float32 => "Float32".to_owned(),
            DataType::Float64 => "Float64".to_owned(),
            DataType::String(None) => "String".to_owned(),
            DataType::FixedString(n @ 1..=4096) => format!("FixedString({n})"),
            DataType::Uuid => "UUID".to_owned(),
            DataType::Date => "Date".to_owned(),
            DataType::Date32 => "Date32".to_owned(),
            DataType::Datetime(None) => "DateTime".to_owned(),
            DataType::Datetime64(digits @ 0..=9, None) => format!("DateTime64({digits})"),
            DataType::Datetime64(digits @ 0..=9, Some(zone)) => {
                format!("DateTime64({digits}, {})", zone_literal(&unescape(zone).unwrap_or_default())?)
            }
            DataType::Decimal(ExactNumberInfo::PrecisionAndScale(p @ 1..=76, s @ 0..=76)) => {
                format!("Decimal({p}, {s})")
            }
            DataType::Decimal(ExactNumberInfo::Precision(p @ 1..=76)) => format!("Decimal({p}, 0)"),
            DataType::Nullable(t) => format!("Nullable({})", inner(t)?),
            DataType::LowCardinality(t) => format!("LowCardinality({})", inner(t)?),
            DataType::Array(ArrayElemTypeDef::Parenthesis(t)) => format!("Array({})", inner(t)?),
            DataType::Map(key, value, MapBracketKind::Parentheses) => {
                format!("Map({}, {})", inner(key)?, inner(value)?)
            }
            DataType::Tuple(fields) if !fields.is_empty() && fields.len() <= 32 => {
                let mut elements = Vec::with_capacity(fields.len());
                for StructField { field_name, field_type, options } in fields {
                    if field_name.is_some() || options.is_some() {
                        return Err(unknown());
                    }
                    elements.push(inner(field_type)?);
                }
                format!("Tuple({})", elements.join(", "))
            }
            DataType::Custom(name, modifiers) => self.custom(&parts(name)?, modifiers).ok_or_else(unknown)?,
            _ => return Err(unknown()),
        })
    }

    /// Types the parser knows by name only, and those the token pass read.
    fn custom(&self, name: &[&sqlparser::ast::Ident], modifiers: &[TypeModifier]) -> Option<String> {
        let ([name], []) = (name, modifiers) else { return None };
        if let Some(number) = name.value.strip_prefix(TYPE_MARK) {
            let text = self.substitutes.get(number.parse::<usize>().ok()?)?;
            return text.starts_with("DateTime(").then(|| text.clone());
        }
        PLAIN.iter().find(|plain| plain.eq_ignore_ascii_case(&name.value)).map(|plain| (*plain).to_owned())
    }
}
