//! The webhooks' certificate: an authority and a leaf in the Secret `bailiwick-webhook`, made and renewed here.
//!
//! | key | holds |
//! |---|---|
//! | `ca.crt` | the authorities that the API server is to believe: the newest first, older ones while they are in use |
//! | `ca.key` | the newest authority's key |
//! | `tls.crt`, `tls.key` | what is served |
//!
//! ```text
//!  authority at half its life -> a newer one beside it -> (the API server knows both) -> leaf of the newer -> old one dropped
//! ```
//!
//! Whichever replica comes first makes the Secret; only the leader changes it, and only the version that it read.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bailiwick_ca::{ServingAuthority, ServingError, ServingLeaf};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use zeroize::Zeroizing;

use crate::cluster::context::OPERATOR;

/// The Secret in the operator's namespace.
pub(super) const SECRET: &str = "bailiwick-webhook";
const DAY: u64 = 24 * 60 * 60;
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(365 * DAY);
const LEAF_LIFETIME: Duration = Duration::from_secs(30 * DAY);
/// How old an authority is before anything of it is served: until then every API server has read of it.
const PROPAGATION: i64 = 10 * 60;
/// How long the old authority stays after the last replica could have served of it.
const FAREWELL: i64 = 60 * 60;
/// A certificate starts this long before it was made (crate `ca`).
const BACKDATE: i64 = 10 * 60;
/// Authorities at once; more cannot come of honest rotation.
const MOST_AUTHORITIES: usize = 3;

/// What the Secret holds.
pub(super) struct Parts {
    /// PEM, the newest first.
    pub(super) authorities: Vec<String>,
    authority_key: Zeroizing<String>,
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

impl Parts {
    /// Makes everything anew.
    pub(super) fn make(names: &[String], now: SystemTime) -> Result<Self, ServingError> {
        let made = ServingAuthority::make_pem(AUTHORITY_LIFETIME, now)?;
        let authority = ServingAuthority::from_pem(&made.certificate, &made.key)?;
        let leaf = authority.issue(names, LEAF_LIFETIME, now)?;
        Ok(Self {
            authorities: vec![made.certificate],
            authority_key: made.key,
            certificate: leaf.certificate,
            key: leaf.key,
        })
    }

    /// Reads the Secret; `None` if it does not hold what it should.
    pub(super) fn read(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let text = |key: &str| std::str::from_utf8(&data.get(key)?.0).ok().map(str::to_owned);
        let authorities = split(&text("ca.crt")?);
        let parts = Self {
            authority_key: Zeroizing::new(text("ca.key")?),
            certificate: text("tls.crt")?,
            key: Zeroizing::new(text("tls.key")?),
            authorities,
        };
        let newest = ServingAuthority::from_pem(parts.authorities.first()?, &parts.authority_key).ok();
        let sound = newest.is_some()
            && parts.authorities.len() <= MOST_AUTHORITIES
            && ServingLeaf::read(&parts.certificate).is_ok();
        sound.then_some(parts)
    }

    /// As the Secret; `version` is the one that it replaces.
    pub(super) fn secret(&self, version: Option<String>) -> Secret {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = BTreeMap::from([
            ("ca.crt".to_owned(), bytes(&self.bundle())),
            ("ca.key".to_owned(), bytes(&self.authority_key)),
            ("tls.crt".to_owned(), bytes(&self.certificate)),
            ("tls.key".to_owned(), bytes(&self.key)),
        ]);
        let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), OPERATOR.to_owned())]);
        let metadata = ObjectMeta {
            name: Some(SECRET.to_owned()),
            labels: Some(labels),
            resource_version: version,
            ..ObjectMeta::default()
        };
        Secret {
            metadata,
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data),
            ..Secret::default()
        }
    }

    /// What the API server is to believe, PEM.
    pub(super) fn bundle(&self) -> String {
        self.authorities.concat()
    }

    /// The next step of renewal and rotation; `None` while nothing is due.
    pub(super) fn next(&self, names: &[String], now: SystemTime) -> Result<Option<Self>, ServingError> {
        let Some(newest) = self.authorities.first() else { return Self::make(names, now).map(Some) };
        let authority = ServingAuthority::from_pem(newest, &self.authority_key)?;
        let (of_authority, of_leaf) = (ServingLeaf::read(newest)?, ServingLeaf::read(&self.certificate)?);
        let seconds = seconds(now);
        if seconds >= of_authority.not_after || self.is_stray(seconds, of_leaf)? {
            return Self::make(names, now).map(Some);
        }
        if is_half_over(of_authority, seconds) {
            let made = ServingAuthority::make_pem(AUTHORITY_LIFETIME, now)?;
            let mut authorities = vec![made.certificate];
            authorities.extend(self.authorities.iter().take(MOST_AUTHORITIES - 1).cloned());
            return Ok(Some(Self { authorities, authority_key: made.key, ..self.copy() }));
        }
        let known = seconds.saturating_sub(of_authority.not_before) >= BACKDATE + PROPAGATION;
        let of_newest = authority.signed(&self.certificate);
        if (is_half_over(of_leaf, seconds) && of_newest) || (!of_newest && known) {
            let leaf = authority.issue(names, LEAF_LIFETIME, now)?;
            return Ok(Some(Self { certificate: leaf.certificate, key: leaf.key, ..self.copy() }));
        }
        let settled = seconds.saturating_sub(of_leaf.not_before) >= BACKDATE + FAREWELL;
        if self.authorities.len() > 1 && of_newest && settled {
            return Ok(Some(Self { authorities: vec![newest.clone()], ..self.copy() }));
        }
        Ok(None)
    }

    /// True if what is served has ended, or no authority that is kept signed it: nothing is lost by starting anew.
    fn is_stray(&self, now: i64, leaf: ServingLeaf) -> Result<bool, ServingError> {
        if now >= leaf.not_after {
            return Ok(true);
        }
        // A signature can be checked with any key pair's certificate; only the newest has its key here.
        Ok(!self.authorities.iter().any(|authority| ServingAuthority::signs(authority, &self.certificate)))
    }

    fn copy(&self) -> Self {
        Self {
            authorities: self.authorities.clone(),
            authority_key: self.authority_key.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        }
    }
}

