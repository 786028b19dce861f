//! The files that a configuration consists of, and whether they have changed since they were read.
//!
//! A change is noticed by content. Times and inode numbers would be cheaper to compare, but two writes within the time
//! granularity of a file system share them, and a mounted directory is replaced by swapping a symlink. The files are small.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Read from any file at most; more than any of them may have.
const MAX_BYTES: u64 = 8 * MIB;

/// Windows editors put it at the start of text files; it means nothing in any file that is read here.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The files of one attempt to read a configuration, including those that could not be read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TrackedFiles {
    digests: BTreeMap<PathBuf, FileDigest>,
    allows_pipes: bool,
}

/// The digest of a file's content; `None` if it could not be read.
type FileDigest = Option<Vec<u8>>;

impl TrackedFiles {
    /// Reads pipes, too. Their content comes once, so that changes cannot be noticed.
    pub fn allow_pipes() -> Self {
        Self { allows_pipes: true, ..Self::default() }
    }

    /// The content of `path` without a byte order mark.
    ///
    /// # Errors
    /// A sentence about a file that cannot be read, or that has more than `max_bytes`.
    pub fn read(&mut self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
        let mut content = if self.allows_pipes && is_pipe(path) {
            read_capped(path).map_err(io_error_message)
        } else {
            let content = read_regular_file(path);
            self.record(path.to_path_buf(), digest_of(&content));
            content
        }?;
        if content.len() as u64 > max_bytes {
            return Err(format!("the file is larger than {}; check the path", size(max_bytes)));
        }
        if content.starts_with(BYTE_ORDER_MARK) {
            content.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(content)
    }

    /// The content of `path` as text.
    ///
    /// # Errors
    /// As [`read`](Self::read), and if the file is not UTF-8.
    pub fn read_text(&mut self, path: &Path, max_bytes: u64) -> Result<String, String> {
        String::from_utf8(self.read(path, max_bytes)?).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
            format!("the file is not UTF-8 text (line {line} has other bytes); save it as UTF-8")
        })
    }

    /// Whether the content of any of the files has changed.
    pub fn have_changed(&self) -> bool {
        self.now() != *self
    }

    /// The same files with their present content.
    pub fn now(&self) -> Self {
        let digests =
            self.digests.keys().map(|path| (path.clone(), digest_of(&read_regular_file(path)))).collect();
        Self { digests, ..*self }
    }

    /// These files and `others`.
    pub fn merge(mut self, others: Self) -> Self {
        others.digests.into_iter().for_each(|(path, digest)| self.record(path, digest));
        self
    }

    /// A file that was read twice with different content counts as unreadable, so that it is read again.
    fn record(&mut self, path: PathBuf, digest: FileDigest) {
        let known = self.digests.entry(path).or_insert_with(|| digest.clone());
        if *known != digest {
            *known = None;
        }
    }
}

impl fmt::Debug for TrackedFiles {
    /// Without the paths: one of them may be a key that was pasted where its file should be named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedFiles").field("files", &self.digests.len()).finish()
    }
}

/// The SHA-256 digest of `bytes`, which identifies a content without keeping it.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn digest_of(content: &Result<Vec<u8>, String>) -> FileDigest {
    content.as_ref().ok().map(|bytes| sha256(bytes))
}

fn is_pipe(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn read_regular_file(path: &Path) -> Result<Vec<u8>, String> {
    // Checked before it is opened, since opening a pipe waits for a writer.
    let file_type = metadata(path).map_err(io_error_message)?.file_type();
    if file_type.is_dir() {
        return Err("this is a directory; name the file in it".to_owned());
    }
    if !file_type.is_file() {
        return Err("not a regular file, so it cannot be read again; name a regular file".to_owned());
    }
    read_capped(path).map_err(io_error_message)
}

fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
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
    fn changes_are_noticed_by_content() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        std::fs::write(&one, "a").unwrap();
        let mut files = TrackedFiles::default();
        assert_eq!(files.read(&one, MIB).unwrap(), b"a");
        assert_eq!(files.read(&other, MIB).unwrap_err(), "there is no such file; check the path");
        std::fs::write(&one, "a").unwrap();
        assert!(!files.have_changed(), "written again with the same content");
        std::fs::write(&one, "b").unwrap();
        assert!(files.have_changed());
        std::fs::write(&one, "a").unwrap();
        std::fs::write(&other, "").unwrap();
        assert!(files.have_changed(), "a missing file has appeared");
        std::fs::remove_file(&other).unwrap();
        std::fs::remove_file(&one).unwrap();
        assert!(files.have_changed(), "a file has disappeared");
    }

    /// How the kubelet updates a mounted ConfigMap: `polyai.yaml` points into `..data`, which is replaced as a whole.
    #[test]
    fn swapped_symlink_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, content) in [("..1", "a"), ("..2", "b")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("polyai.yaml"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/polyai.yaml", at("polyai.yaml")).unwrap();
        let mut files = TrackedFiles::default();
        files.read(&at("polyai.yaml"), MIB).unwrap();
        assert!(!files.have_changed());
        symlink("..2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(files.have_changed());
    }

    #[test]
    fn file_changed_while_reading_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        let mut files = TrackedFiles::default();
        for content in ["old", "new", "old"] {
            std::fs::write(&key, content).unwrap();
            files.read(&key, MIB).unwrap();
        }
        assert!(files.have_changed(), "one target has the new key");
    }

    #[test]
    fn oversized_file_is_refused_and_tracked() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        std::fs::write(&key, [b'k'; 65]).unwrap();
        let mut files = TrackedFiles::default();
        let error = files.read(&key, 64).unwrap_err();
        assert!(error.starts_with("the file is larger than "), "{error}");
        assert!(!files.have_changed(), "the content is the same");
        assert_eq!([size(64 * KIB), size(4 * MIB)], ["64 KiB", "4 MiB"]);
    }

    #[test]
    fn directories_and_devices_are_refused() {
        let mut files = TrackedFiles::default();
        assert_eq!(files.read(Path::new("/"), MIB).unwrap_err(), "this is a directory; name the file in it");
        let pipe = "not a regular file, so it cannot be read again; name a regular file";
        assert_eq!(files.read(Path::new("/dev/zero"), MIB).unwrap_err(), pipe);
    }

    #[test]
    fn pipe_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writing = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, "content"))
        };
        let mut first = TrackedFiles::allow_pipes();
        assert_eq!(first.read(&pipe, MIB).unwrap(), b"content");
        writing.join().unwrap().unwrap();
        assert!(!first.have_changed(), "a pipe has no content to compare");
        let mut again = TrackedFiles::default();
        again.read(&pipe, MIB).unwrap_err();
        assert!(!again.have_changed());
    }

    #[test]
    fn byte_order_mark_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "\u{feff}key\u{feff}").unwrap();
        let mut files = TrackedFiles::default();
        assert_eq!(files.read(&path, MIB).unwrap(), "key\u{feff}".as_bytes(), "only the first");
        assert_eq!(files.read_text(&path, MIB).unwrap(), "key\u{feff}");
        assert!(!files.have_changed());
    }
}
