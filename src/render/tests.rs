//! Whole renders: order, places, bytes, and what becomes of a package when a function fails or is hostile.

mod failures;

use serde_json::{Value, json};

use super::*;
use crate::{api::ResultItem, yaml};

/// Functions by their names: what they do to a list.
struct Functions(Vec<(&'static str, Native)>);

/// A function that is told of its list as text, and writes it anew without comments, its members sorted.
struct Elsewhere(Native);

impl Runner for Elsewhere {
    fn run(&self, list: &mut List) -> Result<Ran, Failure> {
        let told = yaml::documents(&wire::encode(list)).unwrap().remove(0);
        let mut inner = List::default();
        for object in told["items"].as_array().unwrap() {
            inner.items.push(Item {
                object: object.clone(),
                place: Place::default(),
                text: "".into(),
            });
        }
        inner.config = told.get("functionConfig").cloned();
        self.0(&mut inner)?;
        let items: Vec<Value> = inner
            .items
            .into_iter()
            .map(|item| sorted(item.object))
            .collect();
        let answer = yaml::emit(&json!({"kind": "ResourceList", "items": items}));
        (list.items, _) = wire::decode(&answer, list)?;
        Ok(Ran {
            stderr: "done".into(),
            ..Ran::default()
        })
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().collect();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            pairs
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

impl Runners for Functions {
    fn resolve(&self, image: &str) -> Result<Box<dyn Runner + '_>, String> {
        let name = image
            .trim_start_matches(DEFAULT_IMAGE_PREFIX)
            .trim_end_matches(":latest");
        let (name, is_elsewhere) = match name.strip_prefix("elsewhere/") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let found = self.0.iter().find(|(one, _)| *one == name);
        let (_, native) = found.ok_or("there are only tests")?;
        Ok(if is_elsewhere {
            Box::new(Elsewhere(*native))
        } else {
            Box::new(*native)
        })
    }
}

/// What a function returns that has nothing to report.
const DONE: Result<Vec<ResultItem>, Failure> = Ok(Vec::new());

/// Adds its config's `data.word` to the trace of all that it sees.
fn trace(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    let word = list
        .config
        .as_ref()
        .and_then(|config| config.pointer("/data/word"))
        .and_then(Value::as_str);
    let word = word.unwrap_or("?").to_owned();
    for item in &mut list.items {
        if item.object["kind"] != "Kptfile" {
            let said = item.object["trace"].as_str().unwrap_or_default();
            item.object["trace"] = format!("{said}{word}").into();
        }
    }
    DONE
}

/// Sets an annotation: it is the same when done again.
fn annotate(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    for item in &mut list.items {
        if item.object["kind"] == "ConfigMap" {
            item.object["metadata"]["annotations"]["by"] = "us".into();
        }
    }
    DONE
}

fn fail(_: &mut List) -> Result<Vec<ResultItem>, Failure> {
    Err("it is broken".to_owned().into())
}

fn report(_: &mut List) -> Result<Vec<ResultItem>, Failure> {
    let report = json!({"message": "bad\nvalue", "severity": "error", "field": {"path": "a", "currentValue": 1}});
    let results = vec![serde_json::from_value(report).unwrap()];
    Err(Failure {
        message: "found errors".into(),
        results,
        stderr: "about errors".into(),
        exit_code: Some(3),
    })
}

fn functions() -> Functions {
    Functions(vec![
        ("trace", trace),
        ("annotate", annotate),
        ("fail", fail),
        ("report", report),
        ("nothing", |_| DONE),
        ("panic", |_| panic!("never mind")),
        ("patient", |list| {
            loop {
                list.audience.check()?;
            }
        }),
        ("send-away", |list| {
            list.audience.leave();
            DONE
        }),
        ("drop-all", |list| {
            list.items.clear();
            DONE
        }),
        ("drop-kptfile", |list| {
            list.items.retain(|item| item.object["kind"] != "Kptfile");
            DONE
        }),
        ("drop-b", |list| {
            list.items
                .retain(|item| item.object["metadata"]["name"] != "b");
            DONE
        }),
        ("double", |list| {
            list.items.push(list.items[0].clone());
            DONE
        }),
        ("leave", |list| {
            list.items[0].place.path = "../x.yaml".into();
            DONE
        }),
        ("no-krm", |list| {
            list.items.last_mut().unwrap().object = json!({"a": 1});
            DONE
        }),
        ("odd-name", |list| {
            list.items.last_mut().unwrap().place.path = "a\u{7}.yaml".into();
            DONE
        }),
        ("make", |list| {
            let object = json!({"apiVersion": "v1", "kind": "Made", "metadata": {"name": "m"}});
            if !list.items.iter().any(|item| item.object["kind"] == "Made") {
                list.items.push(Item {
                    object,
                    place: Place::default(),
                    text: "".into(),
                });
            }
            DONE
        }),
        ("set-config", |list| {
            for item in &mut list.items {
                if item.object["metadata"]["name"] == "config" {
                    item.object["data"]["word"] = "new".into();
                }
            }
            DONE
        }),
    ])
}

fn kptfile(pipeline: &str) -> String {
    format!(
        "# ours\napiVersion: kpt.dev/v1\nkind: Kptfile # it is\nmetadata:\n  name: p\n{pipeline}"
    )
}

fn config_map(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap # a map\nmetadata:\n    name: {name} # kpt-set: x\n    annotations: {{}}\n"
    )
}

fn files(pairs: &[(&str, &str)]) -> Files {
    let pairs = pairs.iter();
    pairs
        .map(|(path, text)| ((*path).into(), text.as_bytes().to_vec()))
        .collect()
}

fn run(files: &Files) -> Rendered {
    render(files, &functions(), &Options::default())
}

fn text<'a>(rendered: &'a Rendered, path: &str) -> &'a str {
    std::str::from_utf8(&rendered.files[path]).unwrap()
}

