//! A denial as a sidecar told it (docs/audit.md), for people.

use serde_json::Value;

use crate::cluster::{flag, items, path, text};
use crate::commands::can::{Answer, DecidedCall, outcome_lines};

/// A denial.
#[derive(Debug, Clone)]
pub(super) struct Denial {
    value: Value,
}

impl Denial {
    pub(super) fn read(value: &Value) -> Self {
        Self { value: value.clone() }
    }

    fn text_of(&self, pointer: &str) -> &str {
        text(&self.value, pointer)
    }

    fn number(&self, pointer: &str) -> u64 {
        path(&self.value, pointer).and_then(Value::as_u64).unwrap_or_default()
    }

    fn is_grpc(&self) -> bool {
        flag(&self.value, "/grpc")
    }

    /// Who called: its identity, or that it proved none.
    fn caller(&self) -> &str {
        match self.text_of("/source/identity") {
            "" => "anonymous",
            identity => identity,
        }
    }

    /// Method and path, in the words of `can`.
    fn what(&self) -> (String, String) {
        match self.text_of("/method") {
            "" => ("tcp".to_owned(), self.number("/destination/port").to_string()),
            _ if self.is_grpc() => {
                ("grpc".to_owned(), self.text_of("/path").trim_start_matches('/').to_owned())
            }
            method => (method.to_owned(), self.text_of("/path").to_owned()),
        }
    }

    fn to(&self) -> String {
        format!("{}:{}", self.text_of("/destination/workload"), self.number("/destination/port"))
    }

    /// The same call as a question. `None` if it cannot be one.
    pub(super) fn call(&self) -> Option<DecidedCall> {
        let (method, path) = self.what();
        if path.is_empty() {
            return None;
        }
        let host = Some(self.text_of("/host")).filter(|host| !host.is_empty() && method != "tcp");
        Some(DecidedCall {
            from: self.caller().to_owned(),
            to: self.to(),
            host: host.map(str::to_owned),
            ip: self.text_of("/source/ip").parse().ok(),
            method,
            path,
        })
    }

    /// The verdict, who called what, the rules, the reason, when, and what would be decided now.
    pub(super) fn text(&self, now: Option<&Answer>) -> String {
        let (method, path) = self.what();
        let verdict = self.text_of("/verdict").to_uppercase();
        let status = match (path_of_status(&self.value), self.text_of("/outcome")) {
            (Some(status), _) => format!(" ({status})"),
            (None, "closed") => " (connection closed)".to_owned(),
            (None, "cut") => " (connection cut)".to_owned(),
            (None, _) => String::new(),
        };
        let mut out = format!("{verdict}{status}  {} {method} {} {path}\n", self.caller(), self.to());
        let mut line = |name: &str, text: &str| out.push_str(&format!("  {name:9}{text}\n"));
        line("when", self.text_of("/time"));
        let address = format!("{}:{}", self.text_of("/source/ip"), self.number("/source/port"));
        match self.text_of("/source/unproven") {
            "" => line("caller", &format!("{} from {address}", self.caller())),
            why => line("caller", &format!("anonymous from {address}: {why}")),
        }
        for reason in items(&self.value, "/reasons") {
            line("rule", &rule(reason));
        }
        line("reason", &self.reason());
        if path_of(&self.value, "/wouldBe") {
            let rules: Vec<String> = items(&self.value, "/wouldBe/reasons").iter().map(rule).collect();
            let rules = if rules.is_empty() { "default".to_owned() } else { rules.join(", ") };
            line("would be", &format!("{}: {rules}", self.text_of("/wouldBe/verdict").to_uppercase()));
        }
        line(
            "snapshot",
            &format!(
                "{}, in force at {} then",
                self.text_of("/snapshot"),
                self.text_of("/destination/workload")
            ),
        );
        line(
            "id",
            &format!("{} (connection {})", self.text_of("/decisionId"), self.text_of("/connectionId")),
        );
        match now {
            Some(answer) => out.push_str(&outcome_lines(answer)),
            None => line("now", "it cannot be said: the live objects cannot be read, or the pod is gone"),
        }
        out
    }

