//! What is open when the truth changes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{Scene, Server, eventually};

/// Opens a stream of each kind and writes a line a second for each that lives: `ws 3`, `grpc 3`, `tcp 3`; `ws end`.
const STREAMS: &str = r"
import socket, sys, threading, time, os
host = sys.argv[1]
def say(word): sys.stdout.write(word + '\n'); sys.stdout.flush()
def lines(name, connection, poke):
    try:
        count = 0
        while True:
            poke(connection); connection.settimeout(5)
            if not connection.recv(4096): break
            count += 1; say('%s %d' % (name, count)); time.sleep(0.1)
    except OSError as error: pass
    say(name + ' end')
def websocket():
    c = socket.create_connection((host, 8080), 5)
    c.sendall(b'GET /live/ws HTTP/1.1\r\nHost: ' + host.encode() + b'\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n')
    head = c.recv(4096)
    if b' 101 ' not in head: say('ws refused ' + repr(head[:60])); return
    lines('ws', c, lambda c: c.sendall(b'\x81\x82\0\0\0\0hi'))
def tcp():
    c = socket.create_connection((host, 9000), 5)
    lines('tcp', c, lambda c: c.sendall(b'hi\n'))
all = [threading.Thread(target=one) for one in (websocket, tcp)]
[one.start() for one in all]; [one.join() for one in all]
";

fn start(client: &bailiwick_e2e::Client, host: &str) -> Result<()> {
    let line = format!("nohup python3 -c \"$0\" {host} >>/tmp/streams 2>&1 &");
    client.exec(&["sh", "-c", &line, STREAMS])?.ok()?;
    let grpc = format!(
        "nohup sh -c \"printf '\\0\\0\\0\\0\\0' | curl -sS -N --http2-prior-knowledge -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @- http://{host}:8080/shop.v1.Orders/Watch -o /tmp/grpc; echo grpc end >>/tmp/streams\" >/dev/null 2>&1 &"
    );
    client.exec(&["sh", "-c", &grpc])?.ok()?;
    eventually("all streams are open", Duration::from_secs(10), || {
        let text = client.exec(&["sh", "-c", "cat /tmp/streams; stat -c 'grpc-bytes %s' /tmp/grpc"])?.ok()?;
        ensure!(text.contains("ws 2") && text.contains("tcp 2"), "{text}");
        let bytes = text
            .lines()
            .find_map(|line| line.strip_prefix("grpc-bytes "))
            .and_then(|text| text.parse::<u64>().ok());
        ensure!(bytes.unwrap_or(0) > 0, "{text}");
        Ok(())
    })
}

const POLICY: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: NAME}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: live
    effect: Allow
    subjects: [{serviceAccount: {name: NAME}}]
    permissions:
    - http: {methods: [GET], paths: ['/live/**', '/orders']}
    - grpc: {service: shop.v1.Orders, methods: [Watch]}
    - tcp: {ports: [9000]}
";

#[test]
fn streams_are_cut_when_their_permission_goes_and_others_go_on() -> Result<()> {
    let scene = Scene::enrolled("live")?;
    scene.server(&Server::new("orders"))?;
    let (web, report) = (scene.client("web")?, scene.client("report")?);
    scene.ready()?;
    scene.enforce(&POLICY.replace("NAME", "web"))?;
    scene.enforce(&POLICY.replace("NAME", "report"))?;
    start(&web, "orders")?;
    start(&report, "orders")?;
    scene.kubectl(&["delete", "bwpolicies", "web"])?;
    let ended = |client: &bailiwick_e2e::Client| -> Result<usize> {
        let text = client.exec(&["cat", "/tmp/streams"])?.ok()?;
        Ok(["ws end", "tcp end", "grpc end"].iter().filter(|line| text.contains(**line)).count())
    };
    eventually("every stream of web is cut", Duration::from_secs(3), || {
        let ended = ended(&web)?;
        ensure!(ended == 3, "{ended} of 3 are cut");
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(ended(&report)? == 0, "a stream of report was cut");
    Ok(())
}

#[test]
fn a_deleted_policy_is_the_default_deny_within_a_second() -> Result<()> {
    let scene = Scene::enrolled("deleted")?;
    scene.server(&Server::new("orders"))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(&POLICY.replace("NAME", "web"))?;
    web.get("http://orders:8080/orders")?.expect(200)?;
    // The pod itself notes when it saw the last 200 and the first 403, so that the way of kubectl does not count.
    let line = "import http.client,time\nc=http.client.HTTPConnection('orders',8080,timeout=5)\nwhile True:\n c.request('GET','/orders'); a=c.getresponse(); a.read()\n if a.status!=200: print(time.time(), a.status); break\n time.sleep(0.01)";
    let watching = web.clone();
    let watcher = std::thread::spawn(move || watching.python(line).and_then(bailiwick_e2e::Run::ok));
    std::thread::sleep(Duration::from_millis(1500));
    let asked = Instant::now();
    scene.kubectl(&["delete", "bwpolicies", "web"])?;
    let deleted = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    let took = asked.elapsed().as_secs_f64();
    let seen = watcher.join().ok().context("the watcher panicked")??;
    let mut words = seen.split_whitespace();
    let at: f64 = words.next().context("nothing was seen")?.parse()?;
    ensure!(words.next() == Some("403"), "the refusal is a 403: {seen}");
    // kubectl returns after the deletion, so the change happened between `deleted - took` and `deleted`.
    ensure!(at - deleted < 1.0, "refused {:.3} s after the deletion (which took {took:.3} s)", at - deleted);
    Ok(())
}
