//! Label selectors: `app=web,tier in (a, b),!old` (apimachinery's grammar and error texts).

use super::Malformed;

/// Longest name of a label and longest value, in bytes.
const LONGEST: usize = 63;
/// Longest prefix of a label's key, in bytes (a DNS subdomain).
const LONGEST_PREFIX: usize = 253;

/// A label selector: all of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    wants: Wants,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wants {
    Presence,
    Absence,
    In(Vec<String>),
    /// Also holds without the label.
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Returns the selector that `text` says; an empty text chooses everything.
    ///
    /// # Errors
    /// [`Malformed`] if it does not follow the grammar, or has a key or value that no label can have.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let tokens = tokens(text);
        let requirements = Reader { tokens, at: 0 }.requirements().map_err(Malformed)?;
        Ok(Self { requirements })
    }

    /// Returns whether an object with these labels is chosen: `label` returns the value of one.
    #[must_use]
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|it| it.wants.holds(label(&it.key)))
    }

    /// Returns whether everything is chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl Wants {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        let is_in =
            |values: &[String]| value.is_some_and(|value| values.iter().any(|it| it == value));
        match self {
            Self::Presence => value.is_some(),
            Self::Absence => value.is_none(),
            Self::In(values) => is_in(values),
            Self::NotIn(values) => !is_in(values),
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// A piece of a selector's text: a word, or one of `, ( ) ! = == != > <`. The end is the empty piece.
type Token<'a> = &'a str;

const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        let word = || rest.find(ends_word).unwrap_or(rest.len());
        let length = sign.map_or_else(word, |sign| sign.len());
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start_matches(is_space);
    }
    tokens
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

fn ends_word(letter: char) -> bool {
    is_space(letter) || "=!(),><".contains(letter)
}

fn is_word(token: Token<'_>) -> bool {
    !token.is_empty() && !token.starts_with(ends_word)
}

/// Reads requirements from tokens. Errors are the ends of sentences that begin in [`Reader::requirements`].
struct Reader<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut found = Vec::new();
        if self.peek().is_empty() {
            return Ok(found);
        }
        loop {
            let token = self.peek();
            if token != "!" && !is_word(token) {
                let expected = if found.is_empty() {
                    "!, identifier, or 'end of string'"
                } else {
                    "identifier after ','"
                };
                return Err(unexpected(token, expected));
            }
            let requirement = self.requirement();
            found.push(requirement.map_err(|why| format!("unable to parse requirement: {why}"))?);
            match self.next() {
                "" => return Ok(found),
                "," => {}
                other => return Err(unexpected(other, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek() == "!";
        if absent {
            self.next();
        }
        let key = self.word()?;
        check_key(key)?;
        let wants = if absent {
            Wants::Absence
        } else if matches!(self.peek(), "" | ",") {
            Wants::Presence
        } else {
            self.comparison(key)?
        };
        Ok(Requirement {
            key: key.into(),
            wants,
        })
    }

    fn comparison(&mut self, key: &str) -> Result<Wants, String> {
        let operator = self.next();
        let values = match operator {
            "in" | "notin" => self.set()?,
            "=" | "==" | "!=" | ">" | "<" => vec![self.value()?],
            other => return Err(unexpected(other, "in, notin, =, ==, !=, gt, lt")),
        };
        for (place, value) in values.iter().enumerate() {
            check_value(value).map_err(|why| {
                format!("values[{place}][{key}]: Invalid value: {value:?}: {why}")
            })?;
        }
        let values: Vec<String> = values.into_iter().map(String::from).collect();
        Ok(match operator {
            ">" => Wants::Above(number(&values[0])?),
            "<" => Wants::Below(number(&values[0])?),
            "!=" | "notin" => Wants::NotIn(values),
            _ => Wants::In(values),
        })
    }

    /// Reads the value after a sign; none at all is the empty value.
    fn value(&mut self) -> Result<&'a str, String> {
        match self.peek() {
            "" | "," => Ok(""),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<&'a str, String> {
        let token = self.next();
        if is_word(token) {
            Ok(token)
        } else {
            Err(unexpected(token, "identifier"))
        }
    }

    /// Reads `(a, b)`. A value left out is the empty one, also if it is the only one.
    fn set(&mut self) -> Result<Vec<&'a str>, String> {
        let open = self.next();
        if open != "(" {
            return Err(unexpected(open, "'('"));
        }
        let mut values = Vec::new();
        loop {
            let token = self.peek();
            let expected = match token {
                "," | ")" => "",
                word if is_word(word) => self.next(),
                other if values.is_empty() => {
                    return Err(unexpected(other, "',', ')' or identifier"));
                }
                other => return Err(unexpected(other, "',', or identifier")),
            };
            values.push(expected);
            match self.next() {
                "," => {}
                ")" => return Ok(values),
                other => return Err(unexpected(other, "',' or ')'")),
            }
        }
    }
}

fn unexpected(found: Token<'_>, expected: &str) -> String {
    format!("found '{found}', expected: {expected}")
}

fn number(value: &str) -> Result<i64, String> {
    value.parse().map_err(|_| {
        format!(
            "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
        )
    })
}

/// Checks a key: a name, with or without a DNS subdomain and a slash before it.
fn check_key(key: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("key: Invalid value: {key:?}: {why}"));
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        return wrong(
            "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        );
    }
    if name.is_empty() {
        return wrong("name part must be non-empty");
    }
    if name.len() > LONGEST {
        return wrong("name part must be no more than 63 bytes");
    }
    if !is_value(name) {
        return wrong(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        );
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), &'static str> {
    if value.len() > LONGEST {
        return Err("must be no more than 63 bytes");
    }
    if !value.is_empty() && !is_value(value) {
        return Err(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        );
    }
    Ok(())
}

