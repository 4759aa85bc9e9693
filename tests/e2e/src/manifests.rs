//! Ordinary manifests: nothing in them knows of Bailiwick.

use crate::{demo_image, tools_image};

/// A server: the demonstration's service behind a Service, with a service account of its own name.
#[derive(Debug, Clone)]
pub struct Server {
    name: String,
    replicas: u32,
    pod: String,
    service: String,
    annotations: String,
}

impl Server {
    /// HTTP on 8080, a protocol in which the server speaks first on 9000.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            replicas: 1,
            pod: String::new(),
            service: String::new(),
            annotations: String::new(),
        }
    }

    /// How many pods.
    #[must_use]
    pub const fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// More lines of the pod's spec, indented by six blanks.
    #[must_use]
    pub fn pod(mut self, lines: &str) -> Self {
        self.pod = lines.to_owned();
        self
    }

    /// More lines of the Service's spec, indented by two blanks.
    #[must_use]
    pub fn service(mut self, lines: &str) -> Self {
        self.service = lines.to_owned();
        self
    }

    /// An annotation of the pods.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push_str(&format!("\n        {key}: \"{value}\""));
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The manifests.
    #[must_use]
    pub fn yaml(&self) -> String {
        let Self { name, replicas, pod, service, annotations } = self;
        let image = demo_image();
        format!(
            r"apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
{service}
  ports:
  - {{name: http, port: 8080, targetPort: http}}
  - {{name: tcp-greeting, port: 9000, targetPort: tcp-greeting}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations:
        example.com/by: tests{annotations}
    spec:
      serviceAccountName: {name}
      terminationGracePeriodSeconds: 10
      topologySpreadConstraints:
      - {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {{matchLabels: {{app: {name}}}}}}}
{pod}
      containers:
      - name: server
        image: {image}
        args: [--name, {name}, --http, '[::]:8080', --tcp, '[::]:9000', --grace, '3']
        ports: [{{containerPort: 8080, name: http}}, {{containerPort: 9000, name: tcp-greeting}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
        resources: {{requests: {{cpu: 5m, memory: 8Mi}}}}
"
        )
    }
}

/// A pod of its own with curl, openssl and python, and a service account of its name.
#[must_use]
pub fn client_manifest(name: &str, pod: &str) -> String {
    let image = tools_image();
    format!(
        r"apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  serviceAccountName: {name}
  terminationGracePeriodSeconds: 1
{pod}
  containers:
  - name: client
    image: {image}
    command: [sleep, infinity]
    resources: {{requests: {{cpu: 5m, memory: 8Mi}}}}
"
    )
}
