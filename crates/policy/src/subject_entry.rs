//! Who a rule speaks of.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bailiwick_identity::{Namespace, ServiceAccount, SpiffeId, TrustDomain, TrustDomainError};
use ipnet::IpNet;

/// One entry of `subjects` or `exceptSubjects`: every field that is present must hold.
///
/// INVARIANT: at least one field is present; an entry of a user's object without a field does not compile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SubjectEntry {
    /// `anyone`, `authenticated` or `unauthenticated`.
    pub class: Option<SubjectClass>,
    /// A service account of the mesh's own trust domain.
    pub service_account: Option<(Namespace, ServiceAccount)>,
    /// Namespaces of the mesh's own trust domain, sorted; a selector is resolved to names by the compiler, and an
    /// empty list matches nobody.
    pub namespaces: Option<Vec<Namespace>>,
    /// An identity, in which `*` stands for one whole path segment.
    pub spiffe_id: Option<SpiffePattern>,
    /// The TCP peer's address.
    pub ip_block: Option<IpBlock>,
}

/// The broad classes of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectClass {
    /// Every caller.
    Anyone,
    /// A peer proven by certificate, of any accepted trust domain.
    Authenticated,
    /// A caller that is not a proven peer.
    Unauthenticated,
}

/// A range of addresses without parts of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IpBlock {
    cidr: IpNet,
    except: Vec<IpNet>,
}

/// Why a CIDR or its exceptions are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpBlockError {
    /// Not an address with a prefix length.
    #[error("`{text}` is not a CIDR: write an address and a prefix length, such as `10.0.0.0/8`")]
    Malformed {
        /// The text that was given.
        text: String,
    },
    /// Bits after the prefix are set, so it is unclear what was meant.
    #[error("`{text}` has host bits set: did you mean `{meant}`?")]
    HostBits {
        /// The text that was given.
        text: String,
        /// The network that holds it.
        meant: String,
    },
    /// An exception that does not lie within the block.
    #[error("`{except}` does not lie within `{cidr}`")]
    Outside {
        /// The exception.
        except: String,
        /// The block.
        cidr: String,
    },
}

impl IpBlock {
    /// Makes a block of a CIDR and exceptions that lie within it.
    ///
    /// # Errors
    /// When an exception does not lie within the CIDR. Host bits are checked by [`parse_cidr`](Self::parse_cidr).
    pub fn new(cidr: IpNet, except: Vec<IpNet>) -> Result<Self, IpBlockError> {
        match except.iter().find(|inner| !cidr.contains(*inner)) {
            Some(outside) => {
                Err(IpBlockError::Outside { except: outside.to_string(), cidr: cidr.to_string() })
            }
            None => Ok(Self { cidr, except }),
        }
    }

    /// Parses a CIDR; host bits set are an error. A v4-mapped IPv6 range folds to IPv4.
    ///
    /// # Errors
    /// When the text is not a CIDR or has host bits set.
    pub fn parse_cidr(text: &str) -> Result<IpNet, IpBlockError> {
        let net = IpNet::from_str(text).map_err(|_| IpBlockError::Malformed { text: text.to_owned() })?;
        if net.trunc() != net {
            return Err(IpBlockError::HostBits { text: text.to_owned(), meant: net.trunc().to_string() });
        }
        Ok(fold_net(net))
    }

    /// The block.
    #[must_use]
    pub const fn cidr(&self) -> IpNet {
        self.cidr
    }

    /// The parts that are left out.
    #[must_use]
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }

    /// True if a (folded) address lies in the block and in none of its exceptions.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|inner| inner.contains(&address))
    }
}

/// Callers' addresses are folded, so a v4-mapped range must be as well, or it could never match.
fn fold_net(net: IpNet) -> IpNet {
    if let IpNet::V6(six) = net {
        let mapped = six.addr().to_ipv4_mapped();
        if let (Some(four), Some(length)) = (mapped, six.prefix_len().checked_sub(96))
            && let Ok(folded) = ipnet::Ipv4Net::new(four, length)
        {
            return IpNet::V4(folded);
        }
    }
    net
}

/// A SPIFFE ID in which `*` stands for one whole path segment, never for the trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffePattern {
    text: Arc<str>,
    trust_domain: TrustDomain,
    segments: Vec<Option<Box<str>>>,
}

