//! What an application's client saw.

use anyhow::{Result, bail, ensure};

/// One call's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status; 0 if there was none.
    pub status: u16,
    /// The client's exit code.
    pub code: i32,
    /// The head, lower-case.
    pub head: String,
    /// The body.
    pub body: String,
    /// What the client said.
    pub error: String,
}

impl Answer {
    /// The answer of `curl -i -s -S`, and its exit code.
    #[must_use]
    pub fn of_curl(code: i32, stdout: &str, stderr: &str) -> Self {
        let (head, body) = stdout.split_once("\r\n\r\n").unwrap_or((stdout, ""));
        let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        let status = if head.starts_with("HTTP/") { status.unwrap_or(0) } else { 0 };
        Self {
            status,
            code,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
            error: stderr.trim().to_owned(),
        }
    }

    /// A header's first value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.head
            .lines()
            .find_map(|line| line.split_once(':').filter(|(key, _)| *key == name))
            .map(|(_, value)| value.trim())
    }

    /// Fails unless this is the status.
    ///
    /// # Errors
    /// With the whole answer.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "expected {status}, got {self:?}");
        Ok(self)
    }

    /// Fails unless the connection was closed or refused without an HTTP answer.
    ///
    /// # Errors
    /// With the whole answer.
    pub fn expect_closed(self) -> Result<Self> {
        if self.status != 0 || self.code == 0 {
            bail!("expected a closed connection, got {self:?}");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_bodies_are_told_apart() {
        let answer = Answer::of_curl(0, "HTTP/1.1 403 Forbidden\r\nX-A: b\r\n\r\nno\n", "");
        assert_eq!((answer.status, answer.header("x-a"), answer.body.as_str()), (403, Some("b"), "no\n"));
        let closed = Answer::of_curl(56, "", "curl: (56) reset");
        assert!(closed.clone().expect(200).is_err());
        assert!(closed.expect_closed().is_ok());
    }
}
