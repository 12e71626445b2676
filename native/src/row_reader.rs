//! Reads feature rows for scoring: the numbers of a batch as one matrix, and the texts that a
//! decision repeats, copied byte for byte.
//!
//! A row is taken only if it has exactly the form in which [`crate::row`] writes it, with our
//! definitions, plain ASCII texts and each number as it would be written again. So a text that is
//! copied equals the one that would come of decoding and encoding. Every other row is left to
//! Python.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;

use crate::error::{EngineError, Result};
use crate::values::Value;
use crate::wire::{Field, Kind};

/// Longest whole number that is taken, digits: all such numbers fit into 63 bits.
const DIGITS_MAX: usize = 18;

/// What a row looks like, and which of its parts are wanted.
#[derive(Debug, Deserialize)]
pub struct RowForm {
    /// Name of the object that holds the event.
    pub event_name: String,
    /// The event's fields, in the order of a row.
    pub fields: Vec<Field>,
    /// Names of the features, in the order of a row.
    pub features: Vec<String>,
    /// Digest of the definitions.
    pub digest: String,
    /// Names of the sequences.
    pub sequence_names: Vec<String>,
    /// The fields whose texts are wanted, in this order.
    pub wanted: Vec<String>,
    /// The fields that are written again as an object, in this order; absent ones are left out.
    pub repeated: Vec<String>,
}

/// One value of an event.
#[derive(Debug, Clone)]
enum FieldText {
    Absent,
    /// Where the text is, without its quotation marks.
    Text(Range<usize>),
    Number(Range<usize>, i64),
}

/// A row that was taken. Its texts are ranges of the row's bytes.
#[derive(Debug)]
pub struct ReadRow {
    fields: Vec<FieldText>,
    /// The features, in their order.
    pub features: Vec<Value>,
    /// The features as they are written, without braces.
    pub features_text: Range<usize>,
    /// The names of the approximate values, with brackets.
    pub approximate_text: Range<usize>,
    /// Kafka's timestamp of the event's record.
    pub timestamp_text: Range<usize>,
    /// When the row was computed.
    pub computed_text: Range<usize>,
}

/// Reads rows of one form.
#[derive(Debug)]
pub struct RowReader {
    form: RowForm,
    names: Vec<Vec<u8>>,
    field_names: Vec<Vec<u8>>,
    start: Vec<u8>,
    digest: Vec<u8>,
    sequences: Vec<Vec<u8>>,
    wanted: Vec<usize>,
    repeated: Vec<usize>,
}

impl RowReader {
    /// Reads a form from JSON.
    pub fn from_json(json: &str) -> Result<Self> {
        let form: RowForm = serde_json::from_str(json)
            .map_err(|error| EngineError::Value(format!("not the form of a row: {error}")))?;
        let positions = |names: &[String]| -> Result<Vec<usize>> {
            names.iter().map(|name| field_at(&form, name)).collect()
        };
        let (wanted, repeated) = (positions(&form.wanted)?, positions(&form.repeated)?);
        let quoted = |name: &String| format!("\"{name}\":").into_bytes();
        Ok(RowReader {
            names: form.features.iter().map(quoted).collect(),
            field_names: form
                .fields
                .iter()
                .map(|field| quoted(&field.name))
                .collect(),
            start: format!("{{\"{}\":{{", form.event_name).into_bytes(),
            digest: format!("\"definition_digest\":\"{}\",\"repeat\":", form.digest).into_bytes(),
            sequences: form.sequence_names.iter().map(quoted).collect(),
            wanted,
            repeated,
            form,
        })
    }

    /// How many features a row has.
    pub fn features_len(&self) -> usize {
        self.names.len()
    }

