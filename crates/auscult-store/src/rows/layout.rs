//! Where each row of an encoded batch begins and ends: RowBinary has no marks between rows, so the widths follow from
//! the types of the columns, which are read off the row structs themselves. By the same widths texts are replaced in place.

use super::Table;
use super::tables::{
    AlertRow, CallGroupRow, CallRow, CaptureRow, IntervalRow, MediaGroupRow, RtcpRow, SipMessageRow, StreamRow,
};
use crate::rowbinary::RowKey;
use serde::de::value::Error;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};

/// One row inside a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSpan {
    pub start: usize,
    pub end: usize,
    /// `None` where the batch lacks the columns of the key.
    pub key: Option<RowKey>,
}

/// The rows of a payload in order, or `None` when it is not `rows` whole rows of these columns of the table.
pub fn row_spans(table: Table, columns: &[String], rows: u32, payload: &[u8]) -> Option<Vec<RowSpan>> {
    let known = shapes(table);
    let shapes: Vec<&Shape> = columns
        .iter()
        .map(|column| known.iter().find(|(name, _)| name == column).map(|(_, shape)| shape))
        .collect::<Option<_>>()?;
    let place = |name: &str| columns.iter().position(|column| column == name);
    let (row_id, stored_at) = (place("row_id"), place("stored_at"));
    let mut spans = Vec::with_capacity(rows as usize);
    let mut at = 0;
    for _ in 0..rows {
        let start = at;
        let (mut id, mut stored) = (None, None);
        for (column, shape) in shapes.iter().enumerate() {
            let end = shape.skip(payload, at)?;
            if Some(column) == row_id {
                id = payload.get(at..end)?.try_into().ok().map(u64::from_le_bytes);
            } else if Some(column) == stored_at {
                stored = payload.get(at..end)?.try_into().ok().map(u32::from_le_bytes);
            }
            at = end;
        }
        let key = id.zip(stored).map(|(row_id, stored_at)| RowKey { row_id, stored_at });
        spans.push(RowSpan { start, end: at, key });
    }
    (at == payload.len()).then_some(spans)
}

/// The rows of a payload with their texts replaced: `replace` is given column and text, and returns a new text, or `None`
/// for the same. Columns of an older schema may be missing. `None` when it is not `rows` whole rows of these columns.
pub fn replace_texts(
    table: Table,
    columns: &[String],
    rows: u32,
    payload: &[u8],
    replace: &dyn Fn(&str, &str) -> Option<String>,
) -> Option<Vec<u8>> {
    let known = shapes(table);
    let shapes: Vec<(&str, &Shape)> = columns
        .iter()
        .map(|column| known.iter().find(|(name, _)| name == column).map(|(name, shape)| (*name, shape)))
        .collect::<Option<_>>()?;
    let mut out = Vec::with_capacity(payload.len());
    let mut at = 0;
    for _ in 0..rows {
        for (column, shape) in &shapes {
            at = shape.rewrite(payload, at, &|text| replace(column, text), &mut out)?;
        }
    }
    (at == payload.len()).then_some(out)
}

/// One row of a batch, whose columns can be looked at.
pub struct RowView<'a> {
    columns: &'a [String],
    /// Where each column ends; the first begins at `start`.
    ends: &'a [usize],
    start: usize,
    payload: &'a [u8],
}

impl<'a> RowView<'a> {
    fn bytes(&self, column: &str) -> Option<&'a [u8]> {
        let (start, end) = self.place(column)?;
        self.payload.get(start..end)
    }

    fn place(&self, column: &str) -> Option<(usize, usize)> {
        let at = self.columns.iter().position(|name| name == column)?;
        let start = if at == 0 { self.start } else { *self.ends.get(at - 1)? };
        Some((start, *self.ends.get(at)?))
    }

    /// A column of the type `UInt64`.
    pub fn number(&self, column: &str) -> Option<u64> {
        self.bytes(column)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// A column of the type `String`.
    pub fn text(&self, column: &str) -> Option<&'a str> {
        let bytes = self.bytes(column)?;
        let (length, start) = leb128(bytes, 0)?;
        std::str::from_utf8(bytes.get(start..start.checked_add(length)?)?).ok()
    }

    /// A column of the type `Array(UInt64)`.
    pub fn list(&self, column: &str) -> Option<Vec<u64>> {
        let bytes = self.bytes(column)?;
        let (count, start) = leb128(bytes, 0)?;
        let (values, rest) = bytes.get(start..)?.as_chunks::<8>();
        let values: Vec<u64> = values.iter().map(|value| u64::from_le_bytes(*value)).collect();
        (rest.is_empty() && values.len() == count).then_some(values)
    }
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowFate {
    Keep,
    Drop,
    /// A column of the type `Array(UInt64)` gets these values.
    List(&'static str, Vec<u64>),
}

/// The rows that stay of a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EditedRows {
    pub payload: Vec<u8>,
    pub rows: u32,
    pub first: Option<RowKey>,
    /// Rows that were dropped or changed.
    pub edited: u32,
}

