//! Scripts that would loop, recurse, allocate or print for ever, and scripts that are broken in every place.

use std::time::{Duration, Instant};

use super::*;

const BYTES: &str = "bytes of memory";
const STEPS: &str = "steps";
const DEEP: &str = "deeply";
const LARGE: &str = "too large";

/// Scripts that would take all time or memory there is, and a part of what each is told.
const HOSTILE: &[(&str, &str)] = &[
    (
        "load('json.star', 'json')\nx = json.encode('\\x01' * 7000000)",
        BYTES,
    ),
    ("x = repr('\\x01' * 4000000)", BYTES),
    ("while 1:\n  load('krmfn.star', 'krmfn')", BYTES),
    ("s = 'a' * 1000000\nwhile 1:\n  s.strip(s)", STEPS),
    ("for i in range(10 * 1000000000000):\n  pass", STEPS),
    ("while True:\n  pass", STEPS),
    ("x = [0 for i in range(1000000000000)]", "more than"),
    ("x = [0 for i in range(1000000000000) if 0]", STEPS),
    ("x = list(range(1000000000000))", BYTES),
    ("x = range(1000000000000)[1:]", BYTES),
    ("x = 1000000000000 in range(10000000000000)", STEPS),
    ("x = 'a' * 1000000000000", BYTES),
    ("x = [1] * 1000000000000", BYTES),
    ("x = (1,) * 9223372036854775807", BYTES),
    ("x = [] * 9223372036854775807\nfail('ok')", "ok"),
    ("x = '' * 9223372036854775807\nfail('ok')", "ok"),
    ("s = 'a'\nwhile 1:\n  s = s + s", BYTES),
    ("s = 'a'\nwhile 1:\n  s += s", BYTES),
    ("s = [1]\nwhile 1:\n  s = s + s", BYTES),
    ("s = [1]\nwhile 1:\n  s += s", BYTES),
    ("s = [1]\nwhile 1:\n  s.extend(s)", BYTES),
    (
        "s = 'a' * 1000000\nx = [s + s for i in range(1000000)]",
        BYTES,
    ),
    ("s = 'a' * 1000000\nwhile 1:\n  'b' in s", STEPS),
    ("s = 'a' * 1000000\nwhile 1:\n  s == 'a' + s[1:]", BYTES),
    ("s = 'a' * 1000000\nwhile 1:\n  s.find('b')", STEPS),
    ("s = 'a' * 1000000\nwhile 1:\n  s.isalpha()", STEPS),
    ("s = 'a' * 1000000\nwhile 1:\n  len(s)", STEPS),
    ("s = 'a' * 1000000\nwhile 1:\n  s[5]", STEPS),
    ("s = 'a' * 1000000\nd = {s: 1}\nwhile 1:\n  s in d", STEPS),
    ("x = ('a' * 1000000).replace('a', 'b' * 1000000)", BYTES),
    ("x = ('a' * 1000000).replace('', 'b' * 1000000)", BYTES),
    ("x = ('b' * 1000000).join(['a'] * 1000000)", BYTES),
    ("x = ('a' * 10000000).split('a')", BYTES),
    ("x = ('a' * 100000000).elems()", BYTES),
    ("x = ('{}' * 1000).format(*(['a' * 1000000] * 1000))", STEPS),
    ("x = ('%s' * 1000) % tuple(['a' * 1000000] * 1000)", BYTES),
    (
        "a = []\nfor i in range(100):\n  a = [a, a]\nx = str(a)",
        BYTES,
    ),
    (
        "a = []\nfor i in range(100):\n  a = [a, a]\nb = []\nfor i in range(100):\n  b = [b, b]\na == b",
        STEPS,
    ),
    (
        "a = []\nfor i in range(100):\n  a = [a, a]\nctx.resource_list['items'].append({'a': a})",
        BYTES,
    ),
    (
        "a = ()\nfor i in range(100):\n  a = (a, a)\nx = {a: 1}",
        BYTES,
    ),
    ("a = []\na.append(a)\nx = str(a)", DEEP),
    ("a = []\nb = []\na.append(a)\nb.append(b)\na == b", DEEP),
    ("a = []\nb = []\na.append(a)\nb.append(b)\na < b", DEEP),
    (
        "a = []\nfor i in range(30000):\n  a = [a]\nfail('ok')",
        "ok",
    ),
    (
        "a = []\nfor i in range(30000):\n  a = [a]\nctx.resource_list['items'] = a",
        DEEP,
    ),
    ("def f(): return f()\nf()", DEEP),
    ("def f(n): return [f(n + 1) for i in range(2)]\nf(0)", DEEP),
    ("f = lambda x: x(x)\nf(f)", DEEP),
    ("def f(x): return sorted([1, 2], key=f)\nf(1)", DEEP),
    ("def f(): return max([1], key=lambda x: f())\nf()", DEEP),
    ("x = 2\nwhile 1:\n  x = x * x", LARGE),
    ("x = 1 << 1000000000000", LARGE),
    ("x = 1 >> -1", LARGE),
    ("while 1:\n  print('a' * 1000)", "e"),
    (
        "l = list(range(100000))\nwhile 1:\n  l.insert(0, l.pop(0))",
        STEPS,
    ),
    ("l = list(range(100000))\nwhile 1:\n  5000000 in l", STEPS),
    (
        "l = list(range(100000))\nwhile 1:\n  l.reverse()",
        "no .reverse",
    ),
    ("l = list(range(100000))\nwhile 1:\n  sorted(l)", "e"),
    ("d = {}\ni = 0\nwhile 1:\n  d[i] = d\n  i += 1", BYTES),
    (
        "d = {i: i for i in range(20000)}\nfor i in range(19990):\n  d.pop(i)\n  for k in d:\n    break",
        STEPS,
    ),
    (
        "d = dict([(i, 0) for i in range(15000)])\nwhile 1:\n  d.clear()\n  d[1] = 1",
        BYTES,
    ),
    (
        "def f(**k): return k\nd = {str(i): 0 for i in range(20000)}\nf(**d)",
        STEPS,
    ),
    ("x = [lambda: i for i in range(10000000)]", BYTES),
    ("x = zip(*[range(1000000)] * 1000)", BYTES),
    ("while 1:\n  enumerate(range(1000))", BYTES),
    (
        "load('json.star', 'json')\nx = json.decode('[' * 100000)",
        "recursion limit",
    ),
    (
        "load('json.star', 'json')\nx = json.decode('[' + '1,' * 10000000 + '1]')",
        BYTES,
    ),
    (
        "load('yaml.star', 'yaml')\nx = yaml.loads('a: &a ' + 'x' * 10000 + '\\nb: [' + '*a, ' * 10000 + ']')",
        BYTES,
    ),
    ("load('yaml.star', 'yaml')\nx = yaml.loads('[' * 1000)", ""),
    (
        "load('yaml.star', 'yaml')\nx = []\nfor i in range(190):\n  x = [x, 'a' * 1000]\ny = yaml.dumps([x] * 1000)",
        BYTES,
    ),
    ("x = int('9' * 1000000)", "can't be read"),
];

