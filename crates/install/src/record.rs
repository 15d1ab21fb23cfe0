//! The record of a product as JSON, with a digest of itself, so that no damage goes unseen.
//!
//! `{"apiVersion":"0.0.1","kind":"installrecord","sha256":"..","spec":{..}}`; `sha256` is that of `spec` in RFC 8785
//! form. It finds accidents and careless edits; who can write below the root can also compute it.

use countersign_base::canonical::rfc8785;
use countersign_base::json::{self, Json};
use countersign_base::name::ProductName;
use countersign_crypto::sha256;
use countersign_verify::FileMode;

use crate::state::{Event, EventKind, Generation, InstalledFile, MAX_FILES, State};

/// Largest record that is read or written, in bytes.
pub(crate) const MAX_RECORD_BYTES: u64 = 16 << 20;

const API_VERSION: &str = "0.0.1";
const KIND: &str = "installrecord";

/// Writes a state down.
pub(crate) fn encode(state: &State) -> Vec<u8> {
    let spec = Json::object([
        ("product", Json::from(state.product.as_str())),
        ("serial", integer(state.serial)),
        ("next", integer(state.next)),
        ("floor", optional(state.floor.as_ref().map(|floor| floor.to_string().into()))),
        ("generations", Json::Array(state.generations.iter().map(encode_generation).collect())),
        ("events", Json::Array(state.events.iter().map(encode_event).collect())),
    ]);
    let digest = sha256(&rfc8785(&spec));
    let mut bytes = rfc8785(&Json::object([
        ("apiVersion", Json::from(API_VERSION)),
        ("kind", Json::from(KIND)),
        ("sha256", Json::from(digest.to_string())),
        ("spec", spec),
    ]));
    bytes.push(b'\n');
    bytes
}

fn encode_generation(generation: &Generation) -> Json {
    Json::object([
        ("number", integer(generation.number)),
        ("version", generation.version.to_string().into()),
        ("platform", generation.platform.to_string().into()),
        ("channel", generation.channel.as_str().into()),
        ("repository", generation.repository.to_string().into()),
        ("repositoryName", generation.repository_name.as_str().into()),
        ("installedAt", generation.installed_at.to_string().into()),
        ("previous", optional(generation.previous.map(integer))),
        ("files", Json::Array(generation.files.iter().map(encode_file).collect())),
    ])
}

fn encode_file(file: &InstalledFile) -> Json {
    Json::object([
        ("name", Json::from(file.name.as_str())),
        ("sha256", file.sha256.to_string().into()),
        ("length", integer(file.length)),
        ("mode", file.mode.to_string().into()),
    ])
}

fn encode_event(event: &Event) -> Json {
    Json::object([
        ("at", Json::from(event.at.to_string())),
        ("kind", event.kind.as_str().into()),
        ("generation", integer(event.generation)),
        ("version", event.version.to_string().into()),
        ("committed", event.committed.into()),
    ])
}

