//! Wrong tokens: none of them gets a certificate, and each refusal says why.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{
    Client, Run, Scene, client_manifest, eventually, kubectl, kubectl_text, system_namespace, tools_image,
};

const AUDIENCE: &str = "bailiwick.dev/identity";

/// Asks the operator for a certificate with each token of a file, and writes what came of it.
const ASK: &str = r"
import json, struct, subprocess, sys
host = sys.argv[1]
def varint(n):
    out = b''
    while n > 127: out += bytes([n & 127 | 128]); n >>= 7
    return out + bytes([n])
def field(number, data): return bytes([number << 3 | 2]) + varint(len(data)) + data
csr = subprocess.check_output(['openssl','req','-new','-newkey','ec','-pkeyopt','ec_paramgen_curve:P-256','-nodes','-subj','/','-outform','DER','-keyout','/tmp/k'], stderr=subprocess.DEVNULL)
results = {}
for name, token in json.load(open('/tmp/tokens.json')).items():
    message = field(1, token.encode('utf-8', 'surrogateescape')) + field(2, csr)
    open('/tmp/body', 'wb').write(b'\0' + struct.pack('>I', len(message)) + message)
    open('/tmp/out', 'wb').close(); open('/tmp/head', 'w').close()
    subprocess.run(['curl','-ksS','--http2','--max-time','15','-H','content-type: application/grpc','-H','te: trailers','--data-binary','@/tmp/body','-o','/tmp/out','-D','/tmp/head','https://'+host+':15010/bailiwick.v1.Identity/Issue'], stderr=subprocess.DEVNULL)
    head = dict(line.strip().split(': ', 1) for line in open('/tmp/head') if ': ' in line)
    results[name] = [head.get('grpc-status', 'none'), head.get('grpc-message', ''), len(open('/tmp/out','rb').read())]
print(json.dumps(results))
";

