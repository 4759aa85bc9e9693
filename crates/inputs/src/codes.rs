//! The stable codes of this crate's messages: BW0001 to BW0199. A code is never given another meaning.

use bailiwick_compile::{Code, CodeInfo};

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $number:literal, $title:literal, $explanation:literal;)*) => {
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
    UNREADABLE_FILE = 1, "a file or folder cannot be read",
        "The file system refused: no permission, a link to nothing, a folder that is gone, too many entries. At start such a place counts as a document that nobody can read, so every call is denied; while running its last good content stays. Mend the permissions or remove the entry.";
    NOT_UTF8 = 2, "a file is not UTF-8",
        "YAML and JSON files are read as UTF-8 only; other encodings would make two readers see two texts. Save the file as UTF-8.";
    FILE_TOO_LARGE = 3, "a file is too large",
        "A file may have at most 16 MiB. Split it.";
    DOCUMENT_TOO_LARGE = 4, "a document is too large",
        "A document may have at most 1 MiB: the API server would not store more. Split the object.";
    MALFORMED = 5, "a document is not YAML",
        "The document cannot be parsed, so nobody knows what it would have denied. At start every call is denied until it is mended; while running the file's last good content stays. Other documents of the file are still read.";
    TOO_COMPLEX = 6, "a document is too complex",
        "A document may have at most 200,000 values, copies made by aliases included, and be nested 128 levels deep. Larger ones are built to exhaust memory.";
    REPEATED_FIELD = 7, "a field occurs twice",
        "Readers disagree on which of two fields of one name counts, so neither does. Keep one.";
    TAG = 8, "a value has a YAML tag",
        "Tags such as `!!str` change how a value is read, and readers disagree on which they know. Quote texts instead.";
    UNIDENTIFIED = 9, "a document cannot be identified",
        "Every document needs `apiVersion` and `kind` as texts. Without them nobody knows whether it is a policy, so at start every call is denied until it is mended; while running the file's last good content stays.";
    UNKNOWN_KIND = 10, "an unknown kind of bailiwick.dev",
        "The API group has no such kind in this version. It may have been meant to deny something, so the document counts as one that cannot be identified.";
    UNKNOWN_VERSION = 11, "an unknown version of bailiwick.dev",
        "This version of Bailiwick knows `bailiwick.dev/v1alpha1` only. The document counts as one that cannot be identified.";
    OBJECT_NAME = 12, "an object has no valid name",
        "`metadata.name` is required: a DNS subdomain (RFC 1123). An object without one cannot be identified.";
    NAMESPACE_MISSING = 13, "an object does not say its namespace",
        "In a cluster, `kubectl` would put the object into the namespace of whoever applies it; a folder has no such person. Say `metadata.namespace`.";
    NAMESPACE_UNEXPECTED = 14, "an object of cluster scope has a namespace",
        "The kind has no namespace, so what stands there would have no effect. Remove `metadata.namespace`, or use the namespaced kind.";
    DUPLICATE_OBJECT = 15, "an object is defined twice",
        "Two documents define the same kind, namespace and name. Which of them counts would depend on the order of reading, so both are uncompilable and deny what they select. Remove one.";
    LAST_GOOD = 16, "the last good content stays in effect",
        "A file or folder became unreadable while running. What it said before stays in effect until it can be read again.";
    AMBIGUOUS = 18, "a word that versions of YAML read differently",
        "Kubernetes reads unquoted `yes`, `no`, `on`, `off`, `y`, `n` as truth values and `0777` or `1_000` as numbers; YAML 1.2 reads them otherwise. Quote it if a text is meant, write it plainly if a number is.";
    UNKNOWN_FIELD = 20, "an unknown field",
        "A misspelt `targets` or `when` would silently select more, so unknown fields make an object invalid. Correct or remove the field.";
    NOT_YET_SUPPORTED = 21, "not supported in this version",
        "The schema has the field, value or kind and this version does not implement it. Ignoring it would change what is allowed, so the object is invalid, with reason NotYetSupported.";
    WRONG_TYPE = 22, "a value of the wrong type",
        "The field expects another type of value: a text, a number, a list or an object. Texts that look like numbers need quotes.";
    NULL = 23, "null",
        "`null` could mean nothing or everything. Remove the field, or give it a value.";
    EMPTY_LIST = 24, "an empty list",
        "Nothing empty means all, and nothing empty means none: an empty list is an error. Add an item, or remove the field if it is optional.";
    EMPTY_OBJECT = 25, "an object without a field",
        "An empty selector, subject or target would read as everything to some and as nothing to others. Say what is meant: `anyone: {}` and `any: {}` are spelled out.";
    MISSING_FIELD = 26, "a required field is missing",
        "The object does not say enough. Add the field.";
    EXACTLY_ONE = 27, "exactly one of several fields is needed",
        "The fields exclude each other, and one of them must be there.";
    DUPLICATE_ITEM = 28, "a list has an item twice",
        "The list is a set. Remove the second one.";
    DUPLICATE_KEY = 29, "two entries have the same key",
        "Rules are told apart by `name` and mTLS ports by `port`. Rename or remove one.";
    TOO_MANY = 30, "too many items",
        "Lists are bounded, so that reading and deciding are bounded too. Split the object.";
    TEXT_LENGTH = 31, "a text is empty or too long",
        "Texts have at least one character and a largest length.";
    UNKNOWN_VALUE = 32, "an unknown value",
        "The field takes one of a few words, case-sensitive.";
    NOT_ALLOWED_HERE = 33, "a field that does not belong here",
        "The field has no meaning beside the others, such as `exceptSubjects` in an Allow or `name` in a target of kind Pod. Remove it.";
    RULE_WITHOUT_PERMISSION = 34, "a rule that is about nothing",
        "A rule needs `roles` or `permissions`. `permissions: [{any: {}}]` is every call.";
    NAMESPACE_REQUIRED = 35, "a ClusterPolicy must name a namespace",
        "A ClusterPolicy has no namespace of its own, so each service account and Role that it names needs one.";
    NAME = 40, "not a name",
        "Namespaces and rule names are DNS labels, other names DNS subdomains (RFC 1123).";
    PATH_TEMPLATE = 41, "not a path template",
        "A path template starts with `/`, is written as it would be forwarded, and uses `{name}`, `*` and a last `**` as whole segments.";
    HOST = 42, "not a host",
        "A host has no scheme, port or path; `*.` may stand as its whole first label.";
    CIDR = 43, "not a CIDR",
        "Write an address and a prefix length. Bits after the prefix must be zero, or it is unclear which range is meant.";
    CIDR_EXCEPTION = 44, "an exception outside of its range",
        "Each entry of `except` must lie within `cidr`, or it excepts nothing.";
    PORT = 45, "not a port",
        "A port is a number from 1 to 65535.";
    SPIFFE_ID = 46, "not a SPIFFE ID pattern",
        "Write `spiffe://<trust domain>/<path>`. `*` stands for one whole segment of the path and never for the trust domain.";
    TIME = 47, "not a time",
        "Times are RFC 3339 with whole seconds and a zone, such as `2026-12-31T00:00:00Z`.";
    METHOD = 48, "not a method",
        "HTTP methods are case-sensitive tokens (RFC 9110, section 9.1). A call whose method is a case variant of a registered one is answered 400, so such a rule could never match.";
    GRPC_NAME = 49, "not a gRPC name",
        "A service is written with its package, `shop.v1.Orders`, a method without anything, `Get`.";
    LABEL = 50, "not a label",
        "Label names and values follow Kubernetes: at most 63 letters, digits, `-`, `_` and `.`, names with an optional DNS prefix.";
    TRUST_DOMAIN = 51, "not a trust domain",
        "A trust domain has lower-case letters, digits, `.`, `-` and `_` (SPIFFE-ID, section 2.1).";
    DURATION = 52, "not a duration",
        "Durations are written as in Kubernetes' Gateway API, such as `24h` or `1h30m`. The life of a certificate lies between 10 minutes and 720 hours: shorter ones expire before a failed renewal can be repeated, longer ones make a stolen key worth stealing.";
    ANYONE = 53, "classes of callers that exclude each other",
        "`anyone` stands alone in its entry, and `authenticated` and `unauthenticated` exclude each other. Entries are alternatives: use two.";
    TIME_WINDOW = 54, "a time window that is never open",
        "`notBefore` must lie before `notAfter`.";
    MORE = 55, "more mistakes",
        "Only the first mistakes of an object are listed.";
    MANIFEST = 80, "a manifest that cannot be understood",
        "A workload, Service or Namespace has a value that the API server would refuse, in a field that decides what policies select. A workload is left out; while a Service or Namespace is broken, at start every call is denied.";
    MANIFEST_NAMESPACE = 81, "a manifest does not say its namespace",
        "A folder has no current namespace. Say `metadata.namespace`.";
    DUPLICATE_MANIFEST = 82, "a manifest occurs twice",
        "Two workloads of one namespace share a name, or two documents define one Service or Namespace differently. Which of them counts would depend on the order of reading, so neither does.";
    OPAQUE_PORTS = 83, "an annotation of ports that cannot be understood",
        "`bailiwick.dev/opaque-ports` lists ports and ranges, separated by commas, of at most 4,096 ports: `3306, 6379-6381`. What cannot be understood is left out, so those ports are read as if they were not listed.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_sorted_and_in_range() {
        let numbers: Vec<u16> = all().iter().map(|info| info.code.0).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        assert!(numbers.iter().all(|number| (1..=199).contains(number)));
    }

    #[test]
    fn every_code_has_a_title_and_a_paragraph() {
        for info in all() {
            assert!(!info.title.is_empty() && !info.title.ends_with('.'), "{}", info.code);
            assert!(info.explanation.ends_with('.') && !info.explanation.contains('\n'), "{}", info.code);
        }
    }
}
