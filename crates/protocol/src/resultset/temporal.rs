//! Dates and times, in the binary protocol's form and in the text that people and text rows use.
//! Follows MySQL's "Binary Protocol Value": trailing zeros are left out, and the length says how many fields there are.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::DecodeError;
use crate::wire::{Reader, Writer};

/// A DATE, DATETIME or TIMESTAMP. No field is checked against a calendar: servers store zeros too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateTime {
    /// 0 to 9999
    pub year: u16,
    /// 1 to 12; 0 in a zero date
    pub month: u8,
    /// 1 to 31; 0 in a zero date
    pub day: u8,
    /// 0 to 23
    pub hour: u8,
    /// 0 to 59
    pub minute: u8,
    /// 0 to 59
    pub second: u8,
    /// 0 to 999,999
    pub microsecond: u32,
}

/// A TIME: a duration rather than a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Less than zero.
    pub is_negative: bool,
    /// 0 to 34
    pub days: u32,
    /// 0 to 23
    pub hours: u8,
    /// 0 to 59
    pub minutes: u8,
    /// 0 to 59
    pub seconds: u8,
    /// 0 to 999,999
    pub microseconds: u32,
}

/// A text that is no date or time in the form that servers write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not of the form YYYY-MM-DD [hh:mm:ss[.ffffff]] or [-]hh:mm:ss[.ffffff]")]
pub struct ParseTemporalError;

impl DateTime {
    const FIELD: &'static str = "date";

    /// True at midnight, where a DATE is all there is to say.
    pub fn is_date(self) -> bool {
        (self.hour, self.minute, self.second, self.microsecond) == (0, 0, 0, 0)
    }

    /// `YYYY-MM-DD`; `Display` appends the time.
    pub fn date_text(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.u8(Self::FIELD)?;
        let mut value = Self::default();
        if !matches!(length, 0 | 4 | 7 | 11) {
            return Err(reader.invalid("length of a date", length.into()));
        }
        if length >= 4 {
            value.year = reader.u16(Self::FIELD)?;
            value.month = reader.u8(Self::FIELD)?;
            value.day = reader.u8(Self::FIELD)?;
        }
        if length >= 7 {
            value.hour = reader.u8(Self::FIELD)?;
            value.minute = reader.u8(Self::FIELD)?;
            value.second = reader.u8(Self::FIELD)?;
        }
        if length == 11 {
            value.microsecond = reader.u32(Self::FIELD)?;
        }
        Ok(value)
    }

    pub(super) fn encode(self, writer: &mut Writer<'_>) {
        let length = match self {
            _ if self == Self::default() => 0,
            _ if self.is_date() => 4,
            Self { microsecond: 0, .. } => 7,
            _ => 11,
        };
        writer.u8(length);
        if length >= 4 {
            writer.u16(self.year);
            writer.bytes(&[self.month, self.day]);
        }
        if length >= 7 {
            writer.bytes(&[self.hour, self.minute, self.second]);
        }
        if length == 11 {
            writer.u32(self.microsecond);
        }
    }
}

impl Time {
    const FIELD: &'static str = "time";

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.u8(Self::FIELD)?;
        let mut value = Self::default();
        if !matches!(length, 0 | 8 | 12) {
            return Err(reader.invalid("length of a time", length.into()));
        }
        if length >= 8 {
            value.is_negative = reader.u8(Self::FIELD)? != 0;
            value.days = reader.u32(Self::FIELD)?;
            value.hours = reader.u8(Self::FIELD)?;
            value.minutes = reader.u8(Self::FIELD)?;
            value.seconds = reader.u8(Self::FIELD)?;
        }
        if length == 12 {
            value.microseconds = reader.u32(Self::FIELD)?;
        }
        Ok(value)
    }

    pub(super) fn encode(self, writer: &mut Writer<'_>) {
        let length = match self {
            _ if self == Self::default() => 0,
            Self {
                microseconds: 0, ..
            } => 8,
            _ => 12,
        };
        writer.u8(length);
        if length >= 8 {
            writer.u8(self.is_negative.into());
            writer.u32(self.days);
            writer.bytes(&[self.hours, self.minutes, self.seconds]);
        }
        if length == 12 {
            writer.u32(self.microseconds);
        }
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, hour, minute) = (self.date_text(), self.hour, self.minute);
        write!(f, "{date} {hour:02}:{minute:02}:{:02}", self.second)?;
        fraction(f, self.microsecond)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let hours = u64::from(self.days) * 24 + u64::from(self.hours);
        write!(
            f,
            "{sign}{hours:02}:{:02}:{:02}",
            self.minutes, self.seconds
        )?;
        fraction(f, self.microseconds)
    }
}

fn fraction(f: &mut fmt::Formatter<'_>, microseconds: u32) -> fmt::Result {
    match microseconds {
        0 => Ok(()),
        _ => write!(f, ".{microseconds:06}"),
    }
}

