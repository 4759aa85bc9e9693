use std::time::{Duration, SystemTime};

use super::{ServingAuthority, ServingError, ServingLeaf};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_certificate_is_for_its_names_and_ends_with_its_authority() {
    let now = SystemTime::now();
    let made = ServingAuthority::make_pem(DAY, now).unwrap();
    let authority = ServingAuthority::from_pem(&made.certificate, &made.key).unwrap();
    let other = ServingAuthority::make_pem(DAY, now).unwrap();
    let other = ServingAuthority::from_pem(&other.certificate, &other.key).unwrap();
    let names = ["bailiwick-operator.bailiwick-system.svc".to_owned()];
    let leaf = authority.issue(&names, 30 * DAY, now).unwrap();
    assert!(authority.signed(&leaf.certificate) && !other.signed(&leaf.certificate));
    assert!(!authority.signed("garbage"));
    let dates = ServingLeaf::read(&leaf.certificate).unwrap();
    assert_eq!(dates.not_after, authority.not_after, "no longer than the authority");
    assert!(!format!("{leaf:?} {authority:?}").contains("PRIVATE"));
    let wrong = authority.issue(&["ö".to_owned()], DAY, now);
    assert!(matches!(wrong, Err(ServingError::Make { .. })));
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let now = SystemTime::now();
    let (one, two) =
        (ServingAuthority::make_pem(DAY, now).unwrap(), ServingAuthority::make_pem(DAY, now).unwrap());
    let load = |certificate: &str, key: &str| ServingAuthority::from_pem(certificate, key).unwrap_err();
    assert!(matches!(load(&one.certificate, &two.key), ServingError::Key));
    assert!(matches!(load(&one.certificate, ""), ServingError::Key));
    assert!(matches!(load("", &one.key), ServingError::Certificate));
    let both = format!("{}{}", one.certificate, two.certificate);
    assert!(matches!(load(&both, &one.key), ServingError::Certificate));
}
