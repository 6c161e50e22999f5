//! How the program ends: 0 done, 1 the asked condition failed, 2 usage or unusable input.

use std::{fmt, io, process::ExitCode};

/// Why the program ends other than well. The text goes to the standard error.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An argument or an input file cannot be used.
    Usage(String),
    /// What was asked for did not come about.
    Failed(String),
    /// Whoever reads the output wants no more of it. Not a fault, and nobody is left to tell.
    Closed,
}

impl Failure {
    /// An argument or an input file cannot be used.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self::Usage(text.to_string())
    }

    /// What was asked for did not come about.
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::Failed(text.to_string())
    }

    /// The output cannot be written.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(format!("cannot write the output: {error}")),
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
            Self::Closed => ExitCode::SUCCESS,
        }
    }
}

/// What the caller gave is a matter of usage; what the system or a peer refused has failed.
impl From<mcast_srtp::Error> for Failure {
    fn from(error: mcast_srtp::Error) -> Self {
        match error {
            mcast_srtp::Error::Invalid(text) => Self::Usage(text),
            other => Self::failed(other),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Closed => f.write_str("the output is closed"),
        }
    }
}
