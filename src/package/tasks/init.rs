//! The files of an empty package, as upstream makes them before it renders them.

use serde_json::{Map, Value, json};

use super::context;
use crate::{
    api::{InitTask, Task},
    package::{Files, KPTFILE},
    yaml,
};

/// What `package-context.yaml` says until somebody deploys the package: upstream's word, whatever the package is.
const EXAMPLE: &str = "example";

const README: &str = "# {name}

## Description
{description}

## Usage

### Fetch the package
`kpt pkg get REPO_URI[.git]/PKG_PATH[@VERSION] {name}`
Details: https://kpt.dev/reference/cli/pkg/get/

### View package content
`kpt pkg tree {name}`
Details: https://kpt.dev/reference/cli/pkg/tree/

### Apply the package
```
kpt live init {name}
kpt live apply {name} --reconcile-timeout=2m --output=table
```
Details: https://kpt.dev/reference/cli/live/
";

/// Returns the task of a package revision that is created with none.
#[must_use]
pub fn default_task(package_name: &str) -> Task {
    Task {
        type_: "init".into(),
        init: Some(InitTask {
            description: format!("{package_name} description"),
            ..InitTask::default()
        }),
        ..Task::default()
    }
}

/// Returns the files of an empty package: Kptfile, README.md and package-context.yaml.
#[must_use]
pub fn init(package_name: &str, task: &InitTask) -> Files {
    // The description last: it may hold anything.
    let readme = README.replace("{name}", package_name);
    let readme = readme.replace("{description}", &task.description);
    let files = [
        (KPTFILE, kptfile(package_name, task)),
        ("README.md", readme),
        (context::CONTEXT_FILE, context::text(EXAMPLE, "")),
    ];
    let files = files.into_iter();
    files
        .map(|(path, text)| (path.into(), text.into_bytes()))
        .collect()
}

fn kptfile(package_name: &str, task: &InitTask) -> String {
    let mut about = Map::new();
    if !task.site.is_empty() {
        about.insert("site".into(), task.site.as_str().into());
    }
    if !task.description.is_empty() {
        about.insert("description".into(), task.description.as_str().into());
    }
    if !task.keywords.is_empty() {
        about.insert("keywords".into(), json!(task.keywords));
    }
    yaml::emit(&json!({
        "apiVersion": "kpt.dev/v1",
        "kind": "Kptfile",
        "metadata": {
            "name": package_name,
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "info": Value::Object(about),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::check_files;

    fn text(files: &Files, path: &str) -> String {
        String::from_utf8(files[path].clone()).unwrap()
    }

    #[test]
    fn the_files_are_upstreams_to_the_byte() {
        let task = InitTask {
            description: "test package".into(),
            keywords: vec!["test".into(), "kpt".into()],
            site: "http://kpt.dev/testpkg".into(),
            ..InitTask::default()
        };
        let files = init("testpkg", &task);
        assert_eq!(files.len(), 3);
        assert_eq!(
            text(&files, "Kptfile"),
            "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: testpkg\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\ninfo:\n  site: http://kpt.dev/testpkg\n  description: test package\n  keywords:\n  - test\n  - kpt\n"
        );
        assert_eq!(
            text(&files, "README.md"),
            "# testpkg\n\n## Description\ntest package\n\n## Usage\n\n### Fetch the package\n`kpt pkg get REPO_URI[.git]/PKG_PATH[@VERSION] testpkg`\nDetails: https://kpt.dev/reference/cli/pkg/get/\n\n### View package content\n`kpt pkg tree testpkg`\nDetails: https://kpt.dev/reference/cli/pkg/tree/\n\n### Apply the package\n```\nkpt live init testpkg\nkpt live apply testpkg --reconcile-timeout=2m --output=table\n```\nDetails: https://kpt.dev/reference/cli/live/\n"
        );
        assert_eq!(
            text(&files, "package-context.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kptfile.kpt.dev\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\ndata:\n  name: example\n"
        );
    }

    #[test]
    fn descriptions_are_kept_as_they_are() {
        for description in [
            "a & \"b\" <c> 'd'",
            "x: y # z",
            "{name}",
            "two\nlines\n",
            "  ",
            "- a",
        ] {
            let task = InitTask {
                description: description.into(),
                ..InitTask::default()
            };
            let files = init("net/upf", &task);
            assert_eq!(check_files(&files), [], "{description}");
            let kptfile: Value = yaml::from_str(&text(&files, "Kptfile")).unwrap();
            assert_eq!(kptfile["info"]["description"], description);
            assert_eq!(kptfile["metadata"]["name"], "net/upf");
            assert!(
                text(&files, "README.md")
                    .contains(&format!("## Description\n{description}\n\n## Usage"))
            );
        }
        let bare = text(&init("a", &InitTask::default()), "Kptfile");
        assert!(bare.ends_with("\ninfo: {}\n"), "{bare}");
    }

    #[test]
    fn no_task_is_an_init_with_a_description() {
        let init = default_task("net/upf").init.unwrap();
        assert_eq!(init.description, "net/upf description");
    }
}
