//! Permissions: what can be done.

use bailiwick_policy::{GrpcPermission, HostPattern, HttpPermission, PathTemplate, Permission};

use super::method::{grpc_methods, grpc_service, http_methods};
use super::reader::{At, Reader, shorten};
use super::target::ports;
use crate::codes;

/// A list of permissions.
pub(crate) fn permissions(reader: &mut Reader, at: &At<'_>) -> Option<Vec<Permission>> {
    reader.each(at, 64, permission)
}

fn permission(reader: &mut Reader, at: &At<'_>) -> Option<Permission> {
    let object = reader.object(at)?;
    let (name, at) = reader.exactly_one(&object, &["http", "grpc", "tcp", "any"])?;
    match name {
        "http" => http(reader, &at).map(Permission::Http),
        "grpc" => grpc(reader, &at).map(Permission::Grpc),
        "tcp" => {
            let object = reader.object(&at)?;
            let at = reader.required(&object, "ports")?;
            ports(reader, &at).map(Permission::Tcp)
        }
        _ => reader.nothing(&at).map(|()| Permission::Any),
    }
}

fn http(reader: &mut Reader, at: &At<'_>) -> Option<HttpPermission> {
    let object = reader.object(at)?;
    let methods = reader.required(&object, "methods").and_then(|at| http_methods(reader, &at));
    let paths = match object.field("paths") {
        Some(at) => reader.set(&at, 64, path_template),
        // `pathRegexes` alone is of a later version, which has been told.
        None if object.field("pathRegexes").is_some() => None,
        None => {
            reader.missing(&object, "paths");
            None
        }
    };
    let hosts = match object.field("hosts") {
        Some(at) => reader.set(&at, 64, host).map(Some),
        None => Some(None),
    };
    Some(HttpPermission { methods: methods?, paths: paths?, hosts: hosts? })
}

fn path_template(reader: &mut Reader, at: &At<'_>) -> Option<PathTemplate> {
    if let Some(text) = at.node.text()
        && !text.is_empty()
        && !text.starts_with('/')
    {
        let text = shorten(text);
        let help = format!("did you mean `/{text}`?");
        let message = format!("`{text}` could never match: a path starts with `/`");
        reader.problem(codes::PATH_TEMPLATE, at, message, Some(help));
        return None;
    }
    reader.parsed(at, (1024, codes::PATH_TEMPLATE), PathTemplate::parse)
}

fn host(reader: &mut Reader, at: &At<'_>) -> Option<HostPattern> {
    reader.parsed(at, (255, codes::HOST), str::parse)
}

fn grpc(reader: &mut Reader, at: &At<'_>) -> Option<GrpcPermission> {
    let object = reader.object(at)?;
    let service = reader.required(&object, "service").and_then(|at| grpc_service(reader, &at));
    let methods = reader.required(&object, "methods").and_then(|at| grpc_methods(reader, &at));
    Some(GrpcPermission { service: service?, methods: methods? })
}
