//! ClickHouse's RowBinary format, written through serde: what a segment of the spool holds.
//!
//! Fixed-width little-endian numbers, LEB128 lengths before strings and arrays, one byte before a nullable value.
//! `clickhouse` keeps its own serializer private, and the spool needs the bytes before there is a connection.

use serde::ser::{self, Impossible};
use serde::{Deserialize, Serialize};

/// Rows of one table, encoded one after the other.
#[derive(Clone, Debug, Default)]
pub struct RowBinary {
    bytes: Vec<u8>,
    columns: Vec<&'static str>,
    rows: u32,
    first: Option<RowKey>,
}

/// Where a row is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowKey {
    pub row_id: u64,
    /// Seconds since 1970, UTC; the partition is its day.
    pub stored_at: u32,
}

/// A value that has no form in RowBinary; the text names its kind.
#[derive(Debug, thiserror::Error)]
#[error("RowBinary cannot hold {0}")]
pub struct Unencodable(String);

impl RowBinary {
    /// Adds a row, a struct whose fields are columns in order. A row that fails leaves nothing behind.
    pub fn push<R: Serialize>(&mut self, row: &R) -> Result<(), Unencodable> {
        let start = self.bytes.len();
        let first = self.rows == 0;
        if first {
            self.columns.clear();
        }
        match row.serialize(Encoder { bytes: &mut self.bytes, names: first.then_some(&mut self.columns) }) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(e) => {
                self.bytes.truncate(start);
                Err(e)
            }
        }
    }

    /// As [`RowBinary::push`], for a row of a table, which can be found again.
    pub fn push_keyed<R: Serialize>(&mut self, row: &R, key: RowKey) -> Result<(), Unencodable> {
        self.push(row)?;
        self.first.get_or_insert(key);
        Ok(())
    }

    /// The first row that can be found again.
    pub fn first(&self) -> Option<RowKey> {
        self.first
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Names of the columns, known after the first row.
    pub fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    pub fn rows(&self) -> u32 {
        self.rows
    }
}

impl ser::Error for Unencodable {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Unencodable(text.to_string())
    }
}

struct Encoder<'a> {
    bytes: &'a mut Vec<u8>,
    /// Collects the field names of the outermost struct.
    names: Option<&'a mut Vec<&'static str>>,
}

impl<'a> Encoder<'a> {
    fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.bytes.push(length as u8);
    }

    fn inner(&mut self) -> Encoder<'_> {
        Encoder { bytes: self.bytes, names: None }
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, v: $type) -> Result<(), Unencodable> {
            self.bytes.extend_from_slice(&v.to_le_bytes());
            Ok(())
        })*
    };
}

macro_rules! not_in_rowbinary {
    ($($method:ident($($arg:ty),*) -> $ok:ty: $what:literal),*) => {
        $(fn $method(self, $(_: $arg),*) -> Result<$ok, Unencodable> {
            Err(Unencodable($what.to_owned()))
        })*
    };
}

impl<'a> ser::Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Unencodable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeStruct = Self;
    type SerializeTupleStruct = Impossible<(), Unencodable>;
    type SerializeTupleVariant = Impossible<(), Unencodable>;
    type SerializeMap = Impossible<(), Unencodable>;
    type SerializeStructVariant = Impossible<(), Unencodable>;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64
    );

    fn serialize_bool(self, v: bool) -> Result<(), Unencodable> {
        self.bytes.push(u8::from(v));
        Ok(())
    }

    fn serialize_str(self, v: &str) -> Result<(), Unencodable> {
        self.serialize_bytes(v.as_bytes())
    }

    fn serialize_bytes(mut self, v: &[u8]) -> Result<(), Unencodable> {
        self.length(v.len());
        self.bytes.extend_from_slice(v);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unencodable> {
        self.bytes.push(1);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), Unencodable> {
        self.bytes.push(0);
        value.serialize(self.inner())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unencodable> {
        value.serialize(self)
    }

    fn serialize_seq(mut self, length: Option<usize>) -> Result<Self, Unencodable> {
        let length = length.ok_or_else(|| Unencodable("a sequence of unknown length".to_owned()))?;
        self.length(length);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unencodable> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unencodable> {
        Ok(self)
    }

    not_in_rowbinary!(
        serialize_char(char) -> (): "a char",
        serialize_unit() -> (): "a unit",
        serialize_unit_struct(&'static str) -> (): "a unit struct",
        serialize_unit_variant(&'static str, u32, &'static str) -> (): "an enum",
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct: "a tuple struct",
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant: "an enum",
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant: "an enum",
        serialize_map(Option<usize>) -> Self::SerializeMap: "a map (use pairs)"
    );

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unencodable> {
        Err(Unencodable("an enum".to_owned()))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl ser::SerializeSeq for Encoder<'_> {
    type Ok = ();
    type Error = Unencodable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unencodable> {
        value.serialize(self.inner())
    }

    fn end(self) -> Result<(), Unencodable> {
        Ok(())
    }
}

impl ser::SerializeTuple for Encoder<'_> {
    type Ok = ();
    type Error = Unencodable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unencodable> {
        value.serialize(self.inner())
    }

    fn end(self) -> Result<(), Unencodable> {
        Ok(())
    }
}

impl ser::SerializeStruct for Encoder<'_> {
    type Ok = ();
    type Error = Unencodable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unencodable> {
        if let Some(names) = &mut self.names {
            names.push(name);
        }
        value.serialize(self.inner())
    }

    fn end(self) -> Result<(), Unencodable> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[derive(serde::Serialize)]
    struct Sample {
        number: u16,
        text: String,
        none: Option<f32>,
        some: Option<u8>,
        pairs: Vec<(u8, bool)>,
        address: Ipv6Addr,
    }

    #[test]
    fn values_take_the_forms_of_the_format() {
        let mut rows = RowBinary::default();
        let sample = Sample {
            number: 0x1234,
            text: "x".repeat(200),
            none: None,
            some: Some(7),
            pairs: vec![(1, true), (2, false)],
            address: Ipv6Addr::LOCALHOST,
        };
        rows.push(&sample).unwrap();
        let mut expected = vec![0x34, 0x12, 0xc8, 0x01];
        expected.extend(std::iter::repeat_n(b'x', 200));
        expected.extend([1, 0, 7, 2, 1, 1, 2, 0]);
        expected.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(rows.bytes(), expected);
        rows.push(&sample).unwrap();
        assert_eq!(rows.columns(), ["number", "text", "none", "some", "pairs", "address"]);
        assert_eq!((rows.rows(), rows.bytes().len()), (2, 2 * expected.len()));
    }

    #[test]
    fn a_row_that_fails_leaves_nothing() {
        let mut rows = RowBinary::default();
        rows.push(&(1u8,)).unwrap();
        assert!(rows.push(&(1u8, 'c')).is_err());
        assert_eq!((rows.bytes(), rows.rows()), (&[1u8][..], 1));
    }
}
