//! The client of a function runner: upstream's gRPC service, or one like it, on an address without TLS.

use std::{error::Error, time::Duration};

use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{ElsewhereError, EvaluateFunctionRequest, EvaluateFunctionResponse, Evaluated, PATH};

/// How long an address may take to answer at all.
const CONNECT: Duration = Duration::from_secs(10);
/// After how much silence a runner is asked whether it is still there, and how long it may take to say so.
const ALIVE: Duration = Duration::from_secs(10);
/// Most bytes of a failure's description that are told.
const MOST_WORDS: usize = 64 << 10;

/// What one call of a runner may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerLimits {
    /// How long it may take.
    pub time: Duration,
    /// Most bytes of what is sent, and of what is answered.
    pub message: usize,
}

impl Default for RunnerLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(5),
            message: 6 << 20,
        }
    }
}

/// A function runner somewhere else. Clones share its connection.
#[derive(Clone, Debug)]
pub struct Runner {
    client: Grpc<Channel>,
    limits: RunnerLimits,
}

impl Runner {
    /// Returns the runner at `host:port`, which is called when it is needed first. To be called within a runtime.
    ///
    /// # Errors
    /// [`ElsewhereError::Unavailable`]: it is no address.
    pub fn new(address: &str, limits: RunnerLimits) -> Result<Self, ElsewhereError> {
        let bad = || ElsewhereError::Unavailable(format!("{address:?} is not a host and a port"));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| bad())?;
        let is_plain = endpoint.uri().port().is_some() && endpoint.uri().path() == "/";
        if !is_plain || endpoint.uri().host().is_none_or(str::is_empty) {
            return Err(bad());
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE);
        let client = Grpc::new(endpoint.connect_lazy())
            .max_encoding_message_size(usize::MAX)
            .max_decoding_message_size(limits.message);
        Ok(Self { client, limits })
    }

    /// Returns what a function made of a `ResourceList`. When the caller goes away, the runner is told.
    ///
    /// # Errors
    /// [`ElsewhereError`]: the runner is not there, does not know the function, took or answered too much, or the function failed.
    pub async fn evaluate(&self, image: &str, list: String) -> Result<Evaluated, ElsewhereError> {
        let request = EvaluateFunctionRequest {
            resource_list: list.into_bytes(),
            image: image.into(),
        };
        let late = || Err(Status::deadline_exceeded("context deadline exceeded"));
        let call = timeout(self.limits.time, self.call(request));
        let response = call.await.unwrap_or_else(|_| late());
        let answer = response
            .map_err(|status| told(image, &status))?
            .into_inner();
        let list = String::from_utf8(answer.resource_list).map_err(|_| {
            let status = Status::internal("the answer is not UTF-8");
            told(image, &status)
        })?;
        let log = String::from_utf8_lossy(&answer.log).into_owned();
        Ok(Evaluated { list, log })
    }

    async fn call(
        &self,
        request: EvaluateFunctionRequest,
    ) -> Result<Response<EvaluateFunctionResponse>, Status> {
        let (length, most) = (request.encoded_len(), self.limits.message);
        if length > most {
            let words = format!("trying to send message larger than max ({length} vs. {most})");
            return Err(Status::resource_exhausted(words));
        }
        let mut client = self.client.clone();
        let ready = client.ready().await;
        ready.map_err(|error| Status::from_error(Box::new(error)))?;
        let mut request = Request::new(request);
        // Later than here, where it is told better.
        request.set_timeout(self.limits.time + Duration::from_secs(1));
        let codec = ProstCodec::default();
        client
            .unary(request, PathAndQuery::from_static(PATH), codec)
            .await
    }
}

/// Returns the failure that a status tells of, in upstream's words.
fn told(image: &str, status: &Status) -> ElsewhereError {
    let words = format!(
        "func eval {image:?} failed: rpc error: code = {} desc = {}",
        name(status.code()),
        description(status)
    );
    match status.code() {
        Code::NotFound => ElsewhereError::NotFound(words),
        Code::DeadlineExceeded => ElsewhereError::TimedOut(words),
        Code::ResourceExhausted | Code::OutOfRange => ElsewhereError::TooLarge(words),
        Code::Unavailable | Code::Cancelled => ElsewhereError::Unavailable(words),
        // What came from below and not from the runner: the connection broke.
        _ if status.source().is_some() => ElsewhereError::Unavailable(words),
        _ => ElsewhereError::failed(words),
    }
}

/// Returns a code as Go calls it.
fn name(code: Code) -> String {
    match code {
        Code::Cancelled => "Canceled".into(),
        Code::Ok => "OK".into(),
        _ => format!("{code:?}"),
    }
}

/// Returns what a status says, with the innermost reason: those outside of it only say that there is one.
fn description(status: &Status) -> String {
    let mut said = status.message().to_string();
    let mut reason = status.source();
    while let Some(error) = reason {
        if error.source().is_none() {
            said = format!("{said}: {error}");
        }
        reason = error.source();
    }
    said.chars().take(MOST_WORDS).collect()
}
