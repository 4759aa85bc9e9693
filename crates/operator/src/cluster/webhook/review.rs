//! Reading an AdmissionReview from whoever sent it.

use serde::Deserialize;
use serde_json::Value;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The API server's are UUIDs.
const LONGEST_UID: usize = 128;

/// Why a body is no review.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("its kind is not `{KIND}` of `{API_VERSION}`")]
    Kind,
    #[error("its uid is empty or over {LONGEST_UID} bytes")]
    Uid,
}

/// A request, as far as it is read. More fields may come with newer API servers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Review {
    pub(crate) uid: String,
    #[serde(default)]
    pub(crate) resource: Resource,
    #[serde(default)]
    pub(crate) sub_resource: Option<String>,
    #[serde(default)]
    pub(crate) namespace: Option<String>,
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) object: Option<Value>,
    #[serde(default)]
    pub(crate) old_object: Option<Value>,
}

/// What the request is about.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    api_version: String,
    kind: String,
    request: Review,
}

/// Depth is bounded by the parser (128), size by the caller.
pub(super) fn read(body: &[u8]) -> Result<Review, Malformed> {
    let envelope: Envelope = serde_json::from_slice(body)?;
    if envelope.api_version != API_VERSION || envelope.kind != KIND {
        return Err(Malformed::Kind);
    }
    let review = envelope.request;
    if review.uid.is_empty() || review.uid.len() > LONGEST_UID {
        return Err(Malformed::Uid);
    }
    Ok(review)
}
