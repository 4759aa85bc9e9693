//! Permissions: what can be done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::schema;

/// One thing that can be done. Exactly one of `http`, `grpc`, `tcp` and `any` is required.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::exactly_one(&["http", "grpc", "tcp", "any"]))]
pub struct Permission {
    /// HTTP calls. All the fields inside must match. A gRPC call is an HTTP call too: `POST /<service>/<method>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpPermission>,
    /// gRPC calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcPermission>,
    /// TCP connections to container ports, whatever protocol they carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpPermission>,
    /// Every call and every connection. Written `any: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Nothing>,
    /// A condition in CEL that must also hold, for example `path.id != "1" && "x-reason" in request.headers`. In an Allow, a
    /// condition that cannot be evaluated does not match; in a Deny or Ask it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::expression)]
    pub when: Option<String>,
}

/// HTTP calls by method, path and host. At least one of `paths` and `pathRegexes` is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::at_least_one(&["paths", "pathRegexes"]))]
pub struct HttpPermission {
    /// The methods, case-sensitive, for example `[GET, HEAD]`; `"*"` is any method. `GET` does not imply `HEAD`.
    #[schemars(transform = schema::set(64, schema::method))]
    pub methods: Vec<String>,
    /// Path templates as alternatives, for example `/orders/{id}`. They start with `/` and are case-sensitive; the query is
    /// not part of a path, and a trailing slash is another path. `{x}` and `*` are one whole, non-empty segment. `**` is
    /// whole and last: `/a/**` matches `/a`, `/a/` and everything below.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::path_template))]
    pub paths: Option<Vec<String>>,
    /// Regular expressions as further alternatives to `paths`, each matched against the whole canonical path, for example
    /// `/v[0-9]+/orders`. Prefer `paths`: they are indexed and can be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(16, schema::regular_expression))]
    pub path_regexes: Option<Vec<String>>,
    /// Hosts as alternatives, lower-case and without a port, for example `orders.shop`; `*.example.com` is one or more labels
    /// before `example.com`. Omitted means any host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::host))]
    pub hosts: Option<Vec<String>>,
}

/// gRPC calls by service and method. Both are exact and case-sensitive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcPermission {
    /// The full name of the service with its package, for example `shop.v1.Orders`.
    #[schemars(transform = schema::grpc_service)]
    pub service: String,
    /// The methods as alternatives, for example `[Get, List]`; `"*"` is any method of the service.
    #[schemars(transform = schema::set(64, schema::grpc_method))]
    pub methods: Vec<String>,
}

/// TCP connections by port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpPermission {
    /// Container ports as alternatives, for example `[5432]`.
    #[schemars(transform = schema::set(64, schema::number(1, 65535)))]
    pub ports: Vec<u16>,
}
