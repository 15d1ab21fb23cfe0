//! Types with a text form, as JSON strings.

use core::fmt::Display;
use core::str::FromStr;

use serde::de::{Deserialize as _, Deserializer, Error as _};
use serde::ser::Serializer;

/// Writes the text.
pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads the text; only the form that is written back is taken, so that a value has one text.
pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display> + Display,
    D: Deserializer<'de>,
{
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn parse<T: FromStr<Err: Display> + Display>(text: &str) -> Result<T, String> {
    let value: T = text.parse().map_err(|error: T::Err| error.to_string())?;
    if value.to_string() == text { Ok(value) } else { Err("not written in its one form".to_owned()) }
}

/// The same for an optional value.
pub(super) mod optional {
    use super::*;

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display> + Display,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse(&text)).transpose().map_err(D::Error::custom)
    }
}

/// A file's mode, `644` or `755`.
pub(super) mod mode {
    use countersign_verify::FileMode;

    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        value: &FileMode,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FileMode, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "644" => Ok(FileMode::Plain),
            "755" => Ok(FileMode::Executable),
            _ => Err(D::Error::custom("a mode is 644 or 755")),
        }
    }
}
