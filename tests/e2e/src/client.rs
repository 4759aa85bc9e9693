//! Calls from a pod of the tools image, as an application makes them.

use anyhow::Result;

use crate::{Answer, Run, kubectl};

/// A pod that calls.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Client {
    /// The pod's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a command in the application's container.
    ///
    /// # Errors
    /// If kubectl cannot be started.
    pub fn exec(&self, command: &[&str]) -> Result<Run> {
        let mut arguments = vec!["exec", "-n", &self.namespace, &self.name, "-c", "client", "--"];
        arguments.extend_from_slice(command);
        kubectl(&arguments)
    }

    /// `curl` with arguments of the caller's.
    ///
    /// # Errors
    /// If kubectl cannot be started.
    pub fn curl(&self, arguments: &[&str]) -> Result<Answer> {
        let mut command = vec!["curl", "-isS", "--max-time", "10"];
        command.extend_from_slice(arguments);
        let run = self.exec(&command)?;
        Ok(Answer::of_curl(run.code, &run.stdout, &run.stderr))
    }

    /// A GET.
    ///
    /// # Errors
    /// If kubectl cannot be started.
    pub fn get(&self, url: &str) -> Result<Answer> {
        self.curl(&[url])
    }

    /// A unary gRPC call with an empty message over HTTP/2; the second is `grpc-status`.
    ///
    /// # Errors
    /// If the pod cannot be reached.
    pub fn grpc(&self, address: &str, method: &str) -> Result<(Answer, Option<u32>)> {
        let url = format!("http://{address}{method}");
        // Five bytes: an empty message. curl prints trailers after the body.
        let line = format!(
            "printf '\\0\\0\\0\\0\\0' | curl -isS --max-time 10 --http2-prior-knowledge -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @- {url} | tr -d '\\0'"
        );
        let run = self.exec(&["sh", "-c", &line])?;
        let status = run.stdout.lines().find_map(|line| line.strip_prefix("grpc-status:"));
        let status = status.and_then(|text| text.trim().parse().ok());
        Ok((Answer::of_curl(run.code, &run.stdout, &run.stderr), status))
    }

    /// Connects, says nothing, and gives what the server says first within 3 s.
    ///
    /// # Errors
    /// If the pod cannot be reached.
    pub fn greeting(&self, host: &str, port: u16) -> Result<String> {
        let script = format!(
            "import socket\ntry:\n s=socket.create_connection(('{host}',{port}),5); s.settimeout(3); print(s.recv(200).decode(errors='replace').strip())\nexcept OSError as e: print('closed', e)"
        );
        Ok(self.exec(&["python3", "-c", &script])?.ok()?.trim().to_owned())
    }

    /// Runs python.
    ///
    /// # Errors
    /// If kubectl cannot be started.
    pub fn python(&self, script: &str) -> Result<Run> {
        self.exec(&["python3", "-c", script])
    }
}
