//! A refused batch in two halves, exactly once whatever happens in between.
//!
//! Both halves are written and synced under tokens that follow from the whole's token; then the whole is removed; only then
//! a half may be delivered. A crash before the removal leaves the whole, and the halves are removed at the start.

use super::Shared;
use crate::rows::row_spans;
use crate::spool::{Batch, EncodedBatch, encode_batch};
use std::sync::Arc;

/// What became of a split.
pub(super) enum Split {
    Done,
    /// Its rows cannot be separated, so it stays whole for ever.
    Indivisible,
    /// Rows were erased from it since it was read: it is delivered as it is now.
    Changed,
    /// The spool could not be written; the whole waits as before.
    Unwritable(std::io::Error),
}

/// Replaces a segment by its halves. Blocks on the disk.
pub(super) fn split(shared: &Arc<Shared>, number: u64, whole: &Batch) -> Split {
    let Some(halves) = halves(whole) else { return Split::Indivisible };
    let numbers = {
        let mut spool = shared.spool();
        let numbers = spool.begin_split(number);
        if !spool.holds(number, whole) {
            spool.failed(number);
            return Split::Changed;
        }
        numbers
    };
    let written = write(shared, number, numbers, &halves);
    match written {
        Ok(()) => Split::Done,
        Err(error) => Split::Unwritable(error),
    }
}

fn write(shared: &Shared, number: u64, numbers: [u64; 2], halves: &[Batch; 2]) -> std::io::Result<()> {
    let frozen: [EncodedBatch; 2] =
        [encode_batch(numbers[0], Some(number), &halves[0])?, encode_batch(numbers[1], Some(number), &halves[1])?];
    for half in &frozen {
        let place = shared.spool().place_of(half);
        if let Err(error) = place.write(half) {
            shared.spool().abandon(&frozen);
            return Err(error);
        }
    }
    shared.spool().replace(number, &frozen)
}

/// The two halves of a batch, by bytes, at least a row in each. `None` for a single row, and for rows that cannot be separated.
pub(super) fn halves(whole: &Batch) -> Option<[Batch; 2]> {
    let spans = row_spans(whole.table, &whole.columns, whole.rows, &whole.payload)?;
    let middle = whole.payload.len() / 2;
    let at = spans.partition_point(|span| span.end <= middle).clamp(1, spans.len().checked_sub(1)?.max(1));
    let (first, second) = (spans.get(..at)?, spans.get(at..)?);
    let half = |name: char, spans: &[crate::rows::RowSpan]| {
        let (from, to) = (spans.first()?, spans.last()?);
        Some(Batch {
            format: whole.format,
            table: whole.table,
            columns: whole.columns.clone(),
            rows: u32::try_from(spans.len()).ok()?,
            token: format!("{}{}{name}", whole.token, if is_half(&whole.token) { "" } else { "/" }),
            first: from.key,
            origin: whole.origin.clone(),
            payload: whole.payload.get(from.start..to.end)?.to_vec(),
        })
    };
    Some([half('a', first)?, half('b', second)?])
}

fn is_half(token: &str) -> bool {
    token.contains('/')
}

/// The token of the batch that the first split divided.
pub(super) fn root(token: &str) -> &str {
    token.split_once('/').map_or(token, |(root, _)| root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rowbinary::{RowBinary, RowKey};
    use crate::rows::Table;
    use proptest::prelude::*;

    #[derive(serde::Serialize)]
    struct Few {
        stored_at: u32,
        probe: String,
        row_id: u64,
    }

    fn batch(lengths: &[usize]) -> Batch {
        let mut rows = RowBinary::default();
        for (n, length) in lengths.iter().enumerate() {
            rows.push(&Few { stored_at: 7, probe: "x".repeat(*length), row_id: n as u64 }).unwrap();
        }
        Batch {
            format: 2,
            table: Table::Streams,
            columns: rows.columns().iter().map(|c| (*c).to_owned()).collect(),
            rows: rows.rows(),
            token: "0f-12".to_owned(),
            first: Some(RowKey { row_id: 0, stored_at: 7 }),
            origin: Some("print".to_owned()),
            payload: rows.bytes().to_vec(),
        }
    }

    proptest! {
        #[test]
        fn halves_hold_all_rows_in_order_down_to_one(lengths in prop::collection::vec(0usize..400, 1..80)) {
            let whole = batch(&lengths);
            let mut leaves: Vec<Batch> = Vec::new();
            let mut left = vec![whole.clone()];
            while let Some(piece) = left.pop() {
                match halves(&piece) {
                    None => leaves.push(piece),
                    Some([a, b]) => {
                        prop_assert_eq!(a.rows + b.rows, piece.rows);
                        prop_assert!(a.rows > 0 && b.rows > 0);
                        left.extend([b, a]);
                    }
                }
            }
            prop_assert_eq!(leaves.len(), lengths.len());
            let payload: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.payload.clone()).collect();
            prop_assert_eq!(payload, whole.payload);
            let tokens: std::collections::BTreeSet<&str> = leaves.iter().map(|leaf| leaf.token.as_str()).collect();
            prop_assert_eq!(tokens.len(), leaves.len());
            for (n, leaf) in leaves.iter().enumerate() {
                prop_assert_eq!(leaf.first, Some(RowKey { row_id: n as u64, stored_at: 7 }));
                prop_assert_eq!(root(&leaf.token), "0f-12");
                prop_assert_eq!(leaf.origin.as_deref(), Some("print"));
            }
        }
    }

    #[test]
    fn the_same_whole_always_has_the_same_halves() {
        let whole = batch(&[1, 2, 3, 4000, 5]);
        assert_eq!(halves(&whole), halves(&whole));
        let [first, second] = halves(&whole).unwrap();
        assert_eq!((first.token.as_str(), first.rows), ("0f-12/a", 3));
        assert_eq!((second.token.as_str(), second.rows), ("0f-12/b", 2));
        assert_eq!(halves(&second).unwrap()[0].token, "0f-12/ba");
    }
}
