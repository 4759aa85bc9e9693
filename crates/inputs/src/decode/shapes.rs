//! The shapes of the seven kinds. `later()` marks what the schema has and this version refuses as not yet supported.

use super::shape::{Field, Shape};

/// `{}`: says all it has to say by being there.
static NOTHING: Shape = Shape(&[]);

static REQUIREMENT: Shape = Shape(&[Field::leaf("key"), Field::leaf("operator"), Field::leaf("values")]);
static SELECTOR: Shape = Shape(&[Field::leaf("matchLabels"), Field::list("matchExpressions", &REQUIREMENT)]);

static TARGET: Shape = Shape(&[
    Field::leaf("kind"),
    Field::leaf("name"),
    Field::object("selector", &SELECTOR),
    Field::leaf("ports"),
]);
static POD_TARGET: Shape =
    Shape(&[Field::leaf("kind"), Field::object("selector", &SELECTOR), Field::leaf("ports")]);

static REFERENCE: Shape = Shape(&[Field::leaf("name"), Field::leaf("namespace")]);
static AUTHORIZER: Shape = Shape(&[Field::leaf("name"), Field::leaf("timeout")]);

static HTTP: Shape = Shape(&[
    Field::leaf("methods"),
    Field::leaf("paths"),
    Field::leaf("pathRegexes").later(),
    Field::leaf("hosts"),
]);
static GRPC: Shape = Shape(&[Field::leaf("service"), Field::leaf("methods")]);
static TCP: Shape = Shape(&[Field::leaf("ports")]);
static PERMISSION: Shape = Shape(&[
    Field::object("http", &HTTP),
    Field::object("grpc", &GRPC),
    Field::object("tcp", &TCP),
    Field::object("any", &NOTHING),
    Field::leaf("when").later(),
]);

static IP_BLOCK: Shape = Shape(&[Field::leaf("cidr"), Field::leaf("except")]);
static NAMESPACE_SUBJECT: Shape = Shape(&[Field::leaf("name"), Field::object("selector", &SELECTOR)]);
static CLAIM: Shape = Shape(&[Field::leaf("path"), Field::leaf("contains"), Field::leaf("equals")]);
static PRINCIPAL: Shape = Shape(&[
    Field::leaf("issuer"),
    Field::leaf("subjects"),
    Field::leaf("scopes"),
    Field::list("claims", &CLAIM),
]);
static SUBJECT: Shape = Shape(&[
    Field::object("serviceAccount", &REFERENCE),
    Field::object("namespace", &NAMESPACE_SUBJECT),
    Field::object("ipBlock", &IP_BLOCK),
    Field::leaf("spiffeID"),
    Field::object("principal", &PRINCIPAL).later(),
    Field::object("authenticated", &NOTHING),
    Field::object("unauthenticated", &NOTHING),
    Field::object("anyone", &NOTHING),
]);

static RESOURCE: Shape = Shape(&[Field::leaf("type"), Field::leaf("idExpression")]);
static RELATION_SUBJECT: Shape =
    Shape(&[Field::leaf("from"), Field::leaf("type"), Field::leaf("idExpression")]);
static RELATION: Shape = Shape(&[
    Field::object("resource", &RESOURCE),
    Field::leaf("permission"),
    Field::object("subject", &RELATION_SUBJECT),
    Field::object("authorizer", &AUTHORIZER),
]);
static CLUSTER_RELATION: Shape = Shape(&[
    Field::leaf("namespace"),
    Field::object("resource", &RESOURCE),
    Field::leaf("permission"),
    Field::object("subject", &RELATION_SUBJECT),
    Field::object("authorizer", &AUTHORIZER),
]);

static HEADER: Shape = Shape(&[Field::leaf("name"), Field::leaf("value"), Field::leaf("valueExpression")]);
static RATE_LIMIT: Shape =
    Shape(&[Field::leaf("requests"), Field::leaf("per"), Field::leaf("keyExpression")]);
static OBLIGATIONS: Shape = Shape(&[
    Field::leaf("removeHeaders"),
    Field::list("setHeaders", &HEADER),
    Field::object("rateLimit", &RATE_LIMIT),
]);

/// A rule of a Policy or ClusterPolicy: they differ in the relation alone.
const fn rule_fields(relation: &'static Shape) -> [Field; 13] {
    [
        Field::leaf("name"),
        Field::leaf("effect"),
        Field::list("subjects", &SUBJECT),
        Field::list("exceptSubjects", &SUBJECT),
        Field::list("roles", &REFERENCE),
        Field::list("permissions", &PERMISSION),
        Field::leaf("when").later(),
        Field::object("relation", relation).later(),
        Field::leaf("notBefore"),
        Field::leaf("notAfter"),
        Field::object("obligations", &OBLIGATIONS).later(),
        Field::object("authorizer", &AUTHORIZER).later(),
        Field::leaf("message"),
    ]
}

