//! Certificates and private keys out of PEM files.

use super::TlsError;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Longest file that is read, bytes. The public authorities together have a quarter of it.
const MOST_BYTES: u64 = 1 << 20;

/// Mode bits a key's file may not have: anything of other users, and writing and executing by the group.
const EXPOSED: u32 = 0o037;

/// The content of a file, and its attributes at the time of reading.
fn read(what: &'static str, path: &Path) -> Result<(Vec<u8>, Metadata), TlsError> {
    let failed = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let is_file = std::fs::metadata(path).map_err(failed)?.is_file();
    if !is_file {
        return Err(failed(io::Error::other("it is not a file")));
    }
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(io::Error::other(format!("it has more than {MOST_BYTES} bytes"))));
    }
    Ok((bytes, about))
}

/// All certificates of a file, at least one, and its text.
pub fn certificates(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Vec<u8>), TlsError> {
    let (bytes, _) = read("certificate", path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::NoCertificate { path: path.to_owned() }),
        Ok(certificates) => Ok((certificates, bytes)),
        Err(e) => Err(TlsError::Unusable { what: "certificate", path: path.to_owned(), why: e.to_string() }),
    }
}

/// The first private key of a file that only its owner, and at most a group, may read; and its text.
pub fn key(path: &Path) -> Result<(PrivateKeyDer<'static>, Vec<u8>), TlsError> {
    let (bytes, about) = read("key", path)?;
    if about.mode() & EXPOSED != 0 {
        return Err(TlsError::Exposed { path: path.to_owned() });
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| match e {
        PemError::NoItemsFound if is_encrypted(&bytes) => TlsError::EncryptedKey { path: path.to_owned() },
        PemError::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        e => TlsError::Unusable { what: "key", path: path.to_owned(), why: e.to_string() },
    })?;
    Ok((key, bytes))
}

fn is_encrypted(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).lines().any(|line| line.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY"))
}