/// The names by which the API server calls the Service.
pub(super) fn names(namespace: &str) -> Vec<String> {
    ["", ".svc", ".svc.cluster.local"].map(|end| format!("{OPERATOR}.{namespace}{end}")).to_vec()
}

fn is_half_over(dates: ServingLeaf, now: i64) -> bool {
    let life = dates.not_after.saturating_sub(dates.not_before);
    now >= dates.not_before.saturating_add(life / 2)
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// One text for each certificate.
fn split(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let parts = pem.split_inclusive(END).filter(|part| part.contains(END));
    parts.map(|part| format!("{}\n", part.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: u64, seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs((20_000 + days) * DAY + seconds)
    }

    fn again(parts: &Parts) -> Parts {
        Parts::read(&parts.secret(None)).unwrap()
    }

    fn leaf_of(parts: &Parts, authority: &str) -> bool {
        ServingAuthority::signs(authority, &parts.certificate)
    }

    #[test]
    fn nothing_is_due_until_the_leaf_is_half_over() {
        let names = names("bailiwick-system");
        let parts = again(&Parts::make(&names, at(0, 0)).unwrap());
        assert!(parts.next(&names, at(14, 0)).unwrap().is_none());
        let renewed = parts.next(&names, at(15, 0)).unwrap().unwrap();
        assert_eq!(renewed.authorities, parts.authorities);
        assert!(renewed.certificate != parts.certificate && leaf_of(&renewed, &parts.authorities[0]));
        assert!(renewed.next(&names, at(15, 5)).unwrap().is_none());
    }

    #[test]
    fn an_authority_is_replaced_while_the_api_server_always_believes_what_is_served() {
        let names = names("bailiwick-system");
        let mut parts = Parts::make(&names, at(0, 0)).unwrap();
        let first = parts.authorities[0].clone();
        let mut steps = 0;
        for day in 0..181 {
            parts = parts.next(&names, at(day, 0)).unwrap().unwrap_or(parts);
        }
        assert_eq!(parts.authorities, std::slice::from_ref(&first));
        // The days around half of its life, looked at every five minutes; in each state what is served is of an authority
        // that was in the bundle ten minutes ago.
        let mut history = vec![parts.bundle(); 3];
        for minute in (181 * 24 * 60..185 * 24 * 60_u64).step_by(5) {
            if let Some(next) = parts.next(&names, at(0, minute * 60)).unwrap() {
                parts = again(&next);
                steps += 1;
            }
            let old = split(&history[history.len() - 2]);
            assert!(old.iter().any(|authority| leaf_of(&parts, authority)), "minute {minute}");
            history.push(parts.bundle());
        }
        assert_eq!(parts.authorities.len(), 1);
        assert_ne!(parts.authorities[0], first);
        assert!((3..=4).contains(&steps), "{steps} steps");
    }

    #[test]
    fn what_has_ended_or_was_tampered_with_is_made_anew() {
        let names = names("bailiwick-system");
        let parts = Parts::make(&names, at(0, 0)).unwrap();
        let other = Parts::make(&names, at(0, 0)).unwrap();
        let anew = parts.next(&names, at(31, 0)).unwrap().unwrap();
        assert_ne!(anew.authorities, parts.authorities);
        let stray = Parts { certificate: other.certificate.clone(), key: other.key.clone(), ..parts.copy() };
        assert_ne!(stray.next(&names, at(1, 0)).unwrap().unwrap().authorities, parts.authorities);
        let mixed = Parts { authority_key: other.authority_key.clone(), ..parts.copy() };
        assert!(Parts::read(&mixed.secret(None)).is_none());
        assert!(Parts::read(&Secret::default()).is_none());
        assert!(!format!("{parts:?}").contains("PRIVATE"));
    }
}
