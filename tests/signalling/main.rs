//! Signalling: readable call scripts, torture and hostile messages, mutations, and captures.

mod captures;
mod flows;
mod hostile;
mod places;
mod reports;
mod round_trips;
mod script;
mod secrets;
mod torture;
