//! What both proxies enforce, once: the policies and the paths that they allow.
//!
//! Every policy allows the same caller another path prefix, by GET and POST. The measured call is allowed by the last
//! one only, which is the worst case of a proxy that tries one after the other.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::BenchError;
use crate::process::write;

pub(crate) const TRUST_DOMAIN: &str = "cluster.local";
pub(crate) const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/web";
pub(crate) const SERVER: &str = "spiffe://cluster.local/ns/shop/sa/orders";
pub(crate) const WORKLOAD: &str = "shop/orders";
pub(crate) const PORT: u16 = 8080;

/// Policies in one file of the source folder.
const TO_A_FILE: u32 = 500;

const WORKLOADS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers: [{name: web, image: example/web}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec:
      serviceAccountName: orders
      containers: [{name: orders, image: example/orders, ports: [{containerPort: 8080, name: http}]}]
";

/// The prefix that a policy allows; numbers have one width, so that names sort as numbers do.
pub(crate) fn prefix(number: u32) -> String {
    format!("/api/v1/resource-{number:05}/")
}

/// What is asked for: allowed by the last policy only.
pub(crate) fn allowed_path(policies: u32) -> String {
    format!("{}items/7", prefix(policies.saturating_sub(1)))
}

/// Allowed by none.
pub(crate) const DENIED_PATH: &str = "/api/v1/other/items/7";

/// Writes the folder that the operator reads.
pub(crate) fn write_source(folder: &Path, policies: u32) -> Result<(), BenchError> {
    write(&folder.join("workloads.yaml"), WORKLOADS)?;
    let mut first = 0;
    while first < policies {
        let end = policies.min(first + TO_A_FILE);
        let text = (first..end).fold(String::new(), |mut text, number| {
            push_policy(&mut text, number);
            text
        });
        write(&folder.join(format!("policies-{first:05}.yaml")), &text)?;
        first = end;
    }
    Ok(())
}

fn push_policy(text: &mut String, number: u32) {
    let prefix = prefix(number);
    // Writing to a string cannot fail.
    let _written = writeln!(
        text,
        "---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {{name: resource-{number:05}, namespace: shop}}
spec:
  targets: [{{kind: Pod, selector: {{matchLabels: {{app: orders}}}}}}]
  rules:
  - name: web
    effect: Allow
    subjects: [{{serviceAccount: {{name: web}}}}]
    permissions: [{{http: {{methods: [GET, POST], paths: [\"{prefix}**\"]}}}}]"
    );
}
