//! Renders that fail, or are given up, and what is refused of what functions make.

use super::*;

#[test]
fn a_failed_render_leaves_the_files_and_says_why() {
    let a = config_map("a");
    for (function, why, summary) in [
        (
            "fail",
            "func eval \"IMAGE\" failed: it is broken",
            "IMAGE: it is broken",
        ),
        (
            "report",
            "func eval \"IMAGE\" failed: found errors",
            "IMAGE: exit code 3",
        ),
        (
            "panic",
            "func eval \"IMAGE\" failed: KRM function panicked",
            "IMAGE: KRM function panicked",
        ),
    ] {
        for list in ["mutators", "validators"] {
            let root = kptfile(&format!("pipeline:\n  mutators:\n  - image: annotate\n  {list}:\n  - image: {function}\n").replace("  - image: annotate\n  mutators:\n", "  - image: annotate\n"));
            let image = format!("{DEFAULT_IMAGE_PREFIX}{function}:latest");
            let rendered = run(&files(&[("Kptfile", &root), ("a.yaml", &a)]));
            let (why, summary) = (
                why.replace("IMAGE", &image),
                summary.replace("IMAGE", &image),
            );
            assert_eq!(
                rendered.error.as_deref(),
                Some(&*format!("fn.render: pkg .: pipeline.run: {why}"))
            );
            assert_eq!(text(&rendered, "a.yaml"), a);
            let kptfile = text(&rendered, "Kptfile");
            assert!(kptfile.starts_with(&root), "{kptfile}");
            let told: Value = yaml::from_str(kptfile).unwrap();
            assert_eq!(
                told["status"]["conditions"],
                json!([{"type": "Rendered", "status": "False", "reason": "RenderFailed", "message": format!("pkg .: pipeline.run: {why}")}])
            );
            assert_eq!(told["status"]["renderStatus"]["errorSummary"], summary);
            let status = rendered.status.unwrap();
            assert_eq!((status.result.exit_code, status.result.items.len()), (1, 2));
            let failed = &status.result.items[1];
            let (code, stderr) = match function {
                "report" => (3, "about errors"),
                _ => (1, ""),
            };
            assert_eq!((failed.exit_code, failed.stderr.as_str()), (code, stderr));
            let step = if list == "mutators" {
                &told["status"]["renderStatus"]["mutationSteps"][1]
            } else {
                &told["status"]["renderStatus"]["validationSteps"][0]
            };
            assert_eq!(step["exitCode"], code);
            assert_eq!(step["stderr"].as_str().unwrap_or_default(), stderr);
            assert_eq!(run(&rendered.files).files, rendered.files);
            // What it says of the failure is gone when there is none any longer.
            let mended = String::from_utf8(rendered.files["Kptfile"].clone())
                .unwrap()
                .replace(&format!("image: {function}\n"), "image: nothing\n");
            let mended = run(&files(&[("Kptfile", &mended), ("a.yaml", &a)]));
            assert_eq!(mended.error, None);
            assert!(!text(&mended, "Kptfile").contains("errorSummary"));
        }
    }
}

#[test]
fn a_failed_render_keeps_what_was_done_if_it_is_asked_to() {
    let (a, sub_of) = (config_map("a"), tracing("s"));
    for image in ["fail", "not-there", "drop-all"] {
        let pipeline = format!(
            "pipeline:\n  mutators:\n  - image: annotate\n  - image: drop-b\n  - image: {image}\n  - image: trace\n"
        );
        let saves = kptfile(&format!(
            "  annotations:\n    kpt.dev/save-on-render-failure: \"true\"\n{pipeline}"
        ));
        let rendered = run(&files(&[
            ("Kptfile", &saves),
            ("a.yaml", &a),
            ("b.yaml", &config_map("b")),
            ("sub/Kptfile", &sub_of),
            ("sub/x.yaml", &config_map("x")),
        ]));
        assert!(rendered.error.is_some());
        assert!(text(&rendered, "a.yaml").contains("by: us"), "{image}");
        assert_eq!(
            (
                traced(&rendered, "a.yaml").as_str(),
                traced(&rendered, "sub/x.yaml").as_str()
            ),
            ("", "s")
        );
        // Nothing is taken away after a failure.
        assert_eq!(text(&rendered, "b.yaml"), config_map("b"));
        assert!(text(&rendered, "Kptfile").contains("RenderFailed"));
    }
}

