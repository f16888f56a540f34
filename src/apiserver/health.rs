//! Whether this server lives, and whether it is ready: named checks, told as Kubernetes tells them.

use std::{fmt::Write as _, sync::Arc};

use super::query::Query;

/// One thing that is checked; a problem is told as a sentence, to anybody who asks, and so is what is well but not as it
/// should be. What is quite well says nothing.
type Test = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

#[derive(Clone)]
struct Check {
    name: String,
    /// Whether a failure means that the process should be started anew.
    vital: bool,
    test: Test,
}

/// What is checked.
#[derive(Clone)]
pub struct Health {
    checks: Vec<Check>,
}

/// Which of the checks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Live,
    Ready,
}

impl Question {
    /// Returns the question that the first segment of a path asks.
    pub(super) fn of(segment: &str) -> Option<Self> {
        match segment {
            "livez" | "healthz" => Some(Self::Live),
            "readyz" => Some(Self::Ready),
            _ => None,
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Returns health without anything to check but that it can be asked.
    #[must_use]
    pub fn new() -> Self {
        Self { checks: Vec::new() }.live("ping", || Ok(()))
    }

    /// Returns this health with a check whose failure means that the process is lost.
    #[must_use]
    pub fn live(
        self,
        name: &str,
        test: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.with(name, true, move || test().map(|()| String::new()))
    }

    /// Returns this health with a check whose failure means that requests had better go elsewhere.
    #[must_use]
    pub fn ready(
        self,
        name: &str,
        test: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.remarking(name, move || test().map(|()| String::new()))
    }

    /// Returns this health with a check whose failure means that requests had better go elsewhere, and which may have
    /// something to remark while it passes; `?verbose` tells that.
    #[must_use]
    pub fn remarking(
        self,
        name: &str,
        test: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        self.with(name, false, test)
    }

    fn with(
        mut self,
        name: &str,
        vital: bool,
        test: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Check {
            name: name.into(),
            vital,
            test: Arc::new(test),
        });
        self
    }

    fn asked(&self, question: Question) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(move |check| check.vital || question == Question::Ready)
    }

    /// Returns what the check `name` says; nothing if there is none.
    pub(super) fn one(&self, question: Question, name: &str) -> Option<Result<String, String>> {
        let check = self.asked(question).find(|check| check.name == name)?;
        Some(match (check.test)() {
            Ok(_) => Ok("ok".into()),
            Err(why) => Err(format!("internal server error: {why}")),
        })
    }

    /// Returns what all checks say; `page` is the name of the question in the text.
    pub(super) fn all(
        &self,
        question: Question,
        page: &str,
        query: &Query,
    ) -> Result<String, String> {
        let excluded: Vec<&str> = query.all("exclude").collect();
        let (mut text, mut failed) = (String::new(), false);
        for check in self.asked(question) {
            let name = &check.name;
            // Writing to a string does not fail.
            let _ = if excluded.contains(&name.as_str()) {
                writeln!(text, "[+]{name} excluded: ok")
            } else {
                match (check.test)() {
                    Ok(remark) if remark.is_empty() => writeln!(text, "[+]{name} ok"),
                    Ok(remark) => writeln!(text, "[+]{name} ok: {remark}"),
                    Err(why) => {
                        failed = true;
                        writeln!(text, "[-]{name} failed: {why}")
                    }
                }
            };
        }
        let known = |name: &&&str| self.asked(question).all(|check| check.name != ***name);
        let unknown: Vec<String> = excluded
            .iter()
            .filter(known)
            .map(|it| format!("{it:?}"))
            .collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            let _ = writeln!(
                text,
                "warn: some health checks cannot be excluded: no matches for {names}"
            );
        }
        if failed {
            return Err(format!("{text}{page} check failed\n"));
        }
        if query.get("verbose").is_some() {
            return Ok(format!("{text}{page} check passed\n"));
        }
        Ok("ok".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new().ready("feed", || Err("no namespace".into()))
    }

    #[test]
    fn checks_are_told_as_kubernetes_tells_them() {
        for (question, query, told) in [
            (Question::Live, "", Ok("ok")),
            (
                Question::Live,
                "verbose",
                Ok("[+]ping ok\nx check passed\n"),
            ),
            (
                Question::Ready,
                "",
                Err("[+]ping ok\n[-]feed failed: no namespace\nx check failed\n"),
            ),
            (Question::Ready, "exclude=feed", Ok("ok")),
            (
                Question::Ready,
                "exclude=feed&verbose",
                Ok("[+]ping ok\n[+]feed excluded: ok\nx check passed\n"),
            ),
            (
                Question::Live,
                "verbose&exclude=y",
                Ok(
                    "[+]ping ok\nwarn: some health checks cannot be excluded: no matches for \"y\"\nx check passed\n",
                ),
            ),
        ] {
            let told = told.map(String::from).map_err(String::from);
            assert_eq!(
                health().all(question, "x", &Query::parse(query)),
                told,
                "{query}"
            );
        }
    }

    #[test]
    fn a_remark_is_told_to_those_who_want_to_know_more() {
        let health = Health::new().remarking("feed", || Ok("7s old".into()));
        let told = |query| health.all(Question::Ready, "x", &Query::parse(query));
        assert_eq!(told(""), Ok("ok".into()));
        let verbose = "[+]ping ok\n[+]feed ok: 7s old\nx check passed\n";
        assert_eq!(told("verbose"), Ok(verbose.into()));
        let alone = health.one(Question::Ready, "feed");
        assert_eq!(alone, Some(Ok("ok".into())));
    }

    #[test]
    fn one_check_can_be_asked_alone() {
        let ok = Some(Ok("ok".to_owned()));
        assert_eq!(health().one(Question::Ready, "ping"), ok);
        let bad = Some(Err("internal server error: no namespace".to_owned()));
        assert_eq!(health().one(Question::Ready, "feed"), bad);
        assert_eq!(health().one(Question::Live, "feed"), None);
    }
}
