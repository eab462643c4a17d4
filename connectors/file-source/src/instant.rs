//! Times written by ISO-8601, as milliseconds since 1970 UTC.
//!
//! Understood: `2013-01-01`, `2013-01-01T10:00`, with seconds, with a fraction, a space for the T,
//! and `Z` or an offset of `+01:00` or `+0100` behind. A time without a zone is UTC. Leap seconds
//! are refused, as Kafka's timestamps know none.

/// The time, or nothing if the text is none.
pub fn parse(text: &[u8]) -> Option<i64> {
    let mut rest = Cursor(text);
    let year = rest.digits(4)?;
    rest.expect(b'-')?;
    let month = rest.digits(2)?;
    rest.expect(b'-')?;
    let day = rest.digits(2)?;
    if !(1..=12).contains(&month) || day < 1 || days_in_month(year, month) < day {
        return None;
    }
    let midnight_ms = days_since_1970(year, month, day) * 86_400_000;
    if rest.0.is_empty() {
        return Some(midnight_ms);
    }
    rest.expect(b'T').or_else(|| rest.expect(b' '))?;
    let of_day_ms = time_of_day_ms(&mut rest)?;
    let offset_ms = zone_offset_ms(&mut rest)?;
    rest.0.is_empty().then_some(midnight_ms + of_day_ms - offset_ms)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut value = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
        }
        self.0 = rest;
        Some(value)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }
}

fn time_of_day_ms(rest: &mut Cursor<'_>) -> Option<i64> {
    let hour = rest.digits(2)?;
    rest.expect(b':')?;
    let minute = rest.digits(2)?;
    let second = if rest.expect(b':').is_some() { rest.digits(2)? } else { 0 };
    if 23 < hour || 59 < minute || 59 < second {
        return None;
    }
    let mut millis = 0;
    if rest.expect(b'.').is_some() {
        let mut unit = 100;
        let before = rest.0.len();
        while let Some(digit) = rest.digits(1) {
            millis += digit * unit;
            unit /= 10;
        }
        if rest.0.len() == before {
            return None;
        }
    }
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

fn zone_offset_ms(rest: &mut Cursor<'_>) -> Option<i64> {
    if rest.0.is_empty() || rest.expect(b'Z').is_some() {
        return Some(0);
    }
    let sign = if rest.expect(b'+').is_some() {
        1
    } else {
        rest.expect(b'-')?;
        -1
    };
    let hours = rest.digits(2)?;
    let _ = rest.expect(b':');
    let minutes = rest.digits(2)?;
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60_000)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts in years that begin in March, so that the leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days_before_month = (153 * month + 2) / 5;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + days_before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_become_milliseconds() {
        let table: [(&str, Option<i64>); 16] = [
            ("1970-01-01", Some(0)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("2013-01-01T10:00:00Z", Some(1_357_034_400_000)),
            ("2013-01-01 10:00", Some(1_357_034_400_000)),
            ("2013-01-01T11:00:00+01:00", Some(1_357_034_400_000)),
            ("2013-01-01T05:00:00-0500", Some(1_357_034_400_000)),
            ("2000-02-29T00:00:00.123456Z", Some(951_782_400_123)),
            ("1900-02-29", None),
            ("2013-02-29", None),
            ("2013-13-01", None),
            ("2013-01-01T24:00:00Z", None),
            ("2013-01-01T10:00:00Zz", None),
            ("2013-01-01T10:00:00.", None),
            ("", None),
            ("NA", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }
}
