//! A wire from clients to kube-apiserver that can be cut, for a moment or for long.

use std::net::SocketAddr;

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A wire; what goes through it ends with it.
pub struct Wire {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Whether anything goes through. What is under way is cut by every message.
    open: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Wire {
    /// Returns a wire to `target`, open.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = watch::Sender::new(true);
        let until = open.subscribe();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // One that comes while the wire is cut is hung up on.
                if *until.borrow() {
                    tokio::spawn(join(stream, target, until.clone()));
                }
            }
        });
        Self {
            address,
            open,
            accepting,
        }
    }

    /// Cuts what is under way; others may come.
    pub fn cut(&self) {
        self.open.send_replace(true);
    }

    /// Cuts what is under way, and lets nobody through until it is mended.
    pub fn sever(&self) {
        self.open.send_replace(false);
    }

    /// Lets everybody through again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn join(mut client: TcpStream, target: SocketAddr, mut until: watch::Receiver<bool>) {
    until.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    // A wire keeps nothing back: small pieces would wait for one another's acknowledgement.
    for end in [&client, &server] {
        let _ = end.set_nodelay(true);
    }
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = until.changed() => {}
    }
}
