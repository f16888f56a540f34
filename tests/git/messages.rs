//! The lines of commit messages by which packages remember how they came to be.

use porch::git::annotations;
use serde_json::json;

#[test]
fn annotations_are_read_as_upstream_writes_them_and_odd_lines_are_passed_over() {
    let init = r#"{"type":"init","init":{"description":"d"}}"#;
    for (message, want) in [
        ("no annotation", json!([])),
        ("kpt:{}", json!([["", "", "", null]])),
        (
            "Subject\n\n\nkpt:{\"package\":\"a/b\",\"workspaceName\":\"w\",\"revision\":\"0\",\"task\":TASK}\n",
            json!([["a/b", "w", "0", "init"]]),
        ),
        (
            "  \tkpt: {\"package\":\"a\"} \r\n",
            json!([["a", "", "", null]]),
        ),
        (
            "kpt:{broken\nkpt:{\"package\":\"a\"}\nkpt:[]\nkpt:\nkpt:{\"package\":\"b\"} x\n kpt:{\"package\":\"c\"}",
            json!([["a", "", "", null], ["c", "", "", null]]),
        ),
        ("kpt:{\"package\":\"a\",\"revision\":1}", json!([])),
        (
            "kpt:{\"package\":null,\"task\":null,\"unheard\":{\"of\":[1]}}",
            json!([["", "", "", null]]),
        ),
        (
            "kpt:{\"package\":\"a\",\"task\":{\"type\":\"eval\",\"eval\":{\"image\":\"x\"}}}",
            json!([["a", "", "", null]]),
        ),
        (
            "kpt:{\"package\":\"a\",\"task\":{\"type\":\"render\"}}",
            json!([["a", "", "", null]]),
        ),
        (
            "kpt:{\"package\":\"a\",\"task\":{\"type\":\"upgrade\",\"upgrade\":{\"more\":1}}}",
            json!([["a", "", "", "upgrade"]]),
        ),
        ("not kpt:{\"package\":\"a\"}", json!([])),
    ] {
        let message = message.replace("TASK", init);
        let read: Vec<_> = annotations(message.as_bytes())
            .into_iter()
            .map(|line| {
                json!([
                    line.package,
                    line.workspace,
                    line.revision,
                    line.task.map(|task| task.type_)
                ])
            })
            .collect();
        assert_eq!(json!(read), want, "{message}");
    }
    let mixed = [
        &b"\xff\xfe\nkpt:{\"package\":\"a\"}\n"[..],
        b"kpt:{\"package\":\"\xff\"}",
    ]
    .concat();
    assert_eq!(annotations(&mixed).len(), 1);
}
