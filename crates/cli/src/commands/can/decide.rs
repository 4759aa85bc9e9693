//! The steps of a decision, in the order of the called sidecar (docs/policy-semantics.md, section 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bailiwick_compile::{CallShape, WorkloadConfig};
use bailiwick_identity::{MtlsMode, PortTrust};
use bailiwick_policy::{
    Admission, Answer as Short, Call, Caller, ConnectionAttributes, ExplainedVerdict, Hypothesis, Outcome,
    PortProtocol, RuleInfo, Snapshot, SnapshotId, Timestamp, admit, explain,
};

use super::answer::{Answer, Nearest, RuleView, TraceView, Verdict, WouldBe, deciding, rule_name};
use super::parties::{From, To};
use super::request::{Asked, BadRequest, Read, Request};
use crate::folder::Folder;

const EXCEPTION: &str = "an exception of a Deny allows nothing by itself: ask again afterwards";

/// A call that nobody makes.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) from: From,
    pub(crate) to: To,
    pub(crate) asked: &'a Asked,
    pub(crate) source: Option<IpAddr>,
    pub(crate) now: Option<Timestamp>,
    /// True if the roots of every trust domain are at hand.
    pub(crate) roots_known: bool,
}

/// What the called port makes of the bytes.
enum Seen<'a> {
    /// Opaque bytes; `http` if they begin an HTTP request all the same.
    Tcp { http: bool },
    /// A request.
    Http(&'a Request),
}

