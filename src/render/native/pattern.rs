//! Patterns of setters, such as `nginx:${tag}`. In come a pattern, a value and what is given for setters, out comes the new value.

use std::collections::BTreeMap;

use regex::Regex;

/// Values by the names of their setters.
pub(super) type Given = BTreeMap<String, String>;

/// A pattern, taken apart.
pub(super) struct Pattern<'a>(Vec<Part<'a>>);

enum Part<'a> {
    Text(&'a str),
    Setter(&'a str),
}

impl<'a> Pattern<'a> {
    /// Returns a pattern taken apart.
    pub(super) fn of(text: &'a str) -> Self {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((start, length)) = next_setter(rest) {
            parts.push(Part::Text(&rest[..start]));
            parts.push(Part::Setter(&rest[start + 2..start + length - 1]));
            rest = &rest[start + length..];
        }
        parts.push(Part::Text(rest));
        parts.retain(|part| !matches!(part, Part::Text("")));
        Self(parts)
    }

    /// Returns the names of its setters.
    pub(super) fn setters(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(|part| match part {
            Part::Setter(name) => Some(*name),
            Part::Text(_) => None,
        })
    }

    /// Returns the name of its setter if it is nothing but that.
    pub(super) fn single(&self) -> Option<&'a str> {
        match self.0.as_slice() {
            [Part::Setter(name)] => Some(name),
            _ => None,
        }
    }

    /// Returns whether something is given for one of its setters.
    pub(super) fn is_given(&self, given: &Given) -> bool {
        self.setters().any(|name| given.contains_key(name))
    }

    /// Returns the value of the pattern. What is not given is taken from the value that is there.
    ///
    /// # Errors
    /// The names of setters for which there is no value.
    pub(super) fn value(&self, given: &Given, current: &str) -> Result<String, Vec<&'a str>> {
        let is_missing = |name: &&str| !given.contains_key(*name);
        let mut derived = Given::new();
        if self.setters().any(|name| is_missing(&name)) {
            derived = self.derived(current);
        }
        let missing = self.setters().filter(is_missing);
        let missing: Vec<_> = missing
            .filter(|name| !derived.contains_key(*name))
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let text = |part: &Part| match part {
            Part::Text(text) => (*text).to_owned(),
            Part::Setter(name) => {
                let value = given.get(*name).or_else(|| derived.get(*name));
                value.cloned().unwrap_or_default()
            }
        };
        Ok(self.0.iter().map(text).collect())
    }

    /// Returns the values of its setters in a value that was made by it; none if it was not.
    fn derived(&self, current: &str) -> Given {
        let part = |part: &Part| match part {
            Part::Text(text) => regex::escape(text),
            Part::Setter(_) => "(.*)".into(),
        };
        let expression: String = self.0.iter().map(part).collect();
        let found = Regex::new(&expression).ok();
        let Some(found) = found.as_ref().and_then(|found| found.captures(current)) else {
            return Given::new();
        };
        let values = found.iter().skip(1).flatten();
        let names = self.setters().map(str::to_owned);
        names
            .zip(values.map(|value| value.as_str().into()))
            .collect()
    }
}

/// Returns where the next setter begins, and its length.
fn next_setter(text: &str) -> Option<(usize, usize)> {
    let start = text.find("${")?;
    let length = text[start..].find('}')? + 1;
    Some((start, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_made_of_what_is_given_and_what_is_there() {
        let given = Given::from([("a".into(), "A".into()), ("b".into(), String::new())]);
        for (pattern, current, want) in [
            ("${a}", "x", Ok("A")),
            ("${a}-${b}.", "x", Ok("A-.")),
            ("${a}:${c}", "x:y:z", Ok("A:z")),
            ("pre.${c}/${a}", "pre.x/y", Ok("pre.x/A")),
            ("pre.${c}/${a}", "prefix/y", Err(vec!["c"])),
            ("${c}${d}${a}", "", Ok("A")),
            ("${c}-${d}${a}", "none", Err(vec!["c", "d"])),
            ("${a} ${", "x", Ok("A ${")),
        ] {
            let got = Pattern::of(pattern).value(&given, current);
            assert_eq!(got, want.map(str::to_owned), "{pattern}");
        }
        assert_eq!(Pattern::of("${a}").single(), Some("a"));
        assert_eq!(Pattern::of("${a}x").single(), None);
        assert!(!Pattern::of("a ${c}").is_given(&given));
    }
}
