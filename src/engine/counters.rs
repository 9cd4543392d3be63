//! What signalling and reassembly left out or found odd, for whoever watches the probe.

use super::Engine;
use crate::signal::SignalCounters;
use crate::wire::DecoderCounters;
use crate::wire::tcp::TcpCounters;

/// Counted since the engine began. Frames are counted by outcome instead, see [`Engine::outcomes`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineCounters {
    pub signalling: SignalCounters,
    /// Datagrams put together from IP fragments.
    pub fragments: DecoderCounters,
    /// TCP streams that may carry SIP.
    pub tcp: TcpCounters,
    /// RTCP reports of senders that found no room in the table of senders: no round trip comes of them.
    pub rtcp_senders_refused: u64,
    /// Gaps beyond those remembered in an interval: they are no evidence of whose loss it was.
    pub gaps_left_out: u64,
}

impl Engine {
    /// A copy of the counters; it costs no more than a few hundred bytes, but is nothing for every frame.
    pub fn counters(&self) -> EngineCounters {
        EngineCounters {
            signalling: self.signal.counters().clone(),
            fragments: self.decoder.as_ref().map(|d| d.counters()).unwrap_or_default(),
            tcp: self.tcp.as_ref().map(|t| t.counters).unwrap_or_default(),
            rtcp_senders_refused: self.join.witness.refused,
            gaps_left_out: self.join.gaps.left_out(),
        }
    }
}
