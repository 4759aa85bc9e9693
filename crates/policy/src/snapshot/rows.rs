//! The flat form of rules: one row for each rule and permission, in the order of the decision.

use std::sync::Arc;

use bailiwick_identity::Port;

use super::Snapshot;
use crate::{
    Body, CanonicalPath, Effect, GrpcPermission, HttpCall, HttpPermission, Layer, Methods, Mode, Origin,
    Permission, Rule, RuleIndex, Timestamp, Truth,
};

/// The steps of a decision that rules take part in; the order is the order in which they settle a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    ClusterDeny,
    PolicyDeny,
    Allow,
}

impl Step {
    pub(crate) const fn of(layer: Layer, effect: Effect) -> Self {
        match (effect, layer) {
            (Effect::Allow, _) => Self::Allow,
            (Effect::Deny, Layer::Cluster) => Self::ClusterDeny,
            (Effect::Deny, Layer::Namespace) => Self::PolicyDeny,
        }
    }
}

/// A rule of a snapshot, or an object that could not be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// The object it stands in.
    pub origin: Origin,
    /// The object's generation.
    pub generation: i64,
    /// The rule's name; empty if the object could not be compiled, since then the object as a whole denies.
    pub name: Arc<str>,
    /// Allow or Deny. An uncompilable object denies.
    pub effect: Effect,
    /// The object's mode.
    pub mode: Mode,
    /// Text for people, from the rule.
    pub message: Option<Arc<str>>,
    /// Why the object could not be compiled, if it could not.
    pub uncompilable: Option<Arc<str>>,
    /// The rule applies from this instant on, seconds since the Unix epoch.
    pub not_before: Option<i64>,
    /// The rule applies until just before this instant, seconds since the Unix epoch.
    pub not_after: Option<i64>,
}

impl RuleInfo {
    pub(super) fn of_rule(origin: &Origin, generation: i64, mode: Mode, rule: &Rule) -> Self {
        Self {
            origin: origin.clone(),
            generation,
            name: Arc::clone(&rule.name),
            effect: rule.effect,
            mode,
            message: rule.message.clone(),
            uncompilable: None,
            not_before: rule.not_before,
            not_after: rule.not_after,
        }
    }

    pub(super) fn of_uncompilable(origin: &Origin, generation: i64, mode: Mode, reason: &Arc<str>) -> Self {
        Self {
            origin: origin.clone(),
            generation,
            name: Arc::from(""),
            effect: Effect::Deny,
            mode,
            message: None,
            uncompilable: Some(Arc::clone(reason)),
            not_before: None,
            not_after: None,
        }
    }

    /// Whether an instant lies in the rule's window.
    pub(crate) fn in_window(&self, now: Option<Timestamp>) -> Truth {
        match (self.not_before, self.not_after, now) {
            (None, None, _) => Truth::True,
            (_, _, None) => Truth::Unknown,
            (before, after, Some(Timestamp(now))) => {
                (before.is_none_or(|start| start <= now) && after.is_none_or(|end| now < end)).into()
            }
        }
    }
}

impl std::fmt::Display for RuleInfo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Origin { layer, namespace, name } = &self.origin;
        let slash = if namespace.is_empty() { "" } else { "/" };
        write!(formatter, "{} {namespace}{slash}{name}", layer.kind())?;
        if self.uncompilable.is_some() { Ok(()) } else { write!(formatter, " rule {}", self.name) }
    }
}

/// What a row's permission speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowKind {
    /// Every call; also of an uncompilable object.
    Any,
    Http,
    Grpc,
    Tcp,
}

