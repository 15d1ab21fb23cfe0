//! The two canonical forms of JSON that signatures and leaves are made over.
//!
//! - [`olpc`]: canonical JSON as TUF signs it, <http://wiki.laptop.org/go/Canonical_JSON>: keys sorted by
//!   code point, only `"` and `\` escaped.
//! - [`rfc8785`]: the JSON Canonicalization Scheme, used for log leaves: keys sorted by UTF-16 code unit,
//!   control characters escaped. [`Json`] has no floats, so number formatting is the integer's own.

use crate::json::Json;

/// TUF's canonical form.
pub fn olpc(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &Olpc, &mut out);
    out
}

/// RFC 8785 form.
///
/// Integers beyond ±(2^53-1) are written exactly, where the RFC's ECMAScript numbers would round; none of
/// our leaves holds one.
pub fn rfc8785(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &Rfc8785, &mut out);
    out
}

trait Form {
    fn string(&self, text: &str, out: &mut Vec<u8>);
    /// Sorts keys that arrive in the order of their UTF-8 bytes, which is code point order.
    fn sort<'a>(&self, members: Vec<(&'a String, &'a Json)>) -> Vec<(&'a String, &'a Json)>;
}

struct Olpc;

impl Form for Olpc {
    fn string(&self, text: &str, out: &mut Vec<u8>) {
        out.push(b'"');
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }

    fn sort<'a>(&self, members: Vec<(&'a String, &'a Json)>) -> Vec<(&'a String, &'a Json)> {
        members
    }
}

struct Rfc8785;

impl Form for Rfc8785 {
    fn string(&self, text: &str, out: &mut Vec<u8>) {
        out.push(b'"');
        for character in text.chars() {
            match character {
                '"' => out.extend(b"\\\""),
                '\\' => out.extend(b"\\\\"),
                '\u{8}' => out.extend(b"\\b"),
                '\t' => out.extend(b"\\t"),
                '\n' => out.extend(b"\\n"),
                '\u{c}' => out.extend(b"\\f"),
                '\r' => out.extend(b"\\r"),
                control if control < ' ' => {
                    out.extend(format!("\\u{:04x}", u32::from(control)).bytes());
                }
                other => out.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        out.push(b'"');
    }

    fn sort<'a>(&self, mut members: Vec<(&'a String, &'a Json)>) -> Vec<(&'a String, &'a Json)> {
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        members
    }
}

fn write(value: &Json, form: &impl Form, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend(b"null"),
        Json::Bool(true) => out.extend(b"true"),
        Json::Bool(false) => out.extend(b"false"),
        Json::Integer(number) => out.extend(number.to_string().bytes()),
        Json::String(text) => form.string(text, out),
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, form, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            out.push(b'{');
            for (index, (key, member)) in form.sort(members.iter().collect()).into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                form.string(key, out);
                out.push(b':');
                write(member, form, out);
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn olpc_escapes_only_quote_and_backslash() {
        let value = parse(br#"{"b":"\n\"\\","a":[1,{}]}"#).unwrap();
        assert_eq!(olpc(&value), b"{\"a\":[1,{}],\"b\":\"\n\\\"\\\\\"}");
    }

    /// RFC 8785 section 3.2.3, the sorting example.
    #[test]
    fn rfc8785_sorts_by_utf16() {
        let value = parse(
            "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}"
                .as_bytes(),
        )
        .unwrap();
        let want =
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(String::from_utf8(rfc8785(&value)).unwrap(), want);
    }
}
