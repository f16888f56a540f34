//! Flags and environment, checked once. In come the words of the command line; out goes a [`Command`] that can be carried
//! out. Nothing else in the program reads the environment.

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
    Standalone(Standalone),
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

/// Returns the duration that a flag means: a number with `ms`, `s`, `m` or `h`, several may follow each other.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 30s, 5m or 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text;
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
    if total < Duration::from_secs(1) {
        return Err(format!("{text:?} is shorter than a second"));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standalone(words: &[&str]) -> Standalone {
        let words = ["porch", "standalone"].iter().chain(words);
        match Config::try_parse_from(words).unwrap().command {
            Command::Standalone(standalone) => standalone,
            Command::Crds(_) => unreachable!("standalone was asked for"),
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
