//! Flags and environment, checked once. In come the words of the command line; out goes a [`Command`] that can be carried
//! out. Nothing else in the program reads the environment.

mod functions;
mod idle;
mod proxies;
mod serve;
mod webhooks;

pub use functions::Functions;
pub use idle::Idle;
pub use proxies::Proxies;
pub use serve::{Callers, Operation, Repositories, Serve, Serving};
pub use webhooks::Webhooks;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Kubernetes configuration packages that live in Git, served as a Kubernetes API.
///
/// Register a Git repository with `kubectl apply` of a Repository, and see every package revision in it with
/// `kubectl get packagerevisions --watch`.
#[derive(Debug, Parser)]
#[command(name = "porch", version, arg_required_else_help = true)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much to log.
    #[command(flatten)]
    pub log: Log,
}

/// How much is logged, and how.
#[derive(Clone, Debug, Args)]
pub struct Log {
    /// What to log: a level (`warn`, `info`, `debug`) or directives such as `info,porch::git=debug`. Logs go to stderr.
    #[arg(
        long,
        global = true,
        env = "PORCH_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// Form of the logs.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// How much to log, as Kubernetes' components count: 4 is `debug`, 6 is `trace` of this program.
    #[arg(
        short = 'v',
        long = "v",
        global = true,
        value_name = "LEVEL",
        default_value_t = 0
    )]
    pub verbosity: u8,
    /// Where an OpenTelemetry collector takes spans over HTTP, from the environment; without one none are sent.
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide = true,
        value_name = "URL"
    )]
    pub otlp_endpoint: Option<String>,
    /// What collectors call this program, from the environment.
    #[arg(
        long,
        global = true,
        env = "OTEL_SERVICE_NAME",
        hide = true,
        default_value = "porch-server",
        value_name = "NAME"
    )]
    pub otel_service_name: String,
}

impl Log {
    /// Returns where spans are sent, if they are.
    #[must_use]
    pub fn collector(&self) -> Option<String> {
        let base = self.otlp_endpoint.as_deref()?.trim_end_matches('/');
        (!base.is_empty()).then(|| format!("{base}/v1/traces"))
    }

    /// Returns what to log: as `--log` says, and as much more as `-v` asks for.
    #[must_use]
    pub fn filter(&self) -> String {
        match self.verbosity {
            0..=3 => self.log.clone(),
            4 | 5 => format!("{},porch=debug", self.log),
            _ => format!("{},porch=trace,kube=debug", self.log),
        }
    }
}

/// Form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs everything in one process on this machine: API server, reconcilers, and a small store in place of a cluster.
    ///
    /// Serves HTTPS with a certificate and a token of its own, and writes a kubeconfig. When it serves, it prints one line
    /// on stdout, `ready: export KUBECONFIG=<file>`; do what it says in another terminal, then try
    ///
    ///   kubectl get repositories
    ///   kubectl get packagerevisions --watch
    #[command(verbatim_doc_comment)]
    Standalone(Box<Standalone>),
    /// Serves the API of a cluster, behind kube-apiserver's aggregation layer.
    ///
    /// The objects of `deploy/` register it, and say what it may do there.
    Serve(Box<Serve>),
    /// Prints the custom resource definitions that a cluster needs, as YAML.
    Crds(Crds),
}