fn traced(rendered: &Rendered, path: &str) -> String {
    let object: Value = yaml::from_str(text(rendered, path)).unwrap();
    object["trace"].as_str().unwrap_or_default().into()
}

fn tracing(word: &str) -> String {
    kptfile(&format!(
        "pipeline:\n  mutators:\n  - image: trace\n    configMap: {{word: {word}}}\n"
    ))
}

#[test]
fn without_functions_nothing_is_touched() {
    let odd = [("a.yaml", "not krm: [x,   y]\n"), ("b.txt", "\u{0}")];
    for root in [
        kptfile(""),
        kptfile("pipeline: {}\n"),
        kptfile("pipeline:\n  mutators: []\n"),
        "not: [yaml".into(),
    ] {
        let before = files(&[&odd[..], &[("Kptfile", &root)]].concat());
        assert_eq!(run(&before), untouched(before));
    }
    let rootless = files(&[("sub/Kptfile", &tracing("a")), odd[0]]);
    assert_eq!(run(&rootless), untouched(rootless));
    // But what is said of functions that are gone is taken back.
    let failed = kptfile(
        "status:\n  conditions:\n  - type: Rendered # that\n    status: \"False\"\n    reason: RenderFailed\n    message: m\n  renderStatus:\n    errorSummary: x\n",
    );
    let rendered = run(&files(&[("Kptfile", &failed)]));
    let want = kptfile(
        "status:\n  conditions:\n  - type: Rendered # that\n    status: \"True\"\n    reason: RenderSuccess\n",
    );
    assert_eq!(
        (text(&rendered, "Kptfile"), &rendered.error),
        (want.as_str(), &None)
    );
}

#[test]
fn children_come_before_their_parents_or_after_them() {
    let flat = |name: &str| format!("apiVersion: v1\nkind: K\nmetadata:\n  name: {name}\n");
    let (x, a, b, c) = (flat("x"), flat("a"), flat("b"), flat("c"));
    let (root_of, a_of, b_of, c_of) = (tracing("r"), tracing("a"), tracing("b"), tracing("c"));
    let rest = [
        ("x.yaml", x.as_str()),
        ("a/a.yaml", &a),
        ("a/b/b.yaml", &b),
        ("c/d/c.yaml", &c),
        ("a/Kptfile", &a_of),
        ("a/b/Kptfile", &b_of),
        ("c/d/Kptfile", &c_of),
    ];
    let levels = root_of.replace(
        "  name: p\n",
        "  name: p\n  annotations:\n    kpt.dev/bfs-rendering: \"TRUE\"\n",
    );
    for (root, want, order) in [
        (&root_of, ["r", "ar", "bar", "cr"], "bacr"),
        (&levels, ["r", "ra", "rab", "rc"], "racb"),
    ] {
        let rendered = run(&files(&[&rest[..], &[("Kptfile", root)]].concat()));
        assert_eq!(rendered.error, None);
        let got =
            ["x.yaml", "a/a.yaml", "a/b/b.yaml", "c/d/c.yaml"].map(|path| traced(&rendered, path));
        assert_eq!(got, want);
        assert_eq!(rendered.steps.len(), order.len());
    }
}