/// Why a text is not a SPIFFE ID pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffePatternError {
    /// It does not start with `spiffe://` and a path.
    #[error(
        "`{text}` is not a SPIFFE ID: write `spiffe://<trust domain>/<path>`; `*` stands for one whole path segment"
    )]
    Form {
        /// The text that was given.
        text: String,
    },
    /// The trust domain is malformed, or a wildcard.
    #[error("`{text}`: {source}; a trust domain cannot be a wildcard")]
    TrustDomain {
        /// The text that was given.
        text: String,
        /// What is wrong with it.
        source: TrustDomainError,
    },
    /// A path segment is neither `*` nor made of letters, digits, `.`, `-` and `_`.
    #[error(
        "`{segment}` in `{text}` is not a path segment: use letters, digits, `.`, `-`, `_`, or a whole `*`"
    )]
    Segment {
        /// The text that was given.
        text: String,
        /// The segment.
        segment: String,
    },
}

impl SpiffePattern {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The identity, if the pattern has no wildcard and names exactly one.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        if self.segments.iter().all(Option::is_some) { Some(&self.text) } else { None }
    }

    /// True if an identity matches, segment by segment.
    #[must_use]
    pub fn matches(&self, id: &SpiffeId) -> bool {
        if id.trust_domain() != &self.trust_domain {
            return false;
        }
        let mut found = id.path().split('/').skip(1);
        let all = self.segments.iter().all(|wanted| match (wanted, found.next()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(wanted), Some(segment)) => wanted.as_ref() == segment,
        });
        all && found.next().is_none()
    }
}

impl FromStr for SpiffePattern {
    type Err = SpiffePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || SpiffePatternError::Form { text: text.to_owned() };
        if text.len() > 2048 {
            return Err(form());
        }
        let rest = text.strip_prefix("spiffe://").ok_or_else(form)?;
        let (domain, path) = rest.split_once('/').ok_or_else(form)?;
        let trust_domain = domain
            .parse()
            .map_err(|source| SpiffePatternError::TrustDomain { text: text.to_owned(), source })?;
        let segments =
            path.split('/').map(|segment| parse_segment(text, segment)).collect::<Result<_, _>>()?;
        Ok(Self { text: Arc::from(text), trust_domain, segments })
    }
}

fn parse_segment(text: &str, segment: &str) -> Result<Option<Box<str>>, SpiffePatternError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if segment == "*" {
        return Ok(None);
    }
    if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(allowed) {
        return Err(SpiffePatternError::Segment { text: text.to_owned(), segment: segment.to_owned() });
    }
    Ok(Some(segment.into()))
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_an_error_that_says_what_was_meant() {
        let error = IpBlock::parse_cidr("10.1.2.3/8").unwrap_err();
        assert_eq!(error.to_string(), "`10.1.2.3/8` has host bits set: did you mean `10.0.0.0/8`?");
        for wrong in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "", "x/8"] {
            assert!(matches!(IpBlock::parse_cidr(wrong), Err(IpBlockError::Malformed { .. })), "{wrong}");
        }
    }

    #[test]
    fn exceptions_lie_within_and_are_left_out() {
        let net = |text| IpBlock::parse_cidr(text).unwrap();
        let block = IpBlock::new(net("10.0.0.0/8"), vec![net("10.1.0.0/16")]).unwrap();
        assert!(block.contains("10.2.0.1".parse().unwrap()) && !block.contains("10.1.0.1".parse().unwrap()));
        assert!(matches!(
            IpBlock::new(net("10.0.0.0/8"), vec![net("11.0.0.0/16")]),
            Err(IpBlockError::Outside { .. })
        ));
        assert_eq!(net("::ffff:10.0.0.0/104"), net("10.0.0.0/8"));
    }

    #[test]
    fn a_star_is_one_whole_segment_and_never_the_trust_domain() {
        let pattern: SpiffePattern = "spiffe://partner.example/ns/*/sa/sync".parse().unwrap();
        let matches = |text: &str| pattern.matches(&text.parse().unwrap());
        assert!(matches("spiffe://partner.example/ns/a.b/sa/sync"));
        for other in [
            "spiffe://other.example/ns/a/sa/sync",
            "spiffe://partner.example/ns/a/b/sa/sync",
            "spiffe://partner.example/ns/sa/sync",
            "spiffe://partner.example/ns/a/sa/sync/x",
            "spiffe://partner.example/ns/a/sa/Sync",
        ] {
            assert!(!matches(other), "{other}");
        }
        assert_eq!(pattern.exact(), None);
        let exact = "spiffe://partner.example/x".parse::<SpiffePattern>().unwrap();
        assert_eq!(exact.exact(), Some("spiffe://partner.example/x"));
        for wrong in [
            "spiffe://*/x",
            "spiffe://a",
            "http://a/x",
            "spiffe://a/x*",
            "spiffe://a//x",
            "spiffe://a/",
            "spiffe://a/..",
        ] {
            assert!(wrong.parse::<SpiffePattern>().is_err(), "{wrong}");
        }
    }
}
