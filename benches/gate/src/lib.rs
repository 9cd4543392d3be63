//! The pure rooms of the program, built alone: a fraction of the whole, so that counting its instructions costs a
//! minute and not ten. Their tests run where the rooms belong, not here.

#[cfg(not(test))]
#[path = "../../../src/engine/mod.rs"]
pub mod engine;
#[cfg(not(test))]
#[path = "../../../src/groups/mod.rs"]
pub mod groups;
#[cfg(not(test))]
#[path = "../../../src/media/mod.rs"]
pub mod media;
#[cfg(not(test))]
#[path = "../../../src/model/mod.rs"]
pub mod model;
#[cfg(not(test))]
#[path = "../../../src/quality/mod.rs"]
pub mod quality;
#[cfg(not(test))]
#[path = "../../../src/signal/mod.rs"]
pub mod signal;
#[cfg(not(test))]
#[path = "../../../src/units/mod.rs"]
pub mod units;
#[cfg(not(test))]
#[path = "../../../src/wire/mod.rs"]
pub mod wire;
