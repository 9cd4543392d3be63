//! Where the next page starts: the sort key, time and identity of the last row, and the question they belong to.

use super::{QueryError, Window};
use auscult_core::units::Timestamp;

/// Opaque to clients: 49 bytes as hexadecimal digits. It carries the window of the first page, so rows that
/// arrive meanwhile do not move a default window, and the key of the last row, so they do not shift a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// Number of the sort order within its list; a cursor of another order is refused.
    pub order: u8,
    pub window: Window,
    pub key: i64,
    /// When the row's call or stream began: of equal keys the later one comes first.
    pub at: Timestamp,
    pub id: u64,
}

impl PageCursor {
    pub fn encode(&self) -> String {
        let mut text = format!("{:02x}", self.order);
        for part in [self.window.from.0 as u64, self.window.to.0 as u64, self.key as u64, self.at.0 as u64, self.id] {
            text.push_str(&format!("{part:016x}"));
        }
        text
    }

    /// The cursor of a list sorted by `order`.
    pub fn decode(text: &str, order: u8) -> Result<PageCursor, QueryError> {
        let cursor = Self::parse(text)
            .ok_or_else(|| QueryError::BadRequest("`cursor` is not one this service gave out".to_owned()))?;
        if cursor.order != order {
            return Err(QueryError::BadRequest(
                "`cursor` belongs to another `sort`; start from the first page".to_owned(),
            ));
        }
        if cursor.window.length() > Window::MAX {
            return Err(QueryError::BadRequest("`cursor` is not one this service gave out".to_owned()));
        }
        Ok(cursor)
    }

    fn parse(text: &str) -> Option<PageCursor> {
        if text.len() != 2 + 5 * 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let part = |n: usize| u64::from_str_radix(text.get(2 + n * 16..2 + (n + 1) * 16)?, 16).ok();
        Some(PageCursor {
            order: u8::from_str_radix(text.get(..2)?, 16).ok()?,
            window: Window { from: Timestamp(part(0)? as i64), to: Timestamp(part(1)? as i64) },
            key: part(2)? as i64,
            at: Timestamp(part(3)? as i64),
            id: part(4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn windows() -> impl Strategy<Value = Window> {
        (-1_000_000i64..1_000_000, 0i64..1000)
            .prop_map(|(from, length)| Window { from: Timestamp(from), to: Timestamp(from + length) })
    }

    proptest! {
        #[test]
        fn round_trip(order in 0u8..4, window in windows(), key: i64, at: i64, id: u64) {
            let cursor = PageCursor { order, window, key, at: Timestamp(at), id };
            prop_assert_eq!(PageCursor::decode(&cursor.encode(), order).ok(), Some(cursor));
            prop_assert!(PageCursor::decode(&cursor.encode(), order + 1).is_err());
        }

        #[test]
        fn any_text_is_refused_or_read(text in "\\PC{0,90}") {
            let _ = PageCursor::decode(&text, 0);
        }
    }

    #[test]
    fn a_forged_window_does_not_get_past_the_limit() {
        let window = Window { from: Timestamp(0), to: Timestamp(i64::MAX) };
        assert!(
            PageCursor::decode(&PageCursor { order: 0, window, key: 0, at: Timestamp(0), id: 0 }.encode(), 0).is_err()
        );
    }
}
