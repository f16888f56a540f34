//! A balancer as clusters have it: every connection goes to one of those that say they are ready.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kube::Client;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How often servers are asked whether they are ready.
const PROBE: Duration = Duration::from_millis(200);

/// A balancer; what goes through it ends with it.
pub struct Balancer {
    /// Where clients connect.
    pub address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Balancer {
    /// Returns a balancer before these servers, each with a client that can ask it whether it is ready.
    pub async fn before(servers: Vec<(SocketAddr, Client)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut tasks, mut targets) = (Vec::new(), Vec::new());
        for (server, client) in servers {
            let (ready, known) = watch::channel(true);
            tasks.push(tokio::spawn(probe(client, ready)));
            targets.push((server, known));
        }
        tasks.push(tokio::spawn(accept(listener, targets.into())));
        Self { address, tasks }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Returns whether a server says that it is ready.
pub async fn is_ready(client: &Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
    let asked = client.request_text(request);
    let answered = tokio::time::timeout(Duration::from_secs(5), asked).await;
    answered.is_ok_and(|it| it.is_ok())
}

async fn probe(client: Client, ready: watch::Sender<bool>) {
    loop {
        ready.send_replace(is_ready(&client).await);
        tokio::time::sleep(PROBE).await;
    }
}

async fn accept(listener: TcpListener, targets: Arc<[(SocketAddr, watch::Receiver<bool>)]>) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(join(client, targets.clone(), turn.clone()));
    }
}

async fn join(
    mut client: TcpStream,
    targets: Arc<[(SocketAddr, watch::Receiver<bool>)]>,
    turn: Arc<AtomicUsize>,
) {
    let first = turn.fetch_add(1, Ordering::Relaxed);
    for number in 0..targets.len() {
        let (server, ready) = &targets[(first + number) % targets.len()];
        if !*ready.borrow() {
            continue;
        }
        if let Ok(mut server) = TcpStream::connect(server).await {
            for end in [&client, &server] {
                let _ = end.set_nodelay(true);
            }
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
