//! Field selectors: `metadata.name=a,spec.lifecycle=Draft` (apimachinery's grammar; the porch fields are upstream's).

use super::Malformed;
use crate::{
    cache::{Entry, revision::KPTFILE_LABEL},
    package::Lifecycle,
};

/// The fields that every kind can be selected by.
const EVERY_KIND: [&str; 2] = ["metadata.name", "metadata.namespace"];

/// The fields that package revisions and their resources can be selected by, next to their Kptfiles' labels.
const REVISION: [&str; 7] = [
    "metadata.name",
    "metadata.namespace",
    "spec.lifecycle",
    "spec.packageName",
    "spec.repository",
    "spec.revision",
    "spec.workspaceName",
];

/// Which fields of a kind a selector may name, and with what.
#[derive(Clone, Copy, Debug)]
pub enum Fields<'a> {
    /// These; compared as text with `=`, `==` and `!=`.
    Plain(&'a [String]),
    /// Those of a `PackageRevision`, with `=` and `==`: a revision's number may begin with `v`, several values of
    /// `spec.lifecycle` are alternatives, and a package's name without a path is that of packages in any path.
    Revision,
}

/// A field selector: all of its tests must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    tests: Vec<Test>,
}

/// What is wanted of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    field: String,
    wants: Wants,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wants {
    Is(String),
    IsNot(String),
    OneOf(Vec<String>),
    /// The last part of a path.
    EndsIn(String),
}

impl FieldSelector {
    /// Returns the selector that `text` says; an empty text chooses everything.
    ///
    /// # Errors
    /// [`Malformed`] if it does not follow the grammar, or asks for what these fields do not offer.
    pub fn parse(text: &str, fields: Fields<'_>) -> Result<Self, Malformed> {
        let terms = terms(text)?;
        for term in &terms {
            fields.check(&term.field)?;
        }
        let mut selector = Self::default();
        for term in terms {
            match fields {
                Fields::Plain(_) => selector.tests.push(term.plain()),
                Fields::Revision => selector.add(term.of_revision()?),
            }
        }
        Ok(selector)
    }

    /// Returns whether an object is chosen. A field that it does not have counts as empty.
    #[must_use]
    pub fn matches(&self, object: &impl Entry) -> bool {
        self.tests.iter().all(|test| {
            let value = object.field(&test.field).unwrap_or_default();
            test.wants.holds(&value)
        })
    }

    /// Returns whether everything is chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Returns the only value of a field that can be chosen, such as that of `metadata.name`; nothing if there may be
    /// several.
    #[must_use]
    pub fn only(&self, field: &str) -> Option<&str> {
        let tests = self.tests.iter().filter(|test| test.field == field);
        tests.into_iter().find_map(|test| match &test.wants {
            Wants::Is(value) => Some(value.as_str()),
            _ => None,
        })
    }

    /// Adds a test; several lifecycles are alternatives.
    fn add(&mut self, test: Test) {
        let same = |it: &&mut Test| it.field == test.field;
        if let Wants::OneOf(more) = &test.wants
            && let Some(known) = self.tests.iter_mut().find(same)
            && let Wants::OneOf(values) = &mut known.wants
        {
            values.extend_from_slice(more);
            return;
        }
        self.tests.push(test);
    }
}

impl Wants {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => value == wanted,
            Self::IsNot(refused) => value != refused,
            Self::OneOf(wanted) => wanted.iter().any(|wanted| wanted == value),
            Self::EndsIn(wanted) => value.rsplit('/').next() == Some(wanted),
        }
    }
}

impl Fields<'_> {
    fn check(self, field: &str) -> Result<(), Malformed> {
        let known = match self {
            Self::Plain(fields) => fields.iter().any(|known| known == field),
            Self::Revision => REVISION.contains(&field) || kptfile_label(field).is_some(),
        };
        if known {
            return Ok(());
        }
        let no_more = |fields: &[String]| fields.iter().all(|it| EVERY_KIND.contains(&&**it));
        Err(Malformed(match self {
            Self::Plain(fields) if no_more(fields) => format!(
                "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ),
            _ => format!("{field:?} is not a known field selector"),
        }))
    }
}

