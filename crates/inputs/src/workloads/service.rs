//! Services: selector and ports.

use bailiwick_compile::{Service, ServicePort, SourceLocation, TargetPort};

use super::{is_tcp, items, optional_text, present, text_map};
use crate::decode::{At, Reader, port};
use crate::document::Value;

/// Reads a Service. One without a selector, or of type `ExternalName`, selects nothing.
pub(super) fn read(reader: &mut Reader, root: &At<'_>, location: SourceLocation) -> Option<Service> {
    let Some(spec) = present(root, "spec") else {
        reader.missing(root, "spec");
        return None;
    };
    if spec.node.mapping().is_none() {
        reader.wrong_type(&spec, "an object");
        return None;
    }
    let external = spec.node.get("type").and_then(|node| node.text()) == Some("ExternalName");
    let selector = match present(&spec, "selector") {
        Some(at) if !external => text_map(reader, &at).map(Some),
        Some(_) | None => Some(None),
    };
    let mut ports = Vec::new();
    let mut sound = true;
    for at in items(reader, &spec, "ports")? {
        match service_port(reader, &at) {
            Some(Some(port)) => ports.push(port),
            Some(None) => {}
            None => sound = false,
        }
    }
    Some(Service { selector: selector?, ports: sound.then_some(ports)?, location })
}

/// `Some(None)` is a port of another protocol.
fn service_port(reader: &mut Reader, at: &At<'_>) -> Option<Option<ServicePort>> {
    let number = match present(at, "port") {
        Some(at) => port(reader, &at),
        None => {
            reader.missing(at, "port");
            None
        }
    };
    let name = optional_text(reader, at, "name");
    let app_protocol = optional_text(reader, at, "appProtocol");
    let target = match present(at, "targetPort") {
        Some(at) => match &at.node.value {
            Value::Text(text) if !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(TargetPort::Name(text.clone()))
            }
            // The API server reads a text of digits as a name, which no container port can have.
            Value::Text(_)
            | Value::Number(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Ambiguous(_)
            | Value::Sequence(_)
            | Value::Mapping(_) => port(reader, &at).map(TargetPort::Number),
        },
        None => number.map(TargetPort::Number),
    };
    let tcp = is_tcp(reader, at)?;
    let found = ServicePort { name: name?, port: number?, target: target?, app_protocol: app_protocol? };
    Some(tcp.then_some(found))
}
