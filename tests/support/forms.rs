//! The forms of kubectl that write, one after another, as a user types them who knows a Deployment and nothing of us. They are the
//! same in a cluster and without one.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// kubectl of one user, in one namespace.
pub struct Kubectl {
    kubeconfig: PathBuf,
    namespace: String,
    /// What it keeps between two runs, and where its editor is.
    home: TempDir,
}

/// What was typed, with which text on stdin; the exit code, and what is printed then among other things.
type Form<'a> = (&'a str, &'a str, i32, &'a str);

impl Kubectl {
    pub fn new(kubeconfig: &Path, namespace: &str) -> Self {
        Self {
            kubeconfig: kubeconfig.into(),
            namespace: namespace.into(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs it; returns its exit code and all that it printed.
    fn run(&self, words: &str, text: &str) -> (i32, String) {
        let mut command = Command::new("kubectl");
        command
            .args(words.split_whitespace())
            .args(["--namespace", &self.namespace])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.home.path())
            .env("KUBE_EDITOR", self.home.path().join("editor"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("these tests need kubectl");
        let mut stdin = child.stdin.take().unwrap();
        // One that reads nothing may have ended.
        let _ = stdin.write_all(text.as_bytes());
        drop(stdin);
        let done = child.wait_with_output().unwrap();
        let printed = [done.stdout, done.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        (done.status.code().unwrap_or(-1), printed)
    }

    fn print(&self, words: &str) -> String {
        let (code, printed) = self.run(words, "");
        assert_eq!(code, 0, "kubectl {words}\n{printed}");
        printed
    }

    fn check(&self, forms: &[Form]) {
        self.check_of("", "", forms);
    }

    /// Checks forms in whose words `what` stands for something longer.
    fn check_of(&self, what: &str, longer: &str, forms: &[Form]) {
        for (words, text, code, told) in forms {
            let words = match what {
                "" => (*words).to_owned(),
                what => words.replace(what, longer),
            };
            let (ended, printed) = self.run(&words, text);
            assert_eq!(ended, *code, "kubectl {words}\n{text}\n{printed}");
            assert!(printed.contains(told), "kubectl {words}\n{told}\n{printed}");
        }
    }

    /// Has the editor do this to a file.
    fn editor(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.home.path().join("editor");
        std::fs::write(&path, format!("#!/bin/sh\nsed -i '{script}' \"$1\"\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Tries all forms in a namespace whose Repository has published packages.
pub fn check(kubectl: &Kubectl, repository: &str) {
    creations(kubectl, repository);
    applies(kubectl, repository);
    changes(kubectl, repository);
    files(kubectl, repository);
    deletions(kubectl, repository);
}

/// Returns a draft of a package with a label.
fn draft(repository: &str, package: &str, step: &str) -> String {
    format!(
        "apiVersion: porch.kpt.dev/v1alpha1\nkind: PackageRevision\nmetadata:\n  name: {repository}.{package}.w1\n  labels:\n    step: {step}\nspec:\n  repository: {repository}\n  packageName: {package}\n  workspaceName: w1\n  lifecycle: Draft\n"
    )
}

fn creations(kubectl: &Kubectl, repository: &str) {
    let plain = draft(repository, "made", "one");
    let odd = |package: &str| format!("{}  nonsense: 1\n", draft(repository, package, "odd"));
    let (strict, warned, ignored) = (odd("strict"), odd("warned"), odd("ignored"));
    kubectl.check(&[
        (
            "create --dry-run=server -f -",
            &plain,
            0,
            "made.w1 created (server dry run)",
        ),
        (
            "get packagerevision -l step=one",
            "",
            0,
            "No resources found",
        ),
        (
            "create --validate=strict -f -",
            &strict,
            1,
            "unknown field \"spec.nonsense\"",
        ),
        (
            "create --validate=warn -f -",
            &warned,
            0,
            "Warning: unknown field \"spec.nonsense\"",
        ),
        (
            "create --validate=ignore -f -",
            &ignored,
            0,
            "ignored.w1 created",
        ),
        (
            "create --validate=strict -f -",
            &plain,
            0,
            "made.w1 created",
        ),
        ("create -f -", &plain, 1, "AlreadyExists"),
        (
            "get packagerevision -l step=odd -o name",
            "",
            0,
            "ignored.w1\n",
        ),
        (
            "get packagerevision -l step=odd --no-headers",
            "",
            0,
            "warned.w1 ",
        ),
    ]);
    let (_, printed) = kubectl.run("get packagerevision -l step=odd -o name", "");
    assert_eq!(printed.lines().count(), 2, "{printed}");
}

fn applies(kubectl: &Kubectl, repository: &str) {
    let name = format!("{repository}.applied.w1");
    let (one, two, three) = (
        draft(repository, "applied", "one"),
        draft(repository, "applied", "two"),
        draft(repository, "applied", "three"),
    );
    let get = format!("get packagerevision {name} -o yaml");
    let shown = format!("{get} --show-managed-fields");
    kubectl.check(&[
        ("diff -f -", &one, 1, "+    step: one"),
        (
            "apply --dry-run=server -f -",
            &one,
            0,
            "created (server dry run)",
        ),
        ("apply -f -", &one, 0, "applied.w1 created"),
        ("apply -f -", &one, 0, "applied.w1 unchanged"),
        ("diff -f -", &one, 0, ""),
        ("diff -f -", &two, 1, "+    step: two"),
        (
            "apply --dry-run=server -f -",
            &two,
            0,
            "configured (server dry run)",
        ),
        ("apply -f -", &two, 0, "applied.w1 configured"),
        (&shown, "", 0, "manager: kubectl-client-side-apply"),
        (
            "apply --server-side --dry-run=server -f -",
            &three,
            0,
            "serverside-applied (server dry run)",
        ),
        ("diff --server-side -f -", &three, 1, "+    step: three"),
        (
            "apply --server-side -f -",
            &three,
            0,
            "applied.w1 serverside-applied",
        ),
        (&shown, "", 0, "operation: Apply"),
        (&shown, "", 0, "step: three"),
        (
            "apply --server-side --field-manager=other -f -",
            &one,
            1,
            "conflict with \"kubectl\"",
        ),
        (
            "apply --server-side --field-manager=other --force-conflicts -f -",
            &one,
            0,
            "serverside-applied",
        ),
        ("diff --server-side --field-manager=other -f -", &one, 0, ""),
        (&shown, "", 0, "manager: other"),
    ]);
    let printed = kubectl.print(&get);
    assert!(!printed.contains("managedFields"), "{printed}");
    let printed = kubectl.print(&shown);
    assert!(
        !printed.contains("client-side-apply\n"),
        "it was taken over: {printed}"
    );
}

/// Labels and annotations.
const PAIRS: &[Form<'static>] = &[
    ("label IT a=b", "", 0, "labeled"),
    ("label IT a=c", "", 1, "already has a value (b)"),
    (
        "label IT a=c --overwrite --dry-run=server",
        "",
        0,
        "labeled (server dry run)",
    ),
    ("get IT -o jsonpath={.metadata.labels.a}", "", 0, "b"),
    ("label IT a=c --overwrite", "", 0, "labeled"),
    ("get packagerevision -l a=c -o name", "", 0, "made.w1\n"),
    ("label IT a-", "", 0, "unlabeled"),
    ("annotate IT note=x", "", 0, "annotated"),
    ("annotate IT note=y", "", 1, "already has a value (x)"),
    ("annotate IT note-", "", 0, "annotated"),
];

/// Patches of every type, and an editor.
const PATCHES: &[Form<'static>] = &[
    (
        "patch IT --type=merge -p {\"metadata\":{\"labels\":{\"step\":\"merged\"}}}",
        "",
        0,
        "patched",
    ),
    (
        "patch IT --type=merge -p {\"metadata\":{\"labels\":{\"step\":\"merged\"}}}",
        "",
        0,
        "patched (no change)",
    ),
    (
        "patch IT --type=json -p [{\"op\":\"test\",\"path\":\"/metadata/labels/step\",\"value\":\"x\"}]",
        "",
        1,
        "The request is invalid",
    ),
    (
        "patch IT --type=json -p [{\"op\":\"replace\",\"path\":\"/metadata/labels/step\",\"value\":\"stepped\"}]",
        "",
        0,
        "patched",
    ),
    (
        "patch IT --type=strategic -p {\"metadata\":{\"finalizers\":[\"example.com/a\"]}}",
        "",
        0,
        "patched",
    ),
    (
        "patch IT -p {\"metadata\":{\"finalizers\":[\"example.com/b\"]}}",
        "",
        0,
        "patched",
    ),
    (
        "get IT -o jsonpath={.metadata.finalizers}",
        "",
        0,
        "example.com/a",
    ),
    (
        "get IT -o jsonpath={.metadata.finalizers}",
        "",
        0,
        "example.com/b",
    ),
    (
        "patch IT --type=merge -p {\"metadata\":{\"finalizers\":null,\"labels\":{\"step\":\"edited\"}}}",
        "",
        0,
        "patched",
    ),
    ("edit IT", "", 0, "edited"),
    ("edit IT", "", 0, "Edit cancelled, no changes made."),
    ("get IT -o jsonpath={.metadata.labels.step}", "", 0, "again"),
    (
        "patch IT --type=merge --dry-run=server -p {\"spec\":{\"lifecycle\":\"Published\"}}",
        "",
        1,
        "spec.lifecycle",
    ),
    (
        "patch IT --type=merge -p {\"status\":{\"conditions\":[{\"type\":\"Checked\",\"status\":\"True\"}]}}",
        "",
        0,
        "patched",
    ),
];

/// All that can be waited for.
const WAITS: &[Form<'static>] = &[
    (
        "wait IT --for=condition=Checked --timeout=10s",
        "",
        0,
        "condition met",
    ),
    (
        "wait IT --for=condition=Checked=false --timeout=1s",
        "",
        1,
        "timed out",
    ),
    (
        "wait IT --for=jsonpath={.spec.lifecycle}=Draft --timeout=10s",
        "",
        0,
        "condition met",
    ),
    ("wait IT --for=create --timeout=10s", "", 0, "condition met"),
    (
        "wait packagerevision/none --for=delete --timeout=10s",
        "",
        0,
        "",
    ),
    ("rollout status IT", "", 1, ""),
];

fn changes(kubectl: &Kubectl, repository: &str) {
    let name = format!("{repository}.made.w1");
    let object = format!("packagerevision/{name}");
    let of = |words: &str| words.replace("IT", &object);
    let live = kubectl.print(&of("get IT -o yaml"));
    let replaced = live.replace("step: one", "step: replaced");
    kubectl.editor("s/step: edited/step: again/");
    kubectl.check_of("IT", &object, PAIRS);
    kubectl.check_of(
        "IT",
        &object,
        &[("replace -f -", &replaced, 1, "the object has been modified")],
    );
    kubectl.check_of("IT", &object, PATCHES);
    kubectl.check_of("IT", &object, WAITS);
    let live = kubectl.print(&of("get IT -o yaml"));
    let replaced = live.replace("step: again", "step: replaced");
    let other = live
        .replace("step: again", "step: nobodys")
        .replace("uid: ", "uid: x");
    kubectl.check(&[
        (
            "replace --dry-run=server -f -",
            &replaced,
            0,
            "replaced (server dry run)",
        ),
        ("replace -f -", &other, 1, "Conflict"),
        ("replace -f -", &replaced, 0, "replaced"),
        (
            "get packagerevision -l step=replaced -o name",
            "",
            0,
            "made.w1\n",
        ),
    ]);
}

/// Other writes of files.
const FILES: &[Form<'static>] = &[
    ("edit IT", "", 0, "edited"),
    (
        "get IT -o jsonpath={.spec.resources.notes\\.txt}",
        "",
        0,
        "edited",
    ),
    (
        "patch IT --type=json -p [{\"op\":\"add\",\"path\":\"/spec/resources/a.txt\",\"value\":\"a\"}]",
        "",
        0,
        "patched",
    ),
    (
        "patch IT --type=strategic -p {\"spec\":{\"resources\":{\"b.txt\":\"b\"}}}",
        "",
        0,
        "patched",
    ),
    (
        "patch IT --type=merge --dry-run=server -p {\"spec\":{\"resources\":{\"b.txt\":null}}}",
        "",
        0,
        "patched",
    ),
    (
        "patch IT --type=merge -p {\"spec\":{\"resources\":{\"a.txt\":null}}}",
        "",
        0,
        "patched",
    ),
    (
        "get IT -o jsonpath={.spec.resources.a\\.txt}{.spec.resources.b\\.txt}",
        "",
        0,
        "b",
    ),
    ("delete IT", "", 1, "not"),
    (
        "apply --server-side --validate=strict -f -",
        "apiVersion: porch.kpt.dev/v1alpha1\nkind: PackageRevisionResources\nmetadata: {name: x}\nspec: {files: 1}\n",
        1,
        "files",
    ),
];

fn files(kubectl: &Kubectl, repository: &str) {
    let name = format!("{repository}.made.w1");
    let object = format!("packagerevisionresources/{name}");
    let of = |words: &str| words.replace("IT", &object);
    let file = |word: &str| {
        format!(
            "apiVersion: porch.kpt.dev/v1alpha1\nkind: PackageRevisionResources\nmetadata:\n  name: {name}\nspec:\n  resources:\n    notes.txt: {word}\n"
        )
    };
    let (one, two) = (file("one"), file("two"));
    kubectl.editor("s/notes.txt: two/notes.txt: edited/");
    let forms: &[Form] = &[
        ("diff --server-side -f -", &one, 1, "+    notes.txt: one"),
        (
            "apply --server-side --dry-run=server -f -",
            &one,
            0,
            "serverside-applied (server dry run)",
        ),
        (
            "apply --server-side --validate=strict -f -",
            &one,
            0,
            "serverside-applied",
        ),
        ("diff --server-side -f -", &one, 0, ""),
        (
            "get IT -o yaml --show-managed-fields",
            "",
            0,
            "f:notes.txt: {}",
        ),
        (
            "apply --server-side --field-manager=other -f -",
            &two,
            1,
            "conflict with \"kubectl\"",
        ),
        (
            "apply --server-side --field-manager=other --force-conflicts -f -",
            &two,
            0,
            "serverside-applied",
        ),
    ];
    kubectl.check_of("IT", &object, forms);
    kubectl.check_of("IT", &object, FILES);
    kubectl.check(&[("create -f -", &one, 1, "not")]);
    let live = kubectl.print(&of("get IT -o yaml"));
    assert!(!live.contains("a.txt"), "{live}");
    let replaced = live.replace("b.txt: b", "b.txt: c");
    kubectl.check(&[
        (
            "replace --dry-run=server -f -",
            &replaced,
            0,
            "replaced (server dry run)",
        ),
        ("replace -f -", &replaced, 0, "replaced"),
        ("replace -f -", &live, 1, "the object has been modified"),
    ]);
}

/// Deletions in all forms; `R.` is the Repository.
const DELETIONS: &[Form<'static>] = &[
    (
        "delete packagerevision/R.d1.w1 --dry-run=server",
        "",
        0,
        "deleted",
    ),
    ("get packagerevision/R.d1.w1 -o name", "", 0, "d1.w1"),
    (
        "delete packagerevision/R.d1.w1 --cascade=foreground --timeout=180s",
        "",
        0,
        "deleted",
    ),
    ("get packagerevision/R.d1.w1", "", 1, "NotFound"),
    (
        "delete packagerevision/R.d2.w1 --cascade=orphan --timeout=180s",
        "",
        0,
        "deleted",
    ),
    (
        "delete packagerevision/R.d3.w1 --cascade=background --wait=false",
        "",
        0,
        "deleted",
    ),
    (
        "wait packagerevision/R.d3.w1 --for=delete --timeout=180s",
        "",
        0,
        "",
    ),
    ("delete packagerevision/R.d3.w1", "", 1, "NotFound"),
    (
        "delete packagerevision/R.d3.w1 --ignore-not-found",
        "",
        0,
        "",
    ),
    (
        "label packagerevision/R.d4.w1 step=held --overwrite",
        "",
        0,
        "labeled",
    ),
    (
        "patch packagerevision/R.d4.w1 --type=merge -p {\"metadata\":{\"finalizers\":[\"example.com/a\"]}}",
        "",
        0,
        "patched",
    ),
    (
        "delete packagerevision -l step=held --timeout=1s",
        "",
        1,
        "timed out",
    ),
    (
        "get packagerevisionresources/R.d4.w1 -o name",
        "",
        0,
        "d4.w1",
    ),
    (
        "patch packagerevision/R.d4.w1 --type=merge -p {\"metadata\":{\"finalizers\":null}}",
        "",
        0,
        "patched",
    ),
    (
        "wait packagerevision/R.d4.w1 --for=delete --timeout=180s",
        "",
        0,
        "",
    ),
    (
        "delete packagerevision -l step=bin --field-selector spec.packageName=d5 --timeout=180s",
        "",
        0,
        "d5.w1\" deleted",
    ),
];

/// Deletions of whatever is there.
const DELETIONS_OF_ALL: &[Form<'static>] = &[
    (
        "get packagerevision -l step=bin",
        "",
        0,
        "No resources found",
    ),
    (
        "delete packagerevision --all --timeout=180s",
        "",
        1,
        "must be proposed for deletion",
    ),
    (
        "get packagerevision --field-selector spec.lifecycle=Draft",
        "",
        0,
        "No resources found",
    ),
];

fn deletions(kubectl: &Kubectl, repository: &str) {
    let all = ["d1", "d2", "d3", "d4", "d5", "d6"].map(|package| draft(repository, package, "bin"));
    let last = &all[5];
    kubectl.check(&[("create -f -", &all.join("---\n"), 0, "d6.w1 created")]);
    let place = format!("{repository}.");
    kubectl.check_of("R.", &place, DELETIONS);
    kubectl.check(&[("delete -f - --now", last, 0, "d6.w1\" deleted")]);
    kubectl.check_of("R.", &place, DELETIONS_OF_ALL);
}
