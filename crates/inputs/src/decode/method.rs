//! HTTP methods.

use std::sync::Arc;

use bailiwick_policy::{Methods, registered_methods, registered_variant};

use super::reader::{At, Reader, shorten};
use crate::codes;
use bailiwick_compile::did_you_mean;

/// A set of HTTP methods, or `"*"`.
pub(crate) fn http_methods(reader: &mut Reader, at: &At<'_>) -> Option<Methods> {
    reader.set(at, 64, http_method).map(collect)
}

/// A set of gRPC methods, or `"*"`.
pub(crate) fn grpc_methods(reader: &mut Reader, at: &At<'_>) -> Option<Methods> {
    let methods = reader.set(at, 64, |reader, at| {
        let text = reader.text(at, 256)?;
        if text != "*" && !is_identifier(text) {
            let message = format!("`{}` is not a gRPC method", shorten(text));
            let help = "write its name alone, as in `Get`, or `\"*\"` for any";
            reader.problem(codes::GRPC_NAME, at, message, Some(help.to_owned()));
            return None;
        }
        Some(Arc::from(text))
    });
    methods.map(collect)
}

/// A full gRPC service name.
pub(crate) fn grpc_service(reader: &mut Reader, at: &At<'_>) -> Option<Arc<str>> {
    let text = reader.text(at, 512)?;
    if !text.split('.').all(is_identifier) {
        let message = format!("`{}` is not a gRPC service", shorten(text));
        let help = "write its full name with the package, as in `shop.v1.Orders`";
        reader.problem(codes::GRPC_NAME, at, message, Some(help.to_owned()));
        return None;
    }
    Some(Arc::from(text))
}

fn collect(names: Vec<Arc<str>>) -> Methods {
    if names.iter().any(|name| name.as_ref() == "*") { Methods::Any } else { Methods::Of(names) }
}

fn http_method(reader: &mut Reader, at: &At<'_>) -> Option<Arc<str>> {
    let text = reader.text(at, 32)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.bytes().all(token) {
        let message = format!("`{}` is not a method", shorten(text));
        let help = "write one method an item, as in `[GET, HEAD]`, or `\"*\"` for any";
        reader.problem(codes::METHOD, at, message, Some(help.to_owned()));
        return None;
    }
    if let Some(known) = registered_variant(text) {
        let message = format!("`{text}` can never match: methods are case-sensitive");
        reader.problem(codes::METHOD, at, message, Some(format!("did you mean `{known}`?")));
        return None;
    }
    // `**` and `GET*` are tokens, and surely no methods.
    if text != "*" && text.contains('*') {
        let message = format!("`{text}` is not a method: `*` stands alone");
        let near = did_you_mean(registered_methods().iter().copied(), text).unwrap_or("*");
        reader.problem(codes::METHOD, at, message, Some(format!("did you mean `{near}`?")));
        return None;
    }
    Some(Arc::from(text))
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
