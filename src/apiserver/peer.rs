//! The other end of a connection: which certificates it showed. Every client may show one and none must; that it holds the
//! key is proved here, and whom the certificate makes it is judged with each request, by what is trusted then.

use std::sync::Arc;

use http::Request;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::util::MapRequest;

use super::{Presented, Server};

/// Asks for a certificate, and takes any that the peer holds the key of, or none.
#[derive(Debug)]
pub(super) struct AnyClient(WebPkiSupportedAlgorithms);

impl AnyClient {
    pub(super) fn new() -> Arc<Self> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Arc::new(Self(provider.signature_verification_algorithms))
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Names no authority: what is trusted changes while the server runs, and clients then show what they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // A refusal belongs into an answer, not into the handshake: `identity` refuses.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Returns what the peer of a connection showed, if it showed anything.
pub(super) fn shown(stream: &TlsStream<TcpStream>) -> Option<Presented> {
    let chain = stream.get_ref().1.peer_certificates()?;
    let owned = chain.iter().cloned().map(CertificateDer::into_owned);
    (!chain.is_empty()).then(|| Presented(owned.collect()))
}

/// Returns the server as one connection has it: each of its requests tells what the peer showed, and cancels `asked`.
pub(super) fn telling<B>(
    server: Server,
    shown: Option<Presented>,
    asked: CancellationToken,
) -> MapRequest<Server, impl Fn(Request<B>) -> Request<B> + Clone> {
    MapRequest::new(server, move |mut request: Request<B>| {
        asked.cancel();
        if let Some(shown) = &shown {
            request.extensions_mut().insert(shown.clone());
        }
        request
    })
}
