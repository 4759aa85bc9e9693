//! Messages to domain types: policy objects.

use std::sync::Arc;

use bailiwick_identity::Namespace;
use bailiwick_policy::{Body, Layer, Mode, Origin, PolicyObject};

use crate::decode_rule;
use crate::error::{FieldError, FieldProblem, FieldResult, each, parse, required};
use crate::proto;

/// The longest name of an object (RFC 1123 subdomain).
const MAXIMUM_NAME_BYTES: usize = 253;

pub(crate) fn object(message: &proto::PolicyObject) -> FieldResult<PolicyObject> {
    Ok(PolicyObject {
        origin: origin(message)?,
        generation: message.generation,
        mode: match proto::Mode::try_from(message.mode) {
            Ok(proto::Mode::Enforce) => Mode::Enforce,
            Ok(proto::Mode::Audit) => Mode::Audit,
            Ok(proto::Mode::Unspecified) | Err(_) => return Err(FieldError::unknown("mode", message.mode)),
        },
        body: body(required("body", message.body.as_ref())?)?,
    })
}

fn origin(message: &proto::PolicyObject) -> FieldResult<Origin> {
    let layer = match proto::Layer::try_from(message.layer) {
        Ok(proto::Layer::Cluster) => Layer::Cluster,
        Ok(proto::Layer::Namespace) => Layer::Namespace,
        Ok(proto::Layer::Unspecified) | Err(_) => return Err(FieldError::unknown("layer", message.layer)),
    };
    match layer {
        Layer::Cluster if !message.namespace.is_empty() => {
            return Err(FieldError::new("namespace", FieldProblem::Unexpected));
        }
        Layer::Namespace => {
            parse::<Namespace>("namespace", &message.namespace)?;
        }
        Layer::Cluster => {}
    }
    // A document that could not be identified is named after its file, so this is wider than a Kubernetes name.
    let name = &message.name;
    if name.is_empty() {
        return Err(FieldError::missing("name"));
    }
    if name.chars().any(char::is_control) || name.len() > MAXIMUM_NAME_BYTES * 4 {
        return Err(FieldError::invalid("name", "a name has at most 1012 bytes and no control characters"));
    }
    Ok(Origin { layer, namespace: Arc::from(message.namespace.as_str()), name: Arc::from(name.as_str()) })
}

fn body(message: &proto::policy_object::Body) -> FieldResult<Body> {
    match message {
        proto::policy_object::Body::Rules(rules) => {
            each("rules", &rules.rules, decode_rule::rule).map(Body::Rules)
        }
        proto::policy_object::Body::Uncompilable(uncompilable) => {
            Ok(Body::Uncompilable { reason: Arc::from(uncompilable.reason.as_str()) })
        }
    }
}
