//! Which bytes a request asks for, RFC 9110 section 14. Pure.

/// What a `Range` header means for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The whole file: no range, one that is not understood, or several, which RFC 9110 lets a server ignore.
    Whole,
    /// Bytes `first..end`.
    Part {
        /// First byte.
        first: u64,
        /// One past the last byte.
        end: u64,
    },
    /// A range that the file does not reach.
    Unsatisfiable,
}

/// Reads the value of a `Range` header for a file of `length` bytes.
pub(crate) fn parse(value: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = value.and_then(|value| value.strip_prefix("bytes=")) else { return Wanted::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => part(first, last.saturating_add(1), length),
        (Some(first), None) if last.is_empty() => part(first, length, length),
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 {
                return Wanted::Unsatisfiable;
            }
            part(length.saturating_sub(suffix), length, length)
        }
        _ => Wanted::Whole,
    }
}

fn part(first: u64, end: u64, length: u64) -> Wanted {
    if first >= length { Wanted::Unsatisfiable } else { Wanted::Part { first, end: end.min(length) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_file_of_ten_bytes() {
        let part = |first, end| Wanted::Part { first, end };
        for (value, wanted) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=3-7", part(3, 8)),
            ("bytes=3-", part(3, 10)),
            ("bytes=3-99999999999999999999999", part(3, 10)),
            ("bytes=-4", part(6, 10)),
            ("bytes=-40", part(0, 10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=18446744073709551615-18446744073709551615", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=7-3", Wanted::Whole),
            ("bytes=1-2,4-5", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(parse(Some(value), 10), wanted, "{value}");
        }
        assert_eq!(parse(None, 10), Wanted::Whole);
        assert_eq!(parse(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }
}
