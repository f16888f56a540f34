//! Through which proxies Git servers are reached: what every program of a machine reads from its environment. The same for
//! both commands that serve. What it holds may be a password, so no help and no error shows it.

use clap::Args;

use crate::git;

/// Through which proxies Git servers are reached.
#[derive(Clone, Default, Args)]
pub struct Proxies {
    /// The proxy for addresses with `https`.
    #[arg(long, env = "HTTPS_PROXY", hide = true, value_name = "URL")]
    https_proxy: Option<String>,
    /// The same, as others spell it.
    #[arg(long, env = "https_proxy", hide = true, value_name = "URL")]
    https_proxy_lower: Option<String>,
    /// The proxy for addresses with `http`.
    #[arg(long, env = "HTTP_PROXY", hide = true, value_name = "URL")]
    http_proxy: Option<String>,
    /// The same, as others spell it.
    #[arg(long, env = "http_proxy", hide = true, value_name = "URL")]
    http_proxy_lower: Option<String>,
    /// What is reached without one.
    #[arg(long, env = "NO_PROXY", hide = true, value_name = "HOSTS")]
    no_proxy: Option<String>,
    /// The same, as others spell it.
    #[arg(long, env = "no_proxy", hide = true, value_name = "HOSTS")]
    no_proxy_lower: Option<String>,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Proxies(***)")
    }
}

impl Proxies {
    /// Returns the proxies, checked; of two spellings the one in capitals counts.
    ///
    /// # Errors
    /// If an address is none; with the variable's name.
    pub fn checked(&self) -> anyhow::Result<git::Proxies> {
        let one = |first: &Option<String>, second: &Option<String>| {
            let first = first.clone().filter(|text| !text.is_empty());
            first.or_else(|| second.clone()).unwrap_or_default()
        };
        let http = one(&self.http_proxy, &self.http_proxy_lower);
        let https = one(&self.https_proxy, &self.https_proxy_lower);
        let none = one(&self.no_proxy, &self.no_proxy_lower);
        Ok(git::Proxies::new(&http, &https, &none)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        proxies: Proxies,
    }

    #[test]
    fn either_spelling_counts_and_nothing_is_shown() {
        let parse = |words: &[&str]| {
            let words = ["porch"].iter().chain(words);
            Words::try_parse_from(words).unwrap().proxies
        };
        let capitals = ["--https-proxy=http://u:hunter2@a", "--no-proxy=x"];
        let small = [
            "--https-proxy-lower=http://u:hunter2@b",
            "--no-proxy-lower=y",
        ];
        let both = [capitals, small].concat();
        let want = |https: &str, none: &str| git::Proxies::new("", https, none).unwrap();
        for (words, https, none) in [
            (&capitals[..], "http://u:hunter2@a", "x"),
            (&small[..], "http://u:hunter2@b", "y"),
            (&both[..], "http://u:hunter2@a", "x"),
            (&["--https-proxy=", small[0]], "http://u:hunter2@b", ""),
        ] {
            let proxies = parse(words);
            assert_eq!(proxies.checked().unwrap(), want(https, none), "{words:?}");
            assert!(!format!("{proxies:?}").contains("hunter2"));
        }
        let told = parse(&["--http-proxy=socks5://u:hunter2@a"]).checked();
        let told = told.unwrap_err().to_string();
        assert!(
            told.starts_with("HTTP_PROXY: ") && !told.contains("hunter2"),
            "{told}"
        );
    }
}
