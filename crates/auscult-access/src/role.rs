//! Roles, scopes, and who a request comes from.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What somebody may see. Each role may do what the one before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Figures, without parties: statistics, outcomes, comparisons, alerts, `/metrics`.
    Viewer,
    /// Calls, streams and parties; begins and ends silences of alerts.
    Operator,
    /// SIP messages.
    Investigator,
    /// The audit log.
    Admin,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Operator, Role::Investigator, Role::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Investigator => "investigator",
            Role::Admin => "admin",
        }
    }

    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Which rows somebody may see: those of these probes and trunks. `None` is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunks: Option<Vec<String>>,
}

impl Scope {
    /// Everything.
    pub fn all() -> Scope {
        Scope::default()
    }

    pub fn is_all(&self) -> bool {
        self.probes.is_none() && self.trunks.is_none()
    }

    /// Whether rows of this probe are in it.
    pub fn has_probe(&self, probe: &str) -> bool {
        self.probes.as_ref().is_none_or(|names| names.iter().any(|name| name == probe))
    }

    /// Whether rows of this trunk are in it. A row without a trunk has an empty name, and is in no list of trunks.
    pub fn has_trunk(&self, trunk: &str) -> bool {
        self.trunks.as_ref().is_none_or(|names| names.iter().any(|name| name == trunk))
    }
}

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Nobody has to: there are no users, and the service is on loopback.
    Open,
    Password,
    Token,
    /// OpenID Connect.
    Oidc,
    /// A header of a trusted proxy.
    Proxy,
    /// A command on the host of the probe.
    Command,
}

impl Via {
    pub fn name(self) -> &'static str {
        match self {
            Via::Open => "open",
            Via::Password => "password",
            Via::Token => "token",
            Via::Oidc => "oidc",
            Via::Proxy => "proxy",
            Via::Command => "command",
        }
    }
}

/// Who a request comes from, and what they may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Name of the user, or of the token.
    pub name: Arc<str>,
    pub role: Role,
    pub scope: Scope,
    pub via: Via,
}

impl Principal {
    /// Whoever reaches a service on loopback that has no users.
    pub fn open() -> Principal {
        Principal { name: "".into(), role: Role::Admin, scope: Scope::all(), via: Via::Open }
    }

    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_the_one_before_may() {
        for (i, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(Role::parse(role.name()), Some(role));
            let principal = Principal { role, ..Principal::open() };
            let may: Vec<bool> = Role::ALL.into_iter().map(|needed| principal.may(needed)).collect();
            assert_eq!(may.iter().filter(|may| **may).count(), i + 1);
            assert!(may.is_sorted_by(|a, b| a >= b));
        }
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn a_scope_of_trunks_has_no_rows_without_a_trunk() {
        let scope = Scope { probes: None, trunks: Some(vec!["a".to_owned()]) };
        assert!(scope.has_trunk("a") && !scope.has_trunk("b") && !scope.has_trunk("") && scope.has_probe("any"));
        assert!(Scope::all().has_trunk("") && Scope::all().is_all() && !scope.is_all());
    }
}
