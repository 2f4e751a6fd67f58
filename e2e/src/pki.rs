//! The certificates of the cluster. One authority signs those of servers, clients and the front proxy.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde_json::json;

/// A directory of certificates and keys, `NAME.crt` and `NAME.key`, with the authority that signs them.
pub struct Pki {
    directory: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// Creates a new authority in the directory.
    pub fn create(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = name("recommender-e2e", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let key_pem = key.serialize_pem();
        let authority = CertifiedIssuer::self_signed(params, key)?;
        let pki = Self { directory: directory.to_owned(), authority };
        pki.write("ca", Some(&pki.authority.pem()), &key_pem)?;
        Ok(pki)
    }

    /// Issues a client certificate for `common_name`, optionally of a group.
    pub fn client(&self, file: &str, common_name: &str, group: Option<&str>) -> Result<()> {
        self.issue(file, common_name, group, &[], &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// Issues a server certificate for these names and addresses. Our servers also call each other, so it is valid for
    /// clients, too.
    pub fn server(&self, file: &str, common_name: &str, reached_as: &[&str]) -> Result<()> {
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(file, common_name, None, reached_as, &usages)
    }

    /// Writes a key pair, `NAME.key` and `NAME.pub`, that signs and verifies service account tokens.
    pub fn key_pair(&self, file: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        fs::write(self.directory.join(format!("{file}.pub")), key.public_key_pem())?;
        self.write(file, None, &key.serialize_pem())
    }

    /// Writes a kubeconfig with the client certificate of this name.
    pub fn kubeconfig(&self, file: &str, server: &str, to: &Path) -> Result<()> {
        let read = |name: String| -> Result<String> {
            let path = self.directory.join(name);
            let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(base64(&content))
        };
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "recommender-e2e",
            "clusters": [{"name": "recommender-e2e", "cluster": {
                "server": server,
                "certificate-authority-data": read("ca.crt".into())?,
            }}],
            "users": [{"name": file, "user": {
                "client-certificate-data": read(format!("{file}.crt"))?,
                "client-key-data": read(format!("{file}.key"))?,
            }}],
            "contexts": [{"name": "recommender-e2e", "context": {"cluster": "recommender-e2e", "user": file}}],
        });
        write_private(to, &serde_json::to_string_pretty(&config)?)
    }

    fn issue(
        &self,
        file: &str,
        common_name: &str,
        group: Option<&str>,
        reached_as: &[&str],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<()> {
        let names: Vec<String> = reached_as.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name(common_name, group);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.authority)?;
        self.write(file, Some(&certificate.pem()), &key.serialize_pem())
    }

    fn write(&self, file: &str, certificate: Option<&str>, key: &str) -> Result<()> {
        if let Some(certificate) = certificate {
            fs::write(self.directory.join(format!("{file}.crt")), certificate)?;
        }
        write_private(&self.directory.join(format!("{file}.key")), key)
    }
}

fn name(common_name: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(content.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// Standard base64 with padding, as kubeconfigs require it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let six = (group >> (18 - 6 * index)) & 63;
            out.push(if index <= chunk.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("fooba", "Zm9vYmE=")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn keys_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = std::env::temp_dir().join(format!("e2e-pki-test-{}", std::process::id()));
        let pki = Pki::create(&directory).expect("can create");
        pki.server("api", "kube-apiserver", &["127.0.0.1", "kubernetes.default"]).expect("can sign");
        let mode = fs::metadata(directory.join("api.key")).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&directory).expect("is ours");
    }
}
