//! One raw CSV row as fields, by RFC 4180: a field may stand in quotes, and a quote within is
//! doubled.
//!
//! Fields of one row lie behind each other in one buffer that is used again for the next row.

/// The fields of one row.
#[derive(Debug, Default)]
pub struct Row {
    text: Vec<u8>,
    /// End of each field in `text`.
    ends: Vec<usize>,
}

impl Row {
    /// Splits a row without its line end; the error is a sentence.
    pub fn split(&mut self, raw: &[u8], delimiter: u8) -> Result<(), &'static str> {
        self.text.clear();
        self.ends.clear();
        let mut rest = raw;
        loop {
            let after = if rest.first() == Some(&b'"') {
                self.take_quoted(&rest[1..], delimiter)?
            } else {
                self.take_plain(rest, delimiter)
            };
            self.ends.push(self.text.len());
            match after {
                Some(next) => rest = next,
                None => return Ok(()),
            }
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The field of this index; empty when the row is shorter.
    pub fn field(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(index).copied().unwrap_or(0);
        self.text.get(start.unwrap_or(0)..end).unwrap_or_default()
    }

    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.field(index))
    }

    /// Takes one field; returns what stands behind its delimiter, or nothing at the end of the row.
    fn take_plain<'a>(&mut self, rest: &'a [u8], delimiter: u8) -> Option<&'a [u8]> {
        let end = rest.iter().position(|byte| *byte == delimiter);
        self.text.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
        end.map(|end| &rest[end + 1..])
    }

    fn take_quoted<'a>(
        &mut self,
        mut rest: &'a [u8],
        delimiter: u8,
    ) -> Result<Option<&'a [u8]>, &'static str> {
        loop {
            let quote = rest.iter().position(|byte| *byte == b'"');
            let quote = quote.ok_or("a quote is not closed")?;
            self.text.extend_from_slice(&rest[..quote]);
            rest = &rest[quote + 1..];
            match rest.first() {
                None => return Ok(None),
                Some(b'"') => {
                    self.text.push(b'"');
                    rest = &rest[1..];
                }
                Some(byte) if *byte == delimiter => return Ok(Some(&rest[1..])),
                Some(_) => return Err("text stands behind a closing quote"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_split_into_fields() {
        let table: [(&str, Result<&[&str], &str>); 9] = [
            ("a,b,c", Ok(&["a", "b", "c"])),
            ("", Ok(&[""])),
            (",", Ok(&["", ""])),
            ("a,,c", Ok(&["a", "", "c"])),
            ("\"a,b\",c", Ok(&["a,b", "c"])),
            ("\"a \"\"b\"\"\",c", Ok(&["a \"b\"", "c"])),
            ("\"\",\"\"", Ok(&["", ""])),
            ("\"a", Err("a quote is not closed")),
            ("\"a\"b,c", Err("text stands behind a closing quote")),
        ];
        let mut row = Row::default();
        for (raw, expected) in table {
            let split = row.split(raw.as_bytes(), b',').map(|()| {
                row.fields().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
            });
            let expected: Result<Vec<String>, &str> =
                expected.map(|fields| fields.iter().map(ToString::to_string).collect());
            assert_eq!(split, expected, "{raw}");
        }
    }
}
