//! Rules of alerts: those the program comes with on made-up traffic and over simulated months.

mod defaults;
mod month;
mod restart;
mod rules;
mod scale;