/// Goes through the rows of a payload; `None` when it is not `rows` whole rows of these columns of the table.
pub fn edit_rows(
    table: Table,
    columns: &[String],
    rows: u32,
    payload: &[u8],
    fate: &mut dyn FnMut(&RowView<'_>) -> RowFate,
) -> Option<EditedRows> {
    let known = shapes(table);
    let shapes: Vec<&Shape> = columns
        .iter()
        .map(|column| known.iter().find(|(name, _)| name == column).map(|(_, shape)| shape))
        .collect::<Option<_>>()?;
    let mut out = EditedRows::default();
    let mut at = 0;
    let mut ends = Vec::with_capacity(shapes.len());
    for _ in 0..rows {
        let start = at;
        ends.clear();
        for shape in &shapes {
            at = shape.skip(payload, at)?;
            ends.push(at);
        }
        let row = RowView { columns, ends: &ends, start, payload };
        match fate(&row) {
            RowFate::Drop => {
                out.edited += 1;
                continue;
            }
            RowFate::Keep => out.payload.extend_from_slice(payload.get(start..at)?),
            RowFate::List(column, values) => {
                let (from, to) = row.place(column)?;
                out.payload.extend_from_slice(payload.get(start..from)?);
                push_leb128(&mut out.payload, values.len());
                values.iter().for_each(|value| out.payload.extend_from_slice(&value.to_le_bytes()));
                out.payload.extend_from_slice(payload.get(to..at)?);
                out.edited += 1;
            }
        }
        if out.rows == 0 {
            let stored_at = row.bytes("stored_at").and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
            out.first = row.number("row_id").zip(stored_at).map(|(row_id, stored_at)| RowKey { row_id, stored_at });
        }
        out.rows += 1;
    }
    (at == payload.len()).then_some(out)
}

/// How a value lies in RowBinary.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Fixed(usize),
    /// A LEB128 length, then so many bytes.
    Text,
    /// One byte, and the value unless that byte is 1.
    Nullable(Box<Shape>),
    /// A LEB128 count, then so many values.
    List(Box<Shape>),
    Tuple(Vec<Shape>),
}

impl Shape {
    /// The position behind a value that begins at `at`; `None` when the bytes end before.
    fn skip(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let within = |end: usize| (end <= bytes.len()).then_some(end);
        match self {
            Shape::Fixed(width) => within(at.checked_add(*width)?),
            Shape::Text => {
                let (length, at) = leb128(bytes, at)?;
                within(at.checked_add(length)?)
            }
            Shape::Nullable(inner) => match bytes.get(at)? {
                0 => inner.skip(bytes, at + 1),
                1 => Some(at + 1),
                _ => None,
            },
            Shape::List(inner) => {
                let (count, mut at) = leb128(bytes, at)?;
                // Every value takes a byte at least, which bounds the loop.
                within(at.checked_add(count)?)?;
                for _ in 0..count {
                    at = inner.skip(bytes, at)?;
                }
                Some(at)
            }
            Shape::Tuple(inner) => inner.iter().try_fold(at, |at, shape| shape.skip(bytes, at)),
        }
    }
}

impl Shape {
    /// Copies a value that begins at `at`, its texts replaced; the position behind it. `None` when the bytes end before, or a
    /// text is not UTF-8.
    fn rewrite(
        &self,
        bytes: &[u8],
        at: usize,
        replace: &dyn Fn(&str) -> Option<String>,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        match self {
            Shape::Fixed(_) => {
                let end = self.skip(bytes, at)?;
                out.extend_from_slice(bytes.get(at..end)?);
                Some(end)
            }
            Shape::Text => {
                let (length, start) = leb128(bytes, at)?;
                let end = start.checked_add(length)?;
                let text = bytes.get(start..end)?;
                let replaced = replace(std::str::from_utf8(text).ok()?);
                let text = replaced.as_deref().map_or(text, str::as_bytes);
                push_leb128(out, text.len());
                out.extend_from_slice(text);
                Some(end)
            }
            Shape::Nullable(inner) => {
                let null = *bytes.get(at)?;
                out.push(null);
                match null {
                    0 => inner.rewrite(bytes, at + 1, replace, out),
                    1 => Some(at + 1),
                    _ => None,
                }
            }
            Shape::List(inner) => {
                let (count, mut at) = leb128(bytes, at)?;
                // Every value takes a byte at least, which bounds the loop.
                if at.checked_add(count)? > bytes.len() {
                    return None;
                }
                push_leb128(out, count);
                for _ in 0..count {
                    at = inner.rewrite(bytes, at, replace, out)?;
                }
                Some(at)
            }
            Shape::Tuple(inner) => inner.iter().try_fold(at, |at, shape| shape.rewrite(bytes, at, replace, out)),
        }
    }
}