/// Flags of `porch crds`.
#[derive(Clone, Debug, Args)]
pub struct Crds {
    /// Write one file a definition into this directory instead of printing them.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Flags of `porch standalone`.
#[derive(Clone, Debug, Args)]
pub struct Standalone {
    /// On first start, make a small Git repository inside the data directory and register it under the name `demo`.
    #[arg(long)]
    pub demo: bool,
    /// Where everything is kept: objects, Git mirrors, certificate, token. One process at a time [default: porch in the
    /// user's state directory].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to serve; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9443")]
    pub listen: SocketAddr,
    /// Where to write the kubeconfig, readable by its owner only [default: kubeconfig in the data directory].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How often to look for changes in repositories that have no schedule of their own.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub sync_interval: Duration,
    /// Through which proxies Git servers are reached.
    #[command(flatten)]
    pub proxies: Proxies,
    /// Whether messages of Git servers are heard.
    #[command(flatten)]
    pub webhooks: Webhooks,
    /// Where functions run.
    #[command(flatten)]
    pub functions: Functions,
    /// The user's state directory, from the environment.
    #[arg(long, env = "XDG_STATE_HOME", hide = true, value_name = "DIR")]
    pub state_home: Option<PathBuf>,
    /// The user's home, from the environment.
    #[arg(long, env = "HOME", hide = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
}

impl Standalone {
    /// Returns the data directory: the flag's, else `porch` in the user's state directory (XDG Base Directory
    /// Specification).
    ///
    /// # Errors
    /// If neither the flag nor the environment names one.
    pub fn directory(&self) -> anyhow::Result<PathBuf> {
        if let Some(directory) = &self.data_dir {
            return Ok(std::path::absolute(directory)?);
        }
        let absolute = |path: &Option<PathBuf>| path.clone().filter(|path| path.is_absolute());
        let state = absolute(&self.state_home)
            .or_else(|| absolute(&self.home).map(|home| home.join(".local/state")));
        state.map(|state| state.join("porch")).ok_or_else(|| {
            anyhow::anyhow!(
                "--data-dir is needed: neither XDG_STATE_HOME nor HOME names an absolute directory"
            )
        })
    }

