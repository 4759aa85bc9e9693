use bailiwick_testkit::{TestAuthority, Validity};

use super::issuer;
use crate::SvidError;

const LEAF: &str = "spiffe://cluster.local/ns/shop/sa/web";

#[test]
fn a_root_names_its_trust_domain_and_dates() {
    let root = TestAuthority::new("cluster.local");
    let stated = issuer(root.certificate_der()).unwrap();
    assert_eq!(stated.trust_domain().unwrap().as_str(), "cluster.local");
    assert_eq!(stated.not_after() - stated.not_before(), Validity::GOOD.until - Validity::GOOD.from);
}

#[test]
fn a_root_without_a_name_is_one_of_any_domain() {
    let root = TestAuthority::naming("cluster.local", "");
    assert_eq!(issuer(root.certificate_der()).unwrap().trust_domain(), None);
}

#[test]
fn g9_an_authority_that_names_a_workload_is_refused() {
    for uri in [LEAF, "spiffe://cluster.local/", "https://cluster.local", "spiffe://Cluster.local"] {
        let root = TestAuthority::naming("cluster.local", uri);
        assert_eq!(issuer(root.certificate_der()), Err(SvidError::AuthorityName), "{uri}");
    }
}

#[test]
fn g8_a_leaf_is_no_authority() {
    let leaf = TestAuthority::new("cluster.local").issue(LEAF);
    assert_eq!(issuer(leaf.leaf_der()), Err(SvidError::NotAuthority));
}

#[test]
fn garbage_and_trailing_bytes_are_malformed() {
    let root = TestAuthority::new("cluster.local").certificate_der().to_vec();
    let trailing = [root.as_slice(), &[0]].concat();
    let cut = root.get(..root.len() - 1).unwrap().to_vec();
    for der in [Vec::new(), b"garbage".to_vec(), trailing, cut] {
        assert_eq!(issuer(&der), Err(SvidError::Malformed));
    }
}
