//! TOML files of ours: what is wrong with one is told with its place.

use std::{fmt, ops::Range, path::Path};

use zeroize::Zeroizing;

use crate::exit::Failure;

/// What is wrong with a file, and on which line.
#[derive(Debug)]
pub(crate) struct Fault {
    line: usize,
    text: String,
}

impl Fault {
    /// A complaint about the octets from `offset` on.
    pub(crate) fn new(file: &str, offset: usize, what: impl fmt::Display) -> Self {
        Self { line: line_of(file, offset), text: what.to_string() }
    }

    /// A complaint about a field of a table.
    pub(crate) fn field(
        file: &str,
        span: Range<usize>,
        table: &str,
        field: &str,
        what: impl fmt::Display,
    ) -> Self {
        Self::new(file, span.start, format_args!("{table}, field {field}: {what}"))
    }

    /// What the parser says. It may quote a value that it did not expect.
    pub(crate) fn syntax(file: &str, error: &toml::de::Error) -> Self {
        Self::new(file, error.span().map_or(0, |span| span.start), error.message())
    }
}

/// Line and complaint.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

/// Reads a file, which is erased afterwards.
///
/// # Errors
/// A usage failure that says where and what is wrong.
pub(crate) fn read<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, Fault>,
) -> Result<T, Failure> {
    let cannot = |error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(cannot)?);
    parse(&text).map_err(|fault| Failure::usage(format!("{}:{fault}", path.display())))
}

/// The line of an octet, from 1.
pub(crate) fn line_of(file: &str, offset: usize) -> usize {
    1 + file.bytes().take(offset).filter(|octet| *octet == b'\n').count()
}
