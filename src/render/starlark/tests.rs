//! Scripts, good and hostile: what they make of their list, what they are told, and that each of them ends soon.

mod hostile;

use serde_json::{Value, json};

use super::{
    super::{Item, List, Place},
    *,
};

fn item(object: Value, path: &str, index: usize) -> Item {
    let text = format!("# {path}\n").into();
    let (package, path) = ("sub".into(), path.into());
    let place = Place {
        package,
        path,
        index,
    };
    Item {
        object,
        place,
        text,
    }
}

fn two() -> Vec<Item> {
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"x": "1"}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "b", "namespace": "n", "annotations": {"own": "yes"}},
        "spec": {"replicas": 1, "big": u64::MAX, "half": 0.5, "on": true, "none": null},
    });
    vec![item(map, "a.yaml", 0), item(deployment, "b.yaml", 1)]
}

fn list(source: &str) -> List {
    let config = json!({
        "apiVersion": "fn.kpt.dev/v1alpha1", "kind": "StarlarkRun", "metadata": {"name": "test"},
        "params": {"replicas": 3, "names": ["a", "b"]}, "source": source,
    });
    List {
        items: two(),
        config: Some(config),
        ..List::default()
    }
}

/// Runs a script with few steps, and returns its list with what it answered.
fn ran(source: &str) -> (List, Result<Vec<ResultItem>, Failure>) {
    let mut list = list(source);
    let answer = starlark(&mut list);
    (list, answer)
}

/// Returns what a script prints.
fn printed(source: &str) -> String {
    match ran(source).1 {
        Ok(results) => results.into_iter().map(|result| result.message).collect(),
        Err(failure) => failure.message,
    }
}

#[test]
fn a_script_that_does_nothing_changes_nothing() {
    assert!(crate::render::native("starlark").is_some());
    let (list, answer) = ran("pass");
    assert_eq!(answer, Ok(vec![]));
    assert_eq!(list.items, two());
}

#[test]
fn changes_in_place_keep_texts_places_and_the_order_of_keys() {
    let source = r#"
def set_replicas(resources, count):
    for resource in resources:
        if resource["kind"] == "Deployment":
            resource["spec"] = {"new": None, "on": False, "replicas": count}
set_replicas(ctx.resource_list["items"], ctx.resource_list["functionConfig"]["params"]["replicas"])
"#;
    let (list, answer) = ran(source);
    assert_eq!(answer, Ok(vec![]));
    let mut want = two();
    want[1].object["spec"] = json!({"replicas": 3, "on": false, "new": null});
    assert_eq!(list.items, want);
    let keys: Vec<_> = list.items[1].object["spec"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(keys, ["replicas", "on", "new"]);
}

#[test]
fn items_are_added_copied_moved_and_removed() {
    let source = r#"
items = ctx.resource_list["items"]
copy = json.decode(json.encode(items[1]))
copy["metadata"]["name"] = "c"
copy["metadata"]["annotations"]["config.kubernetes.io/path"] = "c/c.yaml"
items[1]["metadata"]["annotations"]["internal.config.kubernetes.io/path"] = "d.yaml"
items[1]["metadata"]["annotations"]["internal.config.kubernetes.io/index"] = "0"
new = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
ctx.resource_list["items"] = [items[1], copy, new]
"#;
    let (list, answer) = ran(&format!("load(\"json.star\", \"json\")\n{source}"));
    assert_eq!(answer, Ok(vec![]));
    let mut moved = two().remove(1);
    moved.place = Place {
        package: "sub".into(),
        path: "d.yaml".into(),
        index: 0,
    };
    let mut copy = two().remove(1);
    copy.object["metadata"]["name"] = "c".into();
    copy.place.path = "c/c.yaml".into();
    copy.text = "".into();
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let new = Item {
        object,
        place: Place::default(),
        text: "".into(),
    };
    assert_eq!(list.items, [moved, copy, new]);
}

#[test]
fn a_config_map_gives_its_source_and_the_rest_is_for_the_script() {
    let mut list = list("");
    let data =
        json!({"source": "print(ctx.resource_list['functionConfig']['data']['x'])", "x": "y"});
    list.config = Some(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data}));
    let results = starlark(&mut list).unwrap();
    assert_eq!(
        (results[0].severity.as_str(), results[0].message.as_str()),
        ("info", "y")
    );
}

