//! SHA-256 from `ring`, which is fast in debug builds, too: images have hundreds of megabytes.

use std::io::{Read, Result};

/// The digest of `bytes` in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    to_hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// The digest of everything that the reader returns.
pub fn hex_of_reader(mut reader: impl Read) -> Result<String> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(to_hex(context.finish().as_ref())),
            count => context.update(&buffer[..count]),
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_are_those_of_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(super::hex(b""), empty);
        assert_eq!(super::hex_of_reader(&b""[..]).expect("cannot fail"), empty);
    }
}
