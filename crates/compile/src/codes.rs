//! The stable codes of this crate's messages: BW0200 to BW0299. A code is never given another meaning.

use crate::Code;

/// A code, for `docs/messages.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeInfo {
    /// The code.
    pub code: Code,
    /// A few words.
    pub title: &'static str,
    /// One paragraph: what it means, why it is reported, what to do.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal, $explanation:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code($number);)*
        const ALL: &[CodeInfo] = &[
            $(CodeInfo { code: $name, title: $title, explanation: $explanation },)*
        ];
    };
}

/// Every code of this crate, in order.
#[must_use]
pub const fn all() -> &'static [CodeInfo] {
    ALL
}

codes! {
    ROLE_MISSING = 201, "a Role that is not there",
        "The reference names a Role that does not exist. It adds nothing to an Allow, and a Deny that binds it, directly or by inheritance, matches every call, so that applying objects in any order never opens anything. Correct the name or its namespace, or create the Role.";
    ROLE_INVALID = 202, "a Role that does not compile",
        "The reference names a Role whose own spec is invalid. It adds nothing to an Allow, and a Deny that binds it, directly or by inheritance, matches every call. Mend the Role.";
    ROLE_CYCLE = 203, "a Role that inherits itself",
        "The Role inherits itself, directly or by way of others. Every member of the cycle adds nothing to an Allow, and a Deny that binds one matches every call. Remove one of the references.";
    ROLE_IN_CYCLE = 204, "a reference to a Role in a cycle",
        "The reference names a Role that inherits itself. It adds nothing to an Allow, and a Deny that binds it matches every call. Break the cycle.";
    ROLE_INCOMPLETE = 205, "a Role that inherits a broken one",
        "The reference names a Role that inherits, directly or by way of others, a Role that is missing, invalid or in a cycle. What is left of it counts for an Allow; a Deny that binds it matches every call. Mend the Role that is broken.";
    ROLE_TOO_LARGE = 206, "a Role that inherits too much",
        "With everything that it inherits the Role has more than 4,096 permissions or 256 Roles. It adds nothing to an Allow, and a Deny that binds it matches every call. Split it.";
    RULE_TOO_LARGE = 207, "a rule that binds too much",
        "The Roles of the rule have more than 4,096 permissions together. They add nothing to an Allow, and a Deny matches every call. Split the rule.";
    SERVICE_MISSING = 210, "a Service that is not there",
        "The target names a Service that does not exist in the namespace, so it selects nothing. Correct the name, or select by `kind: Pod`.";
    SERVICE_WITHOUT_SELECTOR = 211, "a Service without a selector",
        "The target names a Service that selects no pods by itself (its endpoints are kept by someone else), so the target selects nothing. Select by `kind: Pod` or `kind: ServiceAccount`.";
    SERVICE_PORT_MISSING = 212, "a port that the Service does not have",
        "The `ports` of a Service target are ports of the Service, not of the container. Correct the number.";
    TARGET_MATCHES_NOTHING = 213, "a target that matches nothing",
        "No known workload fits the target. That is valid: the workload may come later. It is often a misspelt label or name.";
    NAMESPACES_MATCH_NOTHING = 214, "a ClusterPolicy that selects no namespace",
        "No known namespace has the labels of `namespaceSelector`. That is valid: one may come later. It is often a misspelt label.";
    SUBJECT_MATCHES_NOTHING = 215, "a subject that matches no namespace",
        "No known namespace has the labels of the subject's selector, so the subject is nobody. That is valid: one may come later.";
    SERVICE_PORT_LEADS_NOWHERE = 216, "a Service port that leads to no container port",
        "The Service names a target port that none of its workloads declares, so the target selects no port. Name the container's port, or use its number.";
    NOT_COMPILABLE = 220, "an object that says nothing",
        "A rule lacks its subjects or permissions, or names something without its namespace. Nothing empty means all, so the object denies what it selects.";
    DUPLICATE = 221, "an object that is there twice",
        "Two objects have the same kind, namespace and name. Which of them counts would depend on the order of reading, so none compiles. Remove all but one.";
    WORKLOAD_TOO_LARGE = 222, "too many permissions select one workload",
        "More than 1,000,000 permissions select the workload. No object is chosen to be left out: every call to the workload is denied until there are fewer.";
    IDENTITY = 223, "a workload that cannot be named",
        "The trust domain, namespace and service account do not make a SPIFFE ID, so the workload gets neither certificate nor policy.";
    NAMESPACE_LABEL = 230, "an unknown value of an audit label",
        "The labels `bailiwick.dev/authentication` and `bailiwick.dev/authorization` know one value, `audit`; anything else enforces. Write `audit`, or remove the label.";
    TWO_OWN_TRUST_DOMAINS = 240, "two own trust domains",
        "A mesh has at most one own trust domain. While there are two, neither counts and no certificate is issued. Remove one.";
    TRUST_DOMAIN_NAME = 241, "a TrustDomain whose name is no trust domain",
        "The name of a TrustDomain object is the trust domain. No certificate is issued.";
    NOBODY_TRUSTED = 242, "a port that trusts no trust domain",
        "The Authentications that select the port have no trust domain in common, so no certificate is accepted there.";
    PROTOCOLS_DISAGREE = 250, "Services that disagree on a protocol",
        "Two Services lead to the same container port and declare different protocols for it. The port counts as undeclared: its protocol is detected, and server-first protocols do not work. Make them agree.";
    UNSUPPORTED_KIND = 290, "a kind that is not supported in this version",
        "The schema has the kind and this version does not implement it. Ignoring it would change what is allowed.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_sorted_and_in_range() {
        let numbers: Vec<u16> = all().iter().map(|info| info.code.0).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        assert!(numbers.iter().all(|number| (200..=299).contains(number)));
    }

    #[test]
    fn every_code_has_a_title_and_a_paragraph() {
        for info in all() {
            assert!(!info.title.is_empty() && !info.title.ends_with('.'), "{}", info.code);
            assert!(info.explanation.ends_with('.') && !info.explanation.contains('\n'), "{}", info.code);
        }
    }
}
