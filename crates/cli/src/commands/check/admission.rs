//! Definitions, webhooks, and the policies in the API server.

use serde_json::Value;

use super::fact::{Fact, Hint, listed};
use super::observe::{Installed, Observed, Seen};
use crate::cluster::{items, path, text};

const UPGRADE: &str = "helm upgrade the release (crds.install=true), or kubectl apply --server-side -f crds/";

/// The custom resource definitions are served, and they are ours.
pub(super) fn definitions(installed: &Installed) -> Vec<Fact> {
    let served = match &installed.definitions {
        Ok(served) => served,
        Err(why) => return vec![Fact::unseen("the custom resource definitions", why)],
    };
    let ours: Vec<Value> =
        bailiwick_api::crds().iter().filter_map(|crd| serde_json::to_value(crd).ok()).collect();
    let mut facts = Vec::new();
    let mut good = 0;
    for own in &ours {
        let name = text(own, "/metadata/name");
        match served.iter().find(|one| text(one, "/metadata/name") == name) {
            None => {
                let text = format!("definition {name} is not installed");
                facts.push(Fact::failure(text, UPGRADE, Hint::Definitions));
            }
            Some(found) => match fault(own, found) {
                Some(fault) => {
                    facts.push(Fact::failure(
                        format!("definition {name} {fault}"),
                        UPGRADE,
                        Hint::Definitions,
                    ));
                }
                None => good += 1,
            },
        }
    }
    if good > 0 {
        facts.insert(
            0,
            Fact::ok(format!("{good} of {} definitions are served and equal to this version's", ours.len())),
        );
    }
    facts
}

fn fault(own: &Value, served: &Value) -> Option<String> {
    for condition in ["Established", "NamesAccepted"] {
        let found = items(served, "/status/conditions").iter().find(|one| text(one, "/type") == condition);
        if let Some(found) = found.filter(|found| text(found, "/status") != "True") {
            return Some(format!("is not served: {} ({})", text(found, "/message"), text(found, "/reason")));
        }
    }
    let differ = ["/spec/scope", "/spec/names", "/spec/versions"].into_iter().find(|part| {
        let own = path(own, part);
        own.is_some_and(|own| !path(served, part).is_some_and(|served| holds(served, own)))
    });
    differ.map(|part| {
        format!("is another version's: `{}` differs", part.trim_start_matches('/').replace('/', "."))
    })
}

/// True if everything of `part` stands in `whole`: the API server fills in what was left out.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| part.is_null() || whole.get(name).is_some_and(|whole| holds(whole, part))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| holds(whole, part))
        }
        (Value::Number(whole), Value::Number(part)) => whole.as_f64() == part.as_f64(),
        (whole, part) => whole == part,
    }
}

/// The webhooks, and the policies that check the final pod.
pub(super) fn facts(observed: &Observed, installed: &Installed) -> Vec<Fact> {
    let mut facts = vec![
        webhook(
            &installed.injector,
            ("MutatingWebhookConfiguration bailiwick-injector", "Fail"),
            Hint::InjectorWebhook,
        ),
        webhook(
            &installed.objects,
            ("ValidatingWebhookConfiguration bailiwick-objects", "Ignore"),
            Hint::ObjectsWebhook,
        ),
    ];
    facts.push(parameters(observed, installed));
    facts.extend(policies(installed));
    facts
}

fn webhook(seen: &Seen<Option<Value>>, (name, policy): (&str, &str), hint: Hint) -> Fact {
    let object = match seen {
        Ok(Some(object)) => object,
        Ok(None) => {
            return Fact::failure(format!("{name} is missing"), "helm upgrade the release", hint);
        }
        Err(why) => return Fact::unseen(name, why),
    };
    let Some(hook) = items(object, "/webhooks").first() else {
        return Fact::failure(format!("{name} has no webhook"), "helm upgrade the release", hint);
    };
    if text(hook, "/clientConfig/caBundle").is_empty() {
        let text = format!("{name} has no caBundle, so the API server does not believe the operator");
        let todo = "the operator writes it within seconds: is it running, and does another tool overwrite the field?";
        return Fact::failure(text, todo, hint);
    }
    let found = text(hook, "/failurePolicy");
    if found != policy {
        let text = format!("{name} has failurePolicy {found}, the chart's is {policy}");
        let todo = "helm upgrade the release, and look for who changed it";
        // Pods that start without a sidecar are refused by the policies, but only if those are there as well.
        return if policy == "Fail" {
            Fact::failure(text, todo, hint)
        } else {
            Fact::warning(text, todo, hint)
        };
    }
    Fact::ok(format!("{name}: caBundle is set, failurePolicy {found}"))
}

fn parameters(observed: &Observed, installed: &Installed) -> Fact {
    let name = format!("ConfigMap {}/bailiwick-injection", observed.operator_namespace);
    match &installed.injection {
        Ok(Some(_)) => Fact::ok(format!("{name}, the policies' parameter object, is there")),
        Ok(None) => Fact::failure(
            format!("{name} is missing: every pod of an enrolled namespace is refused"),
            "helm upgrade the release",
            Hint::AdmissionPolicies,
        ),
        Err(why) => Fact::unseen(&name, why),
    }
}

fn policies(installed: &Installed) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut good = Vec::new();
    for (name, (policy, binding)) in &installed.policies {
        let what = format!("ValidatingAdmissionPolicy {name}");
        let fault = match (policy, binding) {
            (Err(why), _) | (_, Err(why)) => {
                facts.push(Fact::unseen(&what, why));
                continue;
            }
            (Ok(None), _) => Some("is missing"),
            (_, Ok(None)) => Some("has no binding of its name, so it decides nothing"),
            (Ok(Some(policy)), Ok(Some(binding))) => {
                let denies = items(binding, "/spec/validationActions")
                    .iter()
                    .any(|action| action.as_str() == Some("Deny"));
                let deny_missing = path(binding, "/spec/paramRef").is_none()
                    || text(binding, "/spec/paramRef/parameterNotFoundAction") == "Deny";
                if text(policy, "/spec/failurePolicy") != "Fail" {
                    Some("has not failurePolicy Fail")
                } else if !denies {
                    Some("does not deny: its binding has no action Deny")
                } else if !deny_missing {
                    Some("lets pods through while its parameter object is missing")
                } else {
                    None
                }
            }
        };
        match fault {
            Some(fault) => {
                let todo =
                    "helm upgrade the release: without it pods can start that get around their sidecar";
                facts.push(Fact::failure(format!("{what} {fault}"), todo, Hint::AdmissionPolicies));
            }
            None => good.push((*name).to_owned()),
        }
    }
    if !good.is_empty() {
        facts.insert(0, Fact::ok(format!("policies that deny: {}", listed(&good))));
    }
    facts
}