#[test]
fn what_is_no_script_or_no_list_fails_and_changes_nothing() {
    let mut wrong = Vec::new();
    for (source, told) in [
        ("", "`source` must not be empty"),
        ("x = ", "test:1:5: got newline, want primary expression"),
        ("def f(:\n  pass", "test:1:7: got ':', want identifier"),
        ("if True:\nx = 1", "test:2:1: got identifier, want indent"),
        (
            "x = 1\n  y = 2",
            "test:2:3: got indent, want primary expression",
        ),
        (
            "return 1",
            "test:1:1: return statement not within a function",
        ),
        ("break", "test:1:1: break not in a loop"),
        ("x = 'abc", "test:1:5: unexpected EOF in string"),
        ("import os", "test:1:1: reserved word \"import\""),
        ("x = 1 ?", "test:1:7: unexpected input character '?'"),
        ("y", "test:1:1: undefined: y"),
        (
            "def f():\n  x\n  x = 1\nf()",
            "test:2:3: local variable x referenced before assignment",
        ),
        ("1 + 'a'", "test:1:1: unknown binary op: int + string"),
        ("{}['a']", "test:1:3: key \"a\" not in dict"),
        (
            "[1][2]",
            "test:1:4: index 2 out of range: there are 1 parts",
        ),
        ("len(1)", "test:1:4: len: value of type int has no len"),
        ("'a'.x()", "test:1:6: string has no .x field or method"),
        ("fail('no', 1)", "test:1:5: fail: no 1"),
        (
            "load('os.star', 'os')",
            "test:1:1: cannot load os.star: there are only krmfn.star, json.star and yaml.star",
        ),
        (
            "x = [1]\nfor i in x:\n  x.append(1)",
            "test:3:11: append: can't change a list during iteration",
        ),
        ("ctx.resource_list = 1", "test:1:4: can't assign to a field"),
        (
            "ctx.resource_list['items'] = 1",
            "the items of ctx.resource_list must be a list",
        ),
        (
            "ctx.resource_list['items'] = [1]",
            "every item of ctx.resource_list must be a dict",
        ),
        (
            "ctx.resource_list['items'] = [len]",
            "a builtin_function_or_method can't be given back",
        ),
        (
            "ctx.resource_list['items'][0][1] = 2",
            "the key 1 of a dict is no string",
        ),
        (
            "i = ctx.resource_list['items']\ni.append(i)",
            "the value nests too deeply",
        ),
        (
            "ctx.resource_list['items'][0]['metadata']['annotations']['config.kubernetes.io/index'] = 'x'",
            "\"x\" is no index of a resource",
        ),
        (
            "a = ctx.resource_list['items'][0]['metadata']['annotations']\na['config.kubernetes.io/path'] = 'x'\na['internal.config.kubernetes.io/path'] = 'y'",
            "a resource has mismatched legacy and internal path annotations",
        ),
    ] {
        let (list, answer) = ran(source);
        let failure = answer.unwrap_err();
        if failure.message != told {
            wrong.push(format!(
                "{source}\n  told {}\n  not  {told}",
                failure.message
            ));
        }
        let result = failure.results.last().unwrap();
        assert_eq!(
            (result.severity.as_str(), result.message.as_str()),
            ("error", failure.message.as_str())
        );
        assert_eq!(list.items, two(), "{source}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Scripts, and what each of them prints or is told.
const LANGUAGE: &[(&str, &str)] = &[
    (
        "print(1, 2.0, 'a', [1, 'b'], (1,), {'k': None}, True, sep=' ')",
        "1 2.0 a [1, \"b\"] (1,) {\"k\": None} True",
    ),
    (
        "print(7 // 2, -7 // 2, 7 % -3, -7 % 3, 1 / 2, 2 * 3 + 4, 2 + 3 * 4, 1 << 4, 255 >> 4, 6 & 3, 6 | 3, 6 ^ 3, ~1)",
        "3 -4 -2 2 0.5 10 14 16 15 2 7 5 -2",
    ),
    (
        "print(0x1f, 0o17, 0b11, 1e3, .5, 1_0 if False else 10)",
        "test:1:35: got identifier, want ')'",
    ),
    (
        "print(1 < 2, 'a' < 'b', [1, 2] < [1, 3], 1 == 1.0, 'a' in 'cat', 3 not in [1], not 1)",
        "True True True True True True False",
    ),
    (
        "print('abc'[1], 'abc'[-1], 'abcdef'[1:4], 'abc'[::-1], [1, 2, 3][:2], 'äöü'[1:], len('äö'))",
        "b c bcd cba [1, 2] öü 2",
    ),
    (
        "print('a' + 'b', 'ab' * 2, [1] * 3, (1,) + (2,), 'x' if 0 else 'y')",
        "ab abab [1, 1, 1] (1, 2) y",
    ),
    (
        "print('%s-%d-%r %%' % ('a', 2, 'b'), '%s' % 1, '{} {x} {{}}'.format(1, x=2), '{0}{1!r}'.format('a', 'b'))",
        "a-2-\"b\" % 1 1 2 {} a\"b\"",
    ),
    (
        "print([x * y for x in range(3) for y in [1, 10] if x], {k: v for k, v in zip('a b'.split(), [1, 2])})",
        "[1, 10, 2, 20] {\"a\": 1, \"b\": 2}",
    ),
    ("x = [1]\nprint([x for x in x], x)", "[1] [1]"),
    (
        "def f(a, b=2, *c, d=4, **e):\n  return (a, b, c, d, e)\nprint(f(1), f(1, 3, 5, d=6, x=7), f(*[1, 2], **{'d': 0}))",
        "(1, 2, (), 4, {}) (1, 3, (5,), 6, {\"x\": 7}) (1, 2, (), 0, {})",
    ),
    (
        "def f():\n  pass\nf(1)",
        "test:3:2: function f got too many positional arguments",
    ),
    (
        "def f(a): return a\nf()",
        "test:2:2: function f missing an argument for a",
    ),
    (
        "def f(a): return a\nf(1, a=2)",
        "test:2:2: function f got multiple values for parameter a",
    ),
    (
        "def f(n): return 1 if n < 2 else n * f(n - 1)\nprint(f(20))",
        "2432902008176640000",
    ),
    (
        "def c():\n  n = [0]\n  def up():\n    n[0] += 1\n    return n[0]\n  return up\nu = c()\nu()\nprint(u(), (lambda x, y=3: x + y)(1))",
        "2 4",
    ),
    (
        "x = 1\nx = 2\nx += 3\nif x == 5:\n  print('top')\nelif x:\n  print('no')\nelse:\n  print('no')\nwhile x:\n  x -= 1\n  if x == 2: break\nprint(x)",
        "top\n2",
    ),
    (
        "for i in range(10):\n  if i % 2: continue\n  if i > 5: break\n  print(i)",
        "0\n2\n4",
    ),
    (
        "a, (b, c) = 1, [2, 3]\n[d, e] = (4, 5)\nprint(a, b, c, d, e)",
        "1 2 3 4 5",
    ),
    (
        "d = {'b': 1, 'a': 2}\nd['c'] = 3\nd.pop('b')\nd['b'] = 4\nprint(d, d.get('x'), d.get('x', 0), sorted(d), 'a' in d, d.items(), d.setdefault('a', []))",
        "{\"a\": 2, \"c\": 3, \"b\": 4} None 0 [\"a\", \"b\", \"c\"] True [(\"a\", 2), (\"c\", 3), (\"b\", 4)] 2",
    ),
    (
        "d = {1: 'a', 1.0: 'b', (1, 2): 'c', None: 'd', True: 'e'}\nprint(d, dict(a=1), dict([('x', 2)], y=3), {'a': 1} | {'b': 2})",
        "{1: \"b\", (1, 2): \"c\", None: \"d\", True: \"e\"} {\"a\": 1} {\"x\": 2, \"y\": 3} {\"a\": 1, \"b\": 2}",
    ),
    (
        "l = [3, 1]\nl.append(2)\nl.extend((0,))\nl.insert(0, 9)\nl += [7]\nl.remove(1)\nprint(str(l), l.pop(), l.pop(0), l.index(2), l)",
        "[9, 3, 2, 0, 7] 7 9 1 [3, 2, 0]",
    ),
    (
        "print(set([1, 2, 1]) | set([3]), set([1, 2]) & set([2]), set([1, 2]) - set([2]), len(set()), 1 in set([1]))",
        "set([1, 2, 3]) set([2]) set([1]) 0 True",
    ),
    (
        "print(sorted([3, 1, 2], reverse=True), sorted(['bb', 'a'], key=len), max(1, 3, 2), min([2, 1]), max(['a', 'bb'], key=len))",
        "[3, 2, 1] [\"a\", \"bb\"] 3 1 bb",
    ),
    (
        "print(list(enumerate('a b'.split(), 1)), reversed([1, 2]), any([0, 1]), all([]), int('ff', 16), int(2.9), float('1.5'), str(None), type({}), bool(''), repr('a'), abs(-1))",
        "[(1, \"a\"), (2, \"b\")] [2, 1] True True 255 2 1.5 None dict False \"a\" 1",
    ),
    (
        "print(' a b '.strip(), 'a,b,c'.split(',', 1), 'a,b,c'.rsplit(',', 1), 'a  b c'.split(), 'a  b c'.split(None, 1), '-'.join(['a', 'b']), 'aXa'.replace('a', 'b', 1), 'ab'.upper(), 'a.b'.partition('.'))",
        "a b [\"a\", \"b,c\"] [\"a,b\", \"c\"] [\"a\", \"b\", \"c\"] [\"a\", \"b c\"] a-b bXa AB (\"a\", \".\", \"b\")",
    ),
    (
        "print('äabc'.find('c'), 'abab'.rfind('b'), 'x'.find('y'), 'aaa'.count('a'), 'abc'.startswith(('x', 'ab')), 'abc'.removeprefix('a'), 'a b'.title(), 'a\\nb\\n'.splitlines(), '12'.isdigit())",
        "3 3 -1 3 True bc A B [\"a\", \"b\"] True",
    ),
    (
        "print('''a\nb''', r'\\n', 'it\\'s', \"\\x41\\u00e4\\101\" if False else 'q')",
        "test:2:36: invalid escape sequence \\1",
    ),
    (
        "print(','.join([str(i) for i in range(5, 0, -2)]), range(3)[1], len(range(10)), 5 in range(10), list(range(0)))",
        "5,3,1 1 10 True []",
    ),
    (
        "x = 1; y = [\n  1, # one\n  2,\n]; print(x, y)\\\n\n",
        "1 [1, 2]",
    ),
    (
        "load('krmfn.star', 'krmfn')\nprint([r['metadata']['name'] for r in ctx.resource_list['items'] if krmfn.match_gvk(r, 'apps/v1', 'Deployment') and krmfn.match_namespace(r, 'n') and krmfn.match_name(r, 'b')])",
        "[\"b\"]",
    ),
    (
        "load('krmfn.star', m='match_name')\nprint(m({}, 'b'), ctx.open_api, ctx.environment, ctx.resource_list['kind'])",
        "False {} {} ResourceList",
    ),
    (
        "load('encoding/json.star', 'json')\nprint(json.encode({'a': [1, 2.5, None, True]}), json.decode('{\"b\": [1]}'))",
        "{\"a\":[1,2.5,null,true]} {\"b\": [1]}",
    ),
    (
        "load('encoding/yaml.star', 'yaml')\nprint(yaml.dumps({'b': [1, {'d': 'on', 'c': None}], 'a': {}}), yaml.loads('a: [1, x]\\nb: {c: \\'1\\'}\\n'))",
        "a: {}\nb:\n- 1\n- c: null\n  d: \"on\"\n {\"a\": [1, \"x\"], \"b\": {\"c\": \"1\"}}",
    ),
    (
        "print(hasattr([], 'pop'), getattr([], 'x', 3))\nm = [].append\nprint(m, type(m))",
        "True 3\n<built-in method append> builtin_function_or_method",
    ),
    (
        "print(3 == True, [1] == [1], {'a': [1]} == {'a': [1.0]}, (1, 2) == (1, 3), None == False)",
        "False True True False False",
    ),
    (
        "print(170141183460469231731687303715884105727 + 1)",
        "test:1:7: the number is too large",
    ),
    ("print(1 // 0)", "test:1:7: integer division by zero"),
];

#[test]
fn the_language_is_starlark() {
    let mut wrong = Vec::new();
    for (source, text) in LANGUAGE {
        let printed = printed(source);
        if printed != *text {
            wrong.push(format!("{source}\n  printed {printed}\n  not     {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numbers_come_back_as_they_were() {
    let source =
        "for r in ctx.resource_list['items']:\n  r['new'] = [r.get('spec', {}).get('big'), 1.0, 2]";
    let (list, answer) = ran(source);
    assert_eq!(answer, Ok(vec![]));
    assert_eq!(list.items[1].object["new"], json!([u64::MAX, 1.0, 2]));
    assert_eq!(list.items[1].object["spec"], two()[1].object["spec"]);
}

#[test]
fn what_is_printed_is_bounded() {
    let text = printed("for i in range(100000):\n  print('äöü' * 10)");
    assert!(
        text.len() <= 16 << 10 && text.starts_with("äöü"),
        "{}",
        text.len()
    );
}

#[test]
fn annotations_of_its_own_survive() {
    let mut list = list("pass");
    list.items[0].object["metadata"]["annotations"] = json!({"config.kubernetes.io/path": "mine"});
    list.items[1].object["metadata"] = json!({"name": "x", "annotations": {}});
    list.items.push(item(json!(["a", "sequence"]), "c.yaml", 0));
    list.items.push(item(json!({"kind": "None"}), "d.yaml", 0));
    list.items
        .push(item(json!({"metadata": null}), "e.yaml", 0));
    let mut before = list.items.clone();
    before.rotate_left(2);
    before[1..].rotate_right(2);
    assert_eq!(starlark(&mut list), Ok(vec![]));
    assert_eq!(list.items, before);
}
