//! The layout of a table's rows in RowBinary, read off the row structs, and texts of encoded rows replaced in place.

use super::{CallRow, CaptureRow, IntervalRow, RtcpRow, SipMessageRow, StreamRow, Table};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use std::fmt;

/// How a column is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Bytes.
    Fixed(usize),
    Text,
    Nullable(Box<Kind>),
    List(Box<Kind>),
    Tuple(Vec<Kind>),
}

/// Rows of a table with their texts replaced: `replace` is given column and text, and returns a new text or `None`. Columns of
/// an older schema may be missing. `None` when the rows do not have this layout.
pub fn replace_texts(
    table: Table,
    columns: &[String],
    rows: u32,
    payload: &[u8],
    replace: &dyn Fn(&str, &str) -> Option<String>,
) -> Option<Vec<u8>> {
    let known = layout(table);
    let kinds: Vec<(&str, &Kind)> = columns
        .iter()
        .map(|column| known.iter().find(|(name, _)| name == column).map(|(name, kind)| (*name, kind)))
        .collect::<Option<_>>()?;
    let mut cursor = Cursor { rest: payload, out: Vec::with_capacity(payload.len()), replace };
    for _ in 0..rows {
        for (column, kind) in &kinds {
            cursor.value(column, kind)?;
        }
    }
    cursor.rest.is_empty().then_some(cursor.out)
}

struct Cursor<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
    replace: &'a dyn Fn(&str, &str) -> Option<String>,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn copy(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.take(length)?;
        self.out.extend_from_slice(taken);
        Some(taken)
    }

    /// LEB128.
    fn length(&mut self) -> Option<usize> {
        let mut length = 0usize;
        for shift in (0..63).step_by(7) {
            let byte = *self.take(1)?.first()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }

    fn push_length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.out.push(length as u8);
    }

    fn value(&mut self, column: &str, kind: &Kind) -> Option<()> {
        match kind {
            Kind::Fixed(bytes) => _ = self.copy(*bytes)?,
            Kind::Text => {
                let length = self.length()?;
                let text = self.take(length)?;
                let replaced = (self.replace)(column, std::str::from_utf8(text).ok()?);
                let text = replaced.as_deref().map_or(text, str::as_bytes);
                self.push_length(text.len());
                self.out.extend_from_slice(text);
            }
            Kind::Nullable(inner) => match self.copy(1)? {
                [0] => self.value(column, inner)?,
                [1] => {}
                _ => return None,
            },
            Kind::List(inner) => {
                let length = self.length()?;
                // Every value has at least a byte, so a length beyond the rest is no length.
                if length > self.rest.len() {
                    return None;
                }
                self.push_length(length);
                for _ in 0..length {
                    self.value(column, inner)?;
                }
            }
            Kind::Tuple(parts) => {
                for part in parts {
                    self.value(column, part)?;
                }
            }
        }
        Some(())
    }
}

/// Columns and their kinds, in order.
fn layout(table: Table) -> Vec<(&'static str, Kind)> {
    match table {
        Table::Calls => of::<CallRow>(),
        Table::Streams => of::<StreamRow>(),
        Table::CaptureIntervals => of::<CaptureRow>(),
        Table::SipMessages => of::<SipMessageRow>(),
        Table::RtcpReports => of::<RtcpRow>(),
        Table::StreamIntervals => of::<IntervalRow>(),
    }
}

/// What a row struct asks a deserializer for is what it is encoded as.
fn of<R: for<'de> Deserialize<'de>>() -> Vec<(&'static str, Kind)> {
    let mut columns = Vec::new();
    let read = R::deserialize(Outermost { columns: &mut columns });
    debug_assert!(read.is_ok(), "a row struct has a type that is not in RowBinary");
    columns
}

struct Outermost<'a> {
    columns: &'a mut Vec<(&'static str, Kind)>,
}

struct Probe<'a> {
    kind: &'a mut Kind,
}

#[derive(Debug)]
struct NotInRows(String);

impl fmt::Display for NotInRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotInRows {}

