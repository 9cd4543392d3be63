//! One initial INVITE on its way: the hops of proxies and the branches of a fork.

use super::message_context::MessageContext;

/// The INVITE of one CSeq number, as seen on one or more hops.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempt {
    pub cseq: Option<u32>,
    pub hops: Vec<Hop>,
    /// The caller's final answer.
    pub answer: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub branch: u64,
    pub vias: u16,
    pub failed: bool,
}

impl Attempt {
    /// Via entries of the copy nearest to the caller.
    pub fn nearest(&self) -> u16 {
        self.hops.iter().map(|h| h.vias).min().unwrap_or(u16::MAX)
    }

    /// Notes a failure answer; true when it is the caller's answer and not one behind a proxy.
    pub fn fails(&mut self, context: &MessageContext<'_, '_>) -> bool {
        let nearest = self.nearest();
        match self.hops.iter_mut().find(|h| h.branch == context.branch) {
            Some(hop) => hop.failed = true,
            None => return context.vias <= nearest,
        }
        let own = self.hops.iter().any(|h| h.branch == context.branch && h.vias == nearest);
        own && self.hops.iter().filter(|h| h.vias == nearest).all(|h| h.failed)
    }
}
