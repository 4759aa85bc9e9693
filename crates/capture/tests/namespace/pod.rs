//! A pod's network without a pod: two namespaces with a cable between them.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;

use rustix::thread::LinkNameSpaceType;

pub(crate) const NODE_V4: &str = "10.99.0.1";
pub(crate) const POD_V4: &str = "10.99.0.2";
pub(crate) const NODE_V6: &str = "fd00:99::1";
pub(crate) const POD_V6: &str = "fd00:99::2";

/// The two namespaces; they go with it.
pub(crate) struct Pod {
    name: String,
    node: String,
}

/// Runs a program and gives what it wrote; fails with what it complained about.
pub(crate) fn command(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn ip(arguments: &str) {
    command("ip", &arguments.split(' ').collect::<Vec<_>>());
}

impl Pod {
    /// Both namespaces, or `None` where this cannot be tested; where everything must be tested, that is a failure.
    pub(crate) fn start(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI these tests must run: as root");
            eprintln!("skipped: it takes root to make a network namespace");
            return None;
        }
        let name = format!("bwk-{test}-{}", std::process::id());
        let pod = Self { node: format!("{name}-node"), name };
        let (inside, outside) = (&pod.name, &pod.node);
        ip(&format!("netns add {inside}"));
        ip(&format!("netns add {outside}"));
        ip(&format!("-n {inside} link set lo up"));
        ip(&format!("-n {outside} link set lo up"));
        ip(&format!("-n {outside} link add pod type veth peer name eth0 netns {inside}"));
        for (namespace, device, v4, v6) in
            [(outside, "pod", NODE_V4, NODE_V6), (inside, "eth0", POD_V4, POD_V6)]
        {
            ip(&format!("-n {namespace} address add {v4}/24 dev {device}"));
            ip(&format!("-n {namespace} address add {v6}/64 dev {device} nodad"));
            ip(&format!("-n {namespace} link set {device} up"));
        }
        ip(&format!("-n {inside} route add default via {NODE_V4}"));
        ip(&format!("-n {inside} -6 route add default via {NODE_V6}"));
        Some(pod)
    }

    /// Does it in the pod's namespace.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.name, work)
    }

    /// Does it in the node's namespace.
    pub(crate) fn outside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.node, work)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for namespace in [&self.name, &self.node] {
            drop(Command::new("ip").args(["netns", "delete", namespace]).output());
        }
    }
}

/// A namespace is a thread's; what the thread starts inherits it.
fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    let entered = || {
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work()
    };
    std::thread::scope(|scope| match scope.spawn(entered).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
