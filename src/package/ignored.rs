//! Which files of a package are no resources, though their names say so: what its `.krmignore` says, in the words of `.gitignore`. In
//! comes its text, out come answers about paths.

/// The file that says so, in the directory of its package. It says nothing of the packages in that.
pub const IGNORED: &str = ".krmignore";
/// Most bytes of that: every rule is tried with every file.
const MOST_BYTES: usize = 16 << 10;

/// What a `.krmignore` says.
#[derive(Debug, Default)]
pub struct Ignored {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// The parts of the pattern; `**` stands for any number of parts.
    parts: Vec<String>,
    /// It is about directories and what is in them.
    only_directories: bool,
    /// It takes back what rules before it said.
    takes_back: bool,
}

impl Ignored {
    /// Returns what a file says.
    ///
    /// # Errors
    /// A sentence: it says too much.
    pub fn of(content: &[u8]) -> Result<Self, String> {
        if content.len() > MOST_BYTES {
            return Err(format!("it has more than {MOST_BYTES} bytes"));
        }
        Ok(Self::read(&String::from_utf8_lossy(content)))
    }

    fn read(text: &str) -> Self {
        let rules = text.lines().filter_map(rule).collect();
        Self { rules }
    }

    /// Returns whether a file is ignored, by its path from the directory of the `.krmignore`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        // Of the directories on the way and of the file: what is in a directory that is ignored can't be taken back.
        let mut is_ignored = vec![false; parts.len() + 1];
        for rule in &self.rules {
            let fits = fits(&rule.parts, &parts);
            for depth in 1..=parts.len() {
                let is_directory = depth < parts.len();
                if fits[depth] && (is_directory || !rule.only_directories) {
                    is_ignored[depth] = !rule.takes_back;
                }
            }
        }
        is_ignored.contains(&true)
    }
}

fn rule(line: &str) -> Option<Rule> {
    let line = line.trim_end();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let taken_back = line.strip_prefix('!');
    let pattern = taken_back.unwrap_or(line);
    let body = pattern.trim_end_matches('/');
    // A slash before its end ties a pattern to the directory; without one it is about names at any depth.
    let is_tied = body.contains('/');
    let mut parts: Vec<String> = body
        .trim_start_matches('/')
        .split('/')
        .map(Into::into)
        .collect();
    if !is_tied {
        parts.insert(0, "**".into());
    }
    Some(Rule {
        parts,
        only_directories: body.len() < pattern.len(),
        takes_back: taken_back.is_some(),
    })
}

/// Returns, for every number of parts of a path, whether they are those of a pattern. Takes time by both lengths only.
fn fits(pattern: &[String], path: &[&str]) -> Vec<bool> {
    // Whether what was looked at of the pattern fits so many parts of the path.
    let mut fits = vec![false; path.len() + 1];
    fits[0] = true;
    for (at, part) in pattern.iter().enumerate() {
        let mut next = vec![false; path.len() + 1];
        let is_last = at + 1 == pattern.len();
        for depth in 0..=path.len() {
            next[depth] = if part == "**" {
                // At the end it stands for what is inside, so for one part at least.
                (fits[depth] && !is_last) || (depth > 0 && (next[depth - 1] || fits[depth - 1]))
            } else {
                depth > 0 && fits[depth - 1] && fits_name(part, path[depth - 1])
            };
        }
        fits = next;
    }
    fits
}

/// Returns whether a name is that of a pattern with `*`, `?`, `[…]` and `\`.
fn fits_name(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where to go on when the last star takes one more character.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at + 1, read));
            at += 1;
        } else if let Some(after) = fits_character(&pattern, at, name[read]) {
            (at, read) = (after, read + 1);
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            (at, read) = (after, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// Returns where the pattern goes on behind what fits a character.
fn fits_character(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => fits_class(pattern, at, c),
        '\\' => (pattern.get(at + 1)? == &c).then_some(at + 2),
        same => (*same == c).then_some(at + 1),
    }
}

fn fits_class(pattern: &[char], at: usize, c: char) -> Option<usize> {
    let is_negated = matches!(pattern.get(at + 1)?, '!' | '^');
    let start = at + 1 + usize::from(is_negated);
    // A bracket that comes first is one of the class.
    let end = pattern.iter().skip(start + 1).position(|c| *c == ']')? + start + 1;
    let (mut is_in, mut read) = (false, start);
    while read < end {
        if read + 2 < end && pattern[read + 1] == '-' {
            is_in |= (pattern[read]..=pattern[read + 2]).contains(&c);
            read += 3;
        } else {
            is_in |= pattern[read] == c;
            read += 1;
        }
    }
    (is_in != is_negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ignored_as_git_ignores_them() {
        for (text, ignored, seen) in [
            ("", &[][..], &["a.yaml"][..]),
            ("# a.yaml\n\n", &[], &["a.yaml", "# a.yaml"]),
            ("a.yaml", &["a.yaml", "d/a.yaml"], &["b.yaml", "aa.yaml"]),
            ("/a.yaml  ", &["a.yaml"], &["d/a.yaml"]),
            ("d/a.yaml", &["d/a.yaml"], &["a.yaml", "e/d/a.yaml"]),
            ("d/", &["d/a", "e/d/a"], &["d"]),
            (
                "*.json\r\n!keep.json",
                &["a.json", "d/b.json"],
                &["keep.json", "d/keep.json"],
            ),
            ("d\n!d/a", &["d/a", "d/b"], &["a"]),
            ("**/x", &["x", "a/x", "a/b/x/c"], &["xx"]),
            ("a/**", &["a/x", "a/b/x"], &["a", "b/a/x"]),
            ("a/**/x", &["a/x", "a/b/c/x"], &["x", "a/b"]),
            ("?[a-c][!x]*", &["1ay", "2cz.yaml"], &["1a", "1ax", "1dy"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("\\!a\n\\*", &["!a", "*"], &["a"]),
            ("[a", &[], &["a", "[a"]),
            ("a\\", &[], &["a"]),
            ("/", &[], &["a"]),
        ] {
            let rules = Ignored::read(text);
            for path in ignored {
                assert!(rules.has(path), "{text:?} ignores {path}");
            }
            for path in seen {
                assert!(!rules.has(path), "{text:?} does not ignore {path}");
            }
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let rules = Ignored::read(&format!("{}b\n{}z", "*a".repeat(2000), "**/".repeat(2000)));
        assert!(!rules.has(&"a".repeat(255)));
        assert!(!rules.has(&vec!["a"; 100].join("/")));
    }
}
