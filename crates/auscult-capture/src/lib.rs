//! Frames in: capture files, several files as one timeline, live interfaces, and replay at real speed.
//!
//! This crate reads files, sockets and clocks. What it gives out is a [`Frame`]: a time,
//! a link type and bytes. It decides nothing about what the bytes mean.

mod bytes;
mod classic;
mod error;
mod file;
mod inflate;
mod input;
#[cfg(feature = "live")]
pub mod live;
pub mod pace;
mod pcapng;
#[cfg(feature = "live")]
mod pin;
mod privileges;
pub mod sandbox;
mod sniff;
mod timeline;

pub use error::CaptureError;
pub use file::{FileReader, STDIN};
#[cfg(feature = "live")]
pub use pin::{may_run_on, run_on};
pub use privileges::drop_privileges;
pub use timeline::{FileTruncation, Timeline};

use auscult_core::units::Timestamp;
use auscult_core::wire::LinkType;
use std::fmt;

/// The longest record a capture file may claim, in bytes: libpcap's own maximum snap length. A longer claim is corruption.
pub const MAX_RECORD: usize = 256 * 1024;

/// Most interfaces kept of one file: a number no probe has, so that a file of nothing but interface blocks stays small.
pub const MAX_INTERFACES: usize = 1024;

/// One frame as the tap saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When the frame was captured.
    pub at: Timestamp,
    pub link: LinkType,
    /// Index into the source's list of interfaces.
    pub interface: u16,
    /// The captured bytes, from the link-layer header on; at most [`MAX_RECORD`].
    pub bytes: &'a [u8],
    /// Bytes the frame had on the wire; never less than `bytes.len()`.
    pub wire_len: u32,
}

/// An interface as a capture file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The name on the capturing host; classic pcap has none.
    pub name: Option<String>,
    pub link: LinkType,
    /// Step of this interface's time stamps in nanoseconds, at least 1.
    pub resolution_ns: u32,
    /// Longest frame the capture kept, in bytes; 0 is no limit.
    pub snap_len: u32,
    pub drops: FileDrops,
}

/// What a capture file says its own capture missed. `None` is "the file does not say", which is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileDrops {
    /// Frames dropped by the interface (`isb_ifdrop`).
    pub by_interface: Option<u64>,
    /// Frames dropped by the operating system, the capture ring among them (`isb_osdrop`).
    pub by_system: Option<u64>,
    /// Frames dropped according to the packet records themselves (`epb_dropcount`, drops count of the old packet block).
    /// The same losses may be counted in the other two as well.
    pub by_record: Option<u64>,
}

impl FileDrops {
    /// The losses of several interfaces or files together; what nobody states stays unknown.
    pub fn plus(self, other: FileDrops) -> FileDrops {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        FileDrops {
            by_interface: sum(self.by_interface, other.by_interface),
            by_system: sum(self.by_system, other.by_system),
            by_record: sum(self.by_record, other.by_record),
        }
    }
}

/// Records that were read but are not as they should be, each kind counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// More bytes captured than the frame is said to have had.
    pub longer_than_wire: u64,
    /// No bytes at all.
    pub empty: u64,
    /// A fraction of a second that is a second or more (classic pcap). It is added as it stands.
    pub fraction_over_second: u64,
    /// Older than the record before it in the same file.
    pub time_went_back: u64,
    /// A time outside of what is measured ([`Timestamp::is_measurable`]), or of an interface whose clock cannot be
    /// read (`if_tsresol`). The record was left out.
    pub time_out_of_range: u64,
    /// A record that carries no time (simple packet block): it got the time of the record before it.
    pub untimed: u64,
    /// A packet of an interface its section does not describe. It cannot be read and was left out.
    pub undescribed_interface: u64,
}

impl Oddities {
    /// Records that were odd in some way, also those left out; a record odd in two ways counts twice.
    pub fn total(&self) -> u64 {
        self.longer_than_wire
            + self.empty
            + self.fraction_over_second
            + self.time_went_back
            + self.time_out_of_range
            + self.untimed
            + self.undescribed_interface
    }

    pub fn plus(self, other: Oddities) -> Oddities {
        Oddities {
            longer_than_wire: self.longer_than_wire + other.longer_than_wire,
            empty: self.empty + other.empty,
            fraction_over_second: self.fraction_over_second + other.fraction_over_second,
            time_went_back: self.time_went_back + other.time_went_back,
            time_out_of_range: self.time_out_of_range + other.time_out_of_range,
            untimed: self.untimed + other.untimed,
            undescribed_interface: self.undescribed_interface + other.undescribed_interface,
        }
    }
}

/// Why a file was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TruncationKind {
    /// The file stops inside a record or a compressed stream.
    Cut,
    /// A record cannot be what it says; nothing after it can be trusted.
    Corrupt,
    /// The operating system failed to read on.
    Unreadable,
}

/// Where and why reading stopped before the end. Every whole record before that place was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Offset of the record that could not be read; in a compressed file, within the decompressed data.
    pub at_byte: u64,
    pub kind: TruncationKind,
    pub what: String,
}

impl fmt::Display for Truncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            TruncationKind::Cut => "cut off",
            TruncationKind::Corrupt => "corrupt",
            TruncationKind::Unreadable => "unreadable",
        };
        write!(f, "{verb} at byte {}: {}", self.at_byte, self.what)
    }
}

/// Takes the numbers for raw IP that differ between operating systems (DLT_RAW) to the one files should carry.
fn link_type(number: u32) -> LinkType {
    const LINKTYPE_RAW: u32 = 101;
    match number {
        12 | 14 => LinkType(LINKTYPE_RAW),
        other => LinkType(other),
    }
}
