//! HTTP, gRPC and TCP; servers that speak first.

use anyhow::{Result, ensure};
use bailiwick_e2e::{Scene, Server, tools_image};

#[test]
fn grpc_is_allowed_by_service_and_method() -> Result<()> {
    let scene = Scene::enrolled("grpc")?;
    scene.server(&Server::new("orders").replicas(2))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  rules:
  - name: web-gets
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{grpc: {service: shop.v1.Orders, methods: [Get]}}]
",
    )?;
    let (answer, status) = web.grpc("orders:8080", "/shop.v1.Orders/Get")?;
    ensure!(status == Some(0), "Get: {status:?} {answer:?}");
    let (answer, status) = web.grpc("orders:8080", "/shop.v1.Orders/Delete")?;
    ensure!(status == Some(7), "PERMISSION_DENIED is 7: {status:?} {answer:?}");
    let (answer, status) = web.grpc("orders:8080", "/shop.v1.orders/Get")?;
    ensure!(status == Some(7), "names are case-sensitive: {status:?} {answer:?}");
    Ok(())
}

#[test]
fn tcp_is_allowed_by_port() -> Result<()> {
    let scene = Scene::enrolled("tcp")?;
    scene.server(&Server::new("ledger"))?;
    let (web, report) = (scene.client("web")?, scene.client("report")?);
    scene.ready()?;
    ensure!(!web.greeting("ledger", 9000)?.contains("220"), "open without a policy");
    scene.enforce(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: ledger}
spec:
  rules:
  - name: web
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{tcp: {ports: [9000]}}]
",
    )?;
    let greeting = web.greeting("ledger", 9000)?;
    ensure!(greeting == "220 ledger ready", "the server speaks first: {greeting}");
    ensure!(!report.greeting("ledger", 9000)?.contains("220"), "report is not allowed");
    web.get("http://ledger:8080/")?.expect(403)?;
    Ok(())
}

const DATABASES: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: databases}
---
apiVersion: v1
kind: Service
metadata: {name: databases}
spec:
  selector: {app: databases}
  ports:
  - {name: mysql, port: 3306}
  - {name: redis, port: 6379}
  - {name: postgresql, port: 5432}
---
apiVersion: v1
kind: Pod
metadata: {name: databases, labels: {app: databases}}
spec:
  serviceAccountName: databases
  terminationGracePeriodSeconds: 5
  containers:
  - name: mariadb
    image: IMAGE
    command: [sh, -c]
    args:
    - |
      mkdir -p /tmp/m && chown -R mysql /tmp/m 2>/dev/null; mariadb-install-db --user=mysql --datadir=/tmp/m --auth-root-authentication-method=normal >/dev/null
      printf \"%s\\n\" \"CREATE USER 'shop'@'%' IDENTIFIED BY 'shop';\" \"FLUSH PRIVILEGES;\" > /tmp/init.sql; chmod 644 /tmp/init.sql
      exec mariadbd --user=mysql --datadir=/tmp/m --skip-name-resolve --socket=/tmp/m.sock --bind-address=0.0.0.0 --port=3306 --init-file=/tmp/init.sql --pid-file=/tmp/m.pid
    ports: [{containerPort: 3306}]
    readinessProbe: {tcpSocket: {port: 3306}, periodSeconds: 1}
  - name: redis
    image: IMAGE
    command: [redis-server, --bind, '0.0.0.0', --protected-mode, 'no', --save, '', --dir, /tmp]
    ports: [{containerPort: 6379}]
    readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1}
  - name: postgresql
    image: IMAGE
    command: [sh, -c]
    args:
    - |
      bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n1); mkdir -p /tmp/p && chown postgres /tmp/p
      su postgres -s /bin/sh -c \"$bin/initdb -D /tmp/p -A trust >/dev/null && echo 'host all all all trust' >> /tmp/p/pg_hba.conf && exec $bin/postgres -D /tmp/p -h 0.0.0.0 -k /tmp\"
    ports: [{containerPort: 5432}]
    readinessProbe: {tcpSocket: {port: 5432}, periodSeconds: 1}
";

const DATABASE_POLICY: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: databases}
spec:
  rules:
  - name: web
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{tcp: {ports: [3306, 6379, 5432]}}]
";

#[test]
fn real_servers_that_speak_first_work_through_the_mesh() -> Result<()> {
    let scene = Scene::enrolled("databases")?;
    scene.apply(&DATABASES.replace("IMAGE", &tools_image()))?;
    let (web, report) = (scene.client("web")?, scene.client("report")?);
    scene.ready()?;
    scene.enforce(DATABASE_POLICY)?;
    let maria = [
        "mariadb",
        "-h",
        "databases",
        "-u",
        "shop",
        "-pshop",
        "--connect-timeout=5",
        "-N",
        "-e",
        "select 6*7",
    ];
    let redis = ["redis-cli", "-h", "databases", "ping"];
    let postgres = ["psql", "-h", "databases", "-U", "postgres", "-At", "-c", "select 6*7"];
    ensure!(web.exec(&maria)?.ok()?.trim() == "42");
    ensure!(web.exec(&redis)?.ok()?.trim() == "PONG");
    ensure!(web.exec(&postgres)?.ok()?.trim() == "42");
    for command in [&maria[..], &redis[..], &postgres[..]] {
        let run = report.exec(command)?;
        ensure!(
            run.code != 0 && !run.stdout.contains("42") && !run.stdout.contains("PONG"),
            "report got in: {run:?}"
        );
    }
    Ok(())
}