/// Runs a script with little; returns what is wrong with how it ended. The time is that of a debug build, which is many times slower.
fn wrong_end(source: &str, told: &str) -> Option<String> {
    let (list, begun) = (list(source), Instant::now());
    let limits = Limits {
        steps: 1_000_000,
        bytes: 8 << 20,
        ..Limits::default()
    };
    let ended = match run(&list, limits).map(|ran| ran.items) {
        Ok(Ok(items)) => format!("{} items", items.len()),
        Ok(Err(message)) | Err(message) => message,
    };
    let took = begun.elapsed();
    let short: String = source.chars().take(100).collect();
    let is_right = ended.contains(told) && took < Duration::from_secs(30);
    (!is_right).then(|| format!("{short}\n  told {ended} after {took:?}\n  not  {told}"))
}

#[test]
fn hostile_scripts_end_soon_and_take_nothing_down() {
    let wrong = HOSTILE
        .iter()
        .filter_map(|(source, told)| wrong_end(source, told));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_script_ends_when_nobody_waits_for_it() {
    let list = list("while True:\n  pass");
    let audience = list.audience.clone();
    let limits = Limits {
        steps: 1 << 40,
        ..Limits::default()
    };
    let running = thread::spawn(move || run(&list, limits).map(|ran| ran.items));
    audience.leave();
    let ended = running.join().unwrap().and_then(|items| items);
    assert!(
        ended.is_err_and(|told| told.contains("cancelled")),
        "it went on"
    );
}

#[test]
fn scripts_that_nest_without_end_are_refused() {
    let many = |begin: &str, middle: &str, end: &str| {
        let (begin, end) = (begin.repeat(100_000), end.repeat(100_000));
        format!("x = {begin}{middle}{end}")
    };
    let parameters = (0..100_000).map(|number| format!("a{number}, "));
    let indents = (0..1000).map(|depth| " ".repeat(depth) + "if 1:\n");
    let sums = (0..20).fold("1".to_string(), |inner, _| {
        format!("({inner}{})", "+1".repeat(400))
    });
    for (source, told) in [
        (many("(", "1", ")"), DEEP),
        (many("[", "1", "]"), DEEP),
        (many("{1:", "1", "}"), DEEP),
        (many("-", "1", ""), DEEP),
        (many("not ", "1", ""), DEEP),
        (many("1 if 0 else ", "1", "")[..1 << 19].to_string(), DEEP),
        (many("lambda: ", "1", ""), DEEP),
        (many("f(", "1", ")"), DEEP),
        (
            format!("def f({}): pass", parameters.collect::<String>()),
            "too many parameters",
        ),
        (many("", "1", "+1"), "too long"),
        (many("", "f", "()"), "too long"),
        (many("", "f", ".f"), "too long"),
        (many("", "f", "[1]"), "too long"),
        (indents.collect(), "too many levels"),
        (format!("x = {sums}"), DEEP),
        ("#".repeat(2 << 20), "more than 1048576 bytes"),
    ] {
        assert_eq!(wrong_end(&source, told), None);
    }
}

#[test]
fn no_script_breaks_the_machine() {
    let limits = Limits {
        steps: 20_000,
        bytes: 1 << 20,
        ..Limits::default()
    };
    let scripts = LANGUAGE.iter().chain(HOSTILE).map(|(source, _)| *source);
    for source in scripts {
        for (at, c) in source.char_indices() {
            let (begin, rest) = (&source[..at], &source[at + c.len_utf8()..]);
            let broken = [begin.to_string(), format!("{begin}{rest}")];
            for source in broken {
                let ended = run(&list(&source), limits);
                assert_ne!(
                    ended.err().as_deref(),
                    Some("the function panicked"),
                    "{source}"
                );
            }
        }
    }
}
