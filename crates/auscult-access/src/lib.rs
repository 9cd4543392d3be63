//! Who may see what: users, roles, API tokens, sessions, and the audit log.
//!
//! Nothing here knows HTTP. The program keeps one [`Access`] for the data directory; the API asks it who a request comes from. Time is an
//! argument everywhere. Passwords are stored as argon2id, tokens and sessions as SHA-256 of 256 random bits.

#![forbid(unsafe_code)]

mod access;
pub mod audit;
mod file;
mod password;
mod pending;
mod private;
mod role;
mod secret;
mod session;
mod throttle;

pub use access::{Access, Identity, SignIn, SignInError};
pub use file::{AccessError, AccessFile, ListedToken, ListedUser, NewToken, NewUser};
pub use password::{MAX_PASSWORD, MIN_PASSWORD, check_password};
pub use pending::{PendingError, PendingSignIns, SignInKey};
pub use role::{Principal, Role, Scope, Via};
pub use session::SessionLimits;
pub use throttle::Throttle;

/// Name of the directory for users, tokens and the audit log, in the data directory.
pub const DIRECTORY: &str = "access";