fn is_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| inner(*byte)) && ends(bytes.first()) && ends(bytes.last())
}

fn is_subdomain(text: &str) -> bool {
    let is_part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        is_value(part) && part.bytes().all(inner)
    };
    text.len() <= LONGEST_PREFIX && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of `a=1`, `a=2`, `b=7` and no labels that a selector chooses.
    fn chosen(text: &str) -> String {
        let selector = LabelSelector::parse(text).unwrap_or_else(|why| panic!("{text:?}: {why}"));
        let all = [
            ("a1", Some(("a", "1"))),
            ("a2", Some(("a", "2"))),
            ("b7", Some(("b", "7"))),
            ("none", None),
        ];
        let matching = all.iter().filter(|(_, label)| {
            selector.matches(|key| label.filter(|label| label.0 == key).map(|label| label.1))
        });
        matching
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn selectors_choose_as_kubernetes_does() {
        for (text, expected) in [
            ("", "a1 a2 b7 none"),
            ("  ", "a1 a2 b7 none"),
            ("a", "a1 a2"),
            ("!a", "b7 none"),
            ("! a", "b7 none"),
            ("a=1", "a1"),
            ("a==1", "a1"),
            (" a = 1 ", "a1"),
            ("a=", ""),
            ("a!=1", "a2 b7 none"),
            ("a!=", "a1 a2 b7 none"),
            ("a in (1)", "a1"),
            ("a in (1, 2)", "a1 a2"),
            ("a in(1,2)", "a1 a2"),
            ("a in (1,)", "a1"),
            ("a in (,)", ""),
            ("a in ()", ""),
            ("a notin ()", "a1 a2 b7 none"),
            ("a in (in,notin)", ""),
            ("a notin (1)", "a2 b7 none"),
            ("a notin (1,2)", "b7 none"),
            ("b>6", "b7"),
            ("b > 7", ""),
            ("b<8", "b7"),
            ("a,a!=2", "a1"),
            ("a,b", ""),
            ("in", ""),
            ("in in (in)", ""),
            ("example.com/name=x", ""),
        ] {
            assert_eq!(chosen(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_selector_is_told_in_kubernetes_words() {
        let long = "x".repeat(64);
        for (text, why) in [
            (
                "a in (",
                "unable to parse requirement: found '', expected: ',', ')' or identifier",
            ),
            (
                "a in (1",
                "unable to parse requirement: found '', expected: ',' or ')'",
            ),
            (
                "a in (1 2)",
                "unable to parse requirement: found '2', expected: ',' or ')'",
            ),
            (
                "a in 1",
                "unable to parse requirement: found '1', expected: '('",
            ),
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            (
                ",a",
                "found ',', expected: !, identifier, or 'end of string'",
            ),
            (
                "=a",
                "found '=', expected: !, identifier, or 'end of string'",
            ),
            (
                "!",
                "unable to parse requirement: found '', expected: identifier",
            ),
            ("!a=b", "found '=', expected: ',' or 'end of string'"),
            (
                "a=(",
                "unable to parse requirement: found '(', expected: identifier",
            ),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            (
                "a=b/c",
                "unable to parse requirement: values[0][a]: Invalid value: \"b/c\": a valid label must be an empty string or consist of",
            ),
            (
                "a=-b",
                "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be",
            ),
            (
                "-a",
                "unable to parse requirement: key: Invalid value: \"-a\": name part must consist of",
            ),
            (
                "a/",
                "unable to parse requirement: key: Invalid value: \"a/\": name part must be non-empty",
            ),
            (
                "A/b",
                "unable to parse requirement: key: Invalid value: \"A/b\": prefix part a lowercase RFC 1123 subdomain",
            ),
            (
                "/b",
                "unable to parse requirement: key: Invalid value: \"/b\": prefix part",
            ),
            (
                "a/b/c",
                "unable to parse requirement: key: Invalid value: \"a/b/c\": name part must consist of",
            ),
            (
                "é=1",
                "unable to parse requirement: key: Invalid value: \"é\": name part must consist of",
            ),
        ] {
            let told = LabelSelector::parse(text).expect_err(text).to_string();
            assert!(told.starts_with(why), "{text:?}: {told}");
        }
        for text in [format!("{long}=1"), format!("a={long}")] {
            let told = LabelSelector::parse(&text).unwrap_err().to_string();
            assert!(told.ends_with("must be no more than 63 bytes"), "{told}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        let letters = [
            "a", "1", "é", " ", ",", "(", ")", "=", "!", ">", "in", "notin", "/", "-",
        ];
        for count in 0..letters.len().pow(4) {
            let mut rest = count;
            let mut text = String::new();
            for _ in 0..4 {
                text.push_str(letters[rest % letters.len()]);
                rest /= letters.len();
            }
            let _ = LabelSelector::parse(&text);
        }
    }
}
