//! Formats of strings. A pattern here never refuses what the decoder accepts: it is the cheap, early half of the check.

use schemars::Schema;
use serde_json::json;

fn text(schema: &mut Schema, maximum: u32, pattern: Option<&str>) {
    schema.insert("minLength".to_owned(), json!(1));
    schema.insert("maxLength".to_owned(), json!(maximum));
    if let Some(pattern) = pattern {
        schema.insert("pattern".to_owned(), json!(pattern));
    }
}

/// RFC 1123 label: namespaces, rule names.
pub(crate) fn label_name(schema: &mut Schema) {
    text(schema, 63, Some("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"));
}

/// RFC 1123 subdomain: names of objects.
pub(crate) fn object_name(schema: &mut Schema) {
    text(schema, 253, Some(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"));
}

/// A name with an optional prefix: label keys.
pub(crate) fn label_key(schema: &mut Schema) {
    text(
        schema,
        317,
        Some("^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"),
    );
}

/// A label's value; it may be empty.
pub(crate) fn label_value(schema: &mut Schema) {
    text(schema, 63, Some("^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"));
    schema.remove("minLength");
}

/// A key of a `ConfigMap`.
pub(crate) fn data_key(schema: &mut Schema) {
    text(schema, 253, Some("^[-._a-zA-Z0-9]+$"));
}

/// A name in the operator's configuration: authorizers, introspection endpoints, session providers.
pub(crate) fn configured_name(schema: &mut Schema) {
    label_name(schema);
}

/// An HTTP method (RFC 9110, section 9.1: a token), or `*`, which is a token too.
pub(crate) fn method(schema: &mut Schema) {
    text(schema, 32, Some("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"));
}

/// A path template.
pub(crate) fn path_template(schema: &mut Schema) {
    text(schema, 1024, Some("^/"));
}

/// A regular expression.
pub(crate) fn regular_expression(schema: &mut Schema) {
    text(schema, 1024, None);
}

/// A host, possibly with a leading `*.`.
pub(crate) fn host(schema: &mut Schema) {
    text(schema, 255, Some(r"^(\*\.)?[^\s*/?#@]+$"));
}

/// A full gRPC service name.
pub(crate) fn grpc_service(schema: &mut Schema) {
    text(schema, 512, Some(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"));
}

/// A gRPC method name, or `*`.
pub(crate) fn grpc_method(schema: &mut Schema) {
    text(schema, 256, Some(r"^(\*|[A-Za-z_][A-Za-z0-9_]*)$"));
}

/// A range of addresses.
pub(crate) fn cidr(schema: &mut Schema) {
    text(schema, 64, Some("^[0-9A-Fa-f:.]+/[0-9]{1,3}$"));
}

/// A SPIFFE ID whose path segments may be `*` (SPIFFE-ID specification, section 2).
pub(crate) fn spiffe_id(schema: &mut Schema) {
    text(schema, 2048, Some(r"^spiffe://[a-z0-9._-]+(/(\*|[A-Za-z0-9._-]+))+$"));
}

/// A SPIFFE trust domain name (SPIFFE-ID specification, section 2.1).
pub(crate) fn trust_domain(schema: &mut Schema) {
    text(schema, 255, Some("^[a-z0-9._-]+$"));
}

/// A span of time, as Kubernetes' Gateway API writes it (GEP-2257).
pub(crate) fn duration(schema: &mut Schema) {
    text(schema, 32, Some("^([0-9]{1,5}(h|m|s|ms)){1,4}$"));
}

/// A condition or expression in CEL.
pub(crate) fn expression(schema: &mut Schema) {
    text(schema, 4096, None);
}

/// A sentence for people.
pub(crate) fn sentence(schema: &mut Schema) {
    text(schema, 1024, None);
}

/// A lower-case header name (RFC 9110, section 5.1).
pub(crate) fn header_name(schema: &mut Schema) {
    text(schema, 256, Some("^[!#$%&'*+.^_`|~0-9a-z-]+$"));
}

/// A header's value.
pub(crate) fn header_value(schema: &mut Schema) {
    text(schema, 4096, Some(r"^[^\x00-\x08\x0A-\x1F\x7F]*$"));
    schema.remove("minLength");
}

/// The scheme before a credential (RFC 9110, section 11.1).
pub(crate) fn credential_scheme(schema: &mut Schema) {
    text(schema, 64, Some("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"));
}

/// A cookie's name (RFC 6265, section 4.1.1).
pub(crate) fn cookie_name(schema: &mut Schema) {
    text(schema, 256, Some("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"));
}

/// The `iss` of a token (RFC 7519, section 4.1.1).
pub(crate) fn issuer(schema: &mut Schema) {
    text(schema, 2048, Some(r"^\S+$"));
}

/// A URL that the operator fetches.
pub(crate) fn https_url(schema: &mut Schema) {
    text(schema, 2048, Some(r"^https://[^\s#]+$"));
}

/// A value of a token's claim: subjects, audiences, list elements.
pub(crate) fn claim_text(schema: &mut Schema) {
    text(schema, 1024, None);
}

/// One step on the way to a claim.
pub(crate) fn claim_name(schema: &mut Schema) {
    text(schema, 256, None);
}

/// An OAuth scope (RFC 6749, section 3.3).
pub(crate) fn scope(schema: &mut Schema) {
    text(schema, 256, Some(r"^[\x21\x23-\x5B\x5D-\x7E]+$"));
}

/// Keys or certificates written into the object.
pub(crate) fn document(schema: &mut Schema) {
    text(schema, 65_536, None);
}

/// The type of an object in a `RelationSchema`, possibly with a prefix.
pub(crate) fn object_type(schema: &mut Schema) {
    text(schema, 128, Some("^([a-z][a-z0-9_]*/)*[a-z][a-z0-9_]*$"));
}

/// A relation or permission of a `RelationSchema`.
pub(crate) fn relation_name(schema: &mut Schema) {
    text(schema, 64, Some("^[a-z][a-z0-9_]*$"));
}

/// A tuple in Zanzibar's notation.
pub(crate) fn tuple(schema: &mut Schema) {
    text(schema, 2048, Some(r"^[^:#@\s]+:[^#\s]+#[^:#@\s]+@[^:#@\s]+:.+$"));
}
