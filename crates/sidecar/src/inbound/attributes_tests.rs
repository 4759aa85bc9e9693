use http::Request;

use super::*;

fn read(request: Request<()>) -> Result<HttpAttributes, BadRequest> {
    HttpAttributes::read(&request.into_parts().0)
}

fn get(target: &str) -> Result<HttpAttributes, BadRequest> {
    read(Request::get(target).header(HOST, "shop").body(()).unwrap())
}

#[test]
fn a_plain_request_is_read_as_it_is() {
    let attributes = get("/orders/1?x=a%2Fb").unwrap();
    assert_eq!(attributes.forwarded_target(), "/orders/1?x=a%2Fb");
    assert_eq!(attributes.audited_path(), "/orders/1");
    assert_eq!(attributes.host(), "shop");
    assert!(!attributes.is_grpc());
}

#[test]
fn a1_to_a5_paths_without_one_reading_are_refused() {
    for target in ["/a/../b", "/a/./b", "/a/%2e%2e/b", "//admin", "/a%2Fb", "/a%5cb", "/a;b=c/d", "/a%00b"] {
        assert!(matches!(get(target), Err(BadRequest::Path(_))), "{target}");
    }
}

#[test]
fn a8_escapes_are_decoded_once() {
    assert_eq!(get("/%252e%252e/%61dmin").unwrap().forwarded_target(), "/%252e%252e/admin");
}

#[test]
fn b2_hosts_must_be_one_and_well_formed() {
    let none = read(Request::get("/").body(()).unwrap());
    assert_eq!(none.unwrap_err(), BadRequest::Host);
    let two = read(Request::get("/").header(HOST, "a").header(HOST, "a").body(()).unwrap());
    assert_eq!(two.unwrap_err(), BadRequest::Host);
    for host in ["a, b", "a/b", "u@a", "a?b", "a:port", ""] {
        let bad = read(Request::get("/").header(HOST, host).body(()).unwrap());
        assert_eq!(bad.unwrap_err(), BadRequest::Host, "{host}");
    }
    let differ = Request::get("http://a/").version(Version::HTTP_2).header(HOST, "b").body(()).unwrap();
    assert_eq!(read(differ).unwrap_err(), BadRequest::HostMismatch);
    let same = Request::get("http://A.:80/").version(Version::HTTP_2).header(HOST, "a").body(()).unwrap();
    assert_eq!(read(same).unwrap().host(), "a");
}

#[test]
fn b3_case_variants_of_methods_are_refused() {
    for method in ["get", "Post", "pOST", "oPTIONS", "propfind"] {
        let request = Request::builder().method(method).uri("/").header(HOST, "a").body(()).unwrap();
        assert_eq!(read(request).unwrap_err(), BadRequest::MethodCase, "{method}");
    }
    let own = Request::builder().method("PURGE").uri("/").header(HOST, "a").body(()).unwrap();
    assert!(read(own).is_ok());
}

#[test]
fn d2_content_lengths_must_be_canonical() {
    for length in ["0001", "+1", "0x1", "1_0", "1,1", "", "18446744073709551616"] {
        let request = Request::post("/").header(HOST, "a").header(CONTENT_LENGTH, length).body(()).unwrap();
        assert_eq!(read(request).unwrap_err(), BadRequest::Framing, "{length}");
    }
}

#[test]
fn d1_transfer_encoding_twice_or_unknown_is_refused() {
    let twice = Request::post("/")
        .header(HOST, "a")
        .header(TRANSFER_ENCODING, "chunked")
        .header(TRANSFER_ENCODING, "chunked");
    assert_eq!(read(twice.body(()).unwrap()).unwrap_err(), BadRequest::Framing);
    let gzip = Request::post("/").header(HOST, "a").header(TRANSFER_ENCODING, "gzip, chunked");
    assert_eq!(read(gzip.body(()).unwrap()).unwrap_err(), BadRequest::Framing);
}

#[test]
fn e4_connect_and_absolute_form_are_refused() {
    let connect = Request::connect("a:443").header(HOST, "a").body(()).unwrap();
    assert_eq!(read(connect).unwrap_err(), BadRequest::Connect);
    assert_eq!(get("http://shop/x").unwrap_err(), BadRequest::Target);
    assert_eq!(get("*").unwrap_err(), BadRequest::Target);
    let options = Request::options("*").header(HOST, "a").body(()).unwrap();
    assert_eq!(read(options).unwrap().forwarded_target(), "*");
}

#[test]
fn f2_grpc_needs_its_content_type_and_no_escape() {
    let grpc = |path: &str, kind: &str| {
        read(Request::post(path).header(HOST, "a").header(CONTENT_TYPE, kind).body(()).unwrap())
    };
    assert!(grpc("/p.S/M", "application/grpc").unwrap().is_grpc());
    assert!(grpc("/p.S/M", "application/grpc+proto").unwrap().is_grpc());
    assert!(!grpc("/p.S/M", "application/grpc-evil").unwrap().is_grpc());
    assert_eq!(grpc("/p%2ES/M", "application/grpc").unwrap_err(), BadRequest::GrpcEscape);
}

#[test]
fn b4_a_repeated_content_type_is_no_grpc_in_either_order() {
    for (first, second) in [("application/grpc", "text/plain"), ("text/plain", "application/grpc")] {
        let request = Request::post("/p.S/M")
            .header(HOST, "a")
            .header(CONTENT_TYPE, first)
            .header(CONTENT_TYPE, second);
        assert!(!read(request.body(()).unwrap()).unwrap().is_grpc(), "{first}, {second}");
    }
}
