//! Which Allow came closest, and what kept it from matching.

use bailiwick_identity::Port;

use super::{Question, RuleTrace};
use crate::snapshot::{HttpFacts, Row, RowKind, grpc_names};
use crate::{
    Methods, Mode, PathTemplate, Permission, PortSelection, RuleIndex, RuleInfo, Segment, Snapshot,
    SubjectEntry, Timestamp, Truth,
};

/// An Allow that would have permitted the call but for some mismatches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The rule.
    pub rule: RuleIndex,
    /// What it is.
    pub info: RuleInfo,
    /// Everything that kept it from matching; never empty.
    pub mismatches: Vec<Mismatch>,
}

/// One thing that kept a rule from matching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The caller is none of the rule's subjects.
    Subject {
        /// The subjects of the rule, each in words.
        wanted: Vec<String>,
        /// The caller, in words.
        found: String,
    },
    /// The port is not one that the object selects, or that the `tcp` permission lists.
    Port {
        /// The ports that would match.
        wanted: Vec<Port>,
        /// The port that is called.
        found: Port,
    },
    /// The permission speaks of HTTP, and the call is opaque TCP.
    Protocol,
    /// The target of the request is `*`, which no path template matches.
    Target,
    /// The method is not listed.
    Method {
        /// The methods that would match.
        wanted: Vec<String>,
        /// The method of the call.
        found: String,
    },
    /// No path template matches.
    Path {
        /// The templates, the closest first.
        wanted: Vec<String>,
        /// The path of the call.
        found: String,
    },
    /// No host matches.
    Host {
        /// The hosts that would match.
        wanted: Vec<String>,
        /// The host of the call.
        found: String,
    },
    /// The path is not that of a listed gRPC method.
    GrpcMethod {
        /// `package.Service/Method`, or `package.Service/*`.
        wanted: Vec<String>,
        /// The path of the call without its first slash.
        found: String,
    },
    /// The content type is not `application/grpc` or `application/grpc+…`.
    ContentType,
    /// The time lies outside of the rule's window.
    Time {
        /// The rule applies from this instant on, seconds since the Unix epoch.
        not_before: Option<i64>,
        /// The rule applies until just before this instant, seconds since the Unix epoch.
        not_after: Option<i64>,
        /// The time of the call.
        found: Timestamp,
    },
    /// The rule has no permission: every Role that it binds is missing or invalid.
    NoPermission,
    /// The rule matches, but its object is in Audit and takes no part.
    Audit,
}

impl Mismatch {
    /// How far the mismatch is from a match; who is called about is further off than how.
    const fn weight(&self) -> u32 {
        match self {
            Self::Protocol | Self::Target | Self::NoPermission => 800,
            Self::Subject { .. } => 400,
            Self::Path { .. } | Self::GrpcMethod { .. } => 350,
            Self::Host { .. } | Self::Port { .. } => 300,
            Self::Method { .. } => 200,
            Self::ContentType | Self::Time { .. } | Self::Audit => 100,
        }
    }
}

/// The distance of a rule from matching, and why; `None` if only what was left open keeps it from matching.
pub(super) fn measure(
    question: &Question<'_>,
    trace: &RuleTrace,
    info: &RuleInfo,
    rows: &[&Row],
) -> Option<(u32, Vec<Mismatch>)> {
    let set = rows.first().and_then(|row| question.snapshot.sets.get(row.set));
    let (mut distance, permission) = rows
        .iter()
        .map(|row| permission(question, row))
        .min_by_key(|(distance, _)| *distance)
        .unwrap_or_else(|| (Mismatch::NoPermission.weight(), vec![Mismatch::NoPermission]));
    let mut around = Vec::new();
    if let (Truth::False, Some(set)) = (trace.subject, set) {
        around.push(subject(question, &set.subjects));
    }
    if let (Truth::False, Some(found)) = (trace.time, question.call.now) {
        around.push(Mismatch::Time { not_before: info.not_before, not_after: info.not_after, found });
    }
    if info.mode == Mode::Audit {
        around.push(Mismatch::Audit);
    }
    distance += around.iter().map(Mismatch::weight).sum::<u32>();
    around.extend(permission);
    (!around.is_empty()).then_some((distance, around))
}

fn subject(question: &Question<'_>, subjects: &[SubjectEntry]) -> Mismatch {
    let identity = question.caller.id.map_or_else(|| "unauthenticated".to_owned(), ToString::to_string);
    let found = match question.caller.source {
        Some(address) => format!("{identity} from {address}"),
        None => identity,
    };
    Mismatch::Subject { wanted: subjects.iter().map(ToString::to_string).collect(), found }
}

