//! A real little proxy for tests: it makes tunnels (CONNECT), forwards what is asked in the clear, wants credentials or
//! refuses, and takes every host to be this machine.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// How a proxy behaves; can be changed while it runs.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The `Proxy-Authorization` header that opens it; nothing opens it to all.
    pub authorization: Option<String>,
    /// Every request is answered with this status.
    pub status: Option<u16>,
    /// No request is answered: the connection ends.
    pub mute: bool,
}

/// A running proxy; its thread ends with the process.
pub struct Proxy {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that is open to all.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            behaviour: Arc::default(),
            requests: Arc::default(),
        };
        let (behaviour, requests) = (proxy.behaviour.clone(), proxy.requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behaviour, requests) = (behaviour.clone(), requests.clone());
                thread::spawn(move || serve(&stream, &behaviour, &requests));
            }
        });
        proxy
    }

    /// Returns its address, with what comes before the host.
    pub fn url(&self, user: &str) -> String {
        format!("http://{user}{}", self.address)
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    /// Returns the first lines of what was asked since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn serve(
    client: &TcpStream,
    behaviour: &Mutex<Behaviour>,
    requests: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut reader = BufReader::new(client);
    let mut upstream: Option<TcpStream> = None;
    loop {
        let head = head(&mut reader)?;
        let first = head.first()?.clone();
        requests.lock().unwrap().push(first.clone());
        let now = behaviour.lock().unwrap().clone();
        let opens = value(&head, "proxy-authorization");
        let shut = now.authorization.is_some() && now.authorization.as_deref() != opens;
        let mut client = client;
        if now.mute {
            return client.shutdown(Shutdown::Both).ok();
        }
        if let Some(status) = now.status.or(shut.then_some(407)) {
            write!(client, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n").ok()?;
            return None;
        }
        let words: Vec<_> = first.split(' ').collect();
        if words[0] == "CONNECT" {
            let server = dial(words[1])?;
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
            return tunnel(reader, client, server);
        }
        let (host, path) = words[1].strip_prefix("http://")?.split_once('/')?;
        if upstream.is_none() {
            let server = dial(host)?;
            let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
            thread::spawn(move || io::copy(&mut from, &mut to));
            upstream = Some(server);
        }
        forward(&head, (words[0], path), &mut reader, upstream.as_mut()?)?;
    }
}

/// Sends a request on, without what is the proxy's own.
fn forward(
    head: &[String],
    (method, path): (&str, &str),
    body: &mut impl Read,
    server: &mut TcpStream,
) -> Option<()> {
    let mut text = format!("{method} /{path} HTTP/1.1\r\n");
    let own = |line: &&String| !line.to_lowercase().starts_with("proxy-");
    for line in head[1..].iter().filter(own) {
        text.extend([line, "\r\n"]);
    }
    server.write_all(text.as_bytes()).ok()?;
    server.write_all(b"\r\n").ok()?;
    let length = value(head, "content-length").map_or(0, |text| text.parse().unwrap());
    assert!(
        value(head, "transfer-encoding").is_none(),
        "bodies have a length"
    );
    io::copy(&mut body.take(length), server).ok().map(drop)
}

fn head(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|count| *count > 0)?;
        match line.trim_end() {
            "" => return Some(lines),
            text => lines.push(text.into()),
        }
    }
}

fn value<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let pairs = head[1..].iter().filter_map(|line| line.split_once(": "));
    pairs
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .next()
}

/// Connects to the port of an authority on this machine, whatever its host.
fn dial(authority: &str) -> Option<TcpStream> {
    let port = authority.rsplit_once(':')?.1.parse::<u16>().ok()?;
    TcpStream::connect(("127.0.0.1", port)).ok()
}

fn tunnel(mut reader: BufReader<&TcpStream>, client: &TcpStream, server: TcpStream) -> Option<()> {
    let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Write)
    });
    let mut server = server;
    io::copy(&mut reader, &mut server).ok()?;
    server.shutdown(Shutdown::Write).ok()
}
