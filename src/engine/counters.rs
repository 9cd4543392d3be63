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
}

impl Engine {
    /// A copy of the counters; it costs no more than a few hundred bytes, but is nothing for every frame.
    pub fn counters(&self) -> EngineCounters {
        EngineCounters {
            signalling: self.signal.counters().clone(),
            fragments: self.decoder.as_ref().map(|d| d.counters()).unwrap_or_default(),
            tcp: self.tcp.as_ref().map(|t| t.counters).unwrap_or_default(),
        }
    }
}
