//! Starts a service of the demonstration, or calls one.

use std::process::ExitCode;

use bailiwick_demo::{Arguments, Verb, call, pause, serve};
use clap::Parser as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { verb, service } = Arguments::parse();
    match verb {
        None => serve(service).await?,
        Some(Verb::Pause) => pause().await?,
        Some(Verb::Call(plan)) => {
            return tokio::select! {
                code = call(&plan) => Ok(code),
                ended = pause() => Ok(ended.map(|()| ExitCode::SUCCESS)?),
            };
        }
    }
    Ok(ExitCode::SUCCESS)
}
