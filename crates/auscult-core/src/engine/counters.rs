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
    /// Streams that reports, session descriptions and lossy intervals were compared with, and how many of these were not
    /// compared with every stream of their address or SSRC.
    pub streams_compared: u64,
    pub compared_in_part: u64,
    /// Ended streams beyond [`crate::model::Limits::ended_streams`] or 64 of a call: its verdict does not know them.
    pub streams_unjudged: u64,
    /// Streams that their address or SSRC does not know, because it has 1,024.
    pub streams_unindexed: u64,
    /// RTCP datagrams whose copies would not be known, and addresses of ended streams whose last reports would not be.
    pub rtcp_unremembered: u64,
    pub late_addresses_left_out: u64,
    /// Round trips beyond those that wait until it is known whether the clock was set; those over a step are not counted here.
    pub round_trips_left_out: u64,
    /// Rows that were not made of RTCP: sources that nothing is known of, in datagrams of known calls or streams.
    pub rtcp_rows_left_out: u64,
}

impl Engine {
    /// A copy of the counters; it costs no more than a few hundred bytes, but is nothing for every frame.
    pub fn counters(&self) -> EngineCounters {
        let core = &self.core;
        EngineCounters {
            signalling: core.signal.counters().clone(),
            fragments: self.reassembly.decoder.counters(),
            tcp: self.reassembly.tcp.counters,
            rtcp_senders_refused: core.correlator.rtt_estimator.refused,
            gaps_left_out: core.correlator.gaps.left_out() + core.correlator.capture_loss.left_out,
            streams_compared: core.correlator.compared,
            compared_in_part: core.correlator.compared_in_part,
            streams_unjudged: core.correlator.unjudged,
            streams_unindexed: core.correlator.unindexed,
            rtcp_unremembered: core.copies.left_out,
            late_addresses_left_out: core.correlator.late.left_out,
            round_trips_left_out: core.correlator.rtt_estimator.left_out,
            rtcp_rows_left_out: core.rtcp_rows_left_out,
        }
    }
}
