//! The demo: a small real repository with published packages, a draft and a proposal, so that the first look shows
//! something.

use std::path::Path;

use crate::git::{Step, seed};

const NAMESPACE_V1: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: example # kpt-set: ${name}
";
const NAMESPACE_V2: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: example # kpt-set: ${name}
  labels:
    pod-security.kubernetes.io/enforce: baseline
";
const QUOTA: &str = "\
apiVersion: v1
kind: ResourceQuota
metadata:
  name: default
  namespace: example
spec:
  hard:
    requests.cpu: \"4\"
    requests.memory: 8Gi
";
const NAMESPACE_KPTFILE: &str = "\
apiVersion: kpt.dev/v1
kind: Kptfile
metadata:
  name: basens
  labels:
    team: platform
  annotations:
    config.kubernetes.io/local-config: \"true\"
info:
  description: A namespace with the settings that every team gets
  readinessGates:
  - conditionType: example.com/reviewed
status:
  conditions:
  - type: example.com/reviewed
    status: \"True\"
    reason: Reviewed
";
const GATEWAY_KPTFILE: &str = "\
apiVersion: kpt.dev/v1
kind: Kptfile
metadata:
  name: gateway
  annotations:
    config.kubernetes.io/local-config: \"true\"
info:
  description: The gateway in front of every service
";
const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: public
  namespace: networking
spec:
  gatewayClassName: default
  listeners:
  - name: https
    port: 443
    protocol: HTTPS
";

/// Makes the demo's repository at `directory`, unless it is there.
///
/// # Errors
/// If it can't be written.
pub fn make(directory: &Path) -> anyhow::Result<()> {
    if !directory.exists() {
        seed(directory, "main", &history())?;
    }
    Ok(())
}

fn history() -> [Step<'static>; 6] {
    [
        Step {
            message: "Begin",
            files: &[("README.md", "# Packages of the Porch demo\n")],
            refs: &["refs/heads/main"],
            carries: true,
        },
        Step {
            message: "Publish basens v1\n\nkpt:{\"package\":\"basens\",\"workspaceName\":\"v1\",\"revision\":\"1\",\"task\":{\"type\":\"init\",\"init\":{\"description\":\"A namespace\"}}}\n",
            files: &[
                ("basens/Kptfile", NAMESPACE_KPTFILE),
                ("basens/namespace.yaml", NAMESPACE_V1),
            ],
            refs: &["refs/heads/main", "refs/tags/basens/v1"],
            carries: true,
        },
        Step {
            message: "Publish basens v2\n\nkpt:{\"package\":\"basens\",\"workspaceName\":\"labels\",\"revision\":\"2\",\"task\":{\"type\":\"edit\",\"edit\":{\"sourceRef\":{\"name\":\"demo.basens.v1\"}}}}\n",
            files: &[("basens/namespace.yaml", NAMESPACE_V2)],
            refs: &["refs/heads/main", "refs/tags/basens/v2"],
            carries: true,
        },
        Step {
            message: "Publish networking/gateway v1\n\nkpt:{\"package\":\"networking/gateway\",\"workspaceName\":\"v1\",\"revision\":\"1\",\"task\":{\"type\":\"init\"}}\n",
            files: &[
                ("networking/gateway/Kptfile", GATEWAY_KPTFILE),
                ("networking/gateway/gateway.yaml", GATEWAY),
            ],
            refs: &["refs/heads/main", "refs/tags/networking/gateway/v1"],
            carries: true,
        },
        Step {
            message: "Draft a quota\n\nkpt:{\"package\":\"basens\",\"workspaceName\":\"quota\",\"revision\":\"0\",\"task\":{\"type\":\"edit\",\"edit\":{\"sourceRef\":{\"name\":\"demo.basens.labels\"}}}}\n",
            files: &[("basens/quota.yaml", QUOTA)],
            refs: &["refs/heads/drafts/basens/quota"],
            carries: false,
        },
        Step {
            message: "Propose a second listener\n\nkpt:{\"package\":\"networking/gateway\",\"workspaceName\":\"listener\",\"revision\":\"0\",\"task\":{\"type\":\"edit\",\"edit\":{\"sourceRef\":{\"name\":\"demo.networking.gateway.v1\"}}}}\n",
            files: &[(
                "networking/gateway/README.md",
                "The gateway also serves HTTP, on port 80.\n",
            )],
            refs: &["refs/heads/proposed/networking/gateway/listener"],
            carries: false,
        },
    ]
}