static RULE_FIELDS: [Field; 13] = rule_fields(&RELATION);
static RULE: Shape = Shape(&RULE_FIELDS);
static CLUSTER_RULE_FIELDS: [Field; 13] = rule_fields(&CLUSTER_RELATION);
static CLUSTER_RULE: Shape = Shape(&CLUSTER_RULE_FIELDS);

static ADDRESS_SUBJECT: Shape =
    Shape(&[Field::object("ipBlock", &IP_BLOCK), Field::object("anyone", &NOTHING)]);
static CONNECTION_LIMIT: Shape =
    Shape(&[Field::list("subjects", &ADDRESS_SUBJECT), Field::leaf("connections"), Field::leaf("per")]);

pub(crate) static ROLE: Shape =
    Shape(&[Field::list("inherits", &REFERENCE), Field::list("permissions", &PERMISSION)]);

pub(crate) static POLICY: Shape = Shape(&[
    Field::list("targets", &TARGET),
    Field::leaf("mode"),
    Field::list("rules", &RULE),
    Field::list("connectionLimits", &CONNECTION_LIMIT).later(),
]);

pub(crate) static CLUSTER_POLICY: Shape = Shape(&[
    Field::object("namespaceSelector", &SELECTOR),
    Field::list("targets", &POD_TARGET),
    Field::leaf("mode"),
    Field::list("rules", &CLUSTER_RULE),
    Field::list("connectionLimits", &CONNECTION_LIMIT).later(),
]);

static MTLS_PORT: Shape = Shape(&[Field::leaf("port"), Field::leaf("mode")]);
static MTLS: Shape = Shape(&[Field::leaf("mode"), Field::list("ports", &MTLS_PORT)]);

static INTROSPECTION: Shape = Shape(&[Field::leaf("name")]);
static KEYS: Shape = Shape(&[
    Field::object("discovery", &NOTHING),
    Field::leaf("jwksURI"),
    Field::leaf("inline"),
    Field::object("introspection", &INTROSPECTION),
]);
static LOCATION: Shape = Shape(&[Field::leaf("header"), Field::leaf("scheme")]);
static CLAIM_DECLARATION: Shape = Shape(&[Field::leaf("path"), Field::leaf("type")]);
static TOKEN: Shape = Shape(&[
    Field::leaf("issuer"),
    Field::leaf("audiences"),
    Field::object("keys", &KEYS),
    Field::list("from", &LOCATION),
    Field::leaf("requirement"),
    Field::leaf("binding"),
    Field::list("claims", &CLAIM_DECLARATION),
    Field::leaf("forward"),
]);
static KRATOS: Shape = Shape(&[Field::leaf("name"), Field::leaf("cookie")]);
static SESSION: Shape =
    Shape(&[Field::object("kratos", &KRATOS), Field::leaf("minimumAssurance"), Field::leaf("requirement")]);

pub(crate) static AUTHENTICATION: Shape = Shape(&[
    Field::list("targets", &TARGET),
    Field::object("mtls", &MTLS),
    Field::leaf("trustDomains"),
    Field::list("tokens", &TOKEN).later(),
    Field::list("sessions", &SESSION).later(),
]);

static NAME_ONLY: Shape = Shape(&[Field::leaf("name")]);
static ISSUER_REFERENCE: Shape = Shape(&[Field::leaf("kind"), Field::leaf("name")]);
static CERT_MANAGER: Shape = Shape(&[Field::object("issuerRef", &ISSUER_REFERENCE)]);
static ISSUER: Shape = Shape(&[
    Field::object("builtIn", &NOTHING),
    Field::object("secret", &NAME_ONLY).later(),
    Field::object("certManager", &CERT_MANAGER).later(),
    Field::object("spire", &NOTHING).later(),
    Field::object("podCertificate", &NOTHING).later(),
]);
static LEAF: Shape = Shape(&[Field::leaf("lifetime")]);
static OWN: Shape = Shape(&[Field::object("issuer", &ISSUER), Field::object("leaf", &LEAF)]);
static CONFIG_MAP: Shape = Shape(&[Field::leaf("name"), Field::leaf("key")]);
static BUNDLE: Shape =
    Shape(&[Field::leaf("inline"), Field::object("configMap", &CONFIG_MAP), Field::leaf("endpoint")]);
static FEDERATED: Shape = Shape(&[Field::object("bundle", &BUNDLE)]);

pub(crate) static TRUST_DOMAIN: Shape =
    Shape(&[Field::object("own", &OWN), Field::object("federated", &FEDERATED).later()]);

pub(crate) static RELATION_SCHEMA: Shape = Shape(&[Field::leaf("schema"), Field::leaf("userIssuer")]);

pub(crate) static RELATIONSHIP: Shape = Shape(&[Field::leaf("tuples")]);
