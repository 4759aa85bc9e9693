use proptest::prelude::*;

use super::{SpiffeId, SpiffeIdError};
use crate::TrustDomain;

fn refused(text: &str) -> SpiffeIdError {
    text.parse::<SpiffeId>().unwrap_err()
}

#[test]
fn g6_only_the_one_spelling_is_an_identity() {
    for text in
        ["", "spiffe:", "spiffe:/a/b", "SPIFFE://a/b", "Spiffe://a/b", "https://a/b", "a/b", " spiffe://a/b"]
    {
        assert!(matches!(refused(text), SpiffeIdError::Scheme { .. }), "{text}");
    }
    for text in [
        "spiffe:///b",
        "spiffe://A/b",
        "spiffe://user@a/b",
        "spiffe://user:secret@a/b",
        "spiffe://a:443/b",
        "spiffe://[::1]/b",
        "spiffe://a%62/b",
        "spiffe://a?x/b",
        "spiffe://\u{e4}/b",
    ] {
        assert!(matches!(refused(text), SpiffeIdError::TrustDomain { .. }), "{text}");
    }
    for text in [
        "spiffe://a",
        "spiffe://a/",
        "spiffe://a//b",
        "spiffe://a/b/",
        "spiffe://a/./b",
        "spiffe://a/../b",
        "spiffe://a/b/..",
        "spiffe://a/%62",
        "spiffe://a/b?c",
        "spiffe://a/b#c",
        "spiffe://a/b c",
        "spiffe://a/b:c",
        "spiffe://a/\u{e4}",
        "spiffe://a/b\0",
        "spiffe://a/b\n",
        "spiffe://a/b;c",
        "spiffe://a/b\\c",
    ] {
        assert!(matches!(refused(text), SpiffeIdError::Path { .. }), "{text}");
    }
    // Three dots are an ordinary name.
    "spiffe://a/...".parse::<SpiffeId>().unwrap();
}

#[test]
fn g6_length_is_bounded_at_2048_bytes() {
    let prefix = "spiffe://a/";
    let longest = format!("{prefix}{}", "b".repeat(2048 - prefix.len()));
    assert_eq!(longest.parse::<SpiffeId>().unwrap().as_str(), longest);
    assert_eq!(refused(&format!("{longest}b")), SpiffeIdError::TooLong { length: 2049 });
}

#[test]
fn g6_the_path_is_case_sensitive() {
    let id = |text: &str| text.parse::<SpiffeId>().unwrap();
    assert_ne!(id("spiffe://a/ns/A/sa/b"), id("spiffe://a/ns/a/sa/b"));
    assert_eq!(id("spiffe://a/ns/a/sa/b"), id("spiffe://a/ns/a/sa/b"));
}

#[test]
fn an_identity_has_a_domain_and_a_path() {
    let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    assert_eq!(id.trust_domain().as_str(), "cluster.local");
    assert_eq!(id.path(), "/ns/shop/sa/web");
    let workload = id.workload().unwrap();
    assert_eq!((workload.namespace.as_str(), workload.service_account.as_str()), ("shop", "web"));
}

#[test]
fn only_the_exact_form_names_a_workload() {
    for path in [
        "ns/shop",
        "ns/shop/sa",
        "sa/web/ns/shop",
        "ns/shop/sa/web/x",
        "x/ns/shop/sa/web",
        "ns/shop/x/sa/web",
        "ns/Shop/sa/web",
        "ns/shop/sa/Web",
        "ns/sh.op/sa/web",
        "ns/shop/sa/web_",
        "ns/shop/sa/web/sa/web",
    ] {
        let id: SpiffeId = format!("spiffe://cluster.local/{path}").parse().unwrap();
        assert_eq!(id.workload(), None, "{path}");
    }
}

#[test]
fn a_service_account_of_greatest_length_has_an_identity() {
    let domain: TrustDomain = "d".repeat(255).parse().unwrap();
    let namespace = "n".repeat(63).parse().unwrap();
    let account = "a".repeat(253).parse().unwrap();
    let id = SpiffeId::for_service_account(&domain, &namespace, &account).unwrap();
    assert_eq!(id.workload().unwrap().service_account, account);
}

proptest! {
    #[test]
    fn what_parses_prints_the_same(text in "spiffe://[a-z0-9._-]{1,20}(/[a-zA-Z0-9._-]{1,10}){1,5}") {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert_eq!(id.to_string(), text.clone());
            prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
        }
    }

    /// G7: nothing outside the alphabet ever gets in, whatever surrounds it.
    #[test]
    fn g7_what_parses_has_only_the_alphabets_bytes(text in "(spiffe://)?.{0,64}") {
        if let Ok(id) = text.parse::<SpiffeId>() {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/:".contains(&byte);
            prop_assert!(id.as_str().bytes().all(allowed));
            prop_assert!(!id.path().contains("//") && !id.path().ends_with('/'));
            prop_assert!(id.path().split('/').all(|segment| segment != "." && segment != ".."));
        }
    }

    #[test]
    fn a_service_accounts_identity_names_it_again(
        namespace in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
        account in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]{1,9}){0,2}",
    ) {
        let domain = "cluster.local".parse().unwrap();
        let (namespace, account) = (namespace.parse().unwrap(), account.parse().unwrap());
        let id = SpiffeId::for_service_account(&domain, &namespace, &account).unwrap();
        let workload = id.workload().unwrap();
        prop_assert_eq!((workload.namespace, workload.service_account), (namespace, account));
    }
}
