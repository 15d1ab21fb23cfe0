//! Making untrusted text safe to show to a person.

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
    fn terminal_and_bidi_tricks_are_escaped() {
        assert_eq!(escape("node 1.0.0 – café"), "node 1.0.0 – café");
        assert_eq!(escape("a\x1b[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(escape("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }
}