impl FromStr for DateTime {
    type Err = ParseTemporalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
        let mut date = date.splitn(3, '-');
        let (hour, minute, second, microsecond) = clock(time)?;
        Ok(Self {
            year: number(date.next(), 4)?,
            month: number(date.next(), 2)?,
            day: number(date.next(), 2)?,
            hour: hour.try_into().map_err(|_| ParseTemporalError)?,
            minute,
            second,
            microsecond,
        })
    }
}

impl FromStr for Time {
    type Err = ParseTemporalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let positive = text.strip_prefix('-');
        let (hours, minutes, seconds, microseconds) = clock(positive.unwrap_or(text))?;
        Ok(Self {
            is_negative: positive.is_some(),
            days: u32::from(hours / 24),
            hours: (hours % 24) as u8,
            minutes,
            seconds,
            microseconds,
        })
    }
}

/// `hh:mm:ss[.f]`, with two or three digits of hours and one to six of a fraction.
fn clock(text: &str) -> Result<(u16, u8, u8, u32), ParseTemporalError> {
    let (text, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = text.splitn(3, ':');
    let hours = parts.next().filter(|hours| hours.len() >= 2);
    let digits = hours.map_or(2, |hours| hours.len().min(3));
    let hours = number(hours, digits)?;
    let (minutes, seconds) = (number(parts.next(), 2)?, number(parts.next(), 2)?);
    let digits = fraction.len().clamp(1, 6);
    let scale = 10_u32.pow(6 - digits as u32);
    Ok((
        hours,
        minutes,
        seconds,
        number::<u32>(Some(fraction), digits)? * scale,
    ))
}

/// A number of exactly `digits` digits.
fn number<T: FromStr>(text: Option<&str>, digits: usize) -> Result<T, ParseTemporalError> {
    text.filter(|text| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(ParseTemporalError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dates_round_trip(
            date in (0..10_000_u16, 0..13_u8, 0..32_u8),
            clock in (0..24_u8, 0..60_u8, 0..60_u8),
            microsecond in prop_oneof![Just(0), 0..1_000_000_u32],
        ) {
            let ((year, month, day), (hour, minute, second)) = (date, clock);
            let value = DateTime { year, month, day, hour, minute, second, microsecond };
            let mut bytes = Vec::new();
            value.encode(&mut Writer::new(&mut bytes));
            prop_assert_eq!(DateTime::decode(&mut Reader::new("test", &bytes)), Ok(value));
            prop_assert_eq!(value.to_string().parse(), Ok(value));
        }

        #[test]
        fn times_round_trip(
            is_negative: bool,
            days in 0..35_u32,
            clock in (0..24_u8, 0..60_u8, 0..60_u8),
            microseconds in prop_oneof![Just(0), 0..1_000_000_u32],
        ) {
            let (hours, minutes, seconds) = clock;
            let value = Time { is_negative, days, hours, minutes, seconds, microseconds };
            let mut bytes = Vec::new();
            value.encode(&mut Writer::new(&mut bytes));
            prop_assert_eq!(Time::decode(&mut Reader::new("test", &bytes)), Ok(value));
            prop_assert_eq!(value.to_string().parse(), Ok(value));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<DateTime>();
            let _ = text.parse::<Time>();
        }
    }

    #[test]
    fn the_documented_examples() {
        let decode = |bytes: &[u8]| DateTime::decode(&mut Reader::new("test", bytes)).unwrap();
        let full = b"\x0b\xda\x07\x0a\x11\x13\x1b\x1e\x01\x00\x00\x00";
        assert_eq!(decode(full).to_string(), "2010-10-17 19:27:30.000001");
        assert_eq!(decode(b"\x04\xda\x07\x0a\x11").date_text(), "2010-10-17");
        let time = b"\x0c\x01\x78\x00\x00\x00\x13\x1b\x1e\x01\x00\x00\x00";
        let time = Time::decode(&mut Reader::new("test", time)).unwrap();
        assert_eq!(time.to_string(), "-2899:27:30.000001");
    }

    #[test]
    fn other_lengths_are_invalid() {
        for length in [1, 5, 12, 255] {
            let bytes = [length; 16];
            assert!(DateTime::decode(&mut Reader::new("test", &bytes)).is_err());
        }
        assert!(Time::decode(&mut Reader::new("test", &[9; 16])).is_err());
    }

    #[test]
    fn texts_are_strict() {
        for text in [
            "",
            "2024",
            "2024-1-01",
            "2024-01-01T00:00:00",
            "2024-01-01 1:2:3",
        ] {
            assert_eq!(text.parse::<DateTime>(), Err(ParseTemporalError), "{text}");
        }
        for text in ["", "1", "-", "1:00:00", "00:00:00.", "00:00:00.1234567"] {
            assert_eq!(text.parse::<Time>(), Err(ParseTemporalError), "{text}");
        }
    }
}