fn push_leb128(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn leb128(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, at));
        }
    }
    None
}

/// The columns of a table and their shapes.
fn shapes(table: Table) -> Vec<(&'static str, Shape)> {
    let mut columns = Vec::new();
    let traced = match table {
        Table::Calls => trace::<CallRow>(&mut columns),
        Table::Streams => trace::<StreamRow>(&mut columns),
        Table::Alerts => trace::<AlertRow>(&mut columns),
        Table::CallGroups => trace::<CallGroupRow>(&mut columns),
        Table::MediaGroups => trace::<MediaGroupRow>(&mut columns),
        Table::CaptureIntervals => trace::<CaptureRow>(&mut columns),
        Table::SipMessages => trace::<SipMessageRow>(&mut columns),
        Table::RtcpReports => trace::<RtcpRow>(&mut columns),
        Table::StreamIntervals => trace::<IntervalRow>(&mut columns),
    };
    if traced.is_err() {
        // A type the tracer does not know: then no row is found, and a test says so.
        columns.clear();
    }
    columns
}

fn trace<T: for<'de> Deserialize<'de>>(columns: &mut Vec<(&'static str, Shape)>) -> Result<(), Error> {
    let mut shape = Shape::Tuple(Vec::new());
    T::deserialize(Tracer { shape: &mut shape, columns: Some(columns) }).map(|_| ())
}

/// Notes the shape of what is asked for, and answers with a value of no meaning.
struct Tracer<'a> {
    shape: &'a mut Shape,
    /// Gets the fields of the outermost struct.
    columns: Option<&'a mut Vec<(&'static str, Shape)>>,
}

macro_rules! fixed {
    ($($method:ident $visit:ident $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            *self.shape = Shape::Fixed(size_of::<$type>());
            visitor.$visit(<$type>::default())
        })*
    };
}

macro_rules! text {
    ($($method:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            *self.shape = Shape::Text;
            visitor.visit_str("")
        })*
    };
}

