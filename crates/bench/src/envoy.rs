//! Envoy doing the same job: client certificate required and its identity's trust domain checked, every call
//! authorized by its RBAC filter, the caller's identity stated to the application, the same HTTP version upstream.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::error::BenchError;
use crate::identity_files::IdentityFiles;
use crate::process::{Process, free_address, write};
use crate::proxy::{Kind, Place, Proxy};
use crate::world::{CLIENT, TRUST_DOMAIN, prefix};

pub(crate) fn start(
    envoy: &Path,
    plane: &ControlPlane,
    access_log: bool,
    place: Place<'_>,
) -> Result<Proxy, BenchError> {
    let address = free_address()?;
    let kind = Kind::Envoy { access_log };
    let name = format!("{}-{}", kind.slug(), plane.policies);
    let file = place.folder.join(format!("{name}.json"));
    let listener = json!({
        "name": "inbound",
        "address": socket(address),
        "filter_chains": [{
            "transport_socket": transport_socket(&plane.server),
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": connection_manager(plane.policies, access_log),
            }],
        }],
    });
    let config = json!({
        "static_resources": {"listeners": [listener], "clusters": [cluster(place.application)]},
    });
    write(&file, &config.to_string())?;
    let mut command = Command::new(envoy);
    command.arg("-c").arg(&file);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    let started = Instant::now();
    let process = Process::daemon(&name, &mut command, place.folder)?;
    let (client, policies) = (plane.client.clone(), plane.policies);
    Ok(Proxy { kind, policies, process, address, admin: None, client, started })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn typed(name: &str, mut config: Value) -> Value {
    if let Some(fields) = config.as_object_mut() {
        fields.insert("@type".to_owned(), json!(format!("type.googleapis.com/{name}")));
    }
    config
}

fn transport_socket(server: &IdentityFiles) -> Value {
    let common = json!({
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [{
            "certificate_chain": {"filename": server.certificate},
            "private_key": {"filename": server.key},
        }],
        "validation_context": {
            "trusted_ca": {"filename": server.roots},
            "match_typed_subject_alt_names": [{
                "san_type": "URI",
                "matcher": {"prefix": format!("spiffe://{TRUST_DOMAIN}/")},
            }],
        },
    });
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            json!({"require_client_certificate": true, "common_tls_context": common}),
        ),
    })
}

fn connection_manager(policies: u32, access_log: bool) -> Value {
    let rbac = typed("envoy.extensions.filters.http.rbac.v3.RBAC", json!({"rules": rules(policies)}));
    let router = typed("envoy.extensions.filters.http.router.v3.Router", json!({}));
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "application", "timeout": "0s"}});
    let logs = if access_log { json!([access_logger()]) } else { json!([]) };
    typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "inbound",
            "codec_type": "AUTO",
            "normalize_path": true,
            "merge_slashes": true,
            "use_remote_address": true,
            "generate_request_id": false,
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"uri": true},
            "http2_protocol_options": {"max_concurrent_streams": 100},
            "access_log": logs,
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
            },
            "http_filters": [
                {"name": "envoy.filters.http.rbac", "typed_config": rbac},
                {"name": "envoy.filters.http.router", "typed_config": router},
            ],
        }),
    )
}

/// One policy for each prefix, as in our folder of policies.
fn rules(policies: u32) -> Value {
    let method = |name: &str| json!({"header": {"name": ":method", "string_match": {"exact": name}}});
    let named = (0..policies).map(|number| {
        let path = json!({"url_path": {"path": {"prefix": prefix(number)}}});
        let methods = json!({"or_rules": {"rules": [method("GET"), method("POST")]}});
        let policy = json!({
            "principals": [{"authenticated": {"principal_name": {"exact": CLIENT}}}],
            "permissions": [{"and_rules": {"rules": [methods, path]}}],
        });
        (format!("resource-{number:05}"), policy)
    });
    json!({"action": "ALLOW", "policies": named.collect::<serde_json::Map<_, _>>()})
}

/// A line for every call with about what our audit event says.
fn access_logger() -> Value {
    let format = json!({
        "time": "%START_TIME%",
        "connectionId": "%CONNECTION_ID%",
        "identity": "%DOWNSTREAM_PEER_URI_SAN%",
        "source": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "destination": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "protocol": "%PROTOCOL%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "host": "%REQ(:AUTHORITY)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
    });
    let config = json!({"path": "/dev/null", "log_format": {"json_format": format}});
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", config),
    })
}

fn cluster(application: SocketAddr) -> Value {
    // The application takes 200 streams a connection; without the bound the first burst exceeds it.
    let options = json!({
        "use_downstream_protocol_config": {
            "http_protocol_options": {},
            "http2_protocol_options": {"max_concurrent_streams": 200},
        },
    });
    json!({
        "name": "application",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
                typed("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", options),
        },
        "load_assignment": {
            "cluster_name": "application",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(application)}}]}],
        },
    })
}
