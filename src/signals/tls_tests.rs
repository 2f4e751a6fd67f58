//! Metric sources with TLS: which certificates are trusted, and what is reported about the others.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use axum::{Router, serve::Listener};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    fake::{at, of_object, reader, reply, sample},
    *,
};

/// The key of all certificates.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().expect("a key"));
static VALID: LazyLock<String> = LazyLock::new(|| certificate("127.0.0.1", |_| ()));
/// As [`VALID`], with another name of the issuer.
static RENEWED: LazyLock<String> =
    LazyLock::new(|| certificate("127.0.0.1", |of| of.distinguished_name.push(DnType::CommonName, "renewed")));

/// A self-signed certificate for this name, in PEM.
fn certificate(name: &str, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    change(&mut params);
    params.self_signed(&*KEY).expect("signed").pem()
}

/// Accepts connections with TLS; those that fail are dropped.
struct Secured(TcpListener, TlsAcceptor);

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (connection, from) = self.0.accept().await.expect("accepted");
            if let Ok(secured) = self.1.accept(connection).await {
                return (secured, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A metric source with this certificate: its URL, and the server.
async fn source(certificate: &str) -> (String, JoinHandle<()>) {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY.serialize_pem().as_bytes()).expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let tls = tls.with_single_cert(vec![certificate], key).expect("of one key");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    let router = Router::new().fallback(|| async { reply(200, of_object(&sample(0, "3"))) });
    let secured = Secured(listener, TlsAcceptor::from(Arc::new(tls)));
    (url, tokio::spawn(async move { axum::serve(secured, router).await.expect("served") }))
}

/// A file for the certificates that are trusted.
fn ca_file(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("recommender-operator-{test}-{}.crt", std::process::id()))
}

/// A reader of a source that trusts the certificates of this file.
fn trusting(url: &str, file: &std::path::Path) -> Reader {
    let mut config = SourceConfig::plain(url).expect("a URL");
    config.ca_file = Some(file.to_owned());
    Reader::new(config, Quality::default())
}

/// The error of a read.
async fn error(reader: &mut Reader) -> Option<String> {
    reader.read(at(0)).await.source_error().map(ToOwned::to_owned)
}

#[tokio::test]
async fn a_certificate_that_is_not_as_it_should_be_is_reported_without_the_time() {
    let file = ca_file("refused");
    let (valid, renewed) = (VALID.as_str(), RENEWED.as_str());
    let expired = certificate("127.0.0.1", |of| of.not_after = date_time_ymd(2021, 1, 1));
    let early = certificate("127.0.0.1", |of| of.not_before = date_time_ymd(2124, 1, 1));
    let elsewhere = certificate("prometheus.monitoring", |_| ());
    let cases = [
        (valid, valid, None),
        (renewed, valid, Some("invalid peer certificate: UnknownIssuer; check caFile")),
        (&expired, &expired, Some("invalid peer certificate: certificate expired; check caFile")),
        (&early, &early, Some("invalid peer certificate: certificate not valid yet; check caFile")),
        (&elsewhere, &elsewhere, Some("invalid peer certificate: certificate not valid for name \"127.0.0.1\"")),
    ];
    for (shown, trusted, expected) in cases {
        let (url, server) = source(shown).await;
        std::fs::write(&file, trusted).expect("written");
        let error = error(&mut trusting(&url, &file)).await;
        let expected = expected.map(|expected| format!("TLS failed: {expected}"));
        let as_expected = match (&error, &expected) {
            (Some(error), Some(expected)) => error.contains(expected),
            (error, expected) => error == expected,
        };
        assert!(as_expected, "{error:?} instead of {expected:?}");
        server.abort();
    }
    let (url, server) = source(&VALID).await;
    let untrusted = error(&mut reader(&url)).await.expect("not in the system's certificates");
    assert!(untrusted.contains("TLS failed: invalid peer certificate: UnknownIssuer"), "{untrusted}");
    server.abort();
    std::fs::remove_file(&file).expect("removed");
}

/// The reader is the same all the time, and while reads succeed so are its connections.
#[tokio::test]
async fn a_renewed_ca_file_is_used_for_the_next_read_and_one_that_cannot_be_used_changes_nothing() {
    let (url, server) = source(&VALID).await;
    let file = ca_file("renewed");
    let mut reader = trusting(&url, &file);
    for (trusted, expected) in [
        (VALID.as_str(), None),
        (&RENEWED, Some("UnknownIssuer")),
        (&[RENEWED.as_str(), &VALID].concat(), None),
        ("", None),
        ("-----BEGIN CERTIFICATE-----\n", None),
    ] {
        std::fs::write(&file, trusted).expect("written");
        let error = error(&mut reader).await;
        assert_eq!(error.is_some(), expected.is_some(), "{error:?} with {trusted}");
        assert!(
            expected.is_none_or(|expected| error.as_ref().is_some_and(|error| error.contains(expected))),
            "{error:?}"
        );
    }
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(error(&mut reader).await, None);
    server.abort();
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_used_is_reported_with_the_reason() {
    let file = ca_file("unusable");
    let named = format!("its caFile {:?} cannot be used: ", file.display().to_string());
    for (text, why) in [
        (None, "No such file or directory"),
        (Some(""), "it holds no certificate in PEM; check what is mounted there"),
        (Some(&KEY.serialize_pem()), "it holds no certificate in PEM"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n"), "missing section end marker"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "a certificate in it is not valid"),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).expect("written");
        }
        let error = error(&mut trusting("https://127.0.0.1:1", &file)).await.expect("unusable");
        assert!(error.contains(&format!("{named}{why}")), "{error}");
    }
    std::fs::remove_file(&file).expect("removed");
}

/// Something that is not a server with TLS, or one that is in the middle of stopping.
#[tokio::test]
async fn a_connection_that_ends_within_the_handshake_is_a_problem_of_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.expect("accepted");
            // What is not read would make the end of the connection a reset.
            connection.readable().await.expect("a greeting");
            connection.try_read(&mut [0; 4096]).expect("read");
        }
    });
    let error = error(&mut reader(&url)).await.expect("ended");
    assert!(error.contains("TLS failed: tls handshake eof; check caFile"), "{error}");
    server.abort();
}
