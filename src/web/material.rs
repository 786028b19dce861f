//! The files that a web configuration is made of, and whether they have changed since.
//!
//! Owns: reading them with care, once per attempt, and what was found. Never: what is in them.
//!
//! A change is told by content. Times and numbers of files would be cheaper, but two writes within the tick of a file system
//! have the same, and a mounted secret is exchanged by its folder. The files are small and looked at once in a while.

use std::collections::BTreeMap;
use std::fs::{File, metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

/// A bundle of all public roots has some 200 KiB.
const MOST_BYTES: u64 = 1 << 20;

/// What one attempt has read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sources(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Sources {
    /// The content of `path`; an error is a sentence for people.
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let content = read(path);
        self.0.insert(path.to_path_buf(), content.as_ref().ok().map(|bytes| fingerprint(bytes)));
        content
    }

    /// Whether any of the files is not as it was.
    pub(super) fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, known)| read(path).ok().map(|bytes| fingerprint(&bytes)) != *known)
    }
}

/// What tells contents apart without keeping them.
pub(super) fn fingerprint(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            "there is no such file; check the path".to_owned()
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "the file may not be read by this user; check its permissions".to_owned()
        } else {
            format!("the file cannot be read: {error}")
        }
    };
    // Before it is opened, since opening a pipe waits for whoever writes to it.
    let kind = metadata(path).map_err(cannot)?.file_type();
    if kind.is_dir() {
        return Err("this is a directory; name the file in it".to_owned());
    }
    if !kind.is_file() {
        return Err("this is no ordinary file; name one".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(cannot)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("the file is larger than 1 MiB; check the path".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_content_and_a_file_that_comes_or_goes_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        std::fs::write(&one, "a").unwrap();
        let mut sources = Sources::default();
        assert_eq!(sources.read(&one).unwrap(), b"a");
        assert_eq!(sources.read(&other).unwrap_err(), "there is no such file; check the path");
        std::fs::write(&one, "a").unwrap();
        assert!(!sources.have_changed(), "written again with the same content");
        std::fs::write(&one, "b").unwrap();
        assert!(sources.have_changed());
        std::fs::write(&one, "a").unwrap();
        std::fs::write(&other, "").unwrap();
        assert!(sources.have_changed(), "a missing file has come");
    }

    #[test]
    fn what_is_no_file_is_named_for_what_it_is() {
        let mut sources = Sources::default();
        assert_eq!(sources.read(Path::new("/")).unwrap_err(), "this is a directory; name the file in it");
        assert_eq!(sources.read(Path::new("/dev/zero")).unwrap_err(), "this is no ordinary file; name one");
    }
}
