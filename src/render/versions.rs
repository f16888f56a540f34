//! Constraints on versions, such as `~0.4` or `>= v0.4.0 < v0.5.0`, and whether tags satisfy them, in the words of Go's
//! Masterminds/semver. Pure.
//!
//! In come constraints and tags; out go answers. Versions before a release are none here, in either.

/// Numbers of a version: `v0.4` is `0.4.0`.
type Version = [u64; 3];

/// A constraint: one of these alternatives, each of which has several parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Constraint(Vec<Vec<Part>>);

/// Versions from one on and before another, or all but these.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    from: Version,
    /// Nothing: without an end.
    before: Option<Version>,
    is_excluded: bool,
}

impl Part {
    fn has(&self, version: Version) -> bool {
        let is_before = self.before.is_none_or(|before| version < before);
        (version >= self.from && is_before) != self.is_excluded
    }
}

impl Constraint {
    /// Returns the constraint that a text says; nothing if it says none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let all: Option<Vec<_>> = text.split("||").map(alternative).collect();
        all.map(Self)
    }

    /// Returns whether a tag is a version that satisfies it.
    pub(super) fn has(&self, tag: &str) -> bool {
        let written = tag.strip_prefix('v').unwrap_or(tag);
        let version = Written::parse(written).filter(|it| !it.is_open);
        version.is_some_and(|it| {
            let has = |parts: &Vec<Part>| parts.iter().all(|part| part.has(it.version()));
            self.0.iter().any(has)
        })
    }
}

/// Returns the parts between two `||`.
fn alternative(text: &str) -> Option<Vec<Part>> {
    if let Some((from, to)) = text.split_once(" - ") {
        return Some(vec![
            part(">=", &Written::of(from)?)?,
            part("<=", &Written::of(to)?)?,
        ]);
    }
    let is_sign = |c: char| "=!<>~^".contains(c);
    let (mut rest, mut parts) = (text.trim(), Vec::new());
    while !rest.is_empty() {
        let end = rest.find(|c| !is_sign(c))?;
        let (operator, after) = rest.split_at(end);
        let after = after.trim_start();
        let is_end = |c: char| c == ',' || c.is_whitespace() || is_sign(c);
        let end = after.find(is_end).unwrap_or(after.len());
        parts.push(part(operator, &Written::of(&after[..end])?)?);
        rest = after[end..].trim_start();
        if let Some(more) = rest.strip_prefix(',') {
            rest = more.trim_start();
            if rest.is_empty() {
                return None;
            }
        }
    }
    (!parts.is_empty()).then_some(parts)
}

fn part(operator: &str, written: &Written) -> Option<Part> {
    let (version, next) = (written.version(), written.next());
    let zero = [0; 3];
    let (from, before) = match operator {
        "" | "=" | "!=" => (version, next),
        ">=" | "=>" => (version, None),
        ">" => (next.unwrap_or([u64::MAX; 3]), None),
        "<" => (zero, Some(version)),
        "<=" | "=<" => (zero, next),
        "~" | "~>" => (version, written.raised(1)),
        "^" => {
            let first = written.numbers.iter().position(|number| *number != 0);
            let last = written.numbers.len().saturating_sub(1);
            (version, written.raised(first.unwrap_or(last)))
        }
        _ => return None,
    };
    Some(Part {
        from,
        before,
        is_excluded: operator == "!=",
    })
}

/// A version as it is written, with fewer numbers than three if it says less.
struct Written {
    numbers: Vec<u64>,
    /// Whether something stands for any number.
    is_open: bool,
}

impl Written {
    fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::parse(text.strip_prefix('v').unwrap_or(text))
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let is_any = |part: &&&str| matches!(**part, "*" | "x" | "X");
        let said = parts.iter().take_while(|part| !is_any(part));
        let numbers: Option<Vec<u64>> = said.map(|part| number(part)).collect();
        let numbers = numbers?;
        let is_open = numbers.len() < parts.len();
        let is_whole = parts[numbers.len()..].iter().all(|part| is_any(&part));
        (parts.len() <= 3 && is_whole).then_some(Self { numbers, is_open })
    }

    fn version(&self) -> Version {
        let mut version = [0; 3];
        for (place, number) in version.iter_mut().zip(&self.numbers) {
            *place = *number;
        }
        version
    }

    /// Returns the first version after all that this may be; nothing if it may be any.
    fn next(&self) -> Option<Version> {
        self.raised(self.numbers.len().checked_sub(1)?)
    }

    /// Returns the version in which the number at this place, or the last one before, is one more, and those after it are 0.
    fn raised(&self, place: usize) -> Option<Version> {
        let place = place.min(self.numbers.len().checked_sub(1)?);
        let mut version = [0; 3];
        version[..=place].copy_from_slice(&self.numbers[..=place]);
        version[place] = version[place].saturating_add(1);
        Some(version)
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_satisfy_constraints() {
        for (constraint, good, bad) in [
            ("~0.4", "v0.4 v0.4.0 0.4.9", "v0.5 v0.3.9 latest v1"),
            ("~1", "v1 v1.9.9", "v2 v0.9"),
            ("~1.2.3", "v1.2.3 v1.2.9", "v1.2.2 v1.3.0"),
            ("~> 1.2", "v1.2.3", "v1.3"),
            ("^1.2.3", "v1.2.3 v1.9", "v1.2.2 v2"),
            ("^0.2.3", "v0.2.3 v0.2.9", "v0.3 v0.2.2"),
            ("^0.0.3", "v0.0.3", "v0.0.4"),
            ("^0.0", "v0.0.9", "v0.1"),
            ("^0", "v0.9", "v1"),
            (">= v0.4.0 < v0.5.0", "v0.4.0 v0.4.9", "v0.5.0 v0.3"),
            (">=0.4.0, <0.5.0", "v0.4.0", "v0.5.0"),
            (">=0.4<0.5", "v0.4.1", "v0.5"),
            ("> 1.2", "v1.3", "v1.2 v1.2.9"),
            ("> 1.2.3", "v1.2.4", "v1.2.3"),
            ("<= 1.2", "v1.2.9 v0.1", "v1.3"),
            ("=< 1.2.3", "v1.2.3", "v1.2.4"),
            ("< 1.2", "v1.1.9", "v1.2"),
            ("=1.2", "v1.2 v1.2.7", "v1.3"),
            ("1.2.x", "v1.2 v1.2.7", "v1.3"),
            ("!=1.2.x", "v1.3 v1.1", "v1.2 v1.2.7"),
            ("!=1.2.3", "v1.2.4", "v1.2.3"),
            ("1.2 - 1.4.5", "v1.2 v1.4.5", "v1.4.6 v1.1"),
            ("~0.1 || ~0.4", "v0.1.1 v0.4.1", "v0.2"),
            ("*", "v0.1 v9.9.9", "latest v0.1.0-rc1 unstable"),
            ("v0.*", "v0.1", "v1"),
        ] {
            let parsed = Constraint::parse(constraint).unwrap();
            for (tags, wanted) in [(good, true), (bad, false)] {
                for tag in tags.split(' ') {
                    assert_eq!(parsed.has(tag), wanted, "{constraint}: {tag}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_constraint_is_told() {
        for text in [
            "",
            " ",
            "~",
            "latest",
            "~0.4,",
            "1.2.3.4",
            "1.x.3",
            "~0.4-rc1",
            "><1",
            "a b",
            "~0.4 ||",
            "- 1",
            "1 -",
            "99999999999999999999",
        ] {
            assert_eq!(Constraint::parse(text), None, "{text:?}");
        }
    }
}
