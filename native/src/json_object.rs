//! Reads JSON objects that are plainly valid, and leaves all others to the strict parser in Python.
//!
//! Whatever is unusual is left: escapes, nested values, exponents, long numbers, a name given
//! twice, a missing or a wrong field. So nothing is refused here and no error is worded here; what
//! is taken has one meaning, whichever strict parser looks at it.

use compact_str::CompactString;
use smallvec::SmallVec;

use crate::wire::{Field, Kind};

/// The value of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// Not there, or null.
    Absent,
    /// Text; up to 24 bytes of it need no memory of their own.
    Text(CompactString),
    /// A whole number from 0 on.
    Integer(i64),
    /// True or false.
    Boolean(bool),
}

impl FieldValue {
    /// The text; empty if it is none.
    pub fn text(&self) -> &str {
        match self {
            FieldValue::Text(text) => text,
            _ => "",
        }
    }

    /// The number; 0 if it is none.
    pub fn integer(&self) -> i64 {
        match self {
            FieldValue::Integer(number) => *number,
            _ => 0,
        }
    }

    /// Whether it is true.
    pub fn is_true(&self) -> bool {
        *self == FieldValue::Boolean(true)
    }
}

/// The values of an object, in the order of its fields.
pub type FieldValues = SmallVec<[FieldValue; 8]>;

/// Longest number that is taken, digits: all such numbers fit into 63 bits.
const DIGITS_MAX: usize = 18;

/// Most names that an object may have; each is compared with those before it.
const NAMES_MAX: usize = 64;

/// Reads one object; `None` leaves it to the strict parser.
pub fn read_object(value: &[u8], fields: &[Field]) -> Option<FieldValues> {
    let mut scanner = Scanner::new(value)?;
    let mut values: FieldValues = fields.iter().map(|_| FieldValue::Absent).collect();
    let mut seen: SmallVec<[&str; 12]> = SmallVec::new();
    scanner.skip_space();
    scanner.take(b'{')?;
    scanner.skip_space();
    if scanner.peek()? != b'}' {
        loop {
            let name = scanner.string()?;
            if seen.len() == NAMES_MAX || seen.contains(&name) {
                return None;
            }
            seen.push(name);
            scanner.skip_space();
            scanner.take(b':')?;
            scanner.skip_space();
            match fields.iter().position(|field| field.name == name) {
                Some(position) => values[position] = scanner.field(&fields[position])?,
                None => scanner.skip_plain_value()?,
            }
            scanner.skip_space();
            match scanner.next()? {
                b',' => scanner.skip_space(),
                b'}' => break,
                _ => return None,
            }
        }
    } else {
        scanner.take(b'}')?;
    }
    scanner.skip_space();
    let is_whole = scanner.is_at_end();
    let has_all = fields
        .iter()
        .zip(&values)
        .all(|(field, value)| field.is_optional || *value != FieldValue::Absent);
    (is_whole && has_all).then_some(values)
}

/// Walks over a text, one part of JSON after another.
pub(crate) struct Scanner<'a> {
    /// The whole text.
    pub(crate) text: &'a str,
    bytes: &'a [u8],
    /// The next byte.
    pub(crate) at: usize,
}

impl<'a> Scanner<'a> {
    /// Begins; `None` if the bytes are no UTF-8.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        Some(Scanner { text, bytes, at: 0 })
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Whether nothing is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(crate) fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    pub(crate) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(crate) fn word(&mut self, word: &str) -> Option<()> {
        self.bytes[self.at..]
            .starts_with(word.as_bytes())
            .then(|| self.at += word.len())
    }

    /// A string without escapes.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        let is_special = |&byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let end = start + self.bytes[start..].iter().position(is_special)?;
        self.at = end + 1;
        (self.bytes[end] == b'"').then(|| self.text.get(start..end))?
    }

    fn field(&mut self, field: &Field) -> Option<FieldValue> {
        if self.peek()? == b'n' {
            self.word("null")?;
            return field.is_optional.then_some(FieldValue::Absent);
        }
        match &field.kind {
            Kind::Text { length_max } => {
                let text = self.string()?;
                is_plain_text(text, *length_max).then(|| FieldValue::Text(text.into()))
            }
            Kind::Capitals { length, only } => {
                let text = self.string()?;
                let fits = text.len() == *length
                    && text.bytes().all(|byte| byte.is_ascii_uppercase())
                    && only.as_deref().is_none_or(|only| only == text);
                fits.then(|| FieldValue::Text(text.into()))
            }
            Kind::Integer { max } => {
                let number = self.integer()?;
                (number <= *max).then_some(FieldValue::Integer(number))
            }
            Kind::Boolean if self.peek()? == b't' => {
                self.word("true")?;
                Some(FieldValue::Boolean(true))
            }
            Kind::Boolean => {
                self.word("false")?;
                Some(FieldValue::Boolean(false))
            }
        }
    }

    /// Digits without a sign; what follows them shows whether the number ends there.
    fn integer(&mut self) -> Option<i64> {
        let start = self.at;
        let mut number = 0i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - start == DIGITS_MAX {
                return None;
            }
            number = number * 10 + (digit - b'0') as i64;
            self.at += 1;
        }
        let digits = &self.bytes[start..self.at];
        let is_plain = match digits {
            [] => false,
            [b'0', _, ..] => false,
            _ => !matches!(self.peek(), Some(b'.' | b'e' | b'E')),
        };
        is_plain.then_some(number)
    }

    /// An integer of few digits without a sign; nothing is read if there is none.
    pub(crate) fn short_integer(&mut self) -> Option<i64> {
        let start = self.at;
        let number = self.integer();
        if number.is_none() {
            self.at = start;
        }
        number
    }

    /// Skips a value that is not one of the fields, if it is a plain one.
    fn skip_plain_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' => {
                self.at += 1;
                self.skip_decimal()
            }
            b'0'..=b'9' => self.skip_decimal(),
            _ => None,
        }
    }

    /// Digits, maybe with a fraction; no exponent.
    fn skip_decimal(&mut self) -> Option<()> {
        let whole = self.skip_digits();
        if whole == 0 || whole > DIGITS_MAX {
            return None;
        }
        if whole > 1 && self.bytes[self.at - whole] == b'0' {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !(1..=DIGITS_MAX).contains(&self.skip_digits()) {
                return None;
            }
        }
        (!matches!(self.peek(), Some(b'.' | b'e' | b'E' | b'0'..=b'9'))).then_some(())
    }

    pub(crate) fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }
}

