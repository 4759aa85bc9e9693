//! The operator, the API server and a kubelet go away and come back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{
    Client, Load, Scene, Server, eventually, kubectl_text, settled, shell, system_namespace,
};

const POLICY: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{http: {methods: [GET], paths: ['/orders']}}]
";

fn shop(name: &str, replicas: u32) -> Result<(Scene, Client)> {
    settled()?;
    let scene = Scene::enrolled(name)?;
    scene.server(&Server::new("orders").replicas(replicas))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(POLICY)?;
    eventually("the first call", Duration::from_secs(15), || {
        web.get("http://orders:8080/orders")?.expect(200)
    })?;
    Ok((scene, web))
}

fn operator(arguments: &[&str]) -> Result<String> {
    let namespace = system_namespace();
    let mut all = vec!["-n", namespace.as_str()];
    all.extend_from_slice(arguments);
    kubectl_text(&all)
}

fn scale_operator(replicas: u32) -> Result<()> {
    operator(&["scale", "deployment/bailiwick-operator", &format!("--replicas={replicas}")])?;
    if replicas > 0 {
        operator(&["rollout", "status", "deployment/bailiwick-operator", "--timeout=120s"])?;
    } else {
        eventually("no operator runs", Duration::from_secs(60), || {
            let pods =
                operator(&["get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "name"])?;
            ensure!(pods.is_empty(), "{pods}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Brings the operator back however the test ends.
struct OperatorBack;

impl Drop for OperatorBack {
    fn drop(&mut self) {
        if let Err(error) = scale_operator(2) {
            eprintln!("the operator did not come back: {error:#}");
        }
    }
}

#[test]
fn without_an_operator_running_pods_go_on_and_new_ones_wait() -> Result<()> {
    let (scene, web) = shop("no-operator", 2)?;
    let load = Load::start(&web, "orders", 8080, "/orders", 100)?;
    let back = OperatorBack;
    scale_operator(0)?;
    let gone = Instant::now();
    // A rollout in the meantime: fail-closed, so no pod appears without its sidecar.
    scene.kubectl(&["rollout", "restart", "deployment/orders"])?;
    std::thread::sleep(Duration::from_secs(60).saturating_sub(gone.elapsed()));
    let pods = bailiwick_e2e::pods_of(scene.namespace())?;
    for pod in &pods {
        let first = &pod["spec"]["initContainers"][1]["name"];
        ensure!(first == "bailiwick-sidecar", "a pod without a sidecar: {}", pod["metadata"]["name"]);
    }
    web.get("http://orders:8080/admin")?.expect(403)?;
    drop(back);
    scene.kubectl(&["rollout", "status", "deployment/orders", "--timeout=120s"])?;
    let tally = load.stop()?;
    ensure!(tally.failed() == 0 && tally.calls > 1000, "{tally:?}");
    scene.enforced("bwp/orders")?;
    Ok(())
}

#[test]
fn an_api_server_that_is_away_opens_nothing_and_is_caught_up_with() -> Result<()> {
    let (scene, web) = shop("no-api", 1)?;
    let address = scene.pod_addresses("orders")?.pop().context("no pod")?;
    // kubectl needs the API server, so the pod watches by itself.
    let script = "
import http.client,time,json,collections
t,end=collections.Counter(),time.time()+75
while time.time()<end:
    for path in ('/orders','/admin'):
        try:
            c=http.client.HTTPConnection('ADDRESS',8080,timeout=5); c.request('GET',path); a=c.getresponse(); a.read(); t[path+' %d'%a.status]+=1; c.close()
        except Exception as e: t[path+' '+type(e).__name__]+=1
    time.sleep(0.1)
open('/tmp/seen','w').write(json.dumps(t))
";
    let line = "nohup python3 -c \"$0\" >/tmp/log 2>&1 &";
    web.exec(&["sh", "-c", line, &script.replace("ADDRESS", &address)])?.ok()?;
    shell("bash \"$BAILIWICK_E2E_CLUSTER\" fault apiserver-stop")?.ok()?;
    std::thread::sleep(Duration::from_secs(60));
    shell("bash \"$BAILIWICK_E2E_CLUSTER\" fault apiserver-start")?.ok()?;
    let back = Instant::now();
    eventually("the API server answers", Duration::from_secs(30), || {
        kubectl_text(&["get", "--raw", "/readyz"])
    })?;
    // An edit right after is enforced soon.
    eventually("an edit is accepted", Duration::from_secs(10), || {
        scene.apply(&POLICY.replace("['/orders']", "['/orders', '/after']"))
    })?;
    let edited = Instant::now();
    eventually("the edit is enforced", Duration::from_secs(10), || {
        web.get("http://orders:8080/after")?.expect(200)
    })?;
    println!(
        "enforced {:.1} s after the edit, {:.1} s after the start",
        edited.elapsed().as_secs_f32(),
        back.elapsed().as_secs_f32()
    );
    let seen = eventually("the pod's own record", Duration::from_secs(60), || {
        web.exec(&["cat", "/tmp/seen"])?.ok()
    })?;
    let counted: serde_json::Value = serde_json::from_str(&seen)?;
    for (word, _) in counted.as_object().into_iter().flatten() {
        ensure!(word == "/orders 200" || word == "/admin 403", "seen while the API server was away: {seen}");
    }
    Ok(())
}

#[test]
fn another_replica_leads_within_twenty_seconds() -> Result<()> {
    let (scene, _) = shop("leader", 1)?;
    let holder =
        || operator(&["get", "lease", "bailiwick-operator", "-o", "jsonpath={.spec.holderIdentity}"]);
    let leader = holder()?;
    let pod = leader.split('_').next().unwrap_or_default().to_owned();
    operator(&["delete", "pod", &pod, "--grace-period=0", "--force"])?;
    let killed = Instant::now();
    scene.apply(&POLICY.replace("['/orders']", "['/orders', '/b']"))?;
    scene.kubectl(&["wait", "--for=condition=Enforced", "bwp/orders", "--timeout=20s"])?;
    let generation = scene.kubectl(&[
        "get",
        "bwp",
        "orders",
        "-o",
        "jsonpath={.metadata.generation} {.status.conditions[?(@.type=='Enforced')].observedGeneration}",
    ])?;
    let mut both = generation.split_whitespace();
    ensure!(both.next() == both.next(), "the status is of another generation: {generation}");
    println!("status went on {:.1} s after the leader was killed", killed.elapsed().as_secs_f32());
    eventually("somebody else leads", Duration::from_secs(20), || {
        let now = holder()?;
        ensure!(!now.is_empty() && now != leader, "{now}");
        Ok(())
    })?;
    operator(&["rollout", "status", "deployment/bailiwick-operator", "--timeout=120s"])?;
    Ok(())
}

#[test]
fn a_kubelet_restart_disturbs_no_call() -> Result<()> {
    let (scene, web) = shop("kubelet", 2)?;
    let load = Load::start(&web, "orders", 8080, "/orders", 100)?;
    let node =
        scene.kubectl(&["get", "pods", "-l", "app=orders", "-o", "jsonpath={.items[0].spec.nodeName}"])?;
    shell(&format!("bash \"$BAILIWICK_E2E_CLUSTER\" fault kubelet-restart {node}"))?.ok()?;
    std::thread::sleep(Duration::from_secs(20));
    let tally =
        eventually("the load's record", Duration::from_secs(30), || Ok(())).and_then(|()| load.stop())?;
    ensure!(tally.failed() == 0 && tally.calls > 500, "{tally:?}");
    scene.ready()?;
    scene.enforced("bwp/orders")?;
    Ok(())
}