#[test]
fn only_what_a_function_changed_is_changed() {
    let root = kptfile("pipeline:\n  mutators:\n  # first\n  - image: IMAGE # image\n");
    let (a, plain) = (
        config_map("a"),
        "# licence\n\napiVersion: v1\nkind:   Service\nmetadata: {name:   s}\nspec:\n    list:\n        - 'x'   # one\n",
    );
    let many = format!("{a}---\n{plain}");
    let json = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"j\"}}";
    for image in ["annotate", "elsewhere/annotate"] {
        let before = files(&[
            ("Kptfile", &root.replace("IMAGE", image)),
            ("a.yaml", &many),
            ("plain.yml", plain),
            ("empty.yaml", "# nothing\n"),
            ("j.json", json),
            ("README.md", "\u{feff} text"),
            (".krmignore", "x.yaml"),
            ("x.yaml", "not: [yaml"),
        ]);
        let rendered = run(&before);
        assert_eq!(rendered.error, None);
        for path in [
            "plain.yml",
            "empty.yaml",
            "README.md",
            ".krmignore",
            "x.yaml",
        ] {
            assert_eq!(rendered.files[path], before[path], "{path}");
        }
        let want = many.replace(
            "    annotations: {}\n",
            "    annotations:\n        by: us\n",
        );
        let got = text(&rendered, "a.yaml");
        // How deep what is new stands is the editor's choice.
        assert_eq!(
            got.replace("        by", "      by"),
            want.replace("        by", "      by")
        );
        assert_eq!(
            text(&rendered, "j.json"),
            "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"ConfigMap\",\n  \"metadata\": {\n    \"name\": \"j\",\n    \"annotations\": {\n      \"by\": \"us\"\n    }\n  }\n}"
        );
        let kptfile = text(&rendered, "Kptfile");
        assert!(
            kptfile.starts_with(&root.replace("IMAGE", image)),
            "{kptfile}"
        );
        let again = run(&rendered.files);
        assert_eq!(again.files, rendered.files);
    }
}

#[test]
fn the_kptfile_and_the_caller_are_told_of_every_function() {
    let root = kptfile(
        "pipeline:\n  mutators:\n  - image: elsewhere/nothing\n    name: first\n  validators:\n  - image: nothing\nstatus:\n  conditions:\n  - type: Mine\n    status: Unknown # so\n",
    );
    let rendered = run(&files(&[("Kptfile", &root)]));
    let want = root.clone()
        + "  - type: Rendered\n    status: \"True\"\n    reason: RenderSuccess\n  renderStatus:\n    mutationSteps:\n    - name: first\n      image: elsewhere/nothing:latest\n      stderr: done\n      exitCode: 0\n    validationSteps:\n    - image: ghcr.io/kptdev/krm-functions-catalog/nothing:latest\n      exitCode: 0\n";
    assert_eq!(text(&rendered, "Kptfile"), want);
    let status = serde_json::to_value(rendered.status.unwrap()).unwrap();
    let want = json!({
        "result": {
            "kind": "FunctionResultList", "apiVersion": "kpt.dev/v1", "metadata": {"name": "fnresults"}, "exitCode": 0,
            "items": [
                {"image": "elsewhere/nothing:latest", "stderr": "done", "exitCode": 0},
                {"image": "ghcr.io/kptdev/krm-functions-catalog/nothing:latest", "exitCode": 0},
            ],
        },
        "error": "",
    });
    assert_eq!(status, want);
}

#[test]
fn selected_resources_alone_are_given_and_once() {
    let root = kptfile(
        "pipeline:\n  mutators:\n  - image: trace\n    configMap: {word: w}\n    selectors:\n    - name: a\n    - kind: ConfigMap\n    exclude:\n    - name: b\n  - image: drop-all\n    selectors:\n    - name: c\n",
    );
    let maps = ["a", "b", "c"].map(config_map);
    let rendered = run(&files(&[
        ("Kptfile", &root),
        ("a.yaml", &maps[0]),
        ("b.yaml", &maps[1]),
        ("c.yaml", &maps[2]),
        ("d.yaml", "apiVersion: v1\nkind: D\nmetadata: {name: d}\n"),
    ]));
    assert_eq!(rendered.error, None);
    assert_eq!(
        ["a.yaml", "b.yaml", "d.yaml"].map(|path| traced(&rendered, path)),
        ["w", "", ""]
    );
    assert!(!rendered.files.contains_key("c.yaml"));
}

