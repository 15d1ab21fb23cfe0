//! Any failure as a person and a script see it: code, what, causes, what to do.

use std::path::Path;

use countersign_base::{Class, Code, Explain, code};

/// A failure on its way to the terminal.
#[derive(Debug, Clone)]
pub(crate) struct CliError {
    /// The stable code.
    pub(crate) code: Code,
    /// What it says about trust; decides the exit status.
    pub(crate) class: Class,
    /// What happened, in one line.
    pub(crate) what: String,
    /// Why, outermost first.
    pub(crate) causes: Vec<String>,
    /// What to do, if there is more to say than the code's page does.
    pub(crate) fix: Option<String>,
}

impl CliError {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, class: code.class(), what: what.into(), causes: Vec::new(), fix: None }
    }

    pub(crate) fn because(mut self, cause: impl ToString) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// A file that the user named and that cannot be read.
    pub(crate) fn reading(path: &Path, error: &std::io::Error) -> Self {
        let path = path.display();
        if error.kind() == std::io::ErrorKind::NotFound {
            return Self::new(code::FILE_NOT_FOUND, format!("there is no file `{path}`"));
        }
        Self::new(code::FILE_UNREADABLE, format!("cannot read `{path}`")).because(error)
    }
}

impl<E: Explain> From<E> for CliError {
    fn from(error: E) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        let what = error.to_string();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Wrappers say again what is below them.
            if !what.contains(&text) && causes.last() != Some(&text) {
                causes.push(text);
            }
            source = cause.source();
        }
        Self { code: error.code(), class: error.class(), what, causes, fix: error.fix() }
    }
}
