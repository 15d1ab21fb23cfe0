//! What one request came to, as far as it matters to what is done next.

use std::error::Error as StdError;
use std::io;

use object_store::Error;

/// A request without a useful answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The condition of a conditional write did not hold when this request was executed.
    Unmet,
    /// Nothing can be concluded: it may have been executed, not executed, or be executed later. Worth another try.
    Unknown(io::Error),
    /// The server understood and refuses; trying again is no use.
    Refused(io::Error),
}

/// What our transport could not give to `object_store` as an answer. It travels as a source within its errors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// A status that no operation expects.
    #[error("the server answered {status} {code}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The `Code` of the S3 error document, escaped; empty if there is none.
        code: String,
    },
    /// The connection or its other end.
    #[error("{what}")]
    Connection {
        /// What failed.
        what: String,
        /// As far as it is known.
        kind: io::ErrorKind,
    },
    /// Whoever answers is not the server that was meant.
    #[error("{what}")]
    Stranger {
        /// What is wrong with its certificate.
        what: String,
    },
    /// More than the limit.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
}

impl Failure {
    /// What `object_store` reported; `Ok(None)` for an object that is not there.
    pub(crate) fn of<T>(result: object_store::Result<T>) -> Result<Option<T>, Self> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {
                Err(Self::Unmet)
            }
            Err(error) => Err(Self::from_chain(&error)),
        }
    }

    fn from_chain(error: &Error) -> Self {
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        let mut last = error.to_string();
        while let Some(link) = next {
            if let Some(trouble) = link.downcast_ref::<Trouble>() {
                return trouble.judge();
            }
            last = link.to_string();
            next = link.source();
        }
        // An answer that `object_store` could not read, such as a listing that is no XML: perhaps cut short.
        Self::Unknown(io::Error::new(io::ErrorKind::InvalidData, last))
    }

    /// As an error of the operating system, which is how stores report what they cannot help.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Unmet => io::Error::other("the server answers that a condition is not met, for no reason"),
            Self::Unknown(error) | Self::Refused(error) => error,
        }
    }
}

impl Trouble {
    fn judge(&self) -> Failure {
        let (again, kind) = match self {
            Self::Connection { kind, .. } => (true, *kind),
            Self::Stranger { .. } => (false, io::ErrorKind::InvalidData),
            Self::TooLarge { .. } => (false, io::ErrorKind::FileTooLarge),
            Self::Status { status, code } => match (*status, code.as_str()) {
                (401 | 403, "RequestTimeTooSkewed" | "RequestExpired") => (false, io::ErrorKind::Other),
                (401 | 403, _) => (false, io::ErrorKind::PermissionDenied),
                (404, _) => (false, io::ErrorKind::NotFound),
                (507, _) => (false, io::ErrorKind::StorageFull),
                // 501: the server does not know what it was asked for, and will not learn it.
                (501 | 505, _) => (false, io::ErrorKind::Unsupported),
                (408 | 429, _) | (500.., _) => (true, io::ErrorKind::Other),
                // A connection that was too slow, or two writers at once: S3 asks to send it again.
                (400, "RequestTimeout") | (409, "ConditionalRequestConflict" | "OperationAborted") => {
                    (true, io::ErrorKind::Other)
                }
                _ => (false, io::ErrorKind::Other),
            },
        };
        let error = io::Error::new(kind, self.to_string());
        if again { Failure::Unknown(error) } else { Failure::Refused(error) }
    }
}