#[test]
fn functions_make_and_drop_files_and_change_configs() {
    let root = kptfile(
        "pipeline:\n  mutators:\n  - image: make\n  - image: drop-b\n  - image: set-config\n  - image: trace\n    configPath: conf/config.yaml\n  - image: elsewhere/make\n",
    );
    let config = config_map("config");
    let before = files(&[
        ("Kptfile", &root),
        ("conf/config.yaml", &config),
        ("b.yaml", &config_map("b")),
        (
            "two.yaml",
            &format!("{}---\n# second\n{}", config_map("b"), config_map("c")),
        ),
    ]);
    let rendered = run(&before);
    assert_eq!(rendered.error, None);
    assert_eq!(
        rendered.files.keys().collect::<Vec<_>>(),
        ["Kptfile", "conf/config.yaml", "made_m.yaml", "two.yaml"]
    );
    assert_eq!(
        text(&rendered, "made_m.yaml"),
        "apiVersion: v1\nkind: Made\nmetadata:\n  name: m\ntrace: new\n"
    );
    assert_eq!(
        text(&rendered, "two.yaml"),
        format!("# second\n{}trace: new\n", config_map("c"))
    );
}

#[test]
fn what_functions_made_of_config_connector_is_marked() {
    let bucket = |name: &str| {
        format!(
            "apiVersion: storage.cnrm.cloud.google.com/v1beta1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations:\n    a: b # c\n"
        )
    };
    let root =
        kptfile("pipeline:\n  mutators:\n  - image: annotate\n    selectors:\n    - name: x\n");
    let rendered = run(&files(&[
        ("Kptfile", &root),
        ("x.yaml", &bucket("x")),
        ("y.yaml", &bucket("y")),
    ]));
    assert_eq!(
        text(&rendered, "x.yaml"),
        bucket("x") + "    by: us\n    cnrm.cloud.google.com/blueprint: krm-fn\n"
    );
    assert_eq!(text(&rendered, "y.yaml"), bucket("y"));
}

#[test]
fn odd_forms_keep_their_bytes_and_can_be_rendered_again() {
    let windows =
        kptfile("pipeline:\n  mutators:\n  - image: elsewhere/annotate\n").replace('\n', "\r\n");
    let flow = "{apiVersion: kpt.dev/v1, kind: Kptfile, metadata: {name: p}, pipeline: {mutators: [{image: elsewhere/annotate}]}}";
    let anchors = "apiVersion: v1\nkind: Service\nmetadata: &m\n  name: s # c\nspec:\n  a: &x [1] # x\n  b: *x\n";
    let wide = "---\n\n# c\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: w, annotations: {a: 'b'}} # flow\ndata:\n    k: |-\n        x\n\n        # y\n    l: >\n        folded\n        text\n\n\n# end\n";
    for root in [windows.as_str(), flow] {
        let before = files(&[
            ("Kptfile", root),
            ("a.yaml", anchors),
            ("w.yaml", wide),
            ("win.yaml", &config_map("n").replace('\n', "\r\n")),
            ("annotated.yaml", &anchors.replace("Service", "ConfigMap")),
        ]);
        let rendered = run(&before);
        assert_eq!(rendered.error, None);
        assert_eq!(text(&rendered, "a.yaml"), anchors);
        assert_eq!(
            text(&rendered, "w.yaml"),
            wide.replace("a: 'b'", "a: 'b', by: us")
        );
        let by = "    annotations:\r\n      by: us\r\n";
        let want = config_map("n")
            .replace('\n', "\r\n")
            .replace("    annotations: {}\r\n", by);
        assert_eq!(text(&rendered, "win.yaml"), want);
        let by = "name: s # c\n  annotations:\n    by: us\n";
        let want = anchors
            .replace("Service", "ConfigMap")
            .replace("name: s # c\n", by);
        assert_eq!(text(&rendered, "annotated.yaml"), want);
        assert_eq!(run(&rendered.files).files, rendered.files);
    }
}