/// Numbers here are counters and lengths of at most 2^40.
fn integer(number: u64) -> Json {
    Json::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn optional(value: Option<Json>) -> Json {
    value.unwrap_or(Json::Null)
}

/// Reads the record of `product`; an error says what does not fit.
pub(crate) fn decode(bytes: &[u8], product: &ProductName) -> Result<State, String> {
    let record = json::parse(bytes).map_err(|error| error.to_string())?;
    if text(&record, "kind")? != KIND {
        return Err("it is not a record of an installation".to_owned());
    }
    if text(&record, "apiVersion")? != API_VERSION {
        return Err("it was written by another version of countersign".to_owned());
    }
    let spec = member(&record, "spec")?;
    if text(&record, "sha256")? != sha256(&rfc8785(spec)).to_string() {
        return Err("its content does not fit its checksum".to_owned());
    }
    let state = State {
        product: parsed(spec, "product")?,
        serial: unsigned(spec, "serial")?,
        next: unsigned(spec, "next")?,
        floor: nullable(spec, "floor", parsed)?,
        generations: array(spec, "generations")?.iter().map(decode_generation).collect::<Result<_, _>>()?,
        events: array(spec, "events")?.iter().map(decode_event).collect::<Result<_, _>>()?,
    };
    check(&state, product)?;
    Ok(state)
}

/// What [`encode`] never writes: the rest of the crate relies on it.
fn check(state: &State, product: &ProductName) -> Result<(), String> {
    let rule = |holds: bool, reason: &str| if holds { Ok(()) } else { Err(reason.to_owned()) };
    rule(state.product == *product, "it is about another product")?;
    let numbers = || state.generations.iter().map(|generation| generation.number);
    rule(numbers().zip(numbers().skip(1)).all(|(one, next)| one < next), "its generations are out of order")?;
    rule(numbers().all(|number| (1..state.next).contains(&number)), "a generation has an impossible number")?;
    for generation in &state.generations {
        rule(
            generation.previous.is_none_or(|number| number < generation.number),
            "a generation precedes itself",
        )?;
        rule((1..=MAX_FILES).contains(&generation.files.len()), "a generation has no files or too many")?;
        let names = || generation.files.iter().map(|file| &file.name);
        rule(
            names().zip(names().skip(1)).all(|(one, next)| one < next),
            "a generation's files are out of order",
        )?;
    }
    let earlier = state.events.split_last().map_or(&[][..], |(_, earlier)| earlier);
    rule(earlier.iter().all(|event| event.committed), "an earlier event was never committed")?;
    for event in
        state.events.iter().rev().take(1).chain(state.events.iter().rev().find(|event| event.committed))
    {
        rule(
            state.generation(event.generation).is_some(),
            "an event is about a generation that is not there",
        )?;
    }
    Ok(())
}

fn decode_generation(value: &Json) -> Result<Generation, String> {
    Ok(Generation {
        number: unsigned(value, "number")?,
        version: parsed(value, "version")?,
        platform: parsed(value, "platform")?,
        channel: parsed(value, "channel")?,
        repository: parsed(value, "repository")?,
        repository_name: parsed(value, "repositoryName")?,
        installed_at: parsed(value, "installedAt")?,
        previous: nullable(value, "previous", unsigned)?,
        files: array(value, "files")?.iter().map(decode_file).collect::<Result<_, _>>()?,
    })
}

fn decode_file(value: &Json) -> Result<InstalledFile, String> {
    let mode = match text(value, "mode")? {
        "644" => FileMode::Plain,
        "755" => FileMode::Executable,
        _ => return Err("a file's mode is neither 644 nor 755".to_owned()),
    };
    Ok(InstalledFile {
        name: parsed(value, "name")?,
        sha256: parsed(value, "sha256")?,
        length: unsigned(value, "length")?,
        mode,
    })
}

fn decode_event(value: &Json) -> Result<Event, String> {
    let kind = match text(value, "kind")? {
        "install" => EventKind::Install,
        "rollback" => EventKind::Rollback,
        _ => return Err("an event is of an unknown kind".to_owned()),
    };
    Ok(Event {
        at: parsed(value, "at")?,
        kind,
        generation: unsigned(value, "generation")?,
        version: parsed(value, "version")?,
        committed: member(value, "committed")?.as_bool().ok_or("`committed` is not true or false")?,
    })
}

fn member<'j>(value: &'j Json, key: &str) -> Result<&'j Json, String> {
    value.get(key).ok_or_else(|| format!("it has no `{key}`"))
}

fn text<'j>(value: &'j Json, key: &str) -> Result<&'j str, String> {
    member(value, key)?.as_str().ok_or_else(|| format!("`{key}` is not text"))
}

fn array<'j>(value: &'j Json, key: &str) -> Result<&'j [Json], String> {
    member(value, key)?.as_array().ok_or_else(|| format!("`{key}` is not a list"))
}

fn unsigned(value: &Json, key: &str) -> Result<u64, String> {
    let number = member(value, key)?.as_integer().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| format!("`{key}` is not a count"))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(value: &Json, key: &str) -> Result<T, String> {
    text(value, key)?.parse().map_err(|error| format!("`{key}`: {error}"))
}

fn nullable<T>(
    value: &Json,
    key: &str,
    read: impl Fn(&Json, &str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if *member(value, key)? == Json::Null { Ok(None) } else { read(value, key).map(Some) }
}
