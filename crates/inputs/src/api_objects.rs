//! Objects of the API server: the same decode, without spans.

use std::sync::Arc;

use bailiwick_compile::{Diagnostic, World};

use crate::assemble::assemble;
use crate::contents::Contents;
use crate::decode::DecodedObject;

/// The name of the API server in locations.
pub const CLUSTER: &str = "cluster";

/// One object of the API server, decoded once; cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiObject(Arc<Contents>);

impl ApiObject {
    /// Decodes an object: one of ours, a Namespace, Service or Pod, with `apiVersion` and `kind`.
    #[must_use]
    pub fn decode(object: &serde_json::Value) -> Self {
        Self(Arc::new(Contents::of_json(&Arc::from(CLUSTER), object)))
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.0
    }

    /// True if both came from one decode, so that they say the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The world of these objects and every message. Namespaces are enrolled by their labels.
#[must_use]
pub fn world_of<'a>(objects: impl IntoIterator<Item = &'a ApiObject>) -> (World, Vec<Diagnostic>) {
    let assembled = assemble(objects.into_iter().map(|object| &*object.0), false);
    (assembled.world, assembled.diagnostics)
}

/// Collects objects of the API server (or of a webhook's request) into a world.
#[derive(Debug, Clone, Default)]
pub struct ApiObjects {
    objects: Vec<ApiObject>,
}

impl ApiObjects {
    /// No object yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { objects: Vec::new() }
    }

    /// Adds an object: one of ours, a Namespace, Service or Pod, with `apiVersion` and `kind`.
    pub fn add(&mut self, object: &serde_json::Value) {
        self.objects.push(ApiObject::decode(object));
    }

    /// The world of these objects and every message. Namespaces are enrolled by their labels.
    #[must_use]
    pub fn world(&self) -> (World, Vec<Diagnostic>) {
        world_of(&self.objects)
    }
}

/// Decodes one object of `bailiwick.dev`, as a webhook does. `None` for other kinds.
///
/// # Errors
/// With the mistakes that keep it from being identified.
pub fn decode_api_object(object: &serde_json::Value) -> Result<Option<DecodedObject>, Vec<Diagnostic>> {
    let mut contents = Contents::of_json(&Arc::from(CLUSTER), object);
    if contents.unreadable.is_empty() { Ok(contents.objects.pop()) } else { Err(contents.unreadable) }
}
