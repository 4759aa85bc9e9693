use proptest::prelude::*;

use super::{NameError, Namespace, ServiceAccount};

#[test]
fn h6_only_dns_labels_are_namespaces() {
    for good in ["a", "0", "shop", "shop-2", "a--b", &"a".repeat(63)] {
        assert_eq!(good.parse::<Namespace>().unwrap().as_str(), good);
    }
    for bad in ["", "-a", "a-", "A", "a.b", "a_b", "a/b", "a b", "..", "a\0", "\u{e4}", &"a".repeat(64)] {
        assert_eq!(bad.parse::<Namespace>().unwrap_err(), NameError::Label { name: bad.to_owned() });
    }
}

#[test]
fn h6_only_dns_subdomains_are_service_accounts() {
    for good in ["a", "cert-manager.io", "a.b.c", &"a".repeat(253)] {
        assert_eq!(good.parse::<ServiceAccount>().unwrap().as_str(), good);
    }
    for bad in ["", ".", "a.", ".a", "a..b", "a.-b", "a-.b", "A", "a/b", "a:b", "../a", &"a".repeat(254)] {
        assert_eq!(bad.parse::<ServiceAccount>().unwrap_err(), NameError::Subdomain { name: bad.to_owned() });
    }
}

#[test]
fn a_message_names_the_text_and_the_rule() {
    let message = "Shop".parse::<Namespace>().unwrap_err().to_string();
    assert!(message.contains("`Shop`") && message.contains("lower-case"), "{message}");
}

proptest! {
    /// H6: no name can leave its place in an identity's path.
    #[test]
    fn h6_a_name_never_holds_a_separator(text in ".{0,80}") {
        let clean = |name: &str| !name.contains(['/', '%', ':', '?', '#', '\\', '\0']) && name != "." && name != "..";
        if let Ok(name) = text.parse::<Namespace>() {
            prop_assert!(clean(name.as_str()));
        }
        if let Ok(name) = text.parse::<ServiceAccount>() {
            prop_assert!(clean(name.as_str()));
        }
    }
}
