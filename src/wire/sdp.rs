//! SDP.
use crate::units::ClockRate;
pub fn static_payload(pt: u8) -> Option<(&'static str, ClockRate)> {
    let (n, r) = match pt {
        0 => ("PCMU", 8000),
        8 => ("PCMA", 8000),
        9 => ("G722", 8000),
        18 => ("G729", 8000),
        13 | 19 => ("CN", 8000),
        3 => ("GSM", 8000),
        4 => ("G723", 8000),
        _ => return None,
    };
    Some((n, ClockRate::new(r)?))
}
