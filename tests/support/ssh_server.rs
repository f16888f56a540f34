//! A real SSH server for tests, on loopback: it knows keys, and runs what it is asked in a shell of this machine, as
//! `git-upload-pack` and `git-receive-pack` on bare repositories. It can refuse, hang, cut and be of the old protocol.

#![allow(dead_code, reason = "each test program uses another part of it")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use russh::{
    Channel, ChannelId, ChannelMsg,
    keys::{
        PrivateKey, PublicKey,
        ssh_key::{LineEnding, private::Ed25519Keypair},
    },
    server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

/// How a server behaves; can be changed while it runs.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The keys that open it, as in `authorized_keys`.
    pub keys: Vec<String>,
    /// What clients set in the environment is not taken: only the original protocol is spoken.
    pub old_protocol: bool,
    /// Nothing is run: these words are said instead, and the program ends with this status.
    pub says: Option<(String, u32)>,
    /// Nothing is run, and nothing said.
    pub hangs: bool,
    /// Nothing may be run.
    pub refuses: bool,
    /// The connection ends after so many bytes of what a program says.
    pub cut_after: Option<usize>,
}

/// A running server; it ends when dropped.
pub struct SshServer {
    address: SocketAddr,
    host_key: PrivateKey,
    behaviour: Arc<Mutex<Behaviour>>,
    commands: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// Returns the key that a number stands for.
pub fn key(number: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[number; 32]))
}

/// Returns a private key as Secrets hold it.
pub fn private(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::default()).unwrap().to_string()
}

/// Returns a public key as servers know it.
pub fn public(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

impl SshServer {
    /// Starts a server with this host key, which opens to another.
    pub fn start(host_key: PrivateKey, opens: &PrivateKey) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), host_key, opens)
    }

    /// Ends this server, and starts another with another host key at the same address.
    pub fn replaced(self, host_key: PrivateKey, opens: &PrivateKey) -> Self {
        let address = self.address;
        drop(self);
        Self::start_at(address, host_key, opens)
    }

    fn start_at(address: SocketAddr, host_key: PrivateKey, opens: &PrivateKey) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(async {
            loop {
                match tokio::net::TcpListener::bind(address).await {
                    Ok(listener) => return listener,
                    // The one before is still ending.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            }
        });
        let config = server::Config {
            keys: vec![host_key.clone()],
            auth_rejection_time: std::time::Duration::from_millis(10),
            auth_rejection_time_initial: Some(std::time::Duration::ZERO),
            ..server::Config::default()
        };
        let server = Self {
            address: listener.local_addr().unwrap(),
            host_key,
            behaviour: Arc::default(),
            commands: Arc::default(),
            connections: Arc::default(),
            runtime: Some(runtime),
        };
        server.behave(|behaviour| behaviour.keys = vec![public(opens)]);
        let config = Arc::new(config);
        let (behaviour, commands) = (server.behaviour.clone(), server.commands.clone());
        let connections = server.connections.clone();
        server.runtime.as_ref().unwrap().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let visit = Visit {
                    behaviour: behaviour.clone(),
                    commands: commands.clone(),
                    channels: HashMap::new(),
                    protocol: None,
                };
                let config = config.clone();
                tokio::spawn(async move {
                    if let Ok(session) = server::run_stream(config, stream, visit).await {
                        let _ = session.await;
                    }
                });
            }
        });
        server
    }

    /// Returns the URL of a repository of this machine.
    pub fn url(&self, directory: &Path) -> String {
        format!(
            "ssh://git@localhost:{}{}",
            self.address.port(),
            directory.display()
        )
    }

    /// Returns what clients should know the server by.
    pub fn known_hosts(&self) -> String {
        format!(
            "[localhost]:{} {}\n",
            self.address.port(),
            public(&self.host_key)
        )
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    /// Returns the names of the programs that were asked for since the last call.
    pub fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.commands.lock().unwrap())
    }

    /// Returns how many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One connection.
struct Visit {
    behaviour: Arc<Mutex<Behaviour>>,
    commands: Arc<Mutex<Vec<String>>>,
    channels: HashMap<ChannelId, Channel<Msg>>,
    protocol: Option<String>,
}

impl Visit {
    fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().unwrap().clone()
    }
}

impl server::Handler for Visit {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let shown = key.public_key.key_data().clone();
        let known = |text: &String| *PublicKey::from_openssh(text).unwrap().key_data() == shown;
        let opens = user == "git" && self.behaviour().keys.iter().any(known);
        Ok(if opens { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        _: ChannelId,
        name: &str,
        value: &str,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if name == "GIT_PROTOCOL" && !self.behaviour().old_protocol {
            self.protocol = Some(value.into());
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8(command.to_vec()).unwrap();
        let name = command.split(' ').next().unwrap().to_string();
        self.commands.lock().unwrap().push(name);
        let (behaviour, channel) = (self.behaviour(), self.channels.remove(&id).unwrap());
        if behaviour.refuses {
            return session.channel_failure(id);
        }
        session.channel_success(id)?;
        if behaviour.hangs {
            self.channels.insert(id, channel);
            return Ok(());
        }
        if let Some((words, status)) = behaviour.says {
            tokio::spawn(async move {
                let _ = channel.extended_data(1, words.as_bytes()).await;
                let _ = channel.exit_status(status).await;
                let _ = channel.close().await;
            });
            return Ok(());
        }
        let mut program = Command::new("sh");
        program
            .args(["-c", &command])
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(self.protocol.iter().map(|value| ("GIT_PROTOCOL", value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let (child, handle) = (program.spawn().unwrap(), session.handle());
        tokio::spawn(async move {
            if run(channel, child, behaviour.cut_after).await.is_none() {
                let why = "the line is dead".to_string();
                let _ = handle
                    .disconnect(russh::Disconnect::ByApplication, why, String::new())
                    .await;
            }
        });
        Ok(())
    }
}

/// Lets a program be told and heard; nothing if the line was cut.
async fn run(channel: Channel<Msg>, mut child: Child, cut_after: Option<usize>) -> Option<()> {
    let (mut from, to) = channel.split();
    let (mut stdin, mut stdout, mut stderr) = (
        child.stdin.take().unwrap(),
        child.stdout.take().unwrap(),
        child.stderr.take().unwrap(),
    );
    let telling = tokio::spawn(async move {
        while let Some(message) = from.wait().await {
            match message {
                ChannelMsg::Data { data } if stdin.write_all(&data).await.is_ok() => {}
                ChannelMsg::Data { .. } | ChannelMsg::Eof | ChannelMsg::Close => return,
                _ => {}
            }
        }
    });
    let (mut buffer, mut said) = (vec![0; 1 << 14], 0);
    loop {
        let count = stdout.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        let room = cut_after.map_or(count, |most| count.min(most.saturating_sub(said)));
        to.data(&buffer[..room]).await.ok()?;
        said += count;
        if cut_after.is_some_and(|most| said > most) {
            return None;
        }
    }
    let mut words = Vec::new();
    stderr.read_to_end(&mut words).await.unwrap();
    to.extended_data(1, &words[..]).await.ok()?;
    let status = child.wait().await.unwrap().code().unwrap_or(1);
    to.exit_status(status.try_into().unwrap()).await.ok()?;
    to.eof().await.ok()?;
    telling.abort();
    to.close().await.ok()
}
