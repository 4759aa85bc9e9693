//! Probes, hooks, Jobs, init containers, and what injection does to a pod.

use std::time::Duration;

use anyhow::{Result, ensure};
use bailiwick_e2e::{Scene, Server, demo_image, eventually, pods_of, tools_image};

#[test]
fn injection_puts_two_containers_first_and_leaves_the_users_own() -> Result<()> {
    let scene = Scene::enrolled("inject")?;
    scene.server(&Server::new("orders").pod(&format!(
        "      initContainers:\n      - {{name: mine, image: {}, command: ['true']}}",
        tools_image()
    )))?;
    scene.ready()?;
    let pods = pods_of(scene.namespace())?;
    let pod = pods.first().ok_or_else(|| anyhow::anyhow!("no pod"))?;
    let names: Vec<_> = pod["spec"]["initContainers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["name"].clone())
        .collect();
    ensure!(names == ["bailiwick-capture", "bailiwick-sidecar", "mine"], "{names:?}");
    ensure!(pod["spec"]["initContainers"][1]["restartPolicy"] == "Always");
    Ok(())
}

#[test]
fn probes_and_hooks_of_every_kind_keep_working() -> Result<()> {
    let scene = Scene::enrolled("probes")?;
    let image = demo_image();
    let tools = tools_image();
    scene.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: probed, labels: {{app: probed}}}}
spec:
  terminationGracePeriodSeconds: 5
  containers:
  - name: http
    image: {image}
    args: [--name, probed, --http, '[::]:8080', --tcp, '[::]:9000']
    ports: [{{containerPort: 8080, name: web}}, {{containerPort: 9000, name: tcp-greeting}}]
    startupProbe: {{httpGet: {{path: '/started?full=1', port: web, httpHeaders: [{{name: X-Probe, value: one}}]}}, periodSeconds: 1}}
    readinessProbe: {{tcpSocket: {{port: tcp-greeting}}, periodSeconds: 1}}
    livenessProbe: {{grpc: {{port: 8080, service: shop}}, periodSeconds: 1, timeoutSeconds: 2}}
    lifecycle:
      postStart: {{httpGet: {{path: /hook/started, port: web}}}}
      preStop: {{httpGet: {{path: /hook/stopping, port: 8080}}}}
  - name: command
    image: {tools}
    command: [sleep, infinity]
    readinessProbe: {{exec: {{command: ['true']}}, periodSeconds: 1}}
  - name: failing
    image: {image}
    args: [--name, failing, --http, '[::]:8081']
    readinessProbe: {{httpGet: {{path: /x, port: 8082}}, periodSeconds: 1}}
"
    ))?;
    eventually("the probed container is ready and the failing one is not", Duration::from_secs(60), || {
        let ready = scene.kubectl(&[
            "get",
            "pod",
            "probed",
            "-o",
            "jsonpath={range .status.containerStatuses[*]}{.name}={.ready} {end}",
        ])?;
        ensure!(
            ready.contains("http=true") && ready.contains("command=true") && ready.contains("failing=false"),
            "{ready}"
        );
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(5));
    let restarts = scene.kubectl(&[
        "get",
        "pod",
        "probed",
        "-o",
        "jsonpath={.status.containerStatuses[?(@.name=='http')].restartCount}",
    ])?;
    ensure!(restarts == "0", "the liveness probe restarted the container {restarts} times");
    let events = scene.kubectl(&["get", "events", "--field-selector", "reason=FailedPostStartHook"])?;
    ensure!(!events.contains("FailedPostStartHook"), "{events}");
    Ok(())
}

#[test]
fn a_job_completes_and_its_first_call_succeeds() -> Result<()> {
    let scene = Scene::enrolled("job")?;
    scene.server(&Server::new("orders"))?;
    scene.ready()?;
    scene.enforce(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: batch
    effect: Allow
    subjects: [{serviceAccount: {name: default}}]
    permissions: [{http: {methods: [GET], paths: ['/orders']}}]
",
    )?;
    let image = tools_image();
    scene.apply(&format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: nightly}}
spec:
  completions: 3
  parallelism: 3
  backoffLimit: 0
  template:
    metadata: {{labels: {{app: nightly}}}}
    spec:
      restartPolicy: Never
      initContainers:
      - {{name: early, image: {image}, command: [curl, -sSf, --max-time, '5', 'http://orders:8080/orders']}}
      containers:
      - {{name: job, image: {image}, command: [curl, -sSf, --max-time, '5', 'http://orders:8080/orders']}}
"
    ))?;
    scene.kubectl(&["wait", "--for=condition=Complete", "job/nightly", "--timeout=90s"])?;
    eventually("the job's pods have succeeded", Duration::from_secs(20), || {
        let phases = scene.kubectl(&[
            "get",
            "pods",
            "-l",
            "app=nightly",
            "-o",
            "jsonpath={.items[*].status.phase}",
        ])?;
        ensure!(phases == "Succeeded Succeeded Succeeded", "{phases}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn annotations_are_checked_and_have_an_effect() -> Result<()> {
    let scene = Scene::enrolled("annotations")?;
    for (key, value, told) in [
        ("bailiwick.dev/opaque-port", "9000", "opaque-ports"),
        ("bailiwick.dev/opaque-ports", "90000", "opaque-ports"),
        ("bailiwick.dev/skip-inbound-ports", "8080", "skip-inbound-ports"),
        ("bailiwick.dev/skip-outbound-ports", "443", "skip-outbound-ports"),
        ("bailiwick.dev/proxy-memory", "1Ti", "proxy-memory"),
        ("bailiwick.dev/log-level", "chatty", "log-level"),
    ] {
        let pod = bailiwick_e2e::client_manifest("odd", "").replace(
            "labels: {app: odd}",
            &format!("labels: {{app: odd}}, annotations: {{'{key}': '{value}'}}"),
        );
        let said = scene.try_apply(&pod)?.refused()?;
        ensure!(said.contains(told), "{key}={value}: {said}");
    }
    scene.server(
        &Server::new("orders")
            .annotation("bailiwick.dev/proxy-memory", "64Mi")
            .annotation("bailiwick.dev/opaque-ports", "8080"),
    )?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  rules: [{name: web, effect: Allow, subjects: [{serviceAccount: {name: web}}], permissions: [{tcp: {ports: [8080]}}]}]
",
    )?;
    // Opaque: its bytes are not read, so a permission by port is what allows it.
    web.get("http://orders:8080/anything")?.expect(200)?;
    Ok(())
}

#[test]
fn a_namespace_with_pod_security_says_what_to_do() -> Result<()> {
    let scene = Scene::enrolled("security")?;
    scene.label("pod-security.kubernetes.io/enforce=restricted")?;
    let said = scene.try_apply(&bailiwick_e2e::client_manifest("web", ""))?.refused()?;
    ensure!(said.contains("NET_ADMIN") && said.contains("pod-security.kubernetes.io/enforce"), "{said}");
    Ok(())
}
