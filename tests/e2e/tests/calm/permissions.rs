//! What the operator asks of the API server, by the API server's own record, beside what the documentation says and why.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{kubectl_text, system_namespace};
use serde_json::Value;

/// The table of docs/operations.md: one row a rule, with its reason.
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

/// Resources and verbs of the table's rows; a row has four cells.
fn documented() -> BTreeSet<(String, String)> {
    let table = OPERATIONS.split("## What the operator may do, and why").nth(1).unwrap_or_default();
    let table = table.split("\n## ").next().unwrap_or_default();
    let mut rules = BTreeSet::new();
    for line in table.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (Some(resources), Some(verbs)) = (cells.get(2), cells.get(3)) else { continue };
        for resource in resources.split('`').skip(1).step_by(2) {
            for verb in verbs.split(',').map(str::trim) {
                rules.insert((resource.to_owned(), verb.to_owned()));
            }
        }
    }
    rules
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn the_operator_asks_for_what_is_documented_and_is_refused_nothing() -> Result<()> {
    let Ok(log) = std::env::var("BAILIWICK_CLUSTER_AUDIT_LOG") else {
        println!("this cluster keeps no record that the tests can read");
        return Ok(());
    };
    let namespace = system_namespace();
    let user = format!("\"system:serviceaccount:{namespace}:bailiwick-operator\"");
    // Only what the operators that run now did: another release may have had other permissions.
    let path = "jsonpath={.items[*].metadata.creationTimestamp}";
    let started = kubectl_text(&[
        "-n",
        &namespace,
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/component=operator",
        "-o",
        path,
    ])?;
    let started = started.split_whitespace().max().context("no operator runs")?;
    let rules = documented();
    ensure!(rules.len() > 30, "the table was not read: {rules:?}");
    let (mut asked, mut strange, mut refused) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in BufReader::new(std::fs::File::open(log)?).lines() {
        let line = line?;
        if !line.contains(&user) {
            continue;
        }
        let event: Value = serde_json::from_str(&line)?;
        let resource = match (text(&event, "/objectRef/resource"), text(&event, "/objectRef/subresource")) {
            ("", _) => continue,
            (resource, "") => resource.to_owned(),
            (resource, subresource) => format!("{resource}/{subresource}"),
        };
        if text(&event, "/requestReceivedTimestamp") < started {
            continue;
        }
        let rule = (resource, text(&event, "/verb").to_owned());
        // A namespace that ends refuses whatever is new in it.
        let ending = text(&event, "/responseStatus/message").contains("being terminated");
        if event.pointer("/responseStatus/code") == Some(&Value::from(403)) && !ending {
            refused.insert(rule.clone());
        }
        if !rules.contains(&rule) {
            strange.insert(rule.clone());
        }
        asked.insert(rule);
    }
    println!("{} kinds of requests, {} rules documented", asked.len(), rules.len());
    ensure!(asked.len() > 10, "the record holds too little: {asked:?}");
    ensure!(refused.is_empty(), "the operator was refused: {refused:?}");
    ensure!(strange.is_empty(), "asked for and not in docs/operations.md: {strange:?}");
    Ok(())
}