/// Whether a text is plainly one that may be a field: not empty, not blank, no control character.
fn is_plain_text(text: &str, length_max: usize) -> bool {
    if text.is_ascii() {
        let bytes = text.as_bytes();
        return (1..=length_max).contains(&bytes.len())
            && bytes.iter().all(|&byte| (b' '..=b'~').contains(&byte))
            && bytes.iter().any(|&byte| byte != b' ');
    }
    let (mut length, mut is_blank) = (0, true);
    for character in text.chars() {
        length += 1;
        if character.is_control() {
            return false;
        }
        is_blank &= character.is_whitespace();
    }
    length <= length_max && !is_blank
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        let field = |name: &str, kind, is_optional| Field {
            name: name.into(),
            kind,
            is_optional,
        };
        let code = Kind::Capitals {
            length: 2,
            only: None,
        };
        vec![
            field("id", Kind::Text { length_max: 4 }, false),
            field("size", Kind::Integer { max: 1_000 }, false),
            field("code", code, true),
            field("is", Kind::Boolean, true),
        ]
    }

    fn read(text: &str) -> Option<FieldValues> {
        read_object(text.as_bytes(), &fields())
    }

    #[test]
    fn plain_objects_are_taken() {
        let values = read(r#" {"size": 12 , "id":"ü b" , "code":"DE","is":true}"#).expect("plain");
        assert_eq!(values[0].text(), "ü b");
        assert_eq!(values[1].integer(), 12);
        assert_eq!(values[2].text(), "DE");
        assert!(values[3].is_true());
        let values = read(r#"{"id":"a","size":0,"code":null}"#).expect("plain");
        assert_eq!(values[2], FieldValue::Absent);
        assert_eq!(values[3], FieldValue::Absent);
    }

    #[test]
    fn unknown_fields_with_plain_values_are_skipped() {
        for value in ["\"x\"", "1", "-1.5", "0", "0.25", "true", "false", "null"] {
            let text = format!(r#"{{"other":{value},"id":"a","size":1}}"#);
            assert!(read(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn everything_unusual_is_left() {
        for value in [
            "1e2",
            "1.",
            ".5",
            "01",
            "-",
            "--1",
            "+1",
            "NaN",
            "[1]",
            "{}",
            "\"\\u0041\"",
            "tru",
            "\"open",
            "1.0000000000000000000",
            "1234567890123456789",
            "\"a\tb\"",
            "1.5.5",
        ] {
            let text = format!(r#"{{"other":{value},"id":"a","size":1}}"#);
            assert!(read(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn wrong_and_missing_fields_are_left() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"id":"a"}"#,
            r#"{"id":"a","size":1"#,
            r#"{"id":"a","size":1}}"#,
            r#"{"id":"a","size":1,}"#,
            r#"{"id":"a","size":1} x"#,
            r#"{"id":"a","id":"a","size":1}"#,
            r#"{"id":"a","size":1,"other":1,"other":1}"#,
            r#"{"id":null,"size":1}"#,
            r#"{"id":"","size":1}"#,
            r#"{"id":"  ","size":1}"#,
            r#"{"id":"abcde","size":1}"#,
            "{\"id\":\"a\u{7f}\",\"size\":1}",
            "{\"id\":\"a\u{85}\",\"size\":1}",
            r#"{"id":1,"size":1}"#,
            r#"{"id":"a","size":"1"}"#,
            r#"{"id":"a","size":-1}"#,
            r#"{"id":"a","size":1001}"#,
            r#"{"id":"a","size":1.0}"#,
            r#"{"id":"a","size":1e1}"#,
            r#"{"id":"a","size":01}"#,
            r#"{"id":"a","size":true}"#,
            r#"{"id":"a","size":1,"code":"de"}"#,
            r#"{"id":"a","size":1,"code":"DEU"}"#,
            r#"{"id":"a","size":1,"is":1}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        assert!(read_object(b"{\"id\":\"\xff\",\"size\":1}", &fields()).is_none());
        assert!(read("\u{feff}{\"id\":\"a\",\"size\":1}").is_none());
    }

    #[test]
    fn an_object_of_many_names_is_left() {
        let object = |names: usize| {
            let others: String = (0..names).map(|at| format!("\"n{at}\":1,")).collect();
            format!(r#"{{{others}"id":"a","size":1}}"#)
        };
        assert!(read(&object(NAMES_MAX - 2)).is_some());
        assert!(read(&object(NAMES_MAX - 1)).is_none());
    }
}