    /// Reads one row; `None` leaves it to Python.
    pub fn read(&self, row: &[u8]) -> Option<ReadRow> {
        let mut scanner = Scanner { bytes: row, at: 0 };
        scanner.literal(&self.start)?;
        let fields = self.fields(&mut scanner)?;
        scanner.literal(b"},\"features\":{")?;
        let start = scanner.at;
        let features = self.features(&mut scanner)?;
        let features_text = start..scanner.at;
        scanner.literal(b"},\"approximate\":")?;
        let approximate_text = scanner.texts()?;
        scanner.literal(b",")?;
        scanner.literal(&self.digest)?;
        scanner
            .literal(b"true,")
            .or_else(|| scanner.literal(b"false,"))?;
        for name in &self.sequences {
            scanner.literal(name)?;
            scanner.whole()?;
            scanner.literal(b",")?;
        }
        scanner.literal(b"\"origin\":{\"partition\":")?;
        scanner.whole()?;
        scanner.literal(b",\"offset\":")?;
        scanner.whole()?;
        scanner.literal(b",\"timestamp_ms\":")?;
        let (timestamp_text, _) = scanner.whole()?;
        scanner.literal(b"},\"computed_at_ms\":")?;
        let (computed_text, _) = scanner.whole()?;
        scanner.literal(b"}")?;
        (scanner.at == row.len()).then_some(ReadRow {
            fields,
            features,
            features_text,
            approximate_text,
            timestamp_text,
            computed_text,
        })
    }

    fn fields(&self, scanner: &mut Scanner<'_>) -> Option<Vec<FieldText>> {
        let mut found = Vec::with_capacity(self.form.fields.len());
        let mut is_first = true;
        for (field, name) in self.form.fields.iter().zip(&self.field_names) {
            let at = scanner.at;
            if (is_first || scanner.literal(b",").is_some()) && scanner.literal(name).is_some() {
                found.push(scanner.field(&field.kind)?);
                is_first = false;
            } else if field.is_optional {
                scanner.at = at;
                found.push(FieldText::Absent);
            } else {
                return None;
            }
        }
        Some(found)
    }

    fn features(&self, scanner: &mut Scanner<'_>) -> Option<Vec<Value>> {
        let mut values = Vec::with_capacity(self.names.len());
        for (at, name) in self.names.iter().enumerate() {
            if at > 0 {
                scanner.literal(b",")?;
            }
            scanner.literal(name)?;
            values.push(scanner.value()?);
        }
        Some(values)
    }

    /// How many fields are wanted.
    pub fn wanted_len(&self) -> usize {
        self.wanted.len()
    }

    /// The text of a wanted field, without quotation marks; empty if it is absent.
    pub fn wanted_text<'a>(&self, row: &ReadRow, bytes: &'a [u8], at: usize) -> &'a [u8] {
        match &row.fields[self.wanted[at]] {
            FieldText::Absent => &bytes[..0],
            FieldText::Text(range) | FieldText::Number(range, _) => &bytes[range.clone()],
        }
    }

    /// The repeated fields as a JSON object.
    pub fn repeated(&self, row: &ReadRow, bytes: &[u8], out: &mut Vec<u8>) {
        out.push(b'{');
        for &at in &self.repeated {
            let (range, is_text) = match &row.fields[at] {
                FieldText::Absent => continue,
                FieldText::Text(range) => (range, true),
                FieldText::Number(range, _) => (range, false),
            };
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            out.extend_from_slice(&self.field_names[at]);
            out.extend_from_slice(if is_text { b"\"" } else { b"" });
            out.extend_from_slice(&bytes[range.clone()]);
            out.extend_from_slice(if is_text { b"\"" } else { b"" });
        }
        out.push(b'}');
    }
}

fn field_at(form: &RowForm, name: &str) -> Result<usize> {
    let found = form.fields.iter().position(|field| field.name == name);
    found.ok_or_else(|| EngineError::Value(format!("a row has no field {name:?}")))
}

/// How one number of a vector is found.
#[derive(Debug)]
enum Column {
    Feature(usize),
    Number(usize),
    Codes(usize, HashMap<Vec<u8>, f64>),
    Empty,
}

/// The columns of a matrix and the codes of texts.
#[derive(Debug)]
pub struct MatrixForm {
    columns: Vec<Column>,
    missing_code: f64,
    unknown_code: f64,
}

#[derive(Deserialize)]
struct MatrixJson {
    columns: Vec<String>,
    categories: HashMap<String, Vec<String>>,
    /// Columns that the caller fills.
    empty: Vec<String>,
    missing_code: f64,
    unknown_code: f64,
}

