//! Looking at files: opened without following a link, judged by the descriptor that was opened.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use countersign_base::Sha256Digest;
use countersign_base::name::ProductName;
use countersign_crypto::Sha256;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::error::InstallError;
use crate::fsck::Problem;
use crate::layout::{Layout, bits_on_disk};
use crate::state::{Generation, InstalledFile};

/// Bytes read at a time; memory does not depend on the file's size.
const BUFFER_BYTES: usize = 256 << 10;

/// Opens `below/a/b/c` for reading. No component after `below` may be a link, whoever swaps them meanwhile.
///
/// `None` if there is no such regular file.
pub(crate) fn open(below: &Path, components: &[&str]) -> Result<Option<File>, InstallError> {
    let path = || components.iter().fold(below.to_owned(), |path, component| path.join(component));
    let mut at = None;
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // NONBLOCK: a FIFO planted here must not make us wait.
    let file = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let steps =
        std::iter::once((below, folder)).chain(components.iter().enumerate().map(|(index, component)| {
            let last = index + 1 == components.len();
            (Path::new(*component), if last { file } else { folder | OFlags::NOFOLLOW })
        }));
    for (step, flags) in steps {
        let opened = match &at {
            None => openat(CWD, step, flags, Mode::empty()),
            Some(folder) => openat(folder, step, flags, Mode::empty()),
        };
        at = Some(match opened {
            Ok(opened) => opened,
            // ELOOP, ENOTDIR: a link or a file where a folder was; NXIO: a socket.
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(InstallError::storage("open", &path())(errno.into())),
        });
    }
    let Some(opened) = at.map(File::from) else { return Ok(None) };
    let info = opened.metadata().map_err(|error| InstallError::storage("look at", &path())(error))?;
    Ok(info.is_file().then_some(opened))
}

/// Opens a file and compares everything about it with what was verified.
///
/// The descriptor that is returned is the one that was hashed, rewound to the start.
pub(crate) fn inspect(
    below: &Path,
    components: &[&str],
    want: &InstalledFile,
) -> Result<Result<File, Problem>, InstallError> {
    let path = || components.iter().fold(below.to_owned(), |path, component| path.join(component));
    let Some(mut file) = open(below, components)? else { return Ok(Err(Problem::Missing)) };
    let failed = |error| InstallError::storage("read", &path())(error);
    let info = file.metadata().map_err(failed)?;
    if info.len() != want.length {
        return Ok(Err(Problem::Length { listed: want.length, found: info.len() }));
    }
    let bits = info.permissions().mode() & 0o7777;
    if bits != bits_on_disk(want.mode) {
        return Ok(Err(Problem::Mode { listed: bits_on_disk(want.mode), found: bits }));
    }
    let (found, length) = digest(&mut file, want.length).map_err(failed)?;
    if length != want.length {
        return Ok(Err(Problem::Length { listed: want.length, found: length }));
    }
    if found != want.sha256 {
        return Ok(Err(Problem::Changed { listed: want.sha256, found }));
    }
    io::Seek::rewind(&mut file).map_err(failed)?;
    Ok(Ok(file))
}

/// The digest and length of what is left to read, up to one byte more than `limit`.
pub(crate) fn digest(file: &mut impl Read, limit: u64) -> io::Result<(Sha256Digest, u64)> {
    let (hasher, length) = absorb(file, limit.saturating_add(1))?;
    Ok((hasher.finish(), length))
}

/// A hasher that has taken at most `limit` bytes of `file`, and how many those were.
pub(crate) fn absorb(file: &mut impl Read, limit: u64) -> io::Result<(Sha256, u64)> {
    let mut hasher = Sha256::new();
    let length = read_through(file, limit, |bytes| hasher.update(bytes))?;
    Ok((hasher, length))
}

/// Shows at most `limit` bytes of a file to `each`; how many there were.
pub(crate) fn read_through(file: &mut impl Read, limit: u64, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let room = |length| usize::try_from(limit - length).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
    let mut buffer = vec![0; room(0)];
    let mut length = 0;
    while length < limit {
        let room = room(length);
        match file.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(count) => {
                each(&buffer[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Opens one file of a generation and compares it with the record.
pub(crate) fn inspect_installed(
    layout: &Layout,
    product: &ProductName,
    generation: u64,
    file: &InstalledFile,
) -> Result<Result<File, Problem>, InstallError> {
    let number = generation.to_string();
    inspect(&layout.root, &[product.as_str(), "generations", &number, file.name.as_str()], file)
}

/// Hashes every file of a generation; the first that is not what was verified is the error.
pub(crate) fn require_intact(
    layout: &Layout,
    product: &ProductName,
    generation: &Generation,
) -> Result<(), InstallError> {
    for file in &generation.files {
        if let Err(problem) = inspect_installed(layout, product, generation.number, file)? {
            let path = installed_path(layout, product, generation.number, file);
            return Err(InstallError::changed(&path, problem.to_string()));
        }
    }
    Ok(())
}

pub(crate) fn installed_path(
    layout: &Layout,
    product: &ProductName,
    generation: u64,
    file: &InstalledFile,
) -> PathBuf {
    layout.generation(product, generation).join(file.name.as_str())
}