/// One rule and one of its permissions, small enough to test in a few nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) rule: RuleIndex,
    /// The subject set ([`super::SubjectSets`]).
    pub(crate) set: u32,
    /// The port selection; 0 is every port.
    pub(crate) ports: u32,
    /// Where the permission stands: object, rule, permission. Read only where the rest of the row does not settle it.
    pub(crate) place: Place,
    pub(crate) methods: MethodBits,
    pub(crate) step: Step,
    pub(crate) kind: RowKind,
    pub(crate) audit: bool,
    /// The rule has a window of time.
    pub(crate) windowed: bool,
    /// The permission names hosts.
    pub(crate) hosted: bool,
}

/// Where a permission stands in a snapshot's objects.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) object: u32,
    pub(crate) rule: u32,
    pub(crate) permission: u32,
}

/// A set of methods as bits: one for each common method, one for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MethodBits(u16);

impl MethodBits {
    /// Some method without a bit of its own is in the set; the names decide which.
    const OTHER: u16 = 1 << 9;
    pub(crate) const ANY: Self = Self(u16::MAX);
    pub(crate) const POST: Self = Self(1 << 2);

    pub(crate) fn of_method(method: &str) -> Self {
        Self(match method {
            "GET" => 1,
            "HEAD" => 1 << 1,
            "POST" => 1 << 2,
            "PUT" => 1 << 3,
            "DELETE" => 1 << 4,
            "PATCH" => 1 << 5,
            "OPTIONS" => 1 << 6,
            "TRACE" => 1 << 7,
            "CONNECT" => 1 << 8,
            _ => Self::OTHER,
        })
    }

    pub(crate) fn of_methods(methods: &Methods) -> Self {
        match methods {
            Methods::Any => Self::ANY,
            Methods::Of(names) => Self(names.iter().fold(0, |bits, name| bits | Self::of_method(name).0)),
        }
    }

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn is_other(self) -> bool {
        self.0 == Self::OTHER
    }
}

/// A call as rows see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallFacts<'a> {
    pub(crate) port: Port,
    /// `None` only in hypotheses that leave it open.
    pub(crate) now: Option<Timestamp>,
    pub(crate) http: Option<HttpFacts<'a>>,
}

/// An HTTP request as rows see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpFacts<'a> {
    pub(crate) method: &'a str,
    pub(crate) bits: MethodBits,
    /// `None`: a target that only `any` and `tcp` match.
    pub(crate) path: Option<&'a CanonicalPath<'a>>,
    pub(crate) host: &'a str,
    pub(crate) grpc: bool,
}

impl<'a> CallFacts<'a> {
    pub(crate) fn new(port: Port, now: Option<Timestamp>, call: &crate::Call<'a>) -> Self {
        let http = match call {
            crate::Call::Tcp => None,
            crate::Call::Http(http) => Some(HttpFacts::new(http)),
        };
        Self { port, now, http }
    }
}

impl<'a> HttpFacts<'a> {
    fn new(call: &HttpCall<'a>) -> Self {
        let path = match call.target {
            crate::RequestTarget::Path(path) => Some(path),
            crate::RequestTarget::Asterisk | crate::RequestTarget::Ambiguous => None,
        };
        Self {
            method: call.method,
            bits: MethodBits::of_method(call.method),
            path,
            host: call.host,
            grpc: call.grpc,
        }
    }
}

/// The service and method of a gRPC path, `/<service>/<method>`.
pub(crate) fn grpc_names(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let sound = !service.is_empty() && !method.is_empty() && !method.contains('/');
    sound.then_some((service, method))
}

/// The parts of one row's match. The evaluator and [`crate::explain`] both call these: what is explained is what is
/// enforced.
impl Snapshot {
    pub(crate) fn row_selects(&self, row: &Row, port: Port) -> bool {
        row.ports == 0 || self.ports.get(row.ports as usize).is_some_and(|ports| ports.contains(port))
    }

    pub(crate) fn row_time(&self, row: &Row, now: Option<Timestamp>) -> Truth {
        if row.windowed {
            // FAIL-CLOSED: an index out of range cannot occur; an Allow would not match, a Deny would.
            self.rule(row.rule).map_or(Truth::from(row.step != Step::Allow), |rule| rule.in_window(now))
        } else {
            Truth::True
        }
    }

