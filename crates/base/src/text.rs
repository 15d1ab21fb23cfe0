//! Text from outside: made safe to show to a person, and taken out of URLs.

/// `text` with everything that could move a cursor, hide or reorder characters written as `\u{..}`.
///
/// Control characters, line separators, bidirectional marks, every blank but the plain space, and characters that show
/// as nothing are escaped (attack D27). The result is one line.
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

/// Characters that change how their neighbours are shown, or show as nothing: controls, every blank but the plain space,
/// and all of Unicode's `Default_Ignorable_Code_Point` (Unicode 16.0, `DerivedCoreProperties.txt`).
const fn is_hazardous(character: char) -> bool {
    character.is_ascii_control() || is_blank(character) || is_ignorable(character)
}

/// Blanks and line separators beyond ASCII: `White_Space`, and what fonts draw as nothing.
const fn is_blank(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{a0}' // C1 controls, no-break space
        | '\u{1680}' // Ogham space
        | '\u{2000}'..='\u{200a}' // typographic spaces
        | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' // separators, narrow and mathematical spaces
        | '\u{2800}' // Braille without dots
        | '\u{3000}' // ideographic space
        | '\u{fff9}'..='\u{fffc}' // interlinear annotation, object replacement
        | '\u{13430}'..='\u{1345f}' // Egyptian format controls and blanks
        | '\u{16fe4}' // Khitan filler
        | '\u{1d159}') // musical null notehead
}

/// `Default_Ignorable_Code_Point`: drawn as nothing where they are not understood.
const fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{ad}' // soft hyphen
        | '\u{34f}' // combining grapheme joiner
        | '\u{61c}' // Arabic letter mark
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
        | '\u{17b4}' | '\u{17b5}' // Khmer inherent vowels
        | '\u{180b}'..='\u{180f}' // Mongolian selectors and separator
        | '\u{200b}'..='\u{200f}' // zero width, direction marks
        | '\u{202a}'..='\u{202e}' // bidi embedding and override
        | '\u{2060}'..='\u{206f}' // word joiner, bidi isolates
        | '\u{fe00}'..='\u{fe0f}' // variation selectors
        | '\u{feff}' // byte-order mark
        | '\u{fff0}'..='\u{fff8}' // unassigned
        | '\u{1bca0}'..='\u{1bca3}' // shorthand format controls
        | '\u{1d173}'..='\u{1d17a}' // musical format controls
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
    /// With them, a text could end its line in the eyes of a reader and go on as if the program spoke.
    #[test]
    fn blanks_and_what_shows_as_nothing_are_escaped() {
        let blanks = "\u{85}\u{a0}\u{1680}\u{2000}\u{2003}\u{200a}\u{202f}\u{205f}\u{2800}\u{3000}\u{fffc}\u{13441}\u{1d159}";
        let ignorable = "\u{34f}\u{115f}\u{1160}\u{17b4}\u{180b}\u{180f}\u{3164}\u{fe00}\u{fe0f}\u{ffa0}\u{fff0}\u{1bca0}\u{1d173}";
        for character in blanks.chars().chain(ignorable.chars()) {
            let text = character.to_string();
            assert_eq!(escape(&text), character.escape_unicode().to_string());
        }
        // Nothing that Rust calls a blank gets through.
        let through = |character: &char| escape(&character.to_string()) == character.to_string();
        let white: Vec<char> =
            (char::MIN..=char::MAX).filter(|one| one.is_whitespace()).filter(through).collect();
        assert_eq!(white, [' ']);
        for plain in ["añejo", "日本語", "ﷺ", "שלום", "a b", "⠿", "한글", "🦀"] {
            assert_eq!(escape(plain), plain);
        }
    }
}
