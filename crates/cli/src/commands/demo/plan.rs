//! The calls that are shown, and what is expected of each. What is seen comes from elsewhere: the status from the
//! answer, decision and rule from the called sidecar's audit log.

use super::strangers::Stranger;

/// A call that will be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) from: From,
    pub(super) to: To,
    pub(super) call: Call,
    pub(super) expected: Expected,
    /// What the row is there to show, where that is not plain.
    pub(super) shows: &'static str,
}

impl Planned {
    const fn showing(mut self, shows: &'static str) -> Self {
        self.shows = shows;
        self
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The application `shop/web`, by its sidecar.
    Web,
    /// The application `shop/report`, by its sidecar.
    Report,
    /// Somebody who is not believed.
    Stranger(Stranger),
}

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Orders,
    Legacy,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Http {
        method: &'static str,
        path: &'static str,
    },
    /// `package.Service` and the method.
    Grpc {
        service: &'static str,
        method: &'static str,
    },
    Tcp,
}

/// What is expected of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) status: &'static str,
    pub(super) decision: &'static str,
    pub(super) rule: &'static str,
}

impl From {
    /// The identity that the caller proves, if it is believed.
    pub(super) const fn identity(self) -> Option<&'static str> {
        match self {
            Self::Web => Some("spiffe://cluster.local/ns/shop/sa/web"),
            Self::Report => Some("spiffe://cluster.local/ns/shop/sa/report"),
            Self::Stranger(_) => None,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Web => "shop/web",
            Self::Report => "shop/report",
            Self::Stranger(stranger) => stranger.label(),
        }
    }
}

impl To {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Orders => "shop/orders",
            Self::Legacy => "trial/legacy",
        }
    }
}

impl Call {
    pub(super) const fn protocol(self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Grpc { .. } => "grpc",
            Self::Tcp => "tcp",
        }
    }

    /// As METHOD of `bailiwick can`.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Http { method, .. } => method,
            Self::Grpc { .. } => "grpc",
            Self::Tcp => "tcp",
        }
    }

    /// As PATH of `bailiwick can`.
    pub(super) fn path(self) -> String {
        match self {
            Self::Http { path, .. } => path.to_owned(),
            Self::Grpc { service, method } => format!("{service}/{method}"),
            Self::Tcp => self.port().to_string(),
        }
    }

    /// The container port, which is also the Service's.
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Http { .. } | Self::Grpc { .. } => 8080,
            Self::Tcp => 5432,
        }
    }
}

const ORDERS: &str = "shop.v1.Orders";
pub(super) const WEB_READS: &str = "Policy shop/orders web-reads";
const WEB_LIVE: &str = "Policy shop/orders web-live";
const NO_SECRETS: &str = "Policy shop/orders no-secrets";
const NO_ADMIN: &str = "ClusterPolicy guardrails no-admin";
const DEFAULT: &str = "default";

const fn expected(status: &'static str, decision: &'static str, rule: &'static str) -> Expected {
    Expected { status, decision, rule }
}

const fn http(
    from: From,
    (method, path): (&'static str, &'static str),
    status: &'static str,
    decision: &'static str,
    rule: &'static str,
) -> Planned {
    Planned {
        from,
        to: To::Orders,
        call: Call::Http { method, path },
        expected: expected(status, decision, rule),
        shows: "",
    }
}

const fn grpc(method: &'static str, expected: Expected) -> Planned {
    Planned {
        from: From::Web,
        to: To::Orders,
        call: Call::Grpc { service: ORDERS, method },
        expected,
        shows: "",
    }
}

const fn tcp(from: From, expected: Expected) -> Planned {
    Planned { from, to: To::Orders, call: Call::Tcp, expected, shows: "" }
}

const fn stranger(stranger: Stranger, status: &'static str, reason: &'static str) -> Planned {
    http(From::Stranger(stranger), ("GET", "/orders/1"), status, "unauthenticated", reason)
}

/// The calls after the edit, and what is expected of them then. Those over HTTP are made on the connection that the
/// first call was made on before.
pub(super) const AFTER_EDIT: [Planned; 3] = [
    http(From::Web, ("GET", "/orders/1"), "403", "deny", DEFAULT),
    http(From::Web, ("GET", "/health"), "200", "allow", WEB_READS),
    tcp(From::Web, expected("closed", "deny", DEFAULT)),
];

/// The calls, in their order.
pub(super) const CALLS: [Planned; 16] = [
    http(From::Web, ("GET", "/orders/1"), "200", "allow", WEB_READS),
    http(From::Web, ("GET", "/health"), "200", "allow", WEB_READS)
        .showing("a Role inherited: order-reader inherits health-reader"),
    http(From::Web, ("DELETE", "/orders/1"), "403", "deny", DEFAULT),
    http(From::Web, ("GET", "/orders/1/invoice"), "403", "deny", DEFAULT),
    http(From::Report, ("GET", "/orders/1"), "403", "deny", DEFAULT),
    http(From::Web, ("GET", "/orders/secret"), "403", "deny", NO_SECRETS)
        .showing("a Deny over an Allow: order-reader has /orders/{id}"),
    http(From::Web, ("GET", "/admin/users"), "403", "deny", NO_ADMIN)
        .showing("a ClusterPolicy over an Allow: order-reader has /admin/**"),
    stranger(Stranger::NoCertificate, "alert certificate_required", "no-certificate"),
    stranger(Stranger::ForeignAuthority, "alert unknown_ca", "untrusted-chain"),
    stranger(Stranger::Expired, "alert certificate_expired", "expired"),
    stranger(Stranger::Plaintext, "401", "plaintext"),
    grpc("Get", expected("OK", "allow", WEB_READS)),
    grpc("Delete", expected("PERMISSION_DENIED", "deny", DEFAULT)),
    tcp(From::Web, expected("open", "allow", WEB_LIVE)),
    tcp(From::Report, expected("closed", "deny", DEFAULT)),
    Planned {
        from: From::Web,
        to: To::Legacy,
        call: Call::Http { method: "GET", path: "/reports" },
        expected: expected("200", "allow", "audit-namespace (would be deny: default)"),
        shows: "a namespace in authorization audit: forwarded, and reported",
    },
];
