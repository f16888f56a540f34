//! The words of commits, byte for byte as upstream writes and reads them. Pure.

use serde::Serialize;

use crate::api::Task;

/// The message of the commit that begins a branch.
pub(super) const INITIAL: &str = "Initial commit: Creating main branch";

/// The line by which a package remembers how it came to be; the order of the members is upstream's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    package: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    workspace_name: &'a str,
    revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a Task>,
}

/// Returns the message of a commit that does a task on a draft. `package` is its full path.
#[must_use]
pub fn task_message(package: &str, workspace: &str, task: Option<&Task>) -> String {
    let line = Line {
        package,
        workspace_name: workspace,
        revision: "0".into(),
        task,
    };
    format!("{}\n\n\n{}\n", subject(task), annotation(&line))
}

/// Returns the message of a commit that publishes a package under this number.
#[must_use]
pub fn approval_message(package: &str, workspace: &str, revision: i64) -> String {
    let line = Line {
        package,
        workspace_name: workspace,
        revision: revision.to_string(),
        task: None,
    };
    let line = annotation(&line);
    format!("Approving package revision {package}/{revision}\n\n{line}\n")
}

/// Returns the message of a commit that takes a package off the branch.
#[must_use]
pub fn deletion_message(package: &str) -> String {
    format!("Delete {package}")
}

fn subject(task: Option<&Task>) -> String {
    let kind = task.map_or("", |task| task.type_.as_str());
    match kind {
        "init" => "Creating new empty revision".into(),
        "edit" => "Creating new revision by copying previous revision".into(),
        "clone" => "Creating new revision by cloning".into(),
        "upgrade" => "Upgrading revision".into(),
        "render" => "Rendering package".into(),
        "" => "Intermediate commit".into(),
        // A line break here could begin an annotation.
        other => format!(
            "Intermediate commit: {}",
            other.replace(char::is_control, " ")
        ),
    }
}

/// Returns an annotation with JSON as Go writes it: safe in HTML and in JavaScript.
fn annotation(line: &Line<'_>) -> String {
    let json = serde_json::to_string(line).expect("strings and plain members are JSON");
    let mut out = String::from("kpt:");
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}
