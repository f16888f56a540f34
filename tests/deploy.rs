//! `deploy/` holds together: the chart has the objects of the kustomize base, and no user's role reaches the records.

use std::{collections::BTreeMap, fs, path::PathBuf};

fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn read(path: &str) -> String {
    fs::read_to_string(deploy().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of the chart that its templates name, by their path.
fn values() -> BTreeMap<String, String> {
    let (mut values, mut path) = (BTreeMap::new(), Vec::<(usize, String)>::new());
    for line in read("helm/values.yaml").lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        if line.trim_start().starts_with('#') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        path.retain(|(depth, _)| *depth < indent);
        path.push((indent, key.trim().into()));
        let names: Vec<&str> = path.iter().map(|(_, name)| &**name).collect();
        values.insert(format!(".Values.{}", names.join(".")), value.trim().into());
    }
    values
}

/// Renders a template that names values, or has lines that depend on one, and nothing else.
fn render(template: &str, changed: &[(&str, &str)]) -> String {
    let mut known = values();
    known.insert(".Release.Namespace".into(), "porch-system".into());
    for (name, value) in changed {
        assert!(known.insert((*name).into(), (*value).into()).is_some());
    }
    let (mut text, mut kept) = (String::new(), true);
    for line in template.lines() {
        let word = line.trim().strip_prefix("{{- ");
        if let Some(condition) = word.and_then(|it| it.strip_prefix("if ")) {
            let value = &*known[condition.trim_end_matches(" }}")];
            assert!(kept, "a condition in another: {line}");
            kept = !["", "false", "\"\""].contains(&value);
        } else if word == Some("end }}") {
            kept = true;
        } else if kept {
            text += line;
            text += "\n";
        }
    }
    for (name, value) in known {
        text = text.replace(&format!("{{{{ {name} }}}}"), &value);
    }
    assert!(!text.contains("{{"), "a value is missing: {text}");
    text
}

#[test]
fn the_chart_has_the_objects_of_the_base() {
    let base = read("kustomization.yaml");
    let files = base
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .filter(|file| !file.contains('/') && !file.contains(": ") && *file != "namespace.yaml");
    let mut count = 0;
    for file in files {
        let wanted = read(file).replace("image: porch\n", "image: porch:0.1.0\n");
        assert_eq!(
            render(&read(&format!("helm/templates/{file}")), &[]),
            wanted,
            "{file}"
        );
        count += 1;
    }
    let templates = fs::read_dir(deploy().join("helm/templates")).unwrap();
    assert_eq!(templates.count(), count);
    for (name, text) in porch::crds::files() {
        assert!(read(&format!("helm/crds/{name}")) == text, "{name}");
        assert!(read("../crds/kustomization.yaml").contains(&name), "{name}");
    }
}

#[test]
fn the_charts_switches_take_all_of_it_away_or_add_all_of_it() {
    let template = |file: &str| read(&format!("helm/templates/{file}"));
    let off = [(".Values.validatingWebhook.enabled", "false")];
    assert_eq!(render(&template("validating-webhook.yaml"), &off), "");
    let role = render(&template("rbac-server.yaml"), &off);
    assert!(!role.contains("validatingwebhookconfigurations"), "{role}");
    let server = render(&template("deployment.yaml"), &off);
    assert!(!server.contains("--validate-repositories"), "{server}");

    let heard = [(".Values.webhooks.enabled", "true")];
    let base = read("deployment.yaml").replace("image: porch\n", "image: porch:0.1.0\n");
    let more = base.replace("        - --pod", "        - --webhooks\n        - --pod");
    assert_eq!(render(&template("deployment.yaml"), &heard), more);
    let shared = [(".Values.webhooks.secretName", "push")];
    let server = render(&template("deployment.yaml"), &shared);
    let file = "--webhook-secret-file=/webhook-secret/webhookSecret\n";
    assert!(server.contains(file), "{server}");
    let mount =
        "- name: webhook-secret\n          mountPath: /webhook-secret\n          readOnly: true\n";
    assert!(server.contains(mount), "{server}");
    let volume = "- name: webhook-secret\n        secret:\n          secretName: push\n";
    assert!(server.contains(volume), "{server}");
}

#[test]
fn what_kube_apiserver_asks_is_answered_by_the_server_that_the_deployment_starts() {
    let hook = read("validating-webhook.yaml");
    assert!(hook.contains("path: /validate-repository\n"));
    // A server that is away must keep nobody from registering, and its own finalizers least of all.
    assert!(hook.contains("failurePolicy: Ignore\n"));
    let name = hook.split("metadata:\n  name: ").nth(1).unwrap();
    let (name, _) = name.split_once('\n').unwrap();
    let rule = format!(
        "resources: [validatingwebhookconfigurations]\n  resourceNames: [{name}]\n  verbs: [get, patch]\n"
    );
    assert!(read("rbac-server.yaml").contains(&rule));
}

#[test]
fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("kustomization.yaml").contains(&format!("newTag: {version}\n")));
    assert!(read("helm/values.yaml").contains(&format!("image: porch:{version}\n")));
    assert!(read("helm/Chart.yaml").contains(&format!("appVersion: {version}\n")));
}

#[test]
fn no_users_role_reaches_the_records_and_nobody_skips_verification() {
    let users = read("rbac-users.yaml");
    let rules = users.lines().filter(|line| !line.starts_with('#'));
    assert!(rules.clone().all(|line| !line.contains("packagerevs")));
    assert!(
        users
            .lines()
            .all(|line| !line.contains("\"*\"") && !line.contains("'*'"))
    );
    assert!(!read("rbac-server.yaml").contains('*'));
    assert!(!read("apiservice.yaml").contains("insecureSkipTLSVerify"));
    for (role, label) in [
        ("viewer", "view"),
        ("editor", "edit"),
        ("approver", "admin"),
    ] {
        let document = users
            .split("---")
            .find(|text| text.contains(&format!("porch-{role}")));
        assert!(
            document
                .unwrap()
                .contains(&format!("aggregate-to-{label}: \"true\""))
        );
    }
}

#[test]
fn the_deployments_flags_are_flags() {
    use clap::Parser;
    let text = read("deployment.yaml");
    let (_, args) = text.split_once("args:").unwrap();
    let (args, _) = args.split_once("env:").unwrap();
    let words = args
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "));
    let config = porch::config::Config::try_parse_from(["porch"].into_iter().chain(words));
    let porch::config::Command::Serve(serve) = config.unwrap().command else {
        panic!("the image serves");
    };
    assert!(serve.serving.manage_apiservice);
    assert!(serve.repositories.validate_repositories);
    assert_eq!(serve.idle.given(), []);
}