impl de::Error for NotInRows {
    fn custom<T: fmt::Display>(text: T) -> Self {
        NotInRows(text.to_string())
    }
}

/// Hands out a probe per field and keeps what it found.
struct Fields<'a> {
    names: std::slice::Iter<'static, &'static str>,
    columns: &'a mut Vec<(&'static str, Kind)>,
}

impl<'de> SeqAccess<'de> for Fields<'_> {
    type Error = NotInRows;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, NotInRows> {
        let Some(name) = self.names.next() else { return Ok(None) };
        let mut kind = Kind::Fixed(0);
        let value = seed.deserialize(Probe { kind: &mut kind })?;
        self.columns.push((name, kind));
        Ok(Some(value))
    }
}

/// As [`Fields`], for the parts of a tuple or the one element of a list.
struct Parts<'a> {
    left: usize,
    kinds: &'a mut Vec<Kind>,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = NotInRows;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, NotInRows> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut kind = Kind::Fixed(0);
        let value = seed.deserialize(Probe { kind: &mut kind })?;
        self.kinds.push(kind);
        Ok(Some(value))
    }
}

impl<'de> Deserializer<'de> for Outermost<'_> {
    type Error = NotInRows;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NotInRows> {
        visitor.visit_seq(Fields { names: fields.iter(), columns: self.columns })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NotInRows> {
        Err(NotInRows("a row is a struct".to_owned()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

macro_rules! fixed {
    ($($method:ident $visit:ident $bytes:literal $value:expr),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotInRows> {
            *self.kind = Kind::Fixed($bytes);
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = NotInRows;

    fixed!(
        deserialize_bool visit_bool 1 false, deserialize_u8 visit_u8 1 0, deserialize_u16 visit_u16 2 0,
        deserialize_u32 visit_u32 4 0, deserialize_u64 visit_u64 8 0, deserialize_i8 visit_i8 1 0,
        deserialize_i16 visit_i16 2 0, deserialize_i32 visit_i32 4 0, deserialize_i64 visit_i64 8 0,
        deserialize_f32 visit_f32 4 0.0, deserialize_f64 visit_f64 8 0.0
    );

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotInRows> {
        *self.kind = Kind::Text;
        visitor.visit_str("")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotInRows> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotInRows> {
        let mut inner = Kind::Fixed(0);
        let value = visitor.visit_some(Probe { kind: &mut inner })?;
        *self.kind = Kind::Nullable(Box::new(inner));
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotInRows> {
        let mut kinds = Vec::new();
        let value = visitor.visit_seq(Parts { left: 1, kinds: &mut kinds })?;
        let inner = kinds.pop().ok_or_else(|| NotInRows("a list has elements".to_owned()))?;
        *self.kind = Kind::List(Box::new(inner));
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, NotInRows> {
        let mut kinds = Vec::new();
        let value = visitor.visit_seq(Parts { left: length, kinds: &mut kinds })?;
        *self.kind = Kind::Tuple(kinds);
        Ok(value)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NotInRows> {
        Err(NotInRows("a type of RowBinary".to_owned()))
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct newtype_struct tuple_struct map struct enum identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_structs() {
        let calls = layout(Table::Calls);
        let kind = |name: &str| calls.iter().find(|(n, _)| *n == name).map(|(_, kind)| kind.clone());
        assert_eq!(kind("call_uid"), Some(Kind::Fixed(8)));
        assert_eq!(kind("caller_uri"), Some(Kind::Text));
        assert_eq!(kind("pdd_ms"), Some(Kind::Nullable(Box::new(Kind::Fixed(8)))));
        assert_eq!(kind("signalling_src_ip"), Some(Kind::Nullable(Box::new(Kind::Tuple(vec![Kind::Fixed(1); 16])))));
        let diagnosis = Kind::Tuple(vec![Kind::Text, Kind::Fixed(4), Kind::Text]);
        assert_eq!(kind("diagnoses"), Some(Kind::List(Box::new(diagnosis))));
        for table in Table::ALL {
            assert!(layout(table).len() > 10, "{}", table.name());
        }
    }
}
