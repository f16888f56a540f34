//! Packages to measure: documents as people write them, with comments and setters, one in each file, and pipelines over them.

use std::fmt::Write as _;

use porch::package::Files;

/// The functions with their configs, as they stand in a pipeline.
pub const FUNCTIONS: [(&str, &str); 9] = [
    ("set-namespace", "    configMap: {namespace: production}\n"),
    ("set-labels", "    configMap: {team: shop, tier: gold}\n"),
    (
        "set-annotations",
        "    configMap: {example.com/owner: shop}\n",
    ),
    (
        "apply-setters",
        "    configMap: {app: store, replicas: '5', tag: '1.17'}\n",
    ),
    ("apply-replacements", "    configPath: replacements.yaml\n"),
    (
        "search-replace",
        "    configMap: {by-path: spec.replicas, put-value: '7'}\n",
    ),
    (
        "set-image",
        "    configMap: {name: nginx, newTag: '1.18'}\n",
    ),
    ("ensure-name-substring", "    configMap: {prepend: dev-}\n"),
    ("starlark", "    configPath: script.yaml\n"),
];

const SCRIPT: &str = r#"apiVersion: fn.kpt.dev/v1alpha1
kind: StarlarkRun
metadata:
  name: script
  annotations:
    config.kubernetes.io/local-config: "true"
source: |
  def run(resources):
    for resource in resources:
      if resource["kind"] == "Deployment":
        resource["spec"]["replicas"] = 2 * resource["spec"]["replicas"]
        resource["metadata"].setdefault("annotations", {})["by"] = "a script"
  run(ctx.resource_list["items"])
"#;

const REPLACEMENTS: &str = r#"apiVersion: fn.kpt.dev/v1alpha1
kind: ApplyReplacements
metadata:
  name: replacements
  annotations:
    config.kubernetes.io/local-config: "true"
replacements:
- source: {kind: ConfigMap, name: app-0, fieldPath: data.colour}
  targets:
  - select: {kind: Deployment}
    fieldPaths: [metadata.annotations.colour]
    options: {create: true}
"#;

/// Returns a package of so many resources with a pipeline of these functions.
pub fn package(functions: &[&str], size: usize) -> Files {
    let mut files = Files::new();
    let mut put = |path: String, text: String| files.insert(path, text.into_bytes());
    put("Kptfile".into(), kptfile(functions));
    if functions.contains(&"starlark") {
        put("script.yaml".into(), SCRIPT.into());
    }
    if functions.contains(&"apply-replacements") {
        put("replacements.yaml".into(), REPLACEMENTS.into());
    }
    for at in 0..size {
        let (kind, text) = match at % 4 {
            0 => ("configmap", config_map(at)),
            1 => ("service", service(at)),
            _ => ("deployment", deployment(at)),
        };
        put(format!("app-{at}/{kind}.yaml"), text);
    }
    files
}

fn kptfile(functions: &[&str]) -> String {
    let mut text = String::from("apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: p\n");
    if !functions.is_empty() {
        text.push_str("pipeline:\n  mutators:\n");
    }
    for name in functions {
        let (_, config) = FUNCTIONS.iter().find(|(known, _)| known == name).unwrap();
        write!(text, "  - image: {name}\n{config}").unwrap();
    }
    text
}

fn config_map(at: usize) -> String {
    format!(
        "# What the app is told.\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-{at}\n  namespace: old\ndata:\n  colour: blue # of the shop\n  app: app # kpt-set: ${{app}}\n  run.sh: |\n    # no comment\n    echo \"${{x}}\"\n    exec app --verbose\n"
    )
}

fn service(at: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: app-{at}\n  namespace: old\n  labels:\n    app: app # kpt-set: ${{app}}\nspec:\n  type: ClusterIP\n  selector:\n    app: app # kpt-set: ${{app}}\n  ports:\n  # for people\n  - name: http\n    port: 80\n    targetPort: 8080\n  - name: metrics\n    port: 9090\n    targetPort: 9090\n"
    )
}

fn deployment(at: usize) -> String {
    format!(
        "# Copyright\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-{at}\n  namespace: old\n  labels:\n    app: app # kpt-set: ${{app}}\nspec:\n  replicas: 4 # kpt-set: ${{replicas}}\n  selector:\n    matchLabels:\n      app: app # kpt-set: ${{app}}\n  template:\n    metadata:\n      labels:\n        app: app # kpt-set: ${{app}}\n    spec:\n      containers:\n      - name: web\n        image: nginx:1.16 # kpt-set: nginx:${{tag}}\n        args: [--port, \"8080\"]\n        ports:\n        - containerPort: 8080\n        env:\n        - name: COLOUR\n          value: 'blue' # of the shop\n        resources:\n          limits:\n            cpu: \"1\"\n            memory: 128Mi\n        volumeMounts:\n        - name: config\n          mountPath: /etc/app\n      volumes:\n      - name: config\n        configMap:\n          name: app-{at}\n"
    )
}

/// Returns a package in which `who` changed every resource in a place of their own.
pub fn changed(files: &Files, who: &str) -> Files {
    let line = format!("metadata:\n  annotations:\n    example.com/{who}: was here\n");
    let one = |(path, content): (&String, &Vec<u8>)| {
        let text = std::str::from_utf8(content).unwrap();
        let text = match path.as_str() {
            "Kptfile" => text.to_owned(),
            _ => text.replacen("metadata:\n", &line, 1),
        };
        (path.clone(), text.into_bytes())
    };
    files.iter().map(one).collect()
}

/// Returns whether both sides are in every resource.
pub fn merged(files: &Files) -> bool {
    let mut resources = files.iter().filter(|(path, _)| *path != "Kptfile");
    resources.all(|(_, content)| {
        let text = String::from_utf8_lossy(content);
        ["ours", "theirs"]
            .iter()
            .all(|who| text.contains(&format!("example.com/{who}: was here")))
    })
}
