//! One object, by its name.

use std::sync::Arc;

use bytes::BytesMut;

use super::{Ask, caught_up};
use crate::{
    apiserver::{
        Failure, Resource, Subject,
        answer::Answer,
        view::{Writing, failure},
    },
    cache::Name,
};

/// Returns the object that the request names, not older than the version that it names.
pub(in crate::apiserver) async fn get<R: Resource>(
    resource: Arc<R>,
    ask: Ask,
) -> Result<Answer, Failure> {
    caught_up(&resource, ask.query.version()?).await?;
    let Ask { place, format, .. } = ask;
    let name = Name::new(place.namespace, place.name);
    let kind = resource.kind();
    let found = resource.find(&name).await;
    let Some(object) = found.map_err(|problem| failure(kind, problem))? else {
        let subject = Subject::new(&*kind.group, &*kind.plural, name.name);
        return Err(Failure::NotFound(subject));
    };
    let mut out = BytesMut::new();
    let writing = Writing {
        resource: resource.clone(),
        view: format.view,
    };
    let written = writing.single(&object, true, &mut out).await;
    written.map_err(|problem| failure(kind, problem))?;
    Ok(Answer::Document(out.freeze()))
}
