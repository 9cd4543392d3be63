//! Command line, configuration and threads: everything that ties the rooms to a running program.

pub mod emodel;
