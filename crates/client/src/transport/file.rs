//! A repository in a directory of this machine.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{FetchError, Transport, components};

const COPY_BUFFER_BYTES: usize = 128 * 1024;

/// Reads files below one directory, and nothing else.
///
/// Symbolic links are followed only to places inside the directory; folders whose name begins with a dot
/// (a publisher's private state) cannot be reached; only regular files are opened, so that a FIFO or device
/// planted in a repository cannot stall the reader.
#[derive(Debug)]
pub struct FileTransport {
    root: PathBuf,
}

impl FileTransport {
    /// For the repository at `root`, which is not touched yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Opens a regular file of the repository; gives its length too.
    fn open(&self, path: &str) -> Result<(File, u64, String), FetchError> {
        let mut full = self.root.clone();
        full.extend(components(path)?);
        let what = full.display().to_string();
        let failed = |error: io::Error| failed(&what, &error);
        let root = self.root.canonicalize().map_err(|error| FetchError::Failed {
            what: self.root.display().to_string(),
            reason: error.to_string(),
        })?;
        let real = full.canonicalize().map_err(failed)?;
        if !is_inside(&real, &root) {
            return Err(FetchError::PathUnsafe { path: path.to_owned() });
        }
        // Looked at before it is opened: opening a FIFO blocks.
        let metadata = real.symlink_metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(FetchError::Failed { what, reason: "it is not a regular file".to_owned() });
        }
        let file = File::open(&real).map_err(failed)?;
        Ok((file, metadata.len(), what))
    }
}

/// Whether `real` is below `root` and not in a hidden folder there; both are canonical.
fn is_inside(real: &Path, root: &Path) -> bool {
    let Ok(relative) = real.strip_prefix(root) else { return false };
    relative.iter().all(|component| !component.as_encoded_bytes().starts_with(b"."))
}

fn failed(what: &str, error: &io::Error) -> FetchError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            FetchError::NotFound { what: what.to_owned() }
        }
        _ => FetchError::Failed { what: what.to_owned(), reason: error.to_string() },
    }
}

impl Transport for FileTransport {
    fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let (file, length, what) = self.open(path)?;
        if length > limit {
            return Err(FetchError::TooLarge { what, limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&what, &error))?;
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLarge { what, limit });
        }
        Ok(bytes)
    }

    fn download(
        &self,
        path: &str,
        length: u64,
        offset: u64,
        sink: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        let (mut file, got, what) = self.open(path)?;
        if got > length {
            return Err(FetchError::TooLarge { what, limit: length });
        }
        if got < length {
            return Err(FetchError::WrongLength { what, want: length, got });
        }
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&what, &error))?;
        copy_exactly(&mut file, &what, length, offset, sink, progress, |error| failed(&what, &error))
    }
}

/// Copies bytes `from..length` of a file from `source` to `sink` in constant memory.
///
/// `source` stands at `from`. Reads at most one byte more than that, to find a longer file.
pub(super) fn copy_exactly(
    source: &mut dyn Read,
    what: &str,
    length: u64,
    from: u64,
    sink: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
    failed: impl Fn(io::Error) -> FetchError,
) -> Result<(), FetchError> {
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    let mut done = from;
    loop {
        let room = usize::try_from(length - done).unwrap_or(usize::MAX).saturating_add(1).min(buffer.len());
        let count = match source.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if count as u64 > length - done {
            return Err(FetchError::TooLarge { what: what.to_owned(), limit: length });
        }
        sink.write_all(&buffer[..count]).map_err(FetchError::Sink)?;
        done += count as u64;
        progress(done);
    }
    if done < length {
        return Err(FetchError::WrongLength { what: what.to_owned(), want: length, got: done });
    }
    Ok(())
}