    pub(crate) fn row_permission(&self, row: &Row) -> Option<&Permission> {
        let object = self.objects.get(row.place.object as usize)?;
        match &object.object.body {
            Body::Uncompilable { .. } => None,
            Body::Rules(rules) => {
                rules.get(row.place.rule as usize)?.permissions.get(row.place.permission as usize)
            }
        }
    }

    pub(crate) fn row_http(&self, row: &Row) -> Option<&HttpPermission> {
        match self.row_permission(row)? {
            Permission::Http(http) => Some(http),
            Permission::Any | Permission::Grpc(_) | Permission::Tcp(_) => None,
        }
    }

    pub(crate) fn row_grpc(&self, row: &Row) -> Option<&GrpcPermission> {
        match self.row_permission(row)? {
            Permission::Grpc(grpc) => Some(grpc),
            Permission::Any | Permission::Http(_) | Permission::Tcp(_) => None,
        }
    }

    /// The method of an `http` row; of a `grpc` row: POST.
    pub(crate) fn row_method(&self, row: &Row, http: &HttpFacts<'_>) -> bool {
        if !row.methods.meets(http.bits) {
            return false;
        }
        if !http.bits.is_other() || row.methods == MethodBits::ANY {
            return true;
        }
        self.row_http(row).is_some_and(|permission| permission.methods.contains(http.method))
    }

    pub(crate) fn row_host(&self, row: &Row, http: &HttpFacts<'_>) -> bool {
        !row.hosted
            || self
                .row_http(row)
                .and_then(|permission| permission.hosts.as_ref())
                .is_some_and(|hosts| hosts.iter().any(|host| host.matches(http.host)))
    }

    /// The content type that a `grpc` permission of an Allow needs; a Deny ignores it.
    pub(crate) fn row_content_type(row: &Row, http: &HttpFacts<'_>) -> bool {
        row.kind != RowKind::Grpc || row.step != Step::Allow || http.grpc
    }

    /// The path of an `http` row, the service and method of a `grpc` row. The index answers this faster.
    pub(crate) fn row_path(&self, row: &Row, http: &HttpFacts<'_>) -> bool {
        let Some(path) = http.path else { return false };
        match self.row_permission(row) {
            Some(Permission::Http(permission)) => {
                permission.paths.iter().any(|template| template.matches(path))
            }
            Some(Permission::Grpc(permission)) => {
                grpc_names(path.as_str()).is_some_and(|(service, method)| {
                    permission.service.as_ref() == service && permission.methods.contains(method)
                })
            }
            Some(Permission::Any | Permission::Tcp(_)) | None => false,
        }
    }

    /// The destination port of a `tcp` row.
    pub(crate) fn row_tcp_port(&self, row: &Row, port: Port) -> bool {
        match self.row_permission(row) {
            Some(Permission::Tcp(ports)) => ports.contains(&port),
            Some(Permission::Any | Permission::Http(_) | Permission::Grpc(_)) | None => false,
        }
    }

    /// Everything of a row but its subject. `indexed` says that the index already found the path or the tcp port.
    pub(crate) fn row_matches_call(&self, row: &Row, call: &CallFacts<'_>, indexed: bool) -> Truth {
        if !self.row_selects(row, call.port) {
            return Truth::False;
        }
        let permission = match (row.kind, &call.http) {
            (RowKind::Any, _) => true,
            (RowKind::Tcp, _) => indexed || self.row_tcp_port(row, call.port),
            (RowKind::Http | RowKind::Grpc, None) => false,
            (RowKind::Http | RowKind::Grpc, Some(http)) => {
                self.row_method(row, http)
                    && Self::row_content_type(row, http)
                    && self.row_host(row, http)
                    && (indexed || self.row_path(row, http))
            }
        };
        if permission { self.row_time(row, call.now) } else { Truth::False }
    }
}