/// Returns the key in `spec.packageMetadata.labels[key]`.
fn kptfile_label(field: &str) -> Option<&str> {
    field.strip_prefix(KPTFILE_LABEL)?.strip_suffix(']')
}

/// One term of a selector: `field=value` or `field!=value`.
struct Term {
    field: String,
    differs: bool,
    value: String,
}

impl Term {
    fn plain(self) -> Test {
        let wants = if self.differs {
            Wants::IsNot(self.value)
        } else {
            Wants::Is(self.value)
        };
        Test {
            field: self.field,
            wants,
        }
    }

    fn of_revision(self) -> Result<Test, Malformed> {
        let field = &self.field;
        if kptfile_label(field) == Some("") {
            return Err(Malformed(format!(
                "label key cannot be empty in field selector {field:?}"
            )));
        }
        if self.differs {
            return Err(Malformed(format!(
                "unsupported fieldSelector operator \"!=\" for field {field:?}"
            )));
        }
        if self.value.is_empty() {
            return Err(Malformed(format!(
                "unsupported fieldSelector value \"\" for field {field:?} with operator \"=\""
            )));
        }
        let wants = match field.as_str() {
            "spec.lifecycle" => Wants::OneOf(vec![self.lifecycle()?]),
            "spec.revision" => Wants::Is(self.number()?),
            "spec.packageName" if !self.value.contains('/') => Wants::EndsIn(self.value),
            _ => Wants::Is(self.value),
        };
        Ok(Test {
            field: self.field,
            wants,
        })
    }

    fn lifecycle(&self) -> Result<String, Malformed> {
        let known = Lifecycle::ALL.iter().any(|it| it.as_str() == self.value);
        known.then(|| self.value.clone()).ok_or(self.refused())
    }

    fn number(&self) -> Result<String, Malformed> {
        let digits = self.value.strip_prefix('v').unwrap_or(&self.value);
        let number = digits.parse::<i64>().map_err(|_| self.refused())?;
        Ok(number.to_string())
    }

    fn refused(&self) -> Malformed {
        Malformed(format!(
            "unsupported fieldSelector value {:?} for field {:?}",
            self.value, self.field
        ))
    }
}

/// Returns the terms of a selector. Commas, equals signs and backslashes in values are written after a backslash.
fn terms(text: &str) -> Result<Vec<Term>, Malformed> {
    split(text)
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| term(text, part))
        .collect()
}

/// Returns the parts between commas that have no backslash before them.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut escaped) = (0, false);
    for (at, letter) in text.char_indices() {
        if letter == ',' && !escaped {
            parts.push(&text[from..at]);
            from = at + 1;
        }
        escaped = letter == '\\' && !escaped;
    }
    parts.push(&text[from..]);
    parts
}

fn term(text: &str, part: &str) -> Result<Term, Malformed> {
    let Some((field, operator, value)) = operator(part) else {
        return Err(Malformed(format!(
            "invalid selector: '{text}'; can't understand '{part}'"
        )));
    };
    Ok(Term {
        field: field.into(),
        differs: operator == "!=",
        value: plain(value)?,
    })
}

/// Parts a term at the first operator that has no backslash before it.
fn operator(part: &str) -> Option<(&str, &str, &str)> {
    let mut escaped = false;
    for (at, letter) in part.char_indices() {
        let rest = &part[at..];
        let found = ["!=", "==", "="]
            .into_iter()
            .find(|it| rest.starts_with(it));
        if let Some(operator) = found.filter(|_| !escaped) {
            return Some((&part[..at], operator, &rest[operator.len()..]));
        }
        escaped = letter == '\\' && !escaped;
    }
    None
}