impl Question<'_> {
    /// Answers.
    pub(crate) fn answer(&self) -> Answer {
        let mut answer = self.steps().unwrap_or_else(|refused| *refused);
        if let From::Identity { id, .. } = &self.from {
            answer.identity = Some(id.to_string());
        }
        answer.to = format!("{}:{}", self.to.key, self.to.port);
        if let From::Identity { id, known: false } = &self.from
            && id.trust_domain() == &self.folder.compiled.mesh.trust_domain
        {
            answer.notes.push(format!("no workload here has the identity {id}"));
        }
        if !self.to.declared {
            answer.notes.push(format!("{} declares no port {}", self.to.key, self.to.port));
        }
        if !self.folder.compiled.mesh.issues {
            answer.notes.push("no certificate is issued: the mesh's own TrustDomain is not valid".to_owned());
        }
        answer
    }

    fn steps(&self) -> Result<Answer, Box<Answer>> {
        let unavailable = |reason: String| Box::new(self.refused(Verdict::Unavailable, reason));
        let config = self.to.config.as_deref().ok_or_else(|| {
            unavailable(format!("{} gets no configuration, so its sidecar never becomes ready", self.to.key))
        })?;
        let snapshot = Snapshot::build(SnapshotId::LOCAL, config.snapshot.clone())
            .map_err(|error| unavailable(format!("the sidecar refuses what it is sent: {error}")))?;
        self.early(&snapshot)?;
        let trust = config.trust.port(self.to.port);
        let caller = self.connect(trust)?;
        let seen = self.detect(config)?;
        if let Some(invalid) = &trust.invalid {
            let reason = format!("Authentication {} is invalid: {}", invalid.object, invalid.reason);
            return Err(unavailable(reason));
        }
        let read = match &seen {
            Seen::Tcp { .. } => None,
            Seen::Http(request) => Some(self.read(&snapshot, request)?),
        };
        let mut answer = self.authorize(&snapshot, &caller, read.as_ref());
        self.add_notes(&mut answer, trust, &caller, &seen);
        if let Seen::Tcp { http: true } = seen {
            self.opaque_http(&snapshot, &mut answer);
        }
        Ok(answer)
    }

    /// Step 1: before the handshake.
    fn early(&self, snapshot: &Snapshot) -> Result<(), Box<Answer>> {
        // What is not given must not matter: the ends of both ranges stand for everything in between.
        let sources: Vec<IpAddr> = match self.source {
            Some(source) => vec![source],
            None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        };
        let times = match self.now {
            Some(now) => vec![now],
            None => vec![Timestamp(i64::MIN), Timestamp(i64::MAX)],
        };
        let mut refusal = None;
        for source in sources {
            for now in &times {
                let source = SocketAddr::new(source, 0);
                let connection = ConnectionAttributes { source, port: self.to.port, now: *now };
                match admit(snapshot, &connection) {
                    Admission::Admitted => return Ok(()),
                    Admission::Refused(reasons) => refusal = Some(reasons),
                }
            }
        }
        let rules: Vec<&RuleInfo> = refusal
            .iter()
            .flat_map(|reasons| reasons.iter())
            .filter_map(|rule| snapshot.rule(rule))
            .collect();
        let names: Vec<String> = rules.iter().map(|info| rule_name(info)).collect();
        let reason = format!("closed before the handshake: denied by {}", names.join(", "));
        let mut answer = self.refused(Verdict::Deny, reason);
        "connection closed".clone_into(&mut answer.status);
        answer.rule = names.first().cloned();
        answer.rules = rules.iter().map(|info| RuleView::of(info)).collect();
        if let From::Identity { id, .. } = &self.from {
            let denied_by = rules.first().map(|info| (&info.origin, info.name.as_ref()));
            answer.allow = self.change(&Caller::Identity(id.clone()), CallShape::Tcp, denied_by);
            answer.notes.extend(answer.allow.is_some().then(|| EXCEPTION.to_owned()));
        }
        Err(Box::new(answer))
    }

    /// Step 2: who calls, as far as the port can tell.
    fn connect(&self, trust: &PortTrust) -> Result<Caller, Box<Answer>> {
        let port = self.to.port;
        let alert = |reason: String| {
            let mut answer = self.refused(Verdict::Unauthenticated, reason);
            "TLS alert".clone_into(&mut answer.status);
            Box::new(answer)
        };
        match (&self.from, trust.mode) {
            (_, MtlsMode::Disabled) | (From::Anonymous, MtlsMode::Permissive) => Ok(Caller::Anonymous),
            (From::Anonymous, MtlsMode::Strict) => {
                let reason = format!("port {port} takes mesh TLS only (mtls mode Strict)");
                Err(Box::new(self.refused(Verdict::Unauthenticated, reason)))
            }
            (From::Nameless(key), MtlsMode::Strict | MtlsMode::Permissive) => {
                Err(alert(format!("{key} gets no certificate: its names make no identity")))
            }
            (From::Identity { id, .. }, MtlsMode::Strict | MtlsMode::Permissive) => {
                let domain = id.trust_domain();
                if !trust.trust_domains.contains(domain) {
                    let accepted: Vec<String> =
                        trust.trust_domains.iter().map(|domain| format!("`{domain}`")).collect();
                    let accepted = if accepted.is_empty() { "none".to_owned() } else { accepted.join(", ") };
                    return Err(alert(format!(
                        "port {port} does not accept trust domain `{domain}` (it accepts {accepted})"
                    )));
                }
                if domain != &self.folder.compiled.mesh.trust_domain && !self.roots_known {
                    return Err(alert(format!(
                        "port {port} accepts trust domain `{domain}`, but nobody knows its roots: this version cannot federate"
                    )));
                }
                Ok(Caller::Identity(id.clone()))
            }
        }
    }

    /// How the port reads the bytes: a fact of the workload.
    fn detect(&self, config: &WorkloadConfig) -> Result<Seen<'_>, Box<Answer>> {
        let port = self.to.port;
        match (config.protocols.get(&port).copied().unwrap_or(PortProtocol::Undeclared), self.asked) {
            (PortProtocol::Tcp, Asked::Http(_)) => Ok(Seen::Tcp { http: true }),
            (PortProtocol::Tcp | PortProtocol::Undeclared, Asked::Tcp(_)) => Ok(Seen::Tcp { http: false }),
            (PortProtocol::Http | PortProtocol::Undeclared, Asked::Http(request)) => Ok(Seen::Http(request)),
            (PortProtocol::Http, Asked::Tcp(_)) => {
                let reason = format!(
                    "port {port} is declared HTTP, and bytes that are no HTTP request are refused there"
                );
                Err(Box::new(self.refused(Verdict::Invalid, reason)))
            }
        }
    }

    /// The request in its one reading, or a refusal.
    fn read(&self, snapshot: &Snapshot, request: &Request) -> Result<Read, Box<Answer>> {
        let host = self.default_host();
        let read = match request.read(&host) {
            Err(BadRequest::Path(_))
                if snapshot.authorization_audit() && !snapshot.has_cluster_path_deny(self.to.port) =>
            {
                request.ambiguous(&host)
            }
            read => read,
        };
        read.map_err(|bad| {
            let mut answer = self.refused(Verdict::Invalid, bad.to_string());
            if bad == BadRequest::Connect {
                "405".clone_into(&mut answer.status);
            }
            Box::new(answer)
        })
    }

    /// The name that a caller would use.
    fn default_host(&self) -> String {
        format!("{}.{}", self.to.key.name, self.to.key.namespace)
    }

    /// Steps 3 to 6.
    fn authorize(&self, snapshot: &Snapshot, caller: &Caller, read: Option<&Read>) -> Answer {
        let call = read.map_or(Call::Tcp, |read| Call::Http(read.call()));
        let hypothesis = Hypothesis {
            caller: caller.clone(),
            source: self.source,
            port: self.to.port,
            now: self.now,
            call,
        };
        let explanation = explain(snapshot, &hypothesis);
        let refused_by_default = explanation.verdict.outcome == Outcome::Default;
        let verdict = match explanation.answer() {
            Short::Permit => Verdict::Allow,
            Short::Depends => Verdict::Depends,
            // Proving itself could help.
            Short::Deny if refused_by_default && *caller == Caller::Anonymous && read.is_some() => {
                Verdict::Unauthenticated
            }
            Short::Deny => Verdict::Deny,
        };
        let mut answer = self.refused(verdict, explanation.verdict.to_string());
        if verdict == Verdict::Depends {
            answer.reason = format!("at worst {}", answer.reason);
        }
        answer.rule = deciding(&explanation.verdict);
        answer.rules = explanation.verdict.rules.iter().map(|rule| RuleView::of(&rule.info)).collect();
        answer.depends = explanation.depends.iter().map(ToString::to_string).collect();
        answer.nearest = explanation.nearest.as_ref().map(Nearest::of);
        answer.would_be = explanation.would_be.as_ref().map(would_be);
        answer.allow = self.suggest(&explanation, caller, read);
        answer.trace = Some(TraceView::all(snapshot, &explanation));
        answer
    }

    /// An HTTP request on a port that is handled as TCP: nothing in it can be seen to.
    fn opaque_http(&self, snapshot: &Snapshot, answer: &mut Answer) {
        if answer.verdict == Verdict::Allow && snapshot.has_http_deny(self.to.port) {
            answer.verdict = Verdict::Deny;
            answer.rule = None;
            answer.rules.clear();
            answer.reason = format!(
                "port {} is handled as TCP and a Deny of HTTP or gRPC calls selects it, so HTTP is closed there",
                self.to.port
            );
        }
        if answer.verdict != Verdict::Allow {
            "connection closed".clone_into(&mut answer.status);
        }
    }

    fn add_notes(&self, answer: &mut Answer, trust: &PortTrust, caller: &Caller, seen: &Seen<'_>) {
        let port = self.to.port;
        if trust.mode == MtlsMode::Disabled && !matches!(self.from, From::Anonymous) {
            answer.notes.push(format!(
                "port {port} has no mesh TLS (mtls mode Disabled), so the caller proves nothing"
            ));
        }
        if trust.mode == MtlsMode::Permissive && trust.audit && *caller == Caller::Anonymous {
            answer.would_be = Some(WouldBe {
                verdict: Verdict::Unauthenticated,
                rule: None,
                reason: "the namespace is in authentication audit: without it the port takes mesh TLS only"
                    .to_owned(),
            });
        }
        match seen {
            Seen::Tcp { http: true } => {
                answer
                    .notes
                    .push(format!("port {port} is handled as TCP, so the request is opaque bytes there"));
            }
            Seen::Tcp { http: false } => {}
            Seen::Http(request) => {
                let only_host = |trace: &TraceView| trace.failed == ["host"];
                let host_matters = answer.trace.iter().flatten().any(only_host);
                if host_matters && !request.names_host() {
                    let host = self.default_host();
                    answer.notes.push(format!("no host was given, so `{host}` was assumed (-H host:NAME)"));
                }
            }
        }
        if answer.verdict == Verdict::Unauthenticated {
            answer.notes.push(
                "a caller that proves who it is may need nothing else: ask again with its name".to_owned(),
            );
        }
        if answer.allow.as_ref().is_some_and(|change| change.field.contains("rules[")) {
            answer
                .notes
                .push("an exception of a Deny allows nothing by itself: ask again afterwards".to_owned());
        }
        if let Some(broken) = answer.rules.iter().find(|rule| rule.uncompilable.is_some()) {
            let synthetic = !self.is_ours(&broken.rule);
            let what =
                if synthetic { "the documents that cannot be read".to_owned() } else { broken.rule.clone() };
            answer.notes.push(format!("mend {what}: what does not compile denies what it selects"));
        }
    }

    /// True if a rule's name is that of an object in the files.
    fn is_ours(&self, name: &str) -> bool {
        self.folder.compiled.objects.keys().any(|key| key.to_string() == name)
    }

    /// An answer with the status that the caller would see for it.
    fn refused(&self, verdict: Verdict, reason: String) -> Answer {
        let status = match self.asked {
            Asked::Http(request) if request.is_grpc() => match verdict {
                Verdict::Allow => "OK",
                Verdict::Deny | Verdict::Depends => "PERMISSION_DENIED",
                Verdict::Invalid => "INTERNAL",
                Verdict::Unauthenticated => "UNAUTHENTICATED",
                Verdict::Unavailable => "UNAVAILABLE",
            },
            Asked::Http(_) => match verdict {
                Verdict::Allow => "forwarded",
                Verdict::Deny | Verdict::Depends => "403",
                Verdict::Invalid => "400",
                Verdict::Unauthenticated => "401",
                Verdict::Unavailable => "503",
            },
            Asked::Tcp(_) if verdict == Verdict::Allow => "forwarded",
            Asked::Tcp(_) => "connection closed",
        };
        Answer::new(verdict, status, reason)
    }
}

fn would_be(verdict: &ExplainedVerdict) -> WouldBe {
    WouldBe {
        verdict: if verdict.outcome.permits() { Verdict::Allow } else { Verdict::Deny },
        rule: deciding(verdict),
        reason: verdict.to_string(),
    }
}
