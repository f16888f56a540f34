//! Many objects at one version, in pages if the caller likes, and streamed.

use std::{ops::Bound, sync::Arc, vec};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::{Ask, caught_up, token::Token};
use crate::{
    apiserver::{
        Failure, Problem, Resource,
        answer::{Answer, PIECE},
        query::{ListOptions, Match},
        selection::Selection,
        view::{Writing, failure},
    },
    cache::{Entry, Name, Snapshot, Version},
};

/// What is told to one whose page's version is gone.
const PAGE_GONE: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
/// What is told to one who wants exactly a version that is gone.
const VERSION_GONE: &str = "The resourceVersion for the provided list is too old.";

/// Returns the objects that the request chooses.
pub(in crate::apiserver) async fn list<R: Resource>(
    resource: Arc<R>,
    ask: Ask,
) -> Result<Answer, Failure> {
    let options = ask.query.list_options(false)?;
    let selection = Selection::parse(&*resource, &ask.place.namespace, &options)?;
    let from = start(&options)?;
    let snapshot = snapshot(&resource, &options, from.as_ref()).await?;
    let page = page(&snapshot, &selection, &options, from.as_ref());
    let metadata = metadata(snapshot.version, &page, &selection);
    drop(snapshot);
    let writing = Writing {
        resource: resource.clone(),
        view: ask.format.view,
    };
    let mut writer = ListWriter {
        head: Some(writing.open_list(&metadata)),
        objects: page.objects.into_iter(),
        writing,
        first: true,
    };
    let begun = writer.piece().await;
    let begun = begun.map_err(|problem| failure(resource.kind(), problem))?;
    let rest = stream::try_unfold(writer, |mut writer| async move {
        let piece = writer.piece().await?;
        Ok(piece.map(|piece| (piece, writer)))
    });
    let all = stream::iter(begun.map(Ok)).chain(rest);
    Ok(Answer::Pieces(all.boxed()))
}

fn start(options: &ListOptions) -> Result<Option<Token>, Failure> {
    if options.continue_token.is_empty() {
        return Ok(None);
    }
    if options.version.unwrap_or_default() != Version(0) {
        let why = "specifying resource version is not allowed when using continue";
        return Err(Failure::BadRequest(why.into()));
    }
    Token::decode(&options.continue_token).map(Some)
}

/// Returns everything, at the version that the request means.
async fn snapshot<R: Resource>(
    resource: &Arc<R>,
    options: &ListOptions,
    from: Option<&Token>,
) -> Result<Snapshot<R::Object>, Failure> {
    let store = resource.store();
    if let Some(token) = from {
        caught_up(resource, token.version).await?;
        let Some(version) = token.version else {
            return Ok(store.snapshot());
        };
        return store.snapshot_at(version).map_err(|_| Failure::Expired {
            message: PAGE_GONE.into(),
            continue_token: Some(anew(token)),
        });
    }
    caught_up(resource, options.version).await?;
    match options.version {
        Some(version) if is_exact(options, version) => {
            store.snapshot_at(version).map_err(|_| Failure::Expired {
                message: VERSION_GONE.into(),
                continue_token: None,
            })
        }
        _ => Ok(store.snapshot()),
    }
}

/// Returns the token that goes on at the same place with whatever is newest.
fn anew(token: &Token) -> String {
    let token = Token {
        version: None,
        after: token.after.clone(),
    };
    token.encode()
}

/// A version with a limit, and no word on what it means, is meant exactly (an old custom of Kubernetes').
fn is_exact(options: &ListOptions, version: Version) -> bool {
    let custom = options.version_match.is_none() && options.limit > 0 && version > Version(0);
    custom || options.version_match == Some(Match::Exact)
}

/// The objects of one page, and what comes after it.
struct Page<T> {
    objects: Vec<Arc<T>>,
    /// The last name, if more is to come.
    last: Option<Name>,
    /// How many are to come.
    remaining: usize,
}

fn page<T: Entry>(
    snapshot: &Snapshot<T>,
    selection: &Selection,
    options: &ListOptions,
    from: Option<&Token>,
) -> Page<T> {
    let cached = options.version == Some(Version(0)) && from.is_none();
    let limit = match options.limit {
        limit if limit > 0 && !cached => limit,
        _ => usize::MAX,
    };
    let lower = match from {
        Some(token) if token.after.namespace >= selection.namespace => {
            Bound::Excluded(token.after.clone())
        }
        _ => Bound::Included(Name::new(&*selection.namespace, "")),
    };
    let mut found = snapshot
        .objects
        .range((lower, Bound::Unbounded))
        .take_while(|(name, _)| {
            selection.namespace.is_empty() || name.namespace == selection.namespace
        })
        .filter(|(_, object)| selection.matches(object.as_ref()));
    let objects: Vec<_> = found
        .by_ref()
        .take(limit)
        .map(|(_, object)| object.clone())
        .collect();
    let remaining = found.count();
    let last = objects.last().filter(|_| remaining > 0);
    Page {
        last: last.map(|object| object.name().clone()),
        objects,
        remaining,
    }
}

fn metadata<T>(version: Version, page: &Page<T>, selection: &Selection) -> Value {
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if let Some(last) = &page.last {
        let token = Token {
            version: Some(version),
            after: last.clone(),
        };
        metadata["continue"] = token.encode().into();
        if !selection.is_narrow() {
            metadata["remainingItemCount"] = page.remaining.into();
        }
    }
    metadata
}

/// One who writes a list piece by piece, no faster than it is read.
struct ListWriter<R: Resource> {
    writing: Writing<R>,
    /// What comes before the first item, until it was written.
    head: Option<BytesMut>,
    objects: vec::IntoIter<Arc<R::Object>>,
    /// Whether no item was written yet.
    first: bool,
}

impl<R: Resource> ListWriter<R> {
    /// Returns the next piece; nothing after the last.
    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut out = match self.head.take() {
            Some(head) => head,
            None if self.objects.as_slice().is_empty() => return Ok(None),
            None => BytesMut::with_capacity(PIECE + PIECE / 4),
        };
        while out.len() < PIECE {
            let Some(object) = self.objects.next() else {
                break;
            };
            if !self.first {
                out.extend_from_slice(b",");
            }
            self.first = false;
            self.writing.item(&object, &mut out).await?;
        }
        if self.objects.as_slice().is_empty() {
            out.extend_from_slice(b"]}\n");
        }
        Ok(Some(out.freeze()))
    }
}
