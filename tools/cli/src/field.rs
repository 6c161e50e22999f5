//! What a packet says, as a tree of named values: printed for people or as JSON.

use std::fmt;

use serde::{Serialize, Serializer};

/// One named value, and what it consists of.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
    /// What the value stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meaning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<Self>,
}

/// A value as JSON shows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Flag(bool),
    Number(u64),
    Text(String),
    /// Octets, as hex; people get the first [`Value::SHOWN`].
    #[serde(serialize_with = "as_hex")]
    Octets(Vec<u8>),
}

impl Value {
    /// Octets shown to people.
    const SHOWN: usize = 32;
}

impl Field {
    /// A field that only groups others.
    pub(crate) const fn group(name: &'static str, fields: Vec<Self>) -> Self {
        Self { name, value: None, meaning: None, fields }
    }

    /// A number.
    pub(crate) fn number(name: &'static str, value: impl Into<u64>) -> Self {
        Self::new(name, Value::Number(value.into()))
    }

    /// A text, or anything with a form for people.
    pub(crate) fn text(name: &'static str, value: impl fmt::Display) -> Self {
        Self::new(name, Value::Text(value.to_string()))
    }

    /// Yes or no.
    pub(crate) fn flag(name: &'static str, value: bool) -> Self {
        Self::new(name, Value::Flag(value))
    }

    /// Octets.
    pub(crate) fn octets(name: &'static str, value: &[u8]) -> Self {
        Self::new(name, Value::Octets(value.to_vec()))
    }

    /// A number on the wire with its name; `unassigned` without one.
    pub(crate) fn code(name: &'static str, value: impl Into<u64>, meaning: Option<&str>) -> Self {
        Self::number(name, value).meaning(meaning.unwrap_or("unassigned"))
    }

    /// Adds what the value stands for.
    pub(crate) fn meaning(self, meaning: impl fmt::Display) -> Self {
        Self { meaning: Some(meaning.to_string()), ..self }
    }

    /// Adds what the field consists of.
    pub(crate) fn with(self, fields: Vec<Self>) -> Self {
        Self { fields, ..self }
    }

    const fn new(name: &'static str, value: Value) -> Self {
        Self { name, value: Some(value), meaning: None, fields: Vec::new() }
    }
}

fn as_hex<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(octets))
}

/// Prints a tree for people, each level deeper than the one before.
pub(crate) fn print(fields: &[Field], depth: usize, out: &mut impl fmt::Write) -> fmt::Result {
    const INDENT: usize = 2;
    const COLUMN: usize = 34;
    for field in fields {
        let indent = INDENT * depth;
        write!(out, "{:indent$}", "")?;
        if field.value.is_none() {
            writeln!(out, "{}", field.name)?;
        } else {
            let width = COLUMN.saturating_sub(indent);
            writeln!(out, "{:width$} {}", field.name, Shown(field))?;
        }
        print(&field.fields, depth + 1, out)?;
    }
    Ok(())
}

/// Value and meaning on one line.
struct Shown<'a>(&'a Field);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = &self.0.value {
            write!(f, "{value}")?;
        }
        match &self.0.meaning {
            Some(meaning) => write!(f, " ({meaning})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Octets(octets) if octets.is_empty() => f.write_str("none"),
            Self::Octets(octets) => match octets.get(..Self::SHOWN) {
                Some(start) if octets.len() > Self::SHOWN => {
                    write!(f, "{}... ({} octets)", hex::encode(start), octets.len())
                }
                _ => f.write_str(&hex::encode(octets)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_is_indented_and_long_octets_are_cut() {
        let tree = vec![Field::group(
            "header",
            vec![
                Field::code("data type", 0u8, Some("pre-shared")),
                Field::octets("data", &[0xab; 33]),
                Field::flag("verify", true),
            ],
        )];
        let mut out = String::new();
        print(&tree, 1, &mut out).unwrap();
        let lines: Vec<_> = out.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "  header");
        assert_eq!(lines[1], "    data type                      0 (pre-shared)");
        assert!(lines[2].ends_with("abab... (33 octets)"));
        assert!(lines[3].ends_with(" yes"));
    }

    #[test]
    fn json_has_values_of_their_own_kind() {
        let field = Field::number("count", 7u8).with(vec![Field::octets("data", &[1, 2])]);
        let json = serde_json::to_string(&field).unwrap();
        assert_eq!(json, r#"{"name":"count","value":7,"fields":[{"name":"data","value":"0102"}]}"#);
    }
}
