//! Call quality from counts: E-model, codec table, burst and gap metrics, jitter-buffer emulation, assessment.
//!
//! Pure arithmetic. Nothing here sees a packet's bytes; [`assess::assess`] turns the numbers of a stream into a
//! [`crate::model::MosReport`], the other modules are what it stands on.

pub mod assess;
pub mod codecs;
pub mod emodel;
pub mod jitter_buffer;
mod rating;

pub use crate::model::burst;
pub use assess::{MosContext, assess, budget};
pub use codecs::{CodecQuality, CodecTable};
pub use emodel::{Echo, Inputs, RBudget, Rating, Scale, rate};
