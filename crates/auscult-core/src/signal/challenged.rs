//! Calls whose INVITE was challenged, and that ended before one with credentials came.

use super::Table;
use crate::model::CallUid;
use std::collections::VecDeque;

/// Calls remembered, the latest: at a thousand challenged INVITEs a second without a retry, for the last 16 seconds; 1 MB.
const REMEMBERED: usize = 16_384;

#[derive(Default)]
pub(super) struct ChallengedCalls {
    /// From tag and identity of the first attempt, by the key of the Call-ID, with the serial number of the note.
    calls: Table<u128, (u64, CallUid, u64)>,
    by_age: VecDeque<(u128, u64)>,
    serial: u64,
}

impl ChallengedCalls {
    pub fn note(&mut self, key: u128, from_tag: u64, first_uid: CallUid) {
        self.serial += 1;
        self.calls.insert(key, (from_tag, first_uid, self.serial));
        self.by_age.push_back((key, self.serial));
        // A call that was noted again or taken is still in the list, and is passed over there.
        while self.by_age.len() > REMEMBERED {
            let Some((key, serial)) = self.by_age.pop_front() else { return };
            if self.calls.get(&key).is_some_and(|(.., noted)| *noted == serial) {
                self.calls.remove(&key);
            }
        }
    }

    /// The first attempt of the call that an INVITE tries again.
    pub fn take(&mut self, key: u128, from_tag: u64) -> Option<CallUid> {
        let (tag, ..) = self.calls.get(&key)?;
        if *tag != from_tag {
            return None;
        }
        self.calls.remove(&key).map(|(_, first_uid, _)| first_uid)
    }
}
