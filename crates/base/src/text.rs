//! Text from outside: made safe to show to a person, and taken out of URLs.

/// `text` with everything that could move a cursor, hide or reorder characters written as `\u{..}`.
///
/// Control characters, line separators, bidirectional marks and other invisible format characters are
/// escaped (attack D27). The result is one line.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hazardous(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// `text`, which may be a URL, without what may be a password in it: what is before an `@`, and a query or fragment. For
/// messages about text that was refused (attack D04).
pub fn without_password(text: &str) -> String {
    let (scheme, rest) = text.find("://").map_or(("", text), |at| text.split_at(at + 3));
    match (rest.rfind('@'), rest.find(['?', '#'])) {
        (None, None) => text.to_owned(),
        (Some(at), None) => format!("{scheme}…{}", &rest[at..]),
        (None, Some(end)) => format!("{scheme}{}…", &rest[..=end]),
        // A password may have a `?` in it, and a token an `@`.
        (Some(_), Some(_)) => format!("{scheme}…"),
    }
}

/// The bytes that percent-encoded text stands for (RFC 3986 section 2.1); `None` where two hex digits do not follow a
/// `%`. Anything can come out, separators and zero bytes too: check after decoding.
pub fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

/// Characters that change how their neighbours are shown, or show as nothing.
const fn is_hazardous(character: char) -> bool {
    character.is_ascii_control()
        || matches!(character,
            '\u{80}'..='\u{9f}' // C1 controls
            | '\u{ad}' // soft hyphen
            | '\u{61c}' // Arabic letter mark
            | '\u{180e}' // Mongolian vowel separator
            | '\u{200b}'..='\u{200f}' // zero width, direction marks
            | '\u{2028}'..='\u{202e}' // separators, bidi embedding and override
            | '\u{2060}'..='\u{206f}' // word joiner, bidi isolates
            | '\u{feff}' // byte-order mark
            | '\u{fff9}'..='\u{fffb}' // interlinear annotation
            | '\u{e0000}'..='\u{e0fff}') // tags, variation selectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_repeated() {
        for (text, shown) in [
            ("https://user:secret@host/path", "https://…@host/path"),
            ("https://user:sec@ret@host/path", "https://…@host/path"),
            ("https://host/path?token=secret", "https://host/path?…"),
            ("https://host/path#secret", "https://host/path#…"),
            ("https://user:sec?ret@host/", "https://…"),
            ("https://host/?token=sec@ret", "https://…"),
            ("user:secret@host", "…@host"),
            ("https://host/path", "https://host/path"),
            ("", ""),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }

    #[test]
    fn percent_encoding_is_undone_once() {
        assert_eq!(percent_decode("a%2Fb%2f%25c").as_deref(), Some(&b"a/b/%c"[..]));
        assert_eq!(percent_decode("%252f").as_deref(), Some(&b"%2f"[..]));
        for bad in ["%", "%2", "a%", "%2g", "%+1", "%\u{e9}0"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn terminal_and_bidi_tricks_are_escaped() {
        assert_eq!(escape("node 1.0.0 – café"), "node 1.0.0 – café");
        assert_eq!(escape("a\x1b[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(escape("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }
}
