//! Steady calls in the background while something happens.

use anyhow::{Context as _, Result};

use crate::Client;

/// Calls from one pod, one after another at a fixed rate, each over a kept-alive connection.
#[derive(Debug)]
pub struct Load {
    client: Client,
}

/// How the calls ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// All calls.
    pub calls: u64,
    /// How many ended with each word: a status, or the name of an error.
    pub by_result: Vec<(String, u64)>,
}

impl Tally {
    /// Calls that ended otherwise than 200.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.by_result.iter().filter(|(word, _)| word != "200").map(|(_, count)| count).sum()
    }
}

/// Writes a tally to a file when the file `stop` appears. Four threads, each with a connection of its own.
const SCRIPT: &str = r"
import sys, os, time, json, threading, http.client, collections
host, port, path, rate, name = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5]
threads, tally, lock = 4, collections.Counter(), threading.Lock()
def work():
    connection, due = None, time.monotonic()
    while not os.path.exists('/tmp/'+name+'.stop'):
        due += threads / rate
        time.sleep(max(0, due - time.monotonic()))
        try:
            if connection is None: connection = http.client.HTTPConnection(host, port, timeout=10)
            connection.request('GET', path)
            answer = connection.getresponse(); answer.read(); word = str(answer.status)
            if answer.will_close: connection.close(); connection = None
        except Exception as error:
            word = type(error).__name__ + ' ' + str(error); connection = None
        with lock: tally[word] += 1
all = [threading.Thread(target=work) for _ in range(threads)]
[one.start() for one in all]; [one.join() for one in all]
open('/tmp/'+name+'.json', 'w').write(json.dumps(tally))
";

impl Load {
    /// Begins.
    ///
    /// # Errors
    /// If the pod cannot be reached.
    pub fn start(client: &Client, host: &str, port: u16, path: &str, per_second: u32) -> Result<Self> {
        let line = format!(
            "rm -f /tmp/load.stop /tmp/load.json; nohup python3 -c \"$0\" {host} {port} {path} {per_second} load >/tmp/load.log 2>&1 &"
        );
        client.exec(&["sh", "-c", &line, SCRIPT])?.ok()?;
        Ok(Self { client: client.clone() })
    }

    /// Ends, and tells how the calls ended.
    ///
    /// # Errors
    /// If the pod cannot be reached.
    pub fn stop(self) -> Result<Tally> {
        let line = "touch /tmp/load.stop; for i in $(seq 150); do [ -s /tmp/load.json ] && break; sleep 0.1; done; cat /tmp/load.json || cat /tmp/load.log";
        let text = self.client.exec(&["sh", "-c", line])?.ok()?;
        let counted: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let results = counted.as_object().into_iter().flatten();
        let by_result: Vec<(String, u64)> =
            results.map(|(word, count)| (word.clone(), count.as_u64().unwrap_or(0))).collect();
        Ok(Tally { calls: by_result.iter().map(|(_, count)| count).sum(), by_result })
    }
}