/// What one permission of a rule says against the call.
fn permission(question: &Question<'_>, row: &Row) -> (u32, Vec<Mismatch>) {
    let Question { snapshot, call, .. } = question;
    let mut found = Vec::new();
    if !snapshot.row_selects(row, call.port) {
        found.push(Mismatch::Port { wanted: selected(snapshot, row), found: call.port });
    }
    let mut shared = 0;
    match (row.kind, &call.http) {
        (RowKind::Any, _) => {}
        (RowKind::Tcp, _) => {
            if let (false, Some(Permission::Tcp(wanted))) =
                (snapshot.row_tcp_port(row, call.port), snapshot.row_permission(row))
            {
                found.push(Mismatch::Port { wanted: wanted.clone(), found: call.port });
            }
        }
        (RowKind::Http | RowKind::Grpc, None) => found.push(Mismatch::Protocol),
        (RowKind::Http | RowKind::Grpc, Some(http)) => {
            shared = request(snapshot, row, http, &mut found);
        }
    }
    // Who asks for a path has no use for the answer that another port would be open.
    let elsewhere = if row.kind == RowKind::Tcp && call.http.is_some() { 100 } else { 0 };
    let distance = found.iter().map(Mismatch::weight).sum::<u32>() + elsewhere;
    (distance.saturating_sub(shared), found)
}

fn selected(snapshot: &Snapshot, row: &Row) -> Vec<Port> {
    match snapshot.ports.get(row.ports as usize) {
        Some(PortSelection::Only(ports)) => ports.clone(),
        Some(PortSelection::All) | None => Vec::new(),
    }
}

/// The mismatches of a request; returns how much of the path matches, as a discount on the distance.
fn request(snapshot: &Snapshot, row: &Row, http: &HttpFacts<'_>, found: &mut Vec<Mismatch>) -> u32 {
    let mut shared = 0;
    if !snapshot.row_path(row, http) {
        let (mismatch, discount) = path(snapshot, row, http);
        shared = discount;
        found.push(mismatch);
    }
    if !snapshot.row_method(row, http) {
        let wanted = match snapshot.row_http(row).map(|permission| &permission.methods) {
            Some(Methods::Of(names)) => names.iter().map(ToString::to_string).collect(),
            Some(Methods::Any) | None => vec!["POST".to_owned()],
        };
        found.push(Mismatch::Method { wanted, found: http.method.to_owned() });
    }
    if !snapshot.row_host(row, http) {
        let hosts =
            snapshot.row_http(row).and_then(|permission| permission.hosts.as_deref()).unwrap_or_default();
        let wanted = hosts.iter().map(|host| host.as_str().to_owned()).collect();
        found.push(Mismatch::Host { wanted, found: http.host.to_owned() });
    }
    if !Snapshot::row_content_type(row, http) {
        found.push(Mismatch::ContentType);
    }
    shared
}

fn path(snapshot: &Snapshot, row: &Row, http: &HttpFacts<'_>) -> (Mismatch, u32) {
    let Some(path) = http.path else { return (Mismatch::Target, 0) };
    if let Some(grpc) = snapshot.row_grpc(row) {
        let wanted = match &grpc.methods {
            Methods::Any => vec![format!("{}/*", grpc.service)],
            Methods::Of(names) => names.iter().map(|name| format!("{}/{name}", grpc.service)).collect(),
        };
        let same_service =
            grpc_names(path.as_str()).is_some_and(|(service, _)| service == grpc.service.as_ref());
        let found = path.as_str().strip_prefix('/').unwrap_or_default().to_owned();
        return (Mismatch::GrpcMethod { wanted, found }, if same_service { 100 } else { 0 });
    }
    let mut templates: Vec<(u32, &PathTemplate)> = snapshot
        .row_http(row)
        .map_or(&[][..], |permission| &permission.paths)
        .iter()
        .map(|template| (likeness(template, path), template))
        .collect();
    templates.sort_by(|(left, _), (right, _)| right.cmp(left));
    let shared = templates.first().map_or(0, |(likeness, _)| *likeness);
    let wanted = templates.iter().map(|(_, template)| template.as_str().to_owned()).collect();
    (Mismatch::Path { wanted, found: path.as_str().to_owned() }, shared)
}

/// How many leading segments agree, in tens; a different length costs some of it.
fn likeness(template: &PathTemplate, path: &crate::CanonicalPath<'_>) -> u32 {
    let agreeing = template
        .segments()
        .iter()
        .zip(path.segments())
        .take_while(|(wanted, found)| match wanted {
            Segment::Literal(literal) => literal.as_ref() == *found,
            Segment::Variable(_) => !found.is_empty(),
        })
        .count();
    let same_length = template.rest() || template.segments().len() == path.segments().count();
    u32::try_from(agreeing.min(14) * 10).unwrap_or(0) + if same_length { 5 } else { 0 }
}
