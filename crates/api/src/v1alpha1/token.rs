//! Tokens that an `Authentication` believes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::schema;

/// The tokens of one issuer, and how they are checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The issuer, exactly as in the token's claim `iss`, for example `https://id.example/realms/shop`.
    #[schemars(transform = schema::issuer)]
    pub issuer: String,
    /// The audiences that are accepted, as alternatives; the token's claim `aud` must name one of them, for example
    /// `[orders]`.
    #[schemars(transform = schema::set(64, schema::claim_text))]
    pub audiences: Vec<String>,
    /// Where the keys that verify the token come from. The operator fetches them, never the sidecar; only asymmetric
    /// algorithms are accepted.
    pub keys: TokenKeys,
    /// Where in the request the token is, as alternatives. Omitted means the header `authorization` with the scheme `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(16, |_| {}))]
    pub from: Option<Vec<TokenLocation>>,
    /// Whether a request without a token is refused: `Required`, or `Optional`. A token that is present and invalid is always
    /// refused with 401.
    pub requirement: CredentialRequirement,
    /// What the token is bound to. `Certificate`: its thumbprint claim must name the certificate of the caller (RFC 8705), so
    /// that a stolen token is worth nothing. Omitted means that a binding is not demanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<TokenBinding>,
    /// The types of claims that conditions read, so that they can be checked before they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub claims: Option<Vec<ClaimDeclaration>>,
    /// Whether the application sees the token: `Keep`, or `Strip`. Omitted means `Strip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<TokenForwarding>,
}

/// Where keys come from. Exactly one field is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_field)]
pub struct TokenKeys {
    /// The issuer's discovery document (OpenID Connect Discovery 1.0, or RFC 8414) names them. Written `discovery: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Nothing>,
    /// The URL of a JSON Web Key Set (RFC 7517). It must be `https`, on a host that the operator's configuration allows.
    #[serde(rename = "jwksURI", skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::https_url)]
    pub jwks_uri: Option<String>,
    /// A JSON Web Key Set (RFC 7517) as text. Private and symmetric keys are errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::document)]
    pub inline: Option<String>,
    /// The issuer is asked about each token (RFC 7662), for tokens that are opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<IntrospectionReference>,
}

/// An introspection endpoint of the operator's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntrospectionReference {
    /// The endpoint's name in the operator's configuration, which holds its address and credentials.
    #[schemars(transform = schema::configured_name)]
    pub name: String,
}

/// A place in the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenLocation {
    /// The header's name in lower case, for example `authorization`. Conditions cannot read it.
    #[schemars(transform = schema::header_name)]
    pub header: String,
    /// The word before the token, for example `Bearer`, compared without regard to case. Omitted means that the header's value
    /// is the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::credential_scheme)]
    pub scheme: Option<String>,
}

/// The type of one claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimDeclaration {
    /// The way to the claim, one name a level, for example `[realm_access, roles]`.
    #[schemars(transform = schema::list(16, schema::claim_name))]
    pub path: Vec<String>,
    /// The claim's type: `String`, `StringList`, `SpaceSeparated` (a string that is read as a list), `Bool` or `Number`. Reading
    /// a claim of another type is an error.
    #[serde(rename = "type")]
    pub claim_type: ClaimType,
}

/// The type of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimType {
    /// A string.
    String,
    /// A list of strings.
    StringList,
    /// A string with words separated by spaces, read as a list.
    SpaceSeparated,
    /// A truth value.
    Bool,
    /// A number.
    Number,
}

/// Whether a request without the credential is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CredentialRequirement {
    /// It goes on to authorization without a principal.
    Optional,
    /// It is refused with 401.
    Required,
}

/// What a token is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenBinding {
    /// The caller's certificate (RFC 8705).
    Certificate,
}

/// Whether the application sees a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenForwarding {
    /// It is removed from the request.
    Strip,
    /// It is left in the request.
    Keep,
}
