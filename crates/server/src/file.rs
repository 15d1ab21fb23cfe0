//! Opening a file below a directory without following any link, and streaming it in constant memory.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::task::JoinHandle;

/// Read and sent at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// A regular file, open for reading.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) length: u64,
    /// Modification time in nanoseconds since the Epoch.
    pub(crate) modified: i128,
}

/// Opens the file at `components` below `root`, blocking.
///
/// One component at a time and without following links, so that neither a planted link nor a folder that is
/// replaced meanwhile leads out of `root`.
///
/// # Errors
/// `NotFound` also for a link, a folder, a device.
pub(crate) fn open_below(root: &Path, components: &[String]) -> io::Result<Opened> {
    let (name, folders) = components.split_last().ok_or(io::ErrorKind::NotFound)?;
    let folder_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = openat(CWD, root, folder_flags, Mode::empty())?;
    for component in folders {
        folder = openat(&folder, component.as_str(), folder_flags | OFlags::NOFOLLOW, Mode::empty())
            .map_err(no_link)?;
    }
    // Non-blocking, or opening a planted FIFO would hang.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(&folder, name.as_str(), flags, Mode::empty()).map_err(no_link)?);
    let info = file.metadata()?;
    if !info.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let modified = i128::from(info.mtime()) * 1_000_000_000 + i128::from(info.mtime_nsec());
    Ok(Opened { file, length: info.len(), modified })
}

/// To a peer, what is not a plain file in plain folders does not exist.
fn no_link(error: rustix::io::Errno) -> io::Error {
    use rustix::io::Errno;
    match error {
        Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::NXIO => io::ErrorKind::NotFound.into(),
        other => other.into(),
    }
}

/// Bytes `at..end` of a file as a response body; never more than one chunk in memory.
#[derive(Debug)]
pub(crate) struct FileBody {
    state: State,
    at: u64,
    end: u64,
}

#[derive(Debug)]
enum State {
    Idle(File),
    Reading(JoinHandle<(File, io::Result<Vec<u8>>)>),
    Failed,
}

impl FileBody {
    pub(crate) const fn new(file: File, at: u64, end: u64) -> Self {
        Self { state: State::Idle(file), at, end }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(&mut this.state, State::Failed) {
                State::Idle(file) => {
                    if this.at >= this.end {
                        this.state = State::Idle(file);
                        return Poll::Ready(None);
                    }
                    let (at, left) = (this.at, this.end - this.at);
                    this.state = State::Reading(tokio::task::spawn_blocking(move || {
                        let result = read_chunk(&file, at, left);
                        (file, result)
                    }));
                }
                State::Reading(mut task) => {
                    let polled = Pin::new(&mut task).poll(context);
                    if polled.is_pending() {
                        this.state = State::Reading(task);
                    }
                    let (file, result) = ready!(polled).map_err(io::Error::other)?;
                    // An error here ends the connection before the announced length: the peer sees a cut.
                    let bytes = result?;
                    this.at += bytes.len() as u64;
                    this.state = State::Idle(file);
                    return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
                }
                State::Failed => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

/// Up to a chunk of the file from `at`, blocking.
pub(crate) fn read_chunk(file: &File, at: u64, left: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Whether a file of `length` bytes is read at once.
pub(crate) const fn is_small(length: u64) -> bool {
    length <= CHUNK_BYTES as u64
}
