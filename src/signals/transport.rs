//! HTTP to a metric source, without redirects or proxies; and which [`Failure`] an error of the connection is, by its type.
//! A query is sent again only when a kept connection turns out to be closed before the query was sent.

use std::{error::Error, io, iter, path::Path, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Request, Response},
};
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::GaiResolver},
    },
    rt::TokioExecutor,
};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, InvalidDnsNameError, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tower::util::MapErr;

use super::{
    config::SourceConfig,
    failure::{Failure, shorten},
};

/// The system's resolver. Its errors have a type of their own: otherwise they are I/O errors, as all others.
type Resolver = MapErr<GaiResolver, fn(io::Error) -> Unresolved>;
type Connector = TimeoutConnector<HttpsConnector<HttpConnector<Resolver>>>;

/// A host has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve")]
struct Unresolved(#[source] io::Error);

/// The connections to a source. Clones share them.
#[derive(Clone)]
pub(super) struct Transport {
    http: legacy::Client<Connector, Empty<Bytes>>,
    /// Contents of the `caFile`.
    ca: Option<Arc<[u8]>>,
    timeout: Duration,
}

impl Transport {
    /// Does not connect yet. With a `caFile` only its certificates are trusted, otherwise those of the system.
    pub(super) fn new(config: &SourceConfig) -> Result<Self, Failure> {
        let ca = config.ca_file.as_deref().map(read).transpose()?;
        Self::trusting(config, ca)
    }

    /// After a change of the `caFile`, new connections that trust its certificates; otherwise the same ones. A file that
    /// cannot be used changes nothing: it may be in the middle of its renewal.
    pub(super) fn renewed(self, config: &SourceConfig) -> Self {
        match config.ca_file.as_deref().map(read) {
            Some(Ok(ca)) if self.ca.as_deref() != Some(&ca[..]) => Self::trusting(config, Some(ca)).unwrap_or(self),
            _ => self,
        }
    }

    fn trusting(config: &SourceConfig, ca: Option<Vec<u8>>) -> Result<Self, Failure> {
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector(config, ca.as_deref())?);
        Ok(Self { http, ca: ca.map(Arc::from), timeout: config.timeout })
    }

    /// Sends a request.
    pub(super) async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Body>, Failure> {
        let sent = self.http.request(request).await;
        sent.map(|response| response.map(Body::new)).map_err(|error| failure(&error, error.is_connect(), self.timeout))
    }
}

/// Contents of the `caFile`.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::unusable("caFile", file, error))
}

/// `ca`: contents of the `caFile`, if there is one.
fn connector(config: &SourceConfig, ca: Option<&[u8]>) -> Result<Connector, Failure> {
    let setup = |error: rustls::Error| Failure::Setup(shorten(&error.to_string()));
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().map_err(setup)?;
    let tls = match config.ca_file.as_deref().zip(ca) {
        Some((file, ca)) => {
            tls.with_root_certificates(roots(ca).map_err(|why| Failure::unusable("caFile", file, why))?)
        }
        // The system's certificates are not needed, and an image may lack them.
        None if config.url.scheme_str() == Some("http") => tls.with_root_certificates(RootCertStore::empty()),
        None => tls.with_platform_verifier().map_err(setup)?,
    };
    let resolver = Resolver::new(GaiResolver::new(), Unresolved);
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth()).https_or_http().enable_http1();
    let mut connector = TimeoutConnector::new(https.wrap_connector(http));
    // A connection may be opened in the background, where the deadline of a read does not end it.
    connector.set_connect_timeout(Some(config.timeout));
    connector.set_write_timeout(Some(config.timeout));
    Ok(connector)
}

/// The certificates of a file. The error is why it cannot be used.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| format!("a certificate in it is not valid: {error}"))?;
    }
    if roots.is_empty() { Err("it holds no certificate in PEM".into()) } else { Ok(roots) }
}

/// The failure that an error of a connection is. `connecting`: it happened before a query was sent.
fn failure(error: &(dyn Error + 'static), connecting: bool, timeout: Duration) -> Failure {
    let known = causes(error).find_map(|cause| known(cause, connecting, timeout));
    known.unwrap_or_else(|| {
        let last = causes(error).last().map(ToString::to_string);
        Failure::Broken(shorten(&last.unwrap_or_default()))
    })
}

/// An error and its causes, the outermost first. The source of an I/O error is not the error that it wraps, but the source
/// of that one.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&cause| {
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| cause.source())
    })
}

/// The failure that a cause is. None when another one says more.
fn known(cause: &(dyn Error + 'static), connecting: bool, timeout: Duration) -> Option<Failure> {
    if cause.is::<Unresolved>() || cause.is::<InvalidDnsNameError>() {
        return Some(Failure::Dns);
    }
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(Failure::Tls(shorten(&without_times(error))));
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(Failure::Refused),
        io::ErrorKind::TimedOut => Some(Failure::TimedOut(timeout.as_secs())),
        // Only a TLS handshake reads something before the query.
        io::ErrorKind::UnexpectedEof if connecting => Some(Failure::Tls(shorten(&cause.to_string()))),
        _ => None,
    }
}

/// The text of an error, without the current time: it must not change from one attempt to the next.
fn without_times(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) => {
            "invalid peer certificate: certificate expired".into()
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }) => {
            "invalid peer certificate: certificate not valid yet".into()
        }
        error => error.to_string(),
    }
}