impl MatrixForm {
    /// Reads a form from JSON, for the rows of a reader.
    pub fn from_json(json: &str, reader: &RowReader) -> Result<Self> {
        let form: MatrixJson = serde_json::from_str(json)
            .map_err(|error| EngineError::Value(format!("not the form of a matrix: {error}")))?;
        let column = |name: &String| -> Result<Column> {
            if let Some(texts) = form.categories.get(name) {
                let codes = texts.iter().enumerate();
                let codes = codes.map(|(code, text)| (text.clone().into_bytes(), code as f64));
                return Ok(Column::Codes(
                    field_at(&reader.form, name)?,
                    codes.collect(),
                ));
            }
            if form.empty.contains(name) {
                return Ok(Column::Empty);
            }
            match reader.form.features.iter().position(|known| known == name) {
                Some(at) => Ok(Column::Feature(at)),
                None => Ok(Column::Number(field_at(&reader.form, name)?)),
            }
        };
        Ok(MatrixForm {
            columns: form.columns.iter().map(column).collect::<Result<_>>()?,
            missing_code: form.missing_code,
            unknown_code: form.unknown_code,
        })
    }

    /// Appends the vector of a row, doubles in little-endian order; NaN where there is no value.
    pub fn write(&self, row: &ReadRow, bytes: &[u8], out: &mut Vec<u8>) {
        for column in &self.columns {
            let number = match column {
                Column::Feature(at) => match row.features[*at] {
                    Value::Int(number) => number as f64,
                    Value::Float(number) => number,
                    Value::Null => f64::NAN,
                },
                Column::Number(at) => match &row.fields[*at] {
                    FieldText::Number(_, number) => *number as f64,
                    _ => f64::NAN,
                },
                Column::Codes(at, codes) => match &row.fields[*at] {
                    FieldText::Text(range) => codes
                        .get(&bytes[range.clone()])
                        .copied()
                        .unwrap_or(self.unknown_code),
                    _ => self.missing_code,
                },
                Column::Empty => f64::NAN,
            };
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn literal(&mut self, text: &[u8]) -> Option<()> {
        let is_next = self.bytes.get(self.at..)?.starts_with(text);
        is_next.then(|| self.at += text.len())
    }

    /// A text of printable ASCII characters without escapes, not blank.
    fn text(&mut self, length_max: usize) -> Option<Range<usize>> {
        self.literal(b"\"")?;
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'"')?;
        let text = &rest[..length];
        let is_plain = (1..=length_max).contains(&length)
            && text
                .iter()
                .all(|&byte| (b' '..=b'~').contains(&byte) && byte != b'\\')
            && text.iter().any(|&byte| byte != b' ');
        let range = self.at..self.at + length;
        self.at = range.end + 1;
        is_plain.then_some(range)
    }

    fn field(&mut self, kind: &Kind) -> Option<FieldText> {
        match kind {
            Kind::Text { length_max } => self.text(*length_max).map(FieldText::Text),
            Kind::Capitals { length, only } => {
                let range = self.text(*length)?;
                let text = &self.bytes[range.clone()];
                let fits = text.len() == *length
                    && text.iter().all(u8::is_ascii_uppercase)
                    && only.as_ref().is_none_or(|only| only.as_bytes() == text);
                fits.then_some(FieldText::Text(range))
            }
            Kind::Integer { max } => {
                let (range, number) = self.whole()?;
                (number <= *max).then_some(FieldText::Number(range, number))
            }
            Kind::Boolean => None,
        }
    }

    /// A list of plain texts.
    fn texts(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.literal(b"[")?;
        if self.literal(b"]").is_none() {
            loop {
                self.text(usize::MAX)?;
                if self.literal(b"]").is_some() {
                    break;
                }
                self.literal(b",")?;
            }
        }
        Some(start..self.at)
    }

    /// A whole number from 0 on, without leading zeros.
    fn whole(&mut self) -> Option<(Range<usize>, i64)> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let has_zeros = length > 1 && rest[0] == b'0';
        if length == 0 || length > DIGITS_MAX || has_zeros {
            return None;
        }
        let digits = rest[..length].iter();
        let number = digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        let range = self.at..self.at + length;
        self.at = range.end;
        Some((range, number))
    }

