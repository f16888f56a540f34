//! The four strategies on small packages.

use super::*;

const KPTFILE: &str = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: n\n";
const REMOTE: &str =
    "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: n\nupstream:\n  type: git\n";
const ALL: [Strategy; 4] = [
    Strategy::ResourceMerge,
    Strategy::FastForward,
    Strategy::ForceDeleteReplace,
    Strategy::CopyMerge,
];

/// Returns files; of each only the text is of interest, and that of a Kptfile is made.
fn files(all: &[&str]) -> Files {
    let file = |one: &&str| {
        let (path, text) = one.split_once('=').unwrap_or((one, ""));
        let text = match (path.ends_with("Kptfile"), text) {
            (true, "remote") => REMOTE.into(),
            (true, "") => KPTFILE.into(),
            (true, label) => format!("{KPTFILE}  labels:\n    l: {label}\n"),
            (false, text) => text.to_owned(),
        };
        (path.to_owned(), text.into_bytes())
    };
    all.iter().map(file).collect()
}

fn upgraded(three: [&[&str]; 3], strategy: Strategy) -> Result<Files, UpgradeError> {
    let [old, new, local] = three.map(files);
    upgrade(&old, &new, &local, strategy)
}

#[test]
fn strategies_have_names() {
    for (text, strategy) in [
        ("", Strategy::ResourceMerge),
        ("odd", Strategy::ResourceMerge),
        ("resource-merge", Strategy::ResourceMerge),
        ("fast-forward", Strategy::FastForward),
        ("force-delete-replace", Strategy::ForceDeleteReplace),
        ("copy-merge", Strategy::CopyMerge),
    ] {
        assert_eq!(Strategy::of(text), strategy);
    }
}

