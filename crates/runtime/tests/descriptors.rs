//! The accept loop of a process that has really run out of file descriptors (RUSTSEC-2024-0376).

use std::{fs::File, process::Command, time::Duration};

use bailiwick_runtime::accept::{Acceptor, ReusePort, listen};
use tokio::{net::TcpStream, time::timeout};

/// Set in the process that runs under the limit, which would break every other test beside it.
const LIMITED: &str = "RUN_UNDER_THE_DESCRIPTOR_LIMIT";

#[test]
fn accepting_goes_on_after_the_descriptors_ran_out() {
    if std::env::var_os(LIMITED).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(run_out_and_recover()).unwrap();
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact accepting_goes_on_after_the_descriptors_ran_out"])
        .arg(std::env::current_exe().unwrap())
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

async fn run_out_and_recover() -> Result<(), Box<dyn std::error::Error>> {
    let address = "127.0.0.1:0".parse()?;
    let mut acceptor = Acceptor::new(listen(address, ReusePort::No)?);
    let client = TcpStream::connect(acceptor.local_addr()?).await?;
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
        assert!(files.len() < 64, "there is no limit");
    }
    let refused = timeout(Duration::from_millis(200), acceptor.accept()).await;
    assert!(refused.is_err(), "nothing can be accepted, and nothing has ended");
    drop(files);
    let (_, peer) = timeout(Duration::from_secs(5), acceptor.accept()).await?;
    assert_eq!(peer, client.local_addr()?);
    Ok(())
}
