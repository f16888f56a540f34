//! The opening of a connection: a peer has so long to say which HTTP it speaks. From then on HTTP itself limits how long it
//! may be silent; before, nobody else would.
//!
//! In comes a stream; out goes the same stream, which fails if its peer has not begun in time. It changes no byte.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// What a peer says first that speaks HTTP/2 (RFC 9113 §3.4). Whoever says anything else speaks HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose peer must begin in time.
pub(super) struct Opening<S> {
    stream: S,
    /// How much of the preface was heard.
    heard: usize,
    /// When there is no more time; nothing once it is known what the peer speaks.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Opening<S> {
    /// Returns the stream, whose peer has so long to begin.
    pub(super) fn within(patience: Duration, stream: S) -> Self {
        Self {
            stream,
            heard: 0,
            until: Some(Box::pin(sleep(patience))),
        }
    }

    /// Takes note of what the peer said.
    fn hear(&mut self, said: &[u8]) {
        let expected = &PREFACE[self.heard..];
        let common = said.len().min(expected.len());
        self.heard += common;
        if said[..common] != expected[..common] || self.heard == PREFACE.len() {
            self.until = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(until) = &mut self.until else {
            return read;
        };
        match read {
            Poll::Ready(Ok(())) => {
                self.hear(&buffer.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending if until.as_mut().poll(context).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_so_long_to_begin_and_then_as_long_as_it_likes() {
        let second = Duration::from_secs(1);
        for (what, said, lives) in [
            ("nothing", &b""[..], false),
            ("a part of the preface", &PREFACE[..23], false),
            ("the preface", PREFACE, true),
            (
                "the preface and more",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore",
                true,
            ),
            ("a request", b"G", true),
            ("one that begins like the preface", b"PRO", true),
        ] {
            let (mut peer, stream) = duplex(64);
            let mut stream = Opening::within(second, stream);
            // Byte by byte: what is said need not come at once.
            for byte in said {
                peer.write_all(&[*byte]).await.unwrap();
                assert_eq!(stream.read_u8().await.unwrap(), *byte);
            }
            let later = tokio::time::timeout(second * 60, stream.read_u8()).await;
            assert_eq!(later.is_err(), lives, "{what}");
        }
    }
}