#[test]
fn nothing_runs_before_all_functions_are_there() {
    let root = kptfile("pipeline:\n  mutators:\n  - image: panic\n  - image: x.io/not-there:v1\n");
    let before = files(&[("Kptfile", &root)]);
    let rendered = run(&before);
    assert_eq!(
        rendered.error.as_deref(),
        Some("fn.render: function not available: x.io/not-there:v1: there are only tests")
    );
    assert_eq!(rendered.steps, []);
    assert!(!text(&rendered, "Kptfile").contains("renderStatus"));
    for (path, content, word) in [
        (
            "sub/Kptfile",
            "apiVersion: kpt.dev/v1alpha2\nkind: Kptfile\nmetadata: {name: s}\n",
            "sub/Kptfile: old resource version",
        ),
        (
            "sub/Kptfile",
            "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: s}\npipeline:\n  mutators:\n  - exec: ./x\n",
            "sub/Kptfile is invalid: field `pipeline.mutators[0].exec`",
        ),
        (
            "a.yaml",
            "a: 1\n",
            "must contain only KRM resources: a.yaml: ",
        ),
        ("a.yaml", "\u{1}", "a.yaml: "),
    ] {
        let mut wrong = before.clone();
        wrong.insert(
            "Kptfile".into(),
            root.replace("  - image: x.io/not-there:v1\n", "")
                .into_bytes(),
        );
        wrong.insert(path.into(), content.as_bytes().to_vec());
        let rendered = run(&wrong);
        assert!(
            rendered
                .error
                .as_ref()
                .is_some_and(|why| why.contains(word)),
            "{:?}",
            rendered.error
        );
        assert_eq!(
            (rendered.steps.len(), &rendered.files[path]),
            (0, &wrong[path])
        );
    }
}

#[test]
fn a_caller_who_goes_away_stops_the_render() {
    let root = kptfile("pipeline:\n  mutators:\n  - image: send-away\n  - image: panic\n");
    let rendered = run(&files(&[("Kptfile", &root)]));
    assert_eq!(
        rendered.error.as_deref(),
        Some("fn.render: pkg .: pipeline.run: the render was cancelled")
    );
    assert_eq!(rendered.steps.len(), 1);
}

#[test]
fn a_function_that_takes_too_long_is_cut() {
    let root = kptfile("pipeline:\n  mutators:\n  - image: patient\n");
    let options = Options {
        limit: Duration::from_millis(20),
        ..Options::default()
    };
    let rendered = render(&files(&[("Kptfile", &root)]), &functions(), &options);
    let told = rendered.error.unwrap();
    assert!(told.contains("did not end within 0.02 seconds"), "{told}");
    assert!(rendered.steps[0].took >= options.limit);
}

#[test]
fn what_a_hostile_function_makes_is_refused() {
    let a = config_map("a");
    for (image, word) in [
        ("drop-all", "returned no resources"),
        ("drop-kptfile", "must not delete the Kptfile"),
        ("double", "already exists"),
        ("leave", "must not modify resources outside of package"),
        (
            "no-krm",
            "output resource list must contain only KRM resources: a.yaml",
        ),
        ("odd-name", "can't be stored"),
    ] {
        let before = files(&[
            (
                "Kptfile",
                &kptfile(&format!("pipeline:\n  mutators:\n  - image: {image}\n")),
            ),
            ("a.yaml", &a),
        ]);
        let rendered = run(&before);
        assert!(
            rendered
                .error
                .as_ref()
                .is_some_and(|why| why.contains(word)),
            "{image}: {:?}",
            rendered.error
        );
        assert_eq!(
            rendered.files.keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>()
        );
        assert_eq!(rendered.files["a.yaml"], before["a.yaml"]);
        // A validator may do what it likes: it does not count.
        let before = files(&[
            (
                "Kptfile",
                &kptfile(&format!("pipeline:\n  validators:\n  - image: {image}\n")),
            ),
            ("a.yaml", &a),
        ]);
        let rendered = run(&before);
        assert_eq!(
            (rendered.error, &rendered.files["a.yaml"]),
            (None, &before["a.yaml"])
        );
    }
}
