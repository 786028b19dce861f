//! The files that a configuration is made of, and whether they have changed since they were read.
//!
//! Owns: reading them with care, and what tells their contents apart. Never: what is in them.
//!
//! A change is told by content, and against what was really read. Times and numbers of files would be cheaper, but two writes
//! within the tick of a file system have the same, and a mounted folder is exchanged by its symlink. The files are small.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// No more of a file is read than this, which is more than any of them may have.
const MOST_BYTES: u64 = 8 * MIB;

/// What one attempt to read a configuration has found, files that could not be read included.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TrackedFiles {
    found: BTreeMap<PathBuf, FileDigest>,
    takes_pipes: bool,
}

/// A fingerprint of a file's content; none if it could not be read.
type FileDigest = Option<Vec<u8>>;

impl TrackedFiles {
    /// Takes what comes through a pipe, too. That comes once, and so cannot be looked at again.
    pub(super) fn allow_pipes() -> Self {
        Self { takes_pipes: true, ..Self::default() }
    }

    /// The content of `path`, which may have so many bytes; an error is a sentence for people.
    pub(crate) fn read(&mut self, path: &Path, most_bytes: u64) -> Result<Vec<u8>, String> {
        let content = if self.takes_pipes && is_pipe(path) {
            read_capped(path).map_err(io_error_message)
        } else {
            let content = read_regular_file(path);
            self.record(path.to_path_buf(), found(&content));
            content
        }?;
        if content.len() as u64 > most_bytes {
            return Err(format!("the file is larger than {}; check the path", size(most_bytes)));
        }
        Ok(content)
    }

    /// Whether any of the files is not as it was.
    pub(crate) fn have_changed(&self) -> bool {
        self.now() != *self
    }

    /// The same files as they are now.
    pub(crate) fn now(&self) -> Self {
        let found = self.found.keys().map(|path| (path.clone(), found(&read_regular_file(path)))).collect();
        Self { found, ..*self }
    }

    /// Together with what else was read.
    pub(super) fn and(mut self, others: Self) -> Self {
        others.found.into_iter().for_each(|(path, found)| self.record(path, found));
        self
    }

    /// What was read twice in one attempt and had another content each time counts as not read, so that it is read again.
    fn record(&mut self, path: PathBuf, found: FileDigest) {
        let known = self.found.entry(path).or_insert_with(|| found.clone());
        if *known != found {
            *known = None;
        }
    }
}

impl fmt::Debug for TrackedFiles {
    /// Without the paths: one of them may be a key that was pasted where its file should be named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("files", &self.found.len()).finish()
    }
}

/// What tells contents apart without keeping them.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn found(content: &Result<Vec<u8>, String>) -> FileDigest {
    content.as_ref().ok().map(|bytes| sha256(bytes))
}

fn is_pipe(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn read_regular_file(path: &Path) -> Result<Vec<u8>, String> {
    // Before it is opened, since opening a pipe waits for whoever writes to it.
    let kind = metadata(path).map_err(io_error_message)?.file_type();
    if kind.is_dir() {
        return Err("this is a directory; name the file in it".to_owned());
    }
    if !kind.is_file() {
        return Err(
            "this is a pipe or a device, which cannot be read again; name an ordinary file".to_owned()
        );
    }
    read_capped(path).map_err(io_error_message)
}

fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn io_error_message(error: io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        "there is no such file; check the path".to_owned()
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "the file may not be read by this user; check its permissions".to_owned()
    } else {
        format!("the file cannot be read: {error}")
    }
}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{} KiB", bytes / KIB) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_change_is_told_by_content_and_a_file_that_comes_or_goes_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        std::fs::write(&one, "a").unwrap();
        let mut sources = TrackedFiles::default();
        assert_eq!(sources.read(&one, MIB).unwrap(), b"a");
        assert_eq!(sources.read(&other, MIB).unwrap_err(), "there is no such file; check the path");
        std::fs::write(&one, "a").unwrap();
        assert!(!sources.have_changed(), "written again with the same content");
        std::fs::write(&one, "b").unwrap();
        assert!(sources.have_changed());
        std::fs::write(&one, "a").unwrap();
        std::fs::write(&other, "").unwrap();
        assert!(sources.have_changed(), "a missing file has come");
        std::fs::remove_file(&other).unwrap();
        std::fs::remove_file(&one).unwrap();
        assert!(sources.have_changed(), "a file has gone");
    }

    /// How the kubelet updates a mounted ConfigMap: `polyai.yaml` points into `..data`, which is replaced as a whole.
    #[test]
    fn a_swap_of_symlinks_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, content) in [("..1", "a"), ("..2", "b")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("polyai.yaml"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/polyai.yaml", at("polyai.yaml")).unwrap();
        let mut sources = TrackedFiles::default();
        sources.read(&at("polyai.yaml"), MIB).unwrap();
        assert!(!sources.have_changed());
        symlink("..2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(sources.have_changed());
    }

    #[test]
    fn a_file_that_changed_within_one_attempt_is_to_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let mut sources = TrackedFiles::default();
        for content in ["old", "new", "old"] {
            std::fs::write(&key, content).unwrap();
            sources.read(&key, MIB).unwrap();
        }
        assert!(sources.have_changed(), "one target has the new key");
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_and_still_known() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, [b'k'; 65]).unwrap();
        let mut sources = TrackedFiles::default();
        let told = sources.read(&key, 64).unwrap_err();
        assert!(told.starts_with("the file is larger than "), "{told}");
        assert!(!sources.have_changed(), "there is nothing new to read");
        assert_eq!([size(64 * KIB), size(4 * MIB)], ["64 KiB", "4 MiB"]);
    }

    #[test]
    fn what_is_no_file_is_named_for_what_it_is() {
        let mut sources = TrackedFiles::default();
        assert_eq!(
            sources.read(Path::new("/"), MIB).unwrap_err(),
            "this is a directory; name the file in it"
        );
        let pipe = "this is a pipe or a device, which cannot be read again; name an ordinary file";
        assert_eq!(sources.read(Path::new("/dev/zero"), MIB).unwrap_err(), pipe);
    }

    #[test]
    fn a_pipe_is_read_once_and_never_waited_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writing = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, "content"))
        };
        let mut first = TrackedFiles::allow_pipes();
        assert_eq!(first.read(&pipe, MIB).unwrap(), b"content");
        writing.join().unwrap().unwrap();
        assert!(!first.have_changed(), "nobody can tell");
        let mut again = TrackedFiles::default();
        again.read(&pipe, MIB).unwrap_err();
        assert!(!again.have_changed());
    }
}