    /// Returns where the kubeconfig goes.
    ///
    /// # Errors
    /// If the working directory is gone.
    pub fn kubeconfig(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let file = self.kubeconfig.clone();
        Ok(std::path::absolute(
            file.unwrap_or_else(|| directory.join("kubeconfig")),
        )?)
    }
}

/// Returns the duration that a flag means, of at least a second.
fn duration(text: &str) -> Result<Duration, String> {
    let total = any_duration(text)?;
    if total < Duration::from_secs(1) {
        return Err(format!("{text:?} is shorter than a second"));
    }
    Ok(total)
}

/// Returns the duration that a flag means: a number with `ms`, `s`, `m` or `h`, several may follow each other; or `0`.
fn any_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 30s, 5m or 1h30m");
    if text.is_empty() {
        return Err(wrong());
    }
    let mut total = Duration::ZERO;
    let mut rest = if text == "0" { "" } else { text };
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
        let part = match &rest[..end] {
            "ms" => Some(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3600),
            _ => None,
        };
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(wrong)?;
        rest = &rest[end..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standalone(words: &[&str]) -> Standalone {
        let words = ["porch", "standalone"].iter().chain(words);
        match Config::try_parse_from(words).unwrap().command {
            Command::Standalone(standalone) => *standalone,
            Command::Crds(_) | Command::Serve(_) => unreachable!("standalone was asked for"),
        }
    }

    fn serve(words: &[&str]) -> Result<Serve, clap::Error> {
        let words = ["porch", "serve"].iter().chain(words);
        Ok(match Config::try_parse_from(words)?.command {
            Command::Serve(serve) => *serve,
            _ => unreachable!("serve was asked for"),
        })
    }

    #[test]
    fn upstreams_own_command_line_is_taken_and_what_does_nothing_is_named() {
        let flags = serve(&[
            "--function-runner=function-runner:9445",
            "--cache-directory=/cache",
            "--db-push-drafts-to-git=false",
            "--cert-dir=/certificates",
            "--secure-port=4443",
            "--repo-operation-retry-attempts=3",
            "--max-request-body-size=6291456",
            "--pod-namespace=functions",
            "--cache-type=db",
            "-v=4",
        ])
        .unwrap();
        assert_eq!(flags.serving.secure_port, 4443);
        let runner = flags.functions.function_runner.as_deref();
        assert_eq!(runner, Some("function-runner:9445"));
        let namespace = flags.functions.pod_namespace.as_deref();
        assert_eq!(namespace, Some("functions"));
        assert_eq!(flags.repositories.directory().unwrap(), Path::new("/cache"));
        let idle: Vec<_> = flags
            .idle
            .given()
            .into_iter()
            .map(|(flag, _)| flag)
            .collect();
        assert_eq!(
            idle,
            [
                "--cache-type",
                "--db-push-drafts-to-git",
                "--repo-operation-retry-attempts"
            ]
        );
        assert_eq!(serve(&[]).unwrap().idle.given(), []);
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused_with_a_sentence() {
        for (words, told) in [
            (&["--tls-cert-file=a"][..], "--tls-private-key-file"),
            (&["--tls-private-key-file=a"], "--tls-cert-file"),
            (
                &["--manage-apiservice", "--cert-dir=a"],
                "cannot be used with",
            ),
            (
                &[
                    "--tls-cert-file=a",
                    "--tls-private-key-file=b",
                    "--manage-apiservice",
                ],
                "cannot be used with",
            ),
            (
                &["--requestheader-allowed-names=a"],
                "--requestheader-client-ca-file",
            ),
            (&["--shards=0"], "--shards"),
            (&["--pod-namespace="], "--pod-namespace"),
            (&["--etcd-servers=a"], "unexpected argument"),
            (&["--bind-address=nowhere"], "--bind-address"),
        ] {
            let error = serve(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words:?}");
            assert!(error.to_string().contains(told), "{words:?}: {error}");
        }
    }

    #[test]
    fn verbosity_adds_to_what_is_logged() {
        for (words, filter) in [
            (&["porch", "crds"][..], "info"),
            (&["porch", "crds", "-v", "2"], "info"),
            (&["porch", "-v=4", "crds"], "info,porch=debug"),
            (&["porch", "crds", "--v=9"], "info,porch=trace,kube=debug"),
        ] {
            let config = Config::try_parse_from(words).unwrap();
            assert_eq!(config.log.filter(), filter, "{words:?}");
        }
    }

    #[test]
    fn spans_are_sent_only_where_a_collector_is_named() {
        for (endpoint, url) in [
            ("http://otel:4318", Some("http://otel:4318/v1/traces")),
            ("http://otel:4318/", Some("http://otel:4318/v1/traces")),
            ("https://otel/base/", Some("https://otel/base/v1/traces")),
            ("", None),
        ] {
            let words = ["porch", "crds", "--otlp-endpoint", endpoint];
            let log = Config::try_parse_from(words).unwrap().log;
            assert_eq!(log.collector().as_deref(), url, "{endpoint:?}");
        }
    }

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h30m", 5400), ("1500ms", 1)] {
            assert_eq!(duration(text).unwrap().as_secs(), seconds, "{text}");
        }
        for text in [
            "",
            "5",
            "m",
            "5x",
            "-1s",
            "999ms",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_data_directory_is_the_users_unless_named() {
        let given = standalone(&["--data-dir", "/tmp/x", "--state-home", "/state"]);
        assert_eq!(given.directory().unwrap(), Path::new("/tmp/x"));
        let state = standalone(&["--state-home", "/state", "--home", "/home/me"]);
        assert_eq!(state.directory().unwrap(), Path::new("/state/porch"));
        let relative = standalone(&["--state-home", "state", "--home", "/home/me"]);
        assert_eq!(
            relative.directory().unwrap(),
            Path::new("/home/me/.local/state/porch")
        );
        assert_eq!(
            given.kubeconfig(Path::new("/tmp/x")).unwrap(),
            Path::new("/tmp/x/kubeconfig")
        );
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for words in [
            ["standalone", "--listen=nowhere"],
            ["standalone", "--frobnicate"],
            ["serve-me", "-x"],
        ] {
            let words = ["porch"].iter().chain(&words);
            assert!(Config::try_parse_from(words).is_err());
        }
    }
}
