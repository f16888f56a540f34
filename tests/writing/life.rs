//! A package's life, step by step, and what Git says after each.

use serde_json::json;

use crate::desk::{Desk, Examined, config_map, name};

/// From the first draft by way of two revisions to the end.
pub async fn a_package_from_its_first_draft_to_its_end(examined: &Examined) {
    let desk = Desk::open(examined, "life").await;
    let main = desk.commit("main").unwrap();
    let made = desk.make("net/upf", "w1", json!({})).await;
    let draft = "r.net.upf.w1";
    assert_eq!(name(&made), draft);
    assert_eq!(made["spec"]["lifecycle"], "Draft");
    assert_eq!(made["spec"]["revision"], json!(null));
    assert_eq!(
        made["spec"]["tasks"],
        json!([{ "type": "init", "init": { "description": "net/upf description" } }])
    );
    assert_eq!(
        desk.refs(),
        ["heads/drafts/net/upf/w1", "heads/main", "tags/known/v1"]
    );
    let first = desk.commit("drafts/net/upf/w1").unwrap();
    assert_eq!(
        desk.at_home(&["rev-parse", &format!("{first}^@")]),
        main,
        "one parent"
    );
    let shown = ["log", "-1", "--format=%an|%ae|%cn|%ce|%B", &first];
    let user = &examined.user;
    assert_eq!(
        desk.at_home(&shown).trim_end(),
        format!(
            "{user}|{user}|Package Orchestration Service|porch@kpt.dev|Creating new empty revision\n\n\nkpt:{{\"package\":\"net/upf\",\"workspaceName\":\"w1\",\"revision\":\"0\",\"task\":{{\"type\":\"init\",\"init\":{{\"description\":\"net/upf description\"}}}}}}"
        )
    );
    desk.write(draft, "cm.yaml", &config_map("two"))
        .await
        .is(200);
}
