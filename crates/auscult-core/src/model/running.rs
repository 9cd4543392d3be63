//! A call that is up, for those who show it before its record closes.

use super::{CallRecord, CodecId};
use std::net::SocketAddr;
use std::sync::Arc;

/// A call that is up, with what the engine stated of it last.
#[derive(Clone, Debug)]
pub struct RunningCall {
    pub record: Arc<CallRecord>,
    /// Configured name of the trunk it belongs to, empty if none.
    pub trunk: Arc<str>,
    /// Its streams that are measured now.
    pub streams: Vec<RunningStream>,
}

/// A stream that is measured now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningStream {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    /// Empty while it is unknown.
    pub codec: CodecId,
}
