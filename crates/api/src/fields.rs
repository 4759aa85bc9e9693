//! The field names of a kind, for comparing other code with the schema.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use crate::crds;

/// The property names of each object node, by the node's path: `spec`, `spec.rules[].permissions[].http`. The set of an
/// object that has no fields (`any: {}`) is empty; a free-form map (`matchLabels`) is no node.
pub type FieldNames = BTreeMap<String, BTreeSet<String>>;

/// The field names under `spec` of a kind, for example `Policy`. `None` if there is no such kind.
#[must_use]
pub fn field_names(kind: &str) -> Option<FieldNames> {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind)?;
    let schema = crd.spec.versions.into_iter().next()?.schema?.open_api_v3_schema?;
    let spec = schema.properties?.remove("spec")?;
    let mut names = FieldNames::new();
    collect("spec", &spec, &mut names);
    Some(names)
}

fn collect(path: &str, node: &JSONSchemaProps, names: &mut FieldNames) {
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &node.items {
        collect(&format!("{path}[]"), items, names);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &node.additional_properties {
        collect(&format!("{path}{{}}"), values, names);
    } else if node.type_.as_deref() == Some("object") {
        let properties = node.properties.iter().flatten();
        names.insert(path.to_owned(), properties.clone().map(|(name, _)| name.clone()).collect());
        for (name, child) in properties {
            collect(&format!("{path}.{name}"), child, names);
        }
    }
}