/// Returns a value without the backslashes that protect its letters.
fn plain(value: &str) -> Result<String, Malformed> {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.push(protected(letters.next())?),
            ',' | '=' => {
                return Err(Malformed(format!(
                    "invalid field selector: unescaped character in value: {letter}"
                )));
            }
            letter => out.push(letter),
        }
    }
    Ok(out)
}

fn protected(letter: Option<char>) -> Result<char, Malformed> {
    match letter {
        Some(letter @ ('\\' | ',' | '=')) => Ok(letter),
        other => {
            let rest = other.map(String::from).unwrap_or_default();
            Err(Malformed(format!(
                "invalid field selector: invalid escape sequence: \\{rest}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, collections::BTreeMap};

    use bytes::Bytes;

    use super::*;
    use crate::cache::{Name, Version};

    /// An object with fields and nothing else.
    struct Sheet {
        name: Name,
        fields: BTreeMap<String, String>,
        bytes: Bytes,
    }

    impl Entry for Sheet {
        fn name(&self) -> &Name {
            &self.name
        }
        fn version(&self) -> Version {
            Version(1)
        }
        fn label(&self, _: &str) -> Option<&str> {
            None
        }
        fn field(&self, path: &str) -> Option<Cow<'_, str>> {
            self.fields.get(path).map(|value| value.as_str().into())
        }
        fn metadata(&self) -> &Bytes {
            &self.bytes
        }
        fn at(&self, _: Version) -> Self {
            unreachable!()
        }
    }

    fn sheet(fields: &[(&str, &str)]) -> Sheet {
        let pair = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        Sheet {
            name: Name::new("", ""),
            fields: fields.iter().map(pair).collect(),
            bytes: Bytes::new(),
        }
    }

    fn revision() -> Sheet {
        sheet(&[
            ("metadata.name", "r.a.b.w"),
            ("metadata.namespace", "ns"),
            ("spec.revision", "3"),
            ("spec.packageName", "a/b"),
            ("spec.repository", "r"),
            ("spec.workspaceName", "w"),
            ("spec.lifecycle", "Published"),
            ("spec.packageMetadata.labels[app]", "x,y=z"),
        ])
    }

    #[test]
    fn revisions_are_chosen_by_their_fields() {
        for (text, chosen) in [
            ("", true),
            (",", true),
            ("metadata.name=r.a.b.w", true),
            ("metadata.name==r.a.b.w", true),
            ("metadata.name=r.b.w", false),
            ("metadata.namespace=ns", true),
            ("metadata.namespace=other", false),
            ("spec.revision=3", true),
            ("spec.revision=v3", true),
            ("spec.revision=03", true),
            ("spec.revision=0", false),
            ("spec.revision=-1", false),
            ("spec.packageName=a/b", true),
            ("spec.packageName=b", true),
            ("spec.packageName=a", false),
            ("spec.packageName=c/b", false),
            ("spec.repository=r", true),
            ("spec.workspaceName=w", true),
            ("spec.workspaceName=.w", false),
            ("spec.lifecycle=Published", true),
            ("spec.lifecycle=Draft", false),
            ("spec.lifecycle=Draft,spec.lifecycle=Published", true),
            (
                "spec.lifecycle=Draft,spec.revision=3,spec.lifecycle=Published",
                true,
            ),
            ("spec.lifecycle=Draft,spec.lifecycle=Proposed", false),
            ("spec.revision=3,spec.revision=2", false),
            (
                "spec.packageName=b,spec.lifecycle=Published,spec.repository=r",
                true,
            ),
            (r"spec.packageMetadata.labels[app]=x\,y\=z", true),
            ("spec.packageMetadata.labels[app]=x", false),
            ("spec.packageMetadata.labels[none]=x", false),
        ] {
            let selector = FieldSelector::parse(text, Fields::Revision);
            let selector = selector.unwrap_or_else(|why| panic!("{text:?}: {why}"));
            assert_eq!(selector.matches(&revision()), chosen, "{text:?}");
        }
    }

    #[test]
    fn what_revisions_cannot_be_chosen_by_is_refused() {
        for (text, why) in [
            (
                "spec.tasks=x",
                r#""spec.tasks" is not a known field selector"#,
            ),
            (
                "spec.revision=1,foo!=",
                r#""foo" is not a known field selector"#,
            ),
            (
                "spec.revision!=1",
                r#"unsupported fieldSelector operator "!=" for field "spec.revision""#,
            ),
            (
                "spec.repository=",
                r#"unsupported fieldSelector value "" for field "spec.repository" with operator "=""#,
            ),
            (
                "metadata.name==",
                r#"unsupported fieldSelector value "" for field "metadata.name" with operator "=""#,
            ),
            (
                "spec.lifecycle=draft",
                r#"unsupported fieldSelector value "draft" for field "spec.lifecycle""#,
            ),
            (
                "spec.revision=main",
                r#"unsupported fieldSelector value "main" for field "spec.revision""#,
            ),
            (
                "spec.revision=vv1",
                r#"unsupported fieldSelector value "vv1" for field "spec.revision""#,
            ),
            (
                "spec.packageMetadata.labels[]=x",
                r#"label key cannot be empty in field selector "spec.packageMetadata.labels[]""#,
            ),
            (
                "spec.packageMetadata.labels[a=x",
                r#""spec.packageMetadata.labels[a" is not a known field selector"#,
            ),
            ("spec", "invalid selector: 'spec'; can't understand 'spec'"),
            (
                "spec.revision=1,x",
                "invalid selector: 'spec.revision=1,x'; can't understand 'x'",
            ),
            (
                "metadata.name=a=b",
                "invalid field selector: unescaped character in value: =",
            ),
            (
                r"metadata.name=a\b",
                r"invalid field selector: invalid escape sequence: \b",
            ),
            (
                r"metadata.name=a\",
                r"invalid field selector: invalid escape sequence: \",
            ),
        ] {
            let told = FieldSelector::parse(text, Fields::Revision).expect_err(text);
            assert_eq!(told.to_string(), why, "{text:?}");
        }
    }

    #[test]
    fn plain_fields_are_compared_as_text() {
        let two = EVERY_KIND.map(String::from);
        let object = sheet(&[("metadata.name", "a"), ("metadata.namespace", "ns")]);
        for (text, chosen) in [
            ("metadata.name=a", true),
            ("metadata.name!=a", false),
            ("metadata.name!=b,metadata.namespace=ns", true),
            ("metadata.namespace=", false),
            (r"metadata.name!=\\\,\=", true),
        ] {
            let selector = FieldSelector::parse(text, Fields::Plain(&two)).unwrap();
            assert_eq!(selector.matches(&object), chosen, "{text:?}");
        }
        let told = FieldSelector::parse("spec.x=1", Fields::Plain(&two)).unwrap_err();
        assert_eq!(
            told.to_string(),
            r#""spec.x" is not a known field selector: only "metadata.name", "metadata.namespace""#
        );
        let more = ["metadata.name", "type"].map(String::from);
        let selector = FieldSelector::parse("type!=Opaque", Fields::Plain(&more)).unwrap();
        assert!(selector.matches(&object), "without the field it differs");
        let told = FieldSelector::parse("spec.x=1", Fields::Plain(&more)).unwrap_err();
        assert_eq!(
            told.to_string(),
            r#""spec.x" is not a known field selector"#
        );
    }

    #[test]
    fn the_only_name_is_known() {
        let two = EVERY_KIND.map(String::from);
        for (text, name) in [
            ("metadata.name=a", Some("a")),
            ("metadata.namespace=n,metadata.name=a", Some("a")),
            ("metadata.name!=a", None),
            ("", None),
        ] {
            let selector = FieldSelector::parse(text, Fields::Plain(&two)).unwrap();
            assert_eq!(selector.only("metadata.name"), name, "{text:?}");
        }
    }
}
