//! Why repositories do not agree.

use countersign_base::{Class, Code, Explain, code};

/// Why several repositories do not vouch for a file, or a map cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgreementError {
    /// Too few list the same file.
    #[error("{agree} of {threshold} repositories that must agree on `{path}` list this file: {answers}")]
    Disagree {
        /// The target path.
        path: String,
        /// How many list the same.
        agree: usize,
        /// How many must.
        threshold: usize,
        /// What each of the others says.
        answers: String,
    },
    /// Too few could be asked.
    #[error(
        "{agree} of {threshold} repositories that must agree on `{path}` list this file, others could not be asked: {answers}"
    )]
    Unheard {
        /// The target path.
        path: String,
        /// How many list the same.
        agree: usize,
        /// How many must.
        threshold: usize,
        /// Why the others could not.
        answers: String,
    },
    /// No mapping covers the path, and the map is one that refuses what it does not cover.
    #[error("the repository map says of no repository that it speaks for `{path}`")]
    NotMapped {
        /// The target path.
        path: String,
    },
    /// The map breaks a rule.
    #[error("the repository map cannot be used: {0}")]
    Map(String),
}

impl Explain for AgreementError {
    fn code(&self) -> Code {
        match self {
            Self::Disagree { .. } | Self::NotMapped { .. } => code::TRUST_REPOS_DISAGREE,
            Self::Unheard { .. } => code::TRUST_REPOS_UNHEARD,
            Self::Map(_) => code::TRUST_MAP_INVALID,
        }
    }

    fn class(&self) -> Class {
        self.code().class()
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Disagree { .. } => Some(
                "do not install it; ask the publishers which file is theirs: one of the repositories may have been broken into"
                    .to_owned(),
            ),
            Self::Unheard { .. } => Some("try again when the repositories can be reached".to_owned()),
            Self::NotMapped { .. } => {
                Some("say which repositories must agree on it: `countersign trust agree NAME/PRODUCT OTHER..`".to_owned())
            }
            Self::Map(_) => None,
        }
    }
}