    /// A number from 0 on as it would be written, or null.
    fn value(&mut self) -> Option<Value> {
        if self.literal(b"null").is_some() {
            return Some(Value::Null);
        }
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
        let text = &rest[..length];
        if text.iter().all(u8::is_ascii_digit) {
            return self
                .whole()
                .map(|(_, number)| Value::Int(i128::from(number)));
        }
        let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        let is_written_so = number.is_finite()
            && number >= 0.0
            && ryu::Buffer::new().format_finite(number).as_bytes() == text;
        self.at += length;
        is_written_so.then_some(Value::Float(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = r#"{"event_name":"event","fields":[
        {"name":"id","kind":"text","length_max":8},{"name":"n","kind":"integer","max":99},
        {"name":"kind","kind":"text","length_max":8,"is_optional":true}],
        "features":["a","b"],"digest":"d1","sequence_names":["s"],
        "wanted":["id"],"repeated":["n","kind"]}"#;
    const ROW: &str = r#"{"event":{"id":"x","n":7,"kind":"k"},"features":{"a":3,"b":0.5},"approximate":["a"],"definition_digest":"d1","repeat":false,"s":1,"origin":{"partition":0,"offset":5,"timestamp_ms":12},"computed_at_ms":13}"#;

    fn reader() -> RowReader {
        RowReader::from_json(FORM).unwrap()
    }

    #[test]
    fn a_row_gives_its_numbers_and_its_texts() {
        let reader = reader();
        let row = reader.read(ROW.as_bytes()).unwrap();
        let text = |range: &Range<usize>| &ROW[range.clone()];
        assert_eq!(row.features, [Value::Int(3), Value::Float(0.5)]);
        assert_eq!(text(&row.features_text), r#""a":3,"b":0.5"#);
        assert_eq!(text(&row.approximate_text), r#"["a"]"#);
        assert_eq!(
            (text(&row.timestamp_text), text(&row.computed_text)),
            ("12", "13")
        );
        assert_eq!(reader.wanted_len(), 1);
        assert_eq!(reader.wanted_text(&row, ROW.as_bytes(), 0), b"x");
        let mut repeated = Vec::new();
        reader.repeated(&row, ROW.as_bytes(), &mut repeated);
        assert_eq!(repeated, br#"{"n":7,"kind":"k"}"#);
    }

    #[test]
    fn a_vector_has_codes_and_nan() {
        let reader = reader();
        let form = r#"{"columns":["n","b","kind","later"],"categories":{"kind":["j","k"]},
            "empty":["later"],"missing_code":-2.0,"unknown_code":-1.0}"#;
        let form = MatrixForm::from_json(form, &reader).unwrap();
        let vector = |row: &str| {
            let mut out = Vec::new();
            form.write(
                &reader.read(row.as_bytes()).unwrap(),
                row.as_bytes(),
                &mut out,
            );
            let doubles = out
                .chunks(8)
                .map(|each| f64::from_le_bytes(each.try_into().unwrap()));
            doubles.collect::<Vec<_>>()
        };
        assert_eq!(vector(ROW)[..3], [7.0, 0.5, 1.0]);
        assert!(vector(ROW)[3].is_nan());
        assert_eq!(vector(&ROW.replace(r#","kind":"k""#, ""))[2], -2.0);
        assert_eq!(
            vector(&ROW.replace(r#""kind":"k""#, r#""kind":"z""#))[2],
            -1.0
        );
    }

    #[test]
    fn a_row_of_another_form_is_left() {
        for (text, other) in [
            (r#""n":7"#, r#""n":07"#),
            (r#""n":7"#, r#""n":100"#),
            (r#""n":7"#, r#""n":-7"#),
            (r#""n":7"#, r#""n":7.0"#),
            (r#""n":7,"#, ""),
            (r#""id":"x""#, r#""id":"""#),
            (r#""id":"x""#, r#""id":" ""#),
            (r#""id":"x""#, r#""id":"\u0041""#),
            (r#""id":"x""#, r#""id":"ä""#),
            (r#""id":"x""#, r#""id":"123456789""#),
            (r#""b":0.5"#, r#""b":0.50"#),
            (r#""b":0.5"#, r#""b":5e-1"#),
            (r#""b":0.5"#, r#""b":-0.5"#),
            (r#""b":0.5"#, r#""b":"0.5""#),
            (r#""b":0.5"#, r#""b":0.5,"c":1"#),
            (r#""a":3,"b":0.5"#, r#""b":0.5,"a":3"#),
            (r#""d1""#, r#""d2""#),
            (r#"["a"]"#, r#"["a",]"#),
            ("false", "0"),
            (r#""n":7"#, r#" "n":7"#),
            ("13}", "13}\n"),
            ("13}", "13"),
        ] {
            assert!(ROW.contains(text), "{text}");
            assert!(
                reader()
                    .read(ROW.replacen(text, other, 1).as_bytes())
                    .is_none(),
                "{other}"
            );
        }
        for length in 0..ROW.len() {
            assert!(reader().read(&ROW.as_bytes()[..length]).is_none());
        }
    }
}
