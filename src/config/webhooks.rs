//! The flags that say whether messages of Git servers are heard, and by what they are believed. The same for both commands
//! that serve.

use std::path::PathBuf;

use clap::Args;

/// Whether messages of Git servers are heard.
#[derive(Clone, Debug, Default, Args)]
pub struct Webhooks {
    /// Hear at `/webhooks/git` what Git servers say of pushes, and look at once. A Repository's own secret is the key
    /// `webhookSecret` of the Secret that its annotation `porch.kpt.dev/webhook-secret` names.
    #[arg(long)]
    pub webhooks: bool,
    /// A file with a secret that counts for all Repositories; read whenever it is needed. Implies --webhooks.
    #[arg(long, value_name = "FILE")]
    pub webhook_secret_file: Option<PathBuf>,
}

impl Webhooks {
    /// Returns whether messages are heard.
    #[must_use]
    pub fn are_heard(&self) -> bool {
        self.webhooks || self.webhook_secret_file.is_some()
    }
}
