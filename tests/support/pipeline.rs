//! What a pipeline does with kubectl: the lines of README's section, typed as they are, and pruning. It is the same in a cluster
//! and without one.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A pipeline of one user, with a copy of `config/` in which the repository's address is a real one.
pub struct Pipeline {
    kubeconfig: PathBuf,
    namespace: String,
    directory: TempDir,
}

impl Pipeline {
    pub fn new(kubeconfig: &Path, namespace: &str, address: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pipeline = Self {
            kubeconfig: kubeconfig.into(),
            namespace: namespace.into(),
            directory,
        };
        pipeline.copy("config", address);
        pipeline.copy("config/gitops", address);
        pipeline
    }

    fn copy(&self, directory: &str, address: &str) {
        let to = self.directory.path().join(directory);
        fs::create_dir(&to).unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let text = fs::read_to_string(entry.path()).unwrap();
                let text = text.replace("https://git.example.com/platform/fleet.git", address);
                fs::write(to.join(entry.file_name()), text).unwrap();
            }
        }
    }

    /// Types a line, with a text on its stdin; returns its exit code and all that it printed.
    fn types(&self, line: &str, text: &str) -> (i32, String) {
        // As if the kubeconfig named the namespace.
        let function = "kubectl() { command kubectl --namespace \"$NAMESPACE\" \"$@\"; }";
        let mut child = Command::new("sh")
            .args(["-c", &format!("{function}; exec 2>&1; {line}")])
            .current_dir(self.directory.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NAMESPACE", &self.namespace)
            .env("HOME", self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that reads nothing may have ended.
        let _ = stdin.write_all(text.as_bytes());
        drop(stdin);
        let done = child.wait_with_output().unwrap();
        let printed = String::from_utf8(done.stdout).unwrap();
        (done.status.code().unwrap_or(-1), printed)
    }
}

/// Returns the lines that README's section on pipelines has one type, each with what is printed then.
fn readme() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n### From a pipeline\n").unwrap();
    let block = section.split("```\n").nth(1).unwrap();
    let mut lines: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(typed) => lines.push((typed.into(), String::new())),
            None => lines.last_mut().unwrap().1.extend([line, "\n"]),
        }
    }
    lines
}

/// Follows README; then follows it once more, as a pipeline does that runs at each push.
pub fn follow(pipeline: &Pipeline) {
    let lines = readme();
    assert!(lines.len() > 8, "{lines:?}");
    for (line, printed) in &lines {
        assert_eq!(pipeline.types(line, ""), (0, printed.clone()), "{line}");
    }
    let version =
        "kubectl get packagerevision fleet.hello.v1 -o jsonpath='{.metadata.resourceVersion}'";
    let before = pipeline.types(version, "");
    for (line, printed) in &lines {
        if !line.contains("kubectl patch") {
            assert_eq!(pipeline.types(line, ""), (0, printed.clone()), "{line}");
        }
    }
    assert_eq!(pipeline.types(version, ""), before, "nothing was written");
    let files = pipeline.directory.path().join("config/gitops/files.yaml");
    let text = fs::read_to_string(&files).unwrap();
    fs::write(&files, text.replace("text: hello", "text: goodbye")).unwrap();
    let (line, _) = lines.last().unwrap();
    let (code, printed) = pipeline.types(line, "");
    assert_ne!(code, 0, "what is published cannot become this");
    assert!(printed.contains("; package must be Draft"), "{printed}");
}

/// Prunes what is declared no more, in both ways that kubectl has.
pub fn prune(pipeline: &Pipeline) {
    let drafts = |names: &[&str]| {
        let draft = |name: &&str| {
            format!(
                "---\napiVersion: porch.kpt.dev/v1alpha1\nkind: PackageRevision\nmetadata: {{name: fleet.{name}.v1, labels: {{set: pruned}}}}\nspec: {{repository: fleet, packageName: {name}, workspaceName: v1}}\n"
            )
        };
        names.iter().map(draft).collect::<String>()
    };
    let pruning = "kubectl apply --prune -l set=pruned --prune-allowlist=porch.kpt.dev/v1alpha1/PackageRevision -f -";
    let set = "export KUBECTL_APPLYSET=true; kubectl apply --server-side --force-conflicts --prune --applyset=secret/fleet -f -";
    for way in [pruning, set] {
        let (code, printed) = pipeline.types(way, &drafts(&["one", "two"]));
        assert_eq!(code, 0, "{way}\n{printed}");
        let (code, printed) = pipeline.types(way, &drafts(&["one"]));
        assert_eq!(code, 0, "{way}\n{printed}");
        let gone = "packagerevision.porch.kpt.dev/fleet.two.v1 pruned";
        assert!(printed.contains(gone), "{way}\n{printed}");
        let (_, left) = pipeline.types("kubectl get packagerevisions -l set=pruned -o name", "");
        assert_eq!(
            left, "packagerevision.porch.kpt.dev/fleet.one.v1\n",
            "{way}"
        );
    }
    // What is published stays, and whoever prunes is told why.
    let lifecycle = "kubectl patch packagerevision fleet.one.v1 --type merge -p";
    let proposed = format!("{lifecycle} '{{\"spec\":{{\"lifecycle\":\"Proposed\"}}}}'");
    let approved = "kubectl patch packagerevision fleet.one.v1 --subresource approval --type merge --patch-file config/approval.yaml";
    for line in [&proposed, approved] {
        let (code, printed) = pipeline.types(line, "");
        assert_eq!(code, 0, "{line}\n{printed}");
    }
    let (code, printed) = pipeline.types(set, &drafts(&["two"]));
    assert_eq!(code, 1, "{printed}");
    assert!(
        printed.contains("must be proposed for deletion"),
        "{printed}"
    );
    let (_, left) = pipeline.types("kubectl get packagerevisions -l set=pruned -o name", "");
    assert!(left.contains("/fleet.one.v1\n"), "{left}");
}
