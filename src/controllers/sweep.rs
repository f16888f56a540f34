//! Takes away what is left of Repositories that are no more: records whose Repository went with its namespace or lost its
//! finalizer, managers and mirrors of such. A Repository counts as gone only when the cluster says so itself.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::Api;
use kube_runtime::reflector::{ObjectRef, Store};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Error,
    repository::{Context, Name},
};
use crate::api::Repository;

/// How often it is looked for leftovers: they do no harm but to be seen.
const EVERY: Duration = Duration::from_mins(1);

/// Sweeps, for ever. `known` are the Repositories that the controller sees.
pub async fn run(context: Arc<Context>, known: Store<Repository>) {
    context.means.catalog.until_ready().await;
    if known.wait_until_ready().await.is_err() {
        // The controller never came to be, so there is nothing to sweep after.
        std::future::pending::<()>().await;
    }
    let targets = context.targets(&known.state());
    if let Err(error) = context.means.mirrors.keep_only(&targets).await {
        tracing::warn!(%error, "old mirrors could not be removed");
    }
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        context.ask_again();
        for name in suspects(&context, &known) {
            if let Err(error) = sweep(&context, &name).await {
                tracing::warn!(namespace = name.0, name = name.1, %error, "what a Repository left could not be removed");
            }
        }
    }
}

/// Returns the Repositories that something is left of and that the controller does not see.
fn suspects(context: &Context, known: &Store<Repository>) -> BTreeSet<Name> {
    let records = context.means.catalog.repositories();
    let named = records.into_iter().map(|it| (it.namespace, it.name));
    let all = named.chain(context.names());
    all.filter(|(namespace, name)| {
        !name.is_empty() && known.get(&ObjectRef::new(name).within(namespace)).is_none()
    })
    .collect()
}

async fn sweep(context: &Context, name: &Name) -> Result<(), Error> {
    let api: Api<Repository> = Api::namespaced(context.means.client.clone(), &name.0);
    if api.get_metadata_opt(&name.1).await?.is_some() {
        return Ok(());
    }
    tracing::info!(
        namespace = name.0,
        name = name.1,
        "records of a Repository that is no more are removed"
    );
    context.release(name, None).await
}
