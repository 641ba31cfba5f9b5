//! A server's version as a number: what clients compare.

/// `major * 10000 + minor * 100 + patch`: 80400 of `8.4.0`, 50505 of `5.5.5-10.11.6-MariaDB`. `None` for a text that
/// does not start with three numbers, or with one above 9999.
pub fn version_number(server_version: &[u8]) -> Option<u32> {
    let mut parts = server_version.splitn(3, |&byte| byte == b'.');
    let mut part = || leading_number(parts.next()?);
    let ((major, major_is_all), (minor, minor_is_all), (patch, _)) = (part()?, part()?, part()?);
    (major_is_all && minor_is_all).then_some(major * 10_000 + minor * 100 + patch)
}

/// The digits that `text` starts with, and whether nothing follows them.
fn leading_number(text: &[u8]) -> Option<(u32, bool)> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=4).contains(&digits) {
        return None;
    }
    let number = text[..digits]
        .iter()
        .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    Some((number, digits == text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_real_servers() {
        for (text, number) in [
            ("5.0.99", Some(50_099)),
            ("8.4.0", Some(80_400)),
            ("9.7.0-debug", Some(90_700)),
            ("5.5.5-10.11.6-MariaDB", Some(50_505)),
            ("11.4.2-MariaDB", Some(110_402)),
            ("8.0.100", Some(80_100)),
        ] {
            assert_eq!(version_number(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn what_is_no_version() {
        for text in [
            "",
            "8",
            "8.4",
            "8.4.",
            "8.x.0",
            "8.4x.0",
            ".4.0",
            "v8.4.0",
            "12345.0.0",
        ] {
            assert_eq!(version_number(text.as_bytes()), None, "{text}");
        }
    }
}
