//! Names in Kubernetes objects.

/// The init container that programs the capture; always the first.
pub const CAPTURE_CONTAINER: &str = "bailiwick-capture";
/// The sidecar (an init container with `restartPolicy: Always`); always the second.
pub const SIDECAR_CONTAINER: &str = "bailiwick-sidecar";
/// The projected volume with the token and the trust bundle, mounted in the sidecar only.
pub const IDENTITY_VOLUME: &str = "bailiwick-identity";
/// Where the volume is mounted.
pub const IDENTITY_FOLDER: &str = "/run/bailiwick";
/// The token's file in the volume.
pub const TOKEN_FILE: &str = "token";
/// The trust bundle's file in the volume, PEM.
pub const BUNDLE_FILE: &str = "bundle.pem";
/// The audience of the token: of the operator and of nobody else.
pub const TOKEN_AUDIENCE: &str = "bailiwick.dev/identity";
/// How long a token lives, seconds: the least that the API server gives.
pub const TOKEN_SECONDS: u32 = 600;
/// The ConfigMap in each enrolled namespace, and the ClusterTrustBundle's suffix, that carry the mesh's roots.
pub const BUNDLE_OBJECT: &str = "bailiwick-bundle";
/// The ClusterTrustBundle's signer; its objects are named `bailiwick.dev:identity:<name>`.
pub const SIGNER: &str = "bailiwick.dev/identity";

/// The name of the sidecar's container port for probes and metrics; a name of a port has at most 15 characters.
pub const PROBES_PORT: &str = "bailiwick-probe";

/// The label of a namespace that enrols it.
pub const INJECT_LABEL: &str = "bailiwick.dev/inject";
/// The label of a namespace whose missing credentials are only reported, with the value `audit`.
pub const AUTHENTICATION_LABEL: &str = "bailiwick.dev/authentication";
/// The label of a namespace whose denials are only reported, with the value `audit`.
pub const AUTHORIZATION_LABEL: &str = "bailiwick.dev/authorization";
/// The label's one value.
pub const INJECT_ENABLED: &str = "enabled";
/// What starts every annotation of ours.
pub const ANNOTATION_PREFIX: &str = "bailiwick.dev/";
/// Container ports whose bytes are not read: comma-separated ports and ranges.
pub const OPAQUE_PORTS: &str = "bailiwick.dev/opaque-ports";
/// Inbound ports that are not captured; only in namespaces that the installation permits.
pub const SKIP_INBOUND_PORTS: &str = "bailiwick.dev/skip-inbound-ports";
/// Outbound ports that are not captured; only in namespaces that the installation permits.
pub const SKIP_OUTBOUND_PORTS: &str = "bailiwick.dev/skip-outbound-ports";
/// The sidecar's CPU request.
pub const PROXY_CPU: &str = "bailiwick.dev/proxy-cpu";
/// The sidecar's memory request and limit.
pub const PROXY_MEMORY: &str = "bailiwick.dev/proxy-memory";
/// The sidecar's log filter.
pub const LOG_LEVEL: &str = "bailiwick.dev/log-level";
/// Written by the injector: the version of what it injected.
pub const INJECTED: &str = "bailiwick.dev/injected";

/// Every annotation that a user may set.
pub const USER_ANNOTATIONS: [&str; 6] =
    [OPAQUE_PORTS, SKIP_INBOUND_PORTS, SKIP_OUTBOUND_PORTS, PROXY_CPU, PROXY_MEMORY, LOG_LEVEL];
