//! One kind as it is served, whatever its objects are: what the registry keeps.
//!
//! [`Resource`] and [`Writer`] are generic, so that bytes go from cache to socket without a detour; here their types end.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{
    Failure, Kind, PatchKind, Reply, Resource, Write, Writer,
    answer::Answer,
    verbs::{self, Ask, Watching},
};

/// A kind that can be read.
pub(super) trait AnyResource: Send + Sync {
    fn kind(&self) -> &Kind;
    fn get(&self, ask: Ask) -> BoxFuture<'static, Result<Answer, Failure>>;
    fn list(&self, ask: Ask) -> BoxFuture<'static, Result<Answer, Failure>>;
    fn watch(&self, ask: Ask, watching: Watching) -> BoxFuture<'static, Result<Answer, Failure>>;
}

/// One who can write a kind.
pub(super) trait AnyWriter: Send + Sync {
    fn write(&self, write: Write) -> BoxFuture<'_, Result<Reply, Failure>>;
    fn protobuf(&self, body: &[u8]) -> Option<Result<Bytes, Failure>>;
    fn patches(&self) -> &[PatchKind];
}

/// A kind and its writer, if it has one.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) resource: Arc<dyn AnyResource>,
    pub(super) writer: Option<Arc<dyn AnyWriter>>,
}

impl Endpoint {
    /// Returns the patches that can be written.
    pub(super) fn patches(&self) -> &[PatchKind] {
        self.writer.as_ref().map_or(&[], |writer| writer.patches())
    }
}

/// A resource whose type is forgotten.
pub(super) struct Erased<R>(pub(super) Arc<R>);

impl<R: Resource> AnyResource for Erased<R> {
    fn kind(&self) -> &Kind {
        self.0.kind()
    }

    fn get(&self, ask: Ask) -> BoxFuture<'static, Result<Answer, Failure>> {
        Box::pin(verbs::get(self.0.clone(), ask))
    }

    fn list(&self, ask: Ask) -> BoxFuture<'static, Result<Answer, Failure>> {
        Box::pin(verbs::list(self.0.clone(), ask))
    }

    fn watch(&self, ask: Ask, watching: Watching) -> BoxFuture<'static, Result<Answer, Failure>> {
        Box::pin(verbs::watch(self.0.clone(), ask, watching))
    }
}

impl<W: Writer> AnyWriter for W {
    fn write(&self, write: Write) -> BoxFuture<'_, Result<Reply, Failure>> {
        Box::pin(Writer::write(self, write))
    }

    fn protobuf(&self, body: &[u8]) -> Option<Result<Bytes, Failure>> {
        Writer::protobuf(self, body)
    }

    fn patches(&self) -> &[PatchKind] {
        Writer::patches(self)
    }
}