macro_rules! unknown {
    ($($method:ident($($arg:ty),*)),*) => {
        $(fn $method<V: Visitor<'de>>(self, $(_: $arg,)* _: V) -> Result<V::Value, Error> {
            Err(de::Error::custom("a type without a fixed form in RowBinary"))
        })*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Error;

    fixed!(
        deserialize_bool visit_bool bool,
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64, deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64
    );

    text!(deserialize_str, deserialize_string);

    unknown!(
        deserialize_any(),
        deserialize_char(),
        deserialize_bytes(),
        deserialize_byte_buf(),
        deserialize_unit(),
        deserialize_unit_struct(&'static str),
        deserialize_map(),
        deserialize_tuple_struct(&'static str, usize),
        deserialize_enum(&'static str, &'static [&'static str]),
        deserialize_identifier(),
        deserialize_ignored_any()
    );

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut inner = Shape::Fixed(0);
        let value = visitor.visit_some(Tracer { shape: &mut inner, columns: None })?;
        *self.shape = Shape::Nullable(Box::new(inner));
        Ok(value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut one = Elements { left: 1, shapes: Vec::new() };
        let value = visitor.visit_seq(&mut one)?;
        let inner = one.shapes.pop().ok_or_else(|| <Error as de::Error>::custom("a list of nothing"))?;
        *self.shape = Shape::List(Box::new(inner));
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let mut elements = Elements { left: length, shapes: Vec::new() };
        let value = visitor.visit_seq(&mut elements)?;
        *self.shape = Shape::Tuple(elements.shapes);
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut elements = Elements { left: fields.len(), shapes: Vec::new() };
        let value = visitor.visit_seq(&mut elements)?;
        if let Some(columns) = self.columns {
            columns.extend(fields.iter().copied().zip(elements.shapes.iter().cloned()));
        }
        *self.shape = Shape::Tuple(elements.shapes);
        Ok(value)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Elements {
    left: usize,
    shapes: Vec<Shape>,
}

impl<'de> SeqAccess<'de> for &mut Elements {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut shape = Shape::Fixed(0);
        let value = seed.deserialize(Tracer { shape: &mut shape, columns: None })?;
        self.shapes.push(shape);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rowbinary::RowBinary;
    use proptest::prelude::*;

    #[test]
    fn every_table_has_its_columns() {
        for table in Table::ALL {
            let columns = shapes(table);
            assert!(columns.len() > 10, "{table:?}: {columns:?}");
            assert!(columns.contains(&("row_id", Shape::Fixed(8))), "{table:?}");
            assert!(columns.contains(&("stored_at", Shape::Fixed(4))), "{table:?}");
        }
        let of_calls = shapes(Table::Calls);
        let shape = |name: &str| of_calls.iter().find(|(n, _)| *n == name).map(|(_, shape)| shape.clone());
        let diagnoses = Shape::Tuple(vec![Shape::Text, Shape::Fixed(4), Shape::Text]);
        assert_eq!(shape("diagnoses"), Some(Shape::List(Box::new(diagnoses))));
        let address = Shape::Tuple(vec![Shape::Fixed(1); 16]);
        assert_eq!(shape("signalling_src_ip"), Some(Shape::Nullable(Box::new(address))));
    }

    fn capture(n: u64, names: &[String]) -> CaptureRow {
        CaptureRow {
            stored_at: n as u32,
            probe: "p".repeat(n as usize % 300),
            site: String::new(),
            start_at: 1,
            length_ms: 2,
            interface: names.concat(),
            frames: n,
            bytes: n,
            dropped_ring: n,
            dropped_interface: n,
            dropped_queue: n,
            outcomes: names.iter().map(|name| (name.clone(), n)).collect(),
            row_id: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            streams_shed: n.is_multiple_of(2).then_some(n),
            streams_refused: None,
            calls_shed: Some(n),
            calls_refused: n.is_multiple_of(3).then_some(n),
            loss_floor_low_pct: None,
            loss_floor_high_pct: Some(n as f32),
            blackout_ms: Some(n as u32),
            timestamp_fault: names.concat(),
            timestamp_error_ms: n.is_multiple_of(5).then_some(n as f32),
            timestamp_granularity_ns: Some(n as u32),
            clock_steps: None,
            streams: Some(n as u32),
            one_sided_streams: Some(n as u32),
            mirror_copies: Some(n),
            sampled_one_of: Some(n as f32),
        }
    }

    proptest! {
        #[test]
        fn rows_are_found_where_they_were_put(rows in prop::collection::vec((any::<u32>(), prop::collection::vec(".{0,9}", 0..200)), 1..40)) {
            let mut encoded = RowBinary::default();
            let mut expected = Vec::new();
            for (n, names) in &rows {
                let row = capture(u64::from(*n), names);
                let start = encoded.bytes().len();
                encoded.push(&row).unwrap();
                let key = Some(RowKey { row_id: row.row_id, stored_at: row.stored_at });
                expected.push(RowSpan { start, end: encoded.bytes().len(), key });
            }
            let columns: Vec<String> = encoded.columns().iter().map(|c| (*c).to_owned()).collect();
            let found = row_spans(Table::CaptureIntervals, &columns, encoded.rows(), encoded.bytes());
            prop_assert_eq!(found, Some(expected));
            prop_assert_eq!(row_spans(Table::CaptureIntervals, &columns, encoded.rows() + 1, encoded.bytes()), None);
            let cut = &encoded.bytes()[..encoded.bytes().len() - 1];
            prop_assert_eq!(row_spans(Table::CaptureIntervals, &columns, encoded.rows(), cut), None);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), rows in 0u32..5) {
            for table in Table::ALL {
                let columns: Vec<String> = shapes(table).iter().map(|(name, _)| (*name).to_owned()).collect();
                let _ = row_spans(table, &columns, rows, &bytes);
            }
        }
    }

    #[test]
    fn an_older_segment_lacks_columns_and_an_unknown_column_ends_the_search() {
        #[derive(serde::Serialize)]
        struct Older {
            stored_at: u32,
            row_id: u64,
            probe: &'static str,
        }
        let mut encoded = RowBinary::default();
        encoded.push(&Older { stored_at: 5, row_id: 6, probe: "x" }).unwrap();
        let columns = ["stored_at", "row_id", "probe"].map(str::to_owned);
        let key = Some(RowKey { row_id: 6, stored_at: 5 });
        assert_eq!(
            row_spans(Table::Calls, &columns, 1, encoded.bytes()),
            Some(vec![RowSpan { start: 0, end: 14, key }])
        );
        let renamed = ["stored_at", "row_id", "unheard_of"].map(str::to_owned);
        assert_eq!(row_spans(Table::Calls, &renamed, 1, encoded.bytes()), None);
    }
}
