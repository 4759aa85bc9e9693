use proptest::prelude::*;

use super::{TrustDomain, TrustDomainError};

#[test]
fn g6_only_lower_case_names_are_trust_domains() {
    for good in ["cluster.local", "a", "a_b-c.d", "0", &"a".repeat(255)] {
        assert_eq!(good.parse::<TrustDomain>().unwrap().as_str(), good);
    }
    assert_eq!("".parse::<TrustDomain>(), Err(TrustDomainError::Empty));
    assert_eq!("a".repeat(256).parse::<TrustDomain>(), Err(TrustDomainError::TooLong { length: 256 }));
    for bad in ["Cluster.local", "a/b", "a:1", "u@a", "a%62", "[::1]", "a b", "a\0", "\u{e4}", "spiffe://a"] {
        assert_eq!(bad.parse::<TrustDomain>(), Err(TrustDomainError::Character { name: bad.to_owned() }));
    }
}

proptest! {
    #[test]
    fn what_parses_prints_the_same(text in ".{0,32}") {
        if let Ok(domain) = text.parse::<TrustDomain>() {
            prop_assert_eq!(domain.to_string(), text);
        }
    }
}
