//! A client in the same process: requests go in, and what comes out is looked at.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use porch::apiserver::{Identity, Server};
use serde_json::Value;

pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// What came back.
pub struct Answered {
    pub code: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into()
    }

    pub fn message(&self) -> String {
        let status = self.json();
        assert_eq!(status["kind"], "Status");
        assert_eq!(status["apiVersion"], "v1");
        assert_eq!(status["status"], "Failure");
        assert_eq!(status["code"], self.code);
        status["message"].as_str().unwrap().into()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// One who asks.
pub struct Client {
    pub server: Server,
}

impl Client {
    pub fn of(server: Server) -> Self {
        Self { server }
    }

    pub async fn open(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        request.extensions_mut().insert(Identity::master("tester"));
        self.server.answer(request).await
    }

    pub async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answered {
        let (parts, body) = self.open(method, uri, headers, body).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answered {
            code: parts.status.as_u16(),
            headers: parts.headers,
            bytes,
        }
    }

    pub async fn get(&self, uri: &str) -> Answered {
        self.send(Method::GET, uri, &[], Body::empty()).await
    }

    pub async fn accept(&self, uri: &str, accept: &str) -> Answered {
        self.send(Method::GET, uri, &[("accept", accept)], Body::empty())
            .await
    }

    /// Opens a watch.
    pub async fn watch(&self, uri: &str, accept: &str) -> Events {
        let headers = [("accept", accept)];
        let response = self.open(Method::GET, uri, &headers, Body::empty()).await;
        assert_eq!(response.status().as_u16(), 200, "{uri}");
        assert_eq!(response.headers()["content-type"], "application/json");
        Events {
            body: response.into_body(),
            rest: Vec::new(),
        }
    }
}

/// Events of a watch, one a line.
pub struct Events {
    body: Body,
    rest: Vec<u8>,
}

impl Events {
    /// Returns the next event; nothing if the watch ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.rest.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// Returns type and name of each of the next `count` events.
    pub async fn take(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("the watch goes on");
            let name = &event["object"]["metadata"]["name"];
            let type_ = event["type"].as_str().unwrap();
            events.push(format!("{type_} {}", name.as_str().unwrap_or_default()));
        }
        events
    }

    /// Asserts that there is nothing to hear.
    pub async fn silent(&mut self) {
        let heard = tokio::time::timeout(Duration::from_millis(50), self.next()).await;
        if let Ok(heard) = heard {
            panic!("heard {heard:?}");
        }
    }
}
