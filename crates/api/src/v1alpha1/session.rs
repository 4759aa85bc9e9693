//! Browser sessions that an `Authentication` believes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CredentialRequirement;
use crate::schema;

/// The sessions of one provider. Exactly one provider is required; `kratos` is the only one yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::exactly_one(&["kratos"]))]
pub struct Session {
    /// Ory Kratos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kratos: Option<KratosSession>,
    /// How strongly the user must have signed in: `aal1` (one factor) or `aal2` (two). A weaker session is answered with 401 and
    /// a challenge to step up (RFC 9470). Omitted means that any session is strong enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_assurance: Option<AssuranceLevel>,
    /// Whether a request without a session is refused: `Required`, or `Optional`. A session that is present and invalid is
    /// always refused with 401.
    pub requirement: CredentialRequirement,
}

/// Sessions of Ory Kratos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KratosSession {
    /// The provider's name in the operator's configuration, which holds its address.
    #[schemars(transform = schema::configured_name)]
    pub name: String,
    /// The name of the session cookie, for example `ory_kratos_session`. Conditions cannot read it.
    #[schemars(transform = schema::cookie_name)]
    pub cookie: String,
}

/// How strongly a user has signed in (Kratos' authenticator assurance levels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssuranceLevel {
    /// One factor.
    Aal1,
    /// Two factors.
    Aal2,
}