    fn reason(&self) -> String {
        let reasons = items(&self.value, "/reasons");
        let more = usize::try_from(self.number("/reasonCount")).unwrap_or(0).saturating_sub(reasons.len());
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let what =
            if self.text_of("/outcome") == "cut" { "cut, since what allowed it is gone: " } else { "" };
        match reasons {
            [] => format!("{what}denied by default: no rule allowed it"),
            [only] if text(only, "/kind") == "Default" => match text(only, "/rule") {
                "audit-namespace" => "let through: its namespace is in authorization audit".to_owned(),
                _ => format!("{what}denied by default: no rule allowed it"),
            },
            some => {
                let names: Vec<String> = some.iter().map(rule).collect();
                let by = if self.text_of("/verdict") == "allow" { "allowed" } else { "denied" };
                format!("{what}{by} by {}{more}", names.join(", "))
            }
        }
    }
}

fn path_of(value: &Value, pointer: &str) -> bool {
    path(value, pointer).is_some()
}

fn path_of_status(value: &Value) -> Option<u64> {
    path(value, "/status").and_then(Value::as_u64)
}

/// `Kind namespace/name rule`, or the one word of a reason without an object.
fn rule(reason: &Value) -> String {
    if text(reason, "/kind") == "Default" {
        return text(reason, "/rule").to_owned();
    }
    let (kind, namespace, name) = (text(reason, "/kind"), text(reason, "/namespace"), text(reason, "/name"));
    let slash = if namespace.is_empty() { "" } else { "/" };
    let object = format!("{namespace}{slash}{name}");
    let parts = [kind, object.as_str(), text(reason, "/rule")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn denial() -> Denial {
        Denial::read(&json!({
            "event": "authorization", "time": "2026-11-24T10:00:00.123Z", "connectionId": "c1", "decisionId": "5f-d2a",
            "verdict": "deny", "outcome": "refused", "reasonCount": 1, "status": 403,
            "reasons": [{"kind": "Policy", "namespace": "shop", "name": "orders", "rule": "no-secrets"}],
            "source": {"identity": "spiffe://cluster.local/ns/shop/sa/web", "ip": "10.244.1.7", "port": 40000},
            "destination": {"workload": "shop/orders-69b8998cb8-9bx6n", "port": 8080},
            "protocol": "http1", "method": "GET", "path": "/orders/secret", "host": "orders:8080", "grpc": false,
            "snapshot": "ab12",
        }))
    }

    #[test]
    fn a_denial_reads_from_the_verdict_to_what_it_would_be_now() {
        assert_eq!(
            denial().text(None),
            "DENY (403)  spiffe://cluster.local/ns/shop/sa/web GET shop/orders-69b8998cb8-9bx6n:8080 /orders/secret\n  \
             when     2026-11-24T10:00:00.123Z\n  \
             caller   spiffe://cluster.local/ns/shop/sa/web from 10.244.1.7:40000\n  \
             rule     Policy shop/orders no-secrets\n  \
             reason   denied by Policy shop/orders no-secrets\n  \
             snapshot ab12, in force at shop/orders-69b8998cb8-9bx6n then\n  \
             id       5f-d2a (connection c1)\n  \
             now      it cannot be said: the live objects cannot be read, or the pod is gone\n"
        );
    }

    #[test]
    fn what_an_audit_let_through_says_what_it_would_be() {
        let mut value = denial().value;
        value["verdict"] = json!("allow");
        value["outcome"] = json!("forwarded");
        value["reasons"] = json!([{"kind": "Default", "rule": "audit-namespace"}]);
        value["wouldBe"] = json!({"verdict": "deny", "reasons": [{"kind": "Default", "rule": "default"}]});
        value["source"] = json!({"unproven": "plaintext", "ip": "10.0.0.9", "port": 1});
        value.as_object_mut().unwrap().remove("status");
        let text = Denial::read(&value).text(None);
        assert!(text.starts_with("ALLOW  anonymous GET "), "{text}");
        assert!(text.contains("reason   let through: its namespace is in authorization audit"), "{text}");
        assert!(text.contains("would be DENY: default"), "{text}");
    }

    #[test]
    fn the_same_call_can_be_asked_again() {
        let call = denial().call().unwrap();
        assert_eq!(
            (call.from.as_str(), call.method.as_str(), call.to.as_str(), call.path.as_str()),
            (
                "spiffe://cluster.local/ns/shop/sa/web",
                "GET",
                "shop/orders-69b8998cb8-9bx6n:8080",
                "/orders/secret"
            )
        );
        let mut value = denial().value;
        value["grpc"] = json!(true);
        value["path"] = json!("/shop.v1.Orders/Get");
        assert_eq!(Denial::read(&value).call().unwrap().path, "shop.v1.Orders/Get");
        value.as_object_mut().unwrap().remove("method");
        assert_eq!(Denial::read(&value).call().unwrap().method, "tcp");
    }
}