#[test]
fn each_strategy_does_with_a_changed_file_what_it_is_for() {
    let three: [&[&str]; 3] = [
        &["Kptfile", "f.txt=1", "gone.txt=1"],
        &["Kptfile=new", "f.txt=2", "new.txt=1"],
        &["Kptfile", "f.txt=3", "gone.txt=1", "own.txt=1"],
    ];
    let merged = files(&["Kptfile=new", "f.txt=3", "new.txt=1", "own.txt=1"]);
    assert_eq!(upgraded(three, ALL[0]), Ok(merged));
    let error = upgraded(three, ALL[1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "local package files have been modified: [f.txt own.txt].\n  use a different update --strategy."
    );
    let replaced = files(&["Kptfile=new", "f.txt=2", "new.txt=1"]);
    assert_eq!(upgraded(three, ALL[2]), Ok(replaced));
    let copied = files(&["Kptfile=new", "f.txt=2", "new.txt=1", "own.txt=1"]);
    assert_eq!(upgraded(three, ALL[3]), Ok(copied));
}

#[test]
fn packages_without_a_kptfile_are_merged_too() {
    for (strategy, want) in ALL.into_iter().zip(["3", "", "2", "2"]) {
        let got = upgraded([&["f.txt=1"], &["f.txt=2"], &["f.txt=3"]], strategy);
        match want {
            "" => assert!(matches!(got, Err(UpgradeError::Modified(_)))),
            want => assert_eq!(got.unwrap()["f.txt"], want.as_bytes()),
        }
    }
}

/// Upstream's old and new files, local ones, and what a merge makes of them, or a subpackage that both added.
type Row<'a> = ([&'a [&'a str]; 3], Result<&'a [&'a str], &'a str>);

#[test]
fn subpackages_come_stay_and_go() {
    let rows: &[Row] = &[
        ([&[], &["s/Kptfile"], &["s/Kptfile"]], Err("s")),
        (
            [&[], &["s/Kptfile", "s/a=1", "s/t/Kptfile"], &[]],
            Ok(&["s/Kptfile", "s/a=1", "s/t/Kptfile"]),
        ),
        (
            [&[], &[], &["s/Kptfile", "s/a=1"]],
            Ok(&["s/Kptfile", "s/a=1"]),
        ),
        (
            [
                &["s/Kptfile", "s/a=1"],
                &["s/Kptfile=x", "s/a=2", "s/b=1"],
                &[],
            ],
            Ok(&[]),
        ),
        ([&["s/Kptfile", "s/a=1"], &[], &[]], Ok(&[])),
        (
            [&["s/Kptfile", "s/a=1"], &[], &["s/Kptfile", "s/a=1"]],
            Ok(&[]),
        ),
        (
            [&["s/Kptfile", "s/a=1"], &[], &["s/Kptfile", "s/a=2"]],
            Ok(&["s/Kptfile", "s/a=2"]),
        ),
        (
            [&["s/Kptfile", "s/a=1"], &[], &["s/Kptfile=x", "s/a=1"]],
            Ok(&["s/Kptfile=x", "s/a=1"]),
        ),
        // Only the Kptfile goes.
        (
            [&["s/Kptfile", "s/a=1"], &["s/a=2"], &["s/Kptfile", "s/a=1"]],
            Ok(&["s/a=2"]),
        ),
        (
            [
                &["s/Kptfile", "s/a=1"],
                &["s/Kptfile=x", "s/a=2", "s/b=1"],
                &["s/Kptfile", "s/a=1", "s/own=1"],
            ],
            Ok(&["s/Kptfile=x", "s/a=2", "s/b=1", "s/own=1"]),
        ),
        // With an upstream of their own: not touched, and not added.
        (
            [
                &["s/Kptfile=remote", "s/a=1"],
                &["s/Kptfile=remote", "s/a=2"],
                &["s/Kptfile=remote", "s/a=1"],
            ],
            Ok(&["s/Kptfile=remote", "s/a=1"]),
        ),
        ([&[], &["s/Kptfile=remote", "s/a=2"], &[]], Ok(&[])),
        (
            [
                &["s/Kptfile", "s/t/Kptfile"],
                &[],
                &["s/Kptfile=remote", "s/t/Kptfile", "s/t/a=1"],
            ],
            Ok(&["s/Kptfile=remote", "s/t/Kptfile", "s/t/a=1"]),
        ),
        // A directory that became a package takes nothing away from here.
        (
            [&["s/a=1"], &["s/Kptfile", "s/a=2"], &["s/a=3"]],
            Ok(&["s/Kptfile", "s/a=3"]),
        ),
    ];
    for (three, want) in rows {
        let got = upgraded(*three, Strategy::ResourceMerge);
        let want = match want {
            Ok(want) => Ok(files(want)),
            Err(path) => Err(UpgradeError::AddedTwice((*path).into())),
        };
        assert_eq!(got, want, "{three:?}");
    }
    let error = UpgradeError::AddedTwice("a/b".into());
    assert_eq!(
        error.to_string(),
        "subpackage \"a/b\" added in both upstream and local"
    );
}

#[test]
fn one_side_that_changed_alone_is_what_comes_out() {
    let versions: &[&[&str]] = &[
        &["Kptfile"],
        &[
            "Kptfile",
            "a.yaml=a: 1\n",
            "b.txt=1",
            "s/Kptfile",
            "s/a.yaml=kind: K\n",
        ],
        &[
            "Kptfile=x",
            "a.yaml=a: 2\n",
            "s/Kptfile=x",
            "s/a.yaml=kind: K\na: 1\n",
        ],
        &[
            "Kptfile",
            "a.yaml={{ if }}\n",
            "b.txt=2",
            "t/u/Kptfile",
            "t/u/a.yaml=- a\n",
            "t/a=1",
        ],
        &["Kptfile", "s/t/Kptfile", "s/a.yaml=1\n---\n2\n"],
    ];
    let is_package = |files: &[&str], path: &str| {
        let kptfile = format!("{path}/Kptfile");
        files.iter().any(|one| one.starts_with(&kptfile))
    };
    for base in versions {
        for other in versions {
            let want = Ok(files(other));
            let of = |three| upgraded(three, Strategy::ResourceMerge);
            assert_eq!(of([base, base, other]), want, "{base:?} {other:?}");
            assert_eq!(of([base, other, base]), want, "{base:?} {other:?}");
            let added = ["s", "s/t", "t/u"];
            let mut added = added.iter().filter(|path| is_package(other, path));
            if added.all(|path| is_package(base, path)) {
                assert_eq!(of([base, other, other]), want, "{base:?} {other:?}");
            }
        }
    }
}

#[test]
fn replacing_and_copying_differ_in_what_is_only_local() {
    let three: [&[&str]; 3] = [
        &["s/Kptfile", "s/a=1", "gone/Kptfile"],
        &[
            "s/Kptfile=x",
            "s/a=2",
            "new/Kptfile",
            "r/Kptfile=remote",
            "r/a=2",
        ],
        &[
            "s/Kptfile=own",
            "s/a=3",
            "gone/Kptfile",
            "own/Kptfile",
            "r/Kptfile=remote",
            "r/a=1",
        ],
    ];
    let replaced = files(&[
        "s/Kptfile=x",
        "s/a=2",
        "new/Kptfile",
        "r/Kptfile=remote",
        "r/a=1",
    ]);
    assert_eq!(upgraded(three, Strategy::ForceDeleteReplace), Ok(replaced));
    let copied = files(&[
        "s/Kptfile=x",
        "s/a=2",
        "new/Kptfile",
        "own/Kptfile",
        "r/Kptfile=remote",
        "r/a=2",
    ]);
    assert_eq!(upgraded(three, Strategy::CopyMerge), Ok(copied));
}

#[test]
fn a_fast_forward_loses_no_change_of_a_user() {
    let old: &[&str] = &[
        "Kptfile",
        "s/Kptfile",
        "a.yaml=a: 1 # a\n",
        "r/Kptfile=remote",
    ];
    let new: &[&str] = &["Kptfile", "s/Kptfile", "a.yaml=a: 2\n"];
    for (local, want) in [
        (&["Kptfile", "s/Kptfile", "a.yaml=a: 1 # a\n"][..], vec![]),
        // How it is written, what is in packages of others, and the context are nothing.
        (
            &[
                "Kptfile",
                "s/Kptfile",
                "a.yaml=a:  1 # a\n",
                "r/Kptfile=remote",
                "r/a=1",
            ],
            vec![],
        ),
        (
            &[
                "Kptfile",
                "s/Kptfile",
                "a.yaml=a: 1 # a\n",
                "package-context.yaml=b: 1\n",
            ],
            vec![],
        ),
        (
            &["Kptfile=l", "s/Kptfile=l", "a.yaml=a: 1 # b\n"],
            vec!["Kptfile", "a.yaml", "s/Kptfile"],
        ),
        (&["Kptfile"], vec!["a.yaml", "s/Kptfile"]),
        (
            &["Kptfile", "s/Kptfile", "a.yaml=a: 1 # a\n", "t/Kptfile"],
            vec!["t/Kptfile"],
        ),
    ] {
        let got = upgraded([old, new, local], Strategy::FastForward);
        if want.is_empty() {
            let got = got.unwrap();
            assert_eq!(got["a.yaml"], b"a: 2\n");
            let kept = local.iter().any(|one| one.starts_with("package-context"));
            assert_eq!(got.contains_key("package-context.yaml"), kept);
        } else {
            let paths = want.into_iter().map(str::to_owned).collect();
            assert_eq!(got, Err(UpgradeError::Modified(paths)));
        }
    }
}

#[test]
fn a_fast_forward_takes_the_marks_of_a_render_away() {
    let rendered =
        format!("{KPTFILE}status:\n  conditions:\n  - type: Rendered\n    status: \"True\"\n");
    let (old, mut local) = (files(&["Kptfile"]), files(&[]));
    local.insert("Kptfile".into(), rendered.into_bytes());
    let got = upgrade(&old, &old, &local, Strategy::FastForward);
    assert_eq!(got, Ok(old));
}

#[test]
fn the_context_of_a_package_is_its_own() {
    let (old, new) = (
        &["Kptfile"][..],
        &["Kptfile", "package-context.yaml=name: example\n"][..],
    );
    let local = &["Kptfile", "package-context.yaml=name: mine\n"];
    let got = upgraded([old, new, local], Strategy::ResourceMerge);
    assert_eq!(got, Ok(files(local)));
}

#[test]
fn what_is_ignored_is_no_resource() {
    let rules = [".krmignore=t.yaml\n", "s/.krmignore=/d/\n"];
    let version = |[t, d]: [&str; 2], more: &[&str]| {
        let t = format!("t.yaml={{{{ if }}}}\nword: {t}\n");
        let d = format!("s/d/t.yaml={{{{ if }}}}\nword: {d}\n");
        files(&[&["s/Kptfile", &t, &d], more].concat())
    };
    let old = version(["1", "1"], &[]);
    // One that was changed here stays; one that was not becomes upstream's.
    for (local, want) in [(["3", "1"], ["3", "2"]), (["1", "3"], ["2", "3"])] {
        for (upstreams, ours) in [(&rules[..], &[][..]), (&[], &rules)] {
            let (new, local) = (version(["2", "2"], upstreams), version(local, ours));
            let got = upgrade(&old, &new, &local, Strategy::ResourceMerge);
            assert_eq!(got, Ok(version(want, &rules)));
        }
    }
    let (new, local) = (version(["2", "2"], &[]), version(["3", "3"], &[]));
    let got = upgrade(&old, &new, &local, Strategy::ResourceMerge);
    assert!(matches!(got, Err(UpgradeError::Unreadable { .. })));
}

#[test]
fn a_file_and_a_directory_cannot_be_one() {
    for strategy in [Strategy::ResourceMerge, Strategy::CopyMerge] {
        let got = upgraded([&[], &["a/b=1"], &["a=1"]], strategy);
        assert_eq!(got, Err(UpgradeError::Clash("a".into())));
    }
}