fn ask(
    client: &Client,
    tokens: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, (String, String, u64)>> {
    let host = format!("bailiwick-operator.{}.svc", system_namespace());
    let text = serde_json::to_string(tokens)?;
    // Through a file: an argument has its bounds.
    for (index, part) in text.as_bytes().chunks(60_000).enumerate() {
        let into = if index == 0 { ">" } else { ">>" };
        let line = format!("printf %s \"$0\" {into} /tmp/tokens.json");
        client.exec(&["sh", "-c", &line, std::str::from_utf8(part)?])?.ok()?;
    }
    let answer = client.exec(&["python3", "-c", ASK, &host])?.ok()?;
    Ok(serde_json::from_str(&answer)?)
}

fn token(namespace: &str, account: &str, more: &[&str]) -> Result<String> {
    let mut arguments = vec!["create", "token", account, "-n", namespace, "--duration=600s"];
    arguments.extend_from_slice(more);
    kubectl_text(&arguments)
}

fn bound_to(namespace: &str, pod: &str) -> Result<String> {
    let of = |path: &str| {
        kubectl_text(&["get", "pod", pod, "-n", namespace, "-o", &format!("jsonpath={{{path}}}")])
    };
    let (account, uid) = (of(".spec.serviceAccountName")?, of(".metadata.uid")?);
    let audience = format!("--audience={AUDIENCE}");
    let (name, uid) = (format!("--bound-object-name={pod}"), format!("--bound-object-uid={uid}"));
    token(namespace, &account, &[&audience, "--bound-object-kind=Pod", &name, &uid])
}

/// Changes of a good token that make it a forgery.
fn forgeries(good: &str) -> Result<Vec<(&'static str, String)>> {
    let mut parts = good.split('.');
    let (head, body, mark) = (
        parts.next().context("no head")?,
        parts.next().context("no body")?,
        parts.next().context("no signature")?,
    );
    let cut =
        |text: &str, end: usize| text.get(..text.len().saturating_sub(end)).unwrap_or_default().to_owned();
    let none = "eyJhbGciOiJub25lIn0";
    Ok(vec![
        ("forged-signature-cut", format!("{head}.{body}.{}", cut(mark, 4))),
        ("forged-signature-changed", format!("{head}.{body}.{}AAAA", cut(mark, 4))),
        ("forged-signature-absent", format!("{head}.{body}.")),
        ("forged-signature-missing", format!("{head}.{body}")),
        ("forged-body-cut", format!("{head}.{}.{mark}", cut(body, 4))),
        ("forged-body-empty", format!("{head}..{mark}")),
        ("forged-algorithm-none", format!("{none}.{body}.")),
        ("forged-algorithm-none-with-signature", format!("{none}.{body}.{mark}")),
        ("forged-head-empty", format!(".{body}.{mark}")),
        ("forged-twice", format!("{good}{good}")),
        ("forged-blank-within", format!("{head}. {body}.{mark}")),
        ("forged-quoted", format!("\"{good}\"")),
        ("forged-bearer", format!("Bearer {good}")),
        ("forged-lower-case", good.to_lowercase()),
        ("forged-reversed", good.chars().rev().collect()),
    ])
}

/// Pods that may not have an identity, each with a token that is bound to it.
fn unfit_pods(scene: &Scene, plain: &Scene, tokens: &mut BTreeMap<String, String>) -> Result<()> {
    plain.apply(&client_manifest("unenrolled", ""))?;
    plain.apply(&client_manifest("host", "  hostNetwork: true"))?;
    plain.apply(&client_manifest("gone", ""))?;
    let image = tools_image();
    for (name, command) in [("succeeded", "true"), ("failed", "false")] {
        plain.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers: [{{name: c, image: {image}, command: [sh, -c, 'sleep 8; {command}']}}]\n"
        ))?;
    }
    for name in ["unenrolled", "host", "gone", "succeeded", "failed"] {
        plain.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"])?;
        tokens.insert(format!("pod-{name}"), bound_to(plain.namespace(), name)?);
    }
    plain.kubectl(&["delete", "pod", "gone", "--wait"])?;
    plain.kubectl(&["wait", "--for=jsonpath={.status.phase}=Failed", "pod/failed", "--timeout=60s"])?;
    plain.kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/succeeded", "--timeout=60s"])?;
    // Enrolled pods whose proof has become void.
    for name in ["replaced", "account", "removed"] {
        scene.client(name)?;
    }
    scene.ready()?;
    for name in ["replaced", "account", "removed"] {
        tokens.insert(format!("void-{name}"), bound_to(scene.namespace(), name)?);
    }
    scene.kubectl(&["delete", "pod", "replaced", "removed", "--wait"])?;
    scene.client("replaced")?;
    scene.kubectl(&["delete", "serviceaccount", "account"])?;
    scene.kubectl(&["create", "serviceaccount", "account"])?;
    Ok(())
}

/// Texts that are no tokens, tokens for others, and tokens that are bound to nothing fit.
fn strangers_tokens(scene: &Scene) -> Result<BTreeMap<String, String>> {
    let own = scene.namespace();
    let mut tokens: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |name: &str, token: String| drop(tokens.insert(name.to_owned(), token));
    add("empty", String::new());
    add("blank", " \n".to_owned());
    add("garbage", "garbage".to_owned());
    add("nul", "\u{0}\u{0}".to_owned());
    add("long", "a".repeat(40_000));
    add("dots", "...".to_owned());
    add("bootstrap", "abcdef.0123456789abcdef".to_owned());
    add("user-and-password", "admin:admin".to_owned());
    for (name, audience) in [
        ("default", ""),
        ("api", "https://kubernetes.default.svc"),
        ("case", "BAILIWICK.DEV/identity"),
        ("prefix", "bailiwick.dev"),
        ("longer", "bailiwick.dev/identity/"),
        ("suffix", "identity"),
        ("blank", " bailiwick.dev/identity"),
        ("other", "vault"),
        ("scheme", "https://bailiwick.dev/identity"),
        ("list", "vault,bailiwick.dev/identity"),
    ] {
        let audience = format!("--audience={audience}");
        let more = if audience == "--audience=" { vec![] } else { vec![audience.as_str()] };
        add(&format!("audience-{name}"), token(own, "web", &more)?);
    }
    let audience = format!("--audience={AUDIENCE}");
    add("unbound", token(own, "web", &[&audience])?);
    add("unbound-default-account", token(own, "default", &[&audience])?);
    add("unbound-kube-system", token("kube-system", "default", &[&audience])?);
    add("unbound-operator", token(&system_namespace(), "bailiwick-operator", &[&audience])?);
    kubectl(&["-n", own, "create", "secret", "generic", "bound"])?.ok()?;
    add(
        "bound-to-a-secret",
        token(own, "web", &[&audience, "--bound-object-kind=Secret", "--bound-object-name=bound"])?,
    );
    let operator = kubectl_text(&[
        "-n",
        &system_namespace(),
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/component=operator",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ])?;
    add("pod-of-the-operator", bound_to(&system_namespace(), &operator)?);
    Ok(tokens)
}

#[test]
fn no_wrong_token_gets_a_certificate() -> Result<()> {
    let scene = Scene::enrolled("tokens")?;
    let plain = Scene::plain("tokens-plain")?;
    let web = scene.client("web")?;
    let thief = plain.client("thief")?;
    scene.ready()?;
    plain.ready()?;
    let mut tokens = strangers_tokens(&scene)?;
    let good = bound_to(scene.namespace(), "web")?;
    tokens.extend(forgeries(&good)?.into_iter().map(|(name, forged)| (name.to_owned(), forged)));
    // A good one, from the address of another pod.
    tokens.insert("replayed".to_owned(), good.clone());
    unfit_pods(&scene, &plain, &mut tokens)?;
    let results = ask(&thief, &tokens)?;
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, (status, message, bytes)) in &results {
        println!("{name:40} {status:5} {message}");
        ensure!(status != "0" && *bytes == 0, "{name} got a certificate: {status} {message} {bytes}");
        ensure!(
            status == "16" || status == "7" || status == "3" || status == "8" || status == "11",
            "{name}: {status} {message}"
        );
        *reasons.entry(status).or_default() += 1;
    }
    ensure!(results.len() >= 40 && results.len() == tokens.len(), "{} kinds", results.len());
    println!("{} kinds of wrong tokens, 0 certificates; by code: {reasons:?}", results.len());
    // The same good token from its own pod is issued for: the refusals above are not for another cause.
    let results = eventually("the right pod gets one", Duration::from_secs(20), || {
        let results = ask(&web, &BTreeMap::from([("good".to_owned(), good.clone())]))?;
        ensure!(results.values().all(|(status, _, bytes)| status == "0" && *bytes > 0), "{results:?}");
        Ok(results)
    })?;
    ensure!(results.len() == 1);
    replay_from_the_node(&good)
}

/// The node's address is none of the pod's.
fn replay_from_the_node(good: &str) -> Result<()> {
    let node = kubectl_text(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"])?;
    let address = kubectl_text(&[
        "-n",
        &system_namespace(),
        "get",
        "service",
        "bailiwick-operator",
        "-o",
        "jsonpath={.spec.clusterIP}",
    ])?;
    let script = ASK.replace("/tmp/tokens.json", "/tmp/e2e-tokens.json");
    std::fs::write("/tmp/e2e-tokens.json", serde_json::to_string(&BTreeMap::from([("node", good)]))?)?;
    std::fs::write("/tmp/e2e-ask.py", script)?;
    let said = bailiwick_e2e::shell(&format!(
        "bash \"$BAILIWICK_E2E_CLUSTER\" node-exec {node} python3 /tmp/e2e-ask.py {address}"
    ))
    .and_then(Run::ok)?;
    let results: BTreeMap<String, (String, String, u64)> = serde_json::from_str(&said)?;
    for (status, message, bytes) in results.values() {
        ensure!(status != "0" && *bytes == 0, "the node got the pod's certificate: {status} {message}");
    }
    Ok(())
}
