//! Reads the records of a log into columns; leaves what is not plain to Python.
//!
//! What is taken has the same value in every parser. Left are, among others: escapes, a name given
//! twice, a missing or a wrong field, integers beyond 63 bits, and numbers that no double holds.

use std::ops::Range;

use crate::columns::{Column, Layout};
use crate::json_object::{read_object, FieldValue, Scanner};
use crate::record_shape::{Content, Leaf, Member, RecordShape, StrictShape};
use crate::wire::Kind;

/// Most bytes of records read into one batch, so that 31 bits number the bytes of a column.
const BATCH_BYTES_MAX: usize = 1 << 30;
/// Longest number that is taken, characters. The longest that Weir writes has 25.
const NUMBER_LENGTH_MAX: usize = 40;
/// Largest integer up to which a double holds each integer.
const DOUBLE_INTEGER_MAX: u64 = 1 << 53;
/// How deep a value without a column may be nested.
const NESTING_MAX: usize = 16;

/// Reads the records of one log.
pub struct RecordReader {
    shape: Shape,
    layouts: Vec<Layout>,
}

enum Shape {
    Strict(StrictShape),
    Own {
        root: Object,
        leaves: Vec<LeafRules>,
        objects: usize,
    },
}

struct Object {
    members: Vec<NamedTarget>,
    others_at: Option<usize>,
    number: usize,
}

struct NamedTarget {
    name: String,
    /// The name as it is written, with its colon.
    written: String,
    target: Target,
}

enum Target {
    Leaf(usize),
    Object(Object),
}

struct LeafRules {
    leaf: Leaf,
    is_optional: bool,
    is_never_null: bool,
}

/// The columns of the records that were taken, and the positions of the others.
pub struct Read {
    /// The columns, in the order of the shape, depth first; those of other members last.
    pub columns: Vec<Column>,
    /// The positions of the records that were left.
    pub left: Vec<usize>,
}

impl RecordReader {
    /// Prepares a shape.
    pub fn new(shape: RecordShape) -> Self {
        match shape {
            RecordShape::Strict(strict) => RecordReader {
                layouts: strict
                    .fields
                    .iter()
                    .map(|field| layout_of_kind(&field.kind))
                    .collect(),
                shape: Shape::Strict(strict),
            },
            RecordShape::Own(members) => {
                let (mut leaves, mut objects) = (Vec::new(), 0);
                let root = compile(members, false, &mut leaves, &mut objects);
                RecordReader {
                    layouts: leaves
                        .iter()
                        .map(|rules| layout_of_leaf(&rules.leaf))
                        .collect(),
                    shape: Shape::Own {
                        root,
                        leaves,
                        objects,
                    },
                }
            }
        }
    }

    /// Reads records, in their order; `None` is a record without a value.
    pub fn read<'a>(&self, records: impl Iterator<Item = Option<&'a [u8]>>) -> Read {
        let mut columns: Vec<Column> = self.layouts.iter().copied().map(Column::new).collect();
        let mut left = Vec::new();
        let mut scratch = Scratch::default();
        let mut bytes = 0usize;
        for (at, record) in records.enumerate() {
            bytes = bytes.saturating_add(record.map_or(0, <[u8]>::len));
            let is_taken = bytes <= BATCH_BYTES_MAX
                && record.is_some_and(|value| match &self.shape {
                    Shape::Strict(strict) => push_fields(value, strict, &mut columns),
                    Shape::Own {
                        root,
                        leaves,
                        objects,
                    } => {
                        scratch.begin(leaves.len(), *objects);
                        let taken = read_row(value, root, leaves, &mut scratch).is_some();
                        if taken {
                            scratch.push(&mut columns);
                        }
                        taken
                    }
                });
            if !is_taken {
                left.push(at);
            }
        }
        Read { columns, left }
    }
}

fn layout_of_kind(kind: &Kind) -> Layout {
    match kind {
        Kind::Text { .. } | Kind::Capitals { .. } => Layout::Text,
        Kind::Integer { .. } => Layout::Number,
        Kind::Boolean => Layout::Boolean,
    }
}

fn layout_of_leaf(leaf: &Leaf) -> Layout {
    match leaf {
        Leaf::Text { .. } | Leaf::Object => Layout::Text,
        Leaf::Integer { .. } | Leaf::Double => Layout::Number,
        Leaf::Boolean => Layout::Boolean,
        Leaf::Texts => Layout::Texts,
        Leaf::Doubles => Layout::Numbers,
    }
}

fn compile(
    members: Vec<Member>,
    keeps_others: bool,
    leaves: &mut Vec<LeafRules>,
    objects: &mut usize,
) -> Object {
    let number = *objects;
    *objects += 1;
    let mut targets = Vec::with_capacity(members.len());
    for member in members {
        let target = match member.content {
            Content::Object {
                members,
                keeps_others,
            } => Target::Object(compile(members, keeps_others, leaves, objects)),
            Content::Column {
                leaf,
                is_optional,
                is_never_null,
            } => {
                leaves.push(LeafRules {
                    leaf,
                    is_optional,
                    is_never_null,
                });
                Target::Leaf(leaves.len() - 1)
            }
        };
        targets.push(NamedTarget {
            written: format!("\"{}\":", member.name),
            name: member.name,
            target,
        });
    }
    let others_at = keeps_others.then(|| {
        leaves.push(LeafRules {
            leaf: Leaf::Object,
            is_optional: false,
            is_never_null: false,
        });
        leaves.len() - 1
    });
    Object {
        members: targets,
        others_at,
        number,
    }
}

fn push_fields(value: &[u8], strict: &StrictShape, columns: &mut [Column]) -> bool {
    if value.len() > strict.bytes_max {
        return false;
    }
    let Some(values) = read_object(value, &strict.fields) else {
        return false;
    };
    let has_minima = strict
        .minima
        .iter()
        .all(|&(at, min)| values[at].integer() >= min);
    let is_in_order = strict
        .in_order
        .iter()
        .all(|&(first, second)| values[first].integer() <= values[second].integer());
    if !has_minima || !is_in_order {
        return false;
    }
    for (column, value) in columns.iter_mut().zip(&values) {
        match value {
            FieldValue::Absent => column.push_null(),
            FieldValue::Text(text) => column.push_text(text),
            FieldValue::Integer(number) => column.push_integer(*number),
            FieldValue::Boolean(is) => column.push_boolean(*is),
        }
    }
    true
}

/// The values of one row, before it is known whether the whole row is taken.
#[derive(Default)]
struct Scratch<'a> {
    cells: Vec<Cell<'a>>,
    has_object: Vec<bool>,
    texts: Vec<&'a str>,
    doubles: Vec<Option<f64>>,
    json: String,
}

#[derive(Clone)]
enum Cell<'a> {
    Absent,
    Null,
    Integer(i64),
    Double(f64),
    Boolean(bool),
    Text(&'a str),
    Texts(Range<usize>),
    Doubles(Range<usize>),
    Json(Range<usize>),
}

impl Scratch<'_> {
    fn begin(&mut self, leaves: usize, objects: usize) {
        self.cells.clear();
        self.cells.resize(leaves, Cell::Absent);
        self.has_object.clear();
        self.has_object.resize(objects, false);
        self.texts.clear();
        self.doubles.clear();
        self.json.clear();
    }

    fn push(&self, columns: &mut [Column]) {
        for (column, cell) in columns.iter_mut().zip(&self.cells) {
            match cell {
                Cell::Absent | Cell::Null => column.push_null(),
                Cell::Integer(number) => column.push_integer(*number),
                Cell::Double(number) => column.push_double(*number),
                Cell::Boolean(is) => column.push_boolean(*is),
                Cell::Text(text) => column.push_text(text),
                Cell::Json(range) => column.push_text(&self.json[range.clone()]),
                Cell::Texts(range) => column.push_list(|elements| {
                    self.texts[range.clone()]
                        .iter()
                        .for_each(|text| elements.push_text(text));
                }),
                Cell::Doubles(range) => column.push_list(|elements| {
                    for number in &self.doubles[range.clone()] {
                        match number {
                            Some(number) => elements.push_double(*number),
                            None => elements.push_null(),
                        }
                    }
                }),
            }
        }
    }
}

fn read_row<'a>(
    value: &'a [u8],
    root: &Object,
    leaves: &[LeafRules],
    scratch: &mut Scratch<'a>,
) -> Option<()> {
    let mut scanner = Scanner::new(value)?;
    scanner.skip_space();
    read_members(&mut scanner, root, leaves, scratch)?;
    scanner.skip_space();
    let has_all = scratch.has_object.iter().all(|&has| has)
        && leaves
            .iter()
            .zip(&scratch.cells)
            .all(|(rules, cell)| rules.is_optional || !matches!(cell, Cell::Absent));
    (scanner.is_at_end() && has_all).then_some(())
}

fn read_members<'a>(
    scanner: &mut Scanner<'a>,
    object: &Object,
    leaves: &[LeafRules],
    scratch: &mut Scratch<'a>,
) -> Option<()> {
    if std::mem::replace(&mut scratch.has_object[object.number], true) {
        return None;
    }
    let mut others = object.others_at.map(|_| PlainMembers::default());
    let mut expected = 0;
    scanner.take(b'{')?;
    scanner.list_until(b'}', |scanner| {
        // Records usually have their members in the order of the shape.
        let next = object.members.get(expected);
        let at = match next.and_then(|member| scanner.word(&member.written)) {
            Some(()) => {
                scanner.skip_space();
                expected
            }
            None => {
                let name = scanner.name()?;
                match object.members.iter().position(|there| there.name == name) {
                    Some(at) => at,
                    None => {
                        return match &mut others {
                            Some(others) => others.take(scanner, name),
                            None => scanner.skip_value(NESTING_MAX),
                        }
                    }
                }
            }
        };
        expected = at + 1;
        match &object.members[at].target {
            Target::Object(inner) => read_members(scanner, inner, leaves, scratch),
            Target::Leaf(leaf) => read_leaf(scanner, *leaf, &leaves[*leaf], scratch),
        }
    })?;
    if let (Some(at), Some(others)) = (object.others_at, others) {
        scratch.cells[at] = match others.names.is_empty() {
            true => Cell::Null,
            false => others.cell(&mut scratch.json),
        };
    }
    Some(())
}

fn read_leaf<'a>(
    scanner: &mut Scanner<'a>,
    at: usize,
    rules: &LeafRules,
    scratch: &mut Scratch<'a>,
) -> Option<()> {
    if !matches!(scratch.cells[at], Cell::Absent) {
        return None;
    }
    let first = scanner.peek()?;
    scratch.cells[at] = if first == b'n' {
        scanner.word("null")?;
        if rules.is_never_null {
            return None;
        }
        Cell::Null
    } else {
        match &rules.leaf {
            Leaf::Text { only } => {
                let text = scanner.string()?;
                if only.as_deref().is_some_and(|only| only != text) {
                    return None;
                }
                Cell::Text(text)
            }
            Leaf::Integer { min, max } => {
                let number = match scanner.short_integer() {
                    Some(number) => number,
                    None => integer(scanner.number()?)?,
                };
                if !(*min..=*max).contains(&number) {
                    return None;
                }
                Cell::Integer(number)
            }
            Leaf::Double => Cell::Double(scanner.double()?),
            Leaf::Boolean => Cell::Boolean(scanner.boolean()?),
            Leaf::Texts => {
                let start = scratch.texts.len();
                scanner
                    .elements(|scanner| scanner.string().map(|text| scratch.texts.push(text)))?;
                Cell::Texts(start..scratch.texts.len())
            }
            Leaf::Doubles => {
                let start = scratch.doubles.len();
                scanner.elements(|scanner| {
                    let number = match scanner.peek()? {
                        b'n' => scanner.word("null").map(|()| None)?,
                        _ => Some(scanner.double()?),
                    };
                    scratch.doubles.push(number);
                    Some(())
                })?;
                Cell::Doubles(start..scratch.doubles.len())
            }
            Leaf::Object => {
                let mut members = PlainMembers::default();
                scanner.members(|scanner, name| members.take(scanner, name))?;
                members.cell(&mut scratch.json)
            }
        }
    };
    Some(())
}

/// Members with plain values, each written as Weir's encoder writes it.
#[derive(Default)]
struct PlainMembers<'a> {
    names: Vec<&'a str>,
    values: Vec<&'a str>,
}

impl<'a> PlainMembers<'a> {
    fn take(&mut self, scanner: &mut Scanner<'a>, name: &'a str) -> Option<()> {
        if self.names.contains(&name) {
            return None;
        }
        let start = scanner.at;
        match scanner.peek()? {
            b'"' => scanner.string().map(|_| ())?,
            b'n' => scanner.word("null")?,
            b't' | b'f' => scanner.boolean().map(|_| ())?,
            _ => {
                let text = scanner.number()?;
                if !is_integer(text) {
                    let number = double(text)?;
                    (ryu::Buffer::new().format_finite(number) == text).then_some(())?;
                } else {
                    integer(text)?;
                }
            }
        }
        self.names.push(name);
        self.values.push(&scanner.text[start..scanner.at]);
        Some(())
    }

    /// Adds them to a text, as one object.
    fn cell(&self, json: &mut String) -> Cell<'a> {
        let start = json.len();
        json.push('{');
        for (at, (name, value)) in self.names.iter().zip(&self.values).enumerate() {
            if at > 0 {
                json.push(',');
            }
            json.extend(["\"", name, "\":", value]);
        }
        json.push('}');
        Cell::Json(start..json.len())
    }
}

fn is_integer(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// An integer of 64 bits; "-0" is left, because not every parser gives the same.
fn integer(text: &str) -> Option<i64> {
    if text == "-0" || !is_integer(text) {
        return None;
    }
    text.parse().ok()
}

/// An integer as a double, if that holds it exactly.
fn exact(number: i64) -> Option<f64> {
    (number.unsigned_abs() <= DOUBLE_INTEGER_MAX).then_some(number as f64)
}

/// A double; of integers only those that it holds exactly.
fn double(text: &str) -> Option<f64> {
    if is_integer(text) {
        return exact(integer(text)?);
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

impl<'a> Scanner<'a> {
    /// Walks over the members of an object; `each` reads the value of one.
    fn members(&mut self, mut each: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        self.list_until(b'}', |scanner| {
            let name = scanner.name()?;
            each(scanner, name)
        })
    }

    /// The name of a member, up to its value.
    fn name(&mut self) -> Option<&'a str> {
        let name = self.string()?;
        self.skip_space();
        self.take(b':')?;
        self.skip_space();
        Some(name)
    }

    /// A double, also one without a fraction.
    fn double(&mut self) -> Option<f64> {
        match self.short_integer() {
            Some(number) => exact(number),
            None => double(self.number()?),
        }
    }

    /// Walks over the elements of a list.
    fn elements(&mut self, each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        self.list_until(b']', each)
    }

    fn list_until(&mut self, end: u8, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip_space();
        if self.peek()? == end {
            return self.take(end);
        }
        loop {
            each(self)?;
            self.skip_space();
            match self.next()? {
                b',' => self.skip_space(),
                found => return (found == end).then_some(()),
            }
        }
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    /// The text of a JSON number.
    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let first = self.peek()?;
        let digits = self.skip_digits();
        if digits == 0 || (digits > 1 && first == b'0') {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            (self.skip_digits() > 0).then_some(())?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            (self.skip_digits() > 0).then_some(())?;
        }
        (self.at - start <= NUMBER_LENGTH_MAX).then(|| &self.text[start..self.at])
    }

    /// Skips a value without a column, if every parser accepts it.
    fn skip_value(&mut self, nesting_max: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'n' => self.word("null"),
            b't' | b'f' => self.boolean().map(|_| ()),
            b'{' if nesting_max > 0 => {
                self.members(|scanner, _| scanner.skip_value(nesting_max - 1))
            }
            b'[' if nesting_max > 0 => self.elements(|scanner| scanner.skip_value(nesting_max - 1)),
            b'{' | b'[' => None,
            _ => {
                let number: f64 = self.number()?.parse().ok()?;
                number.is_finite().then_some(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: &str = r#"{"own": [
        {"name": "id", "kind": "text"},
        {"name": "at", "kind": "integer", "min": 0, "max": 9, "is_never_null": true},
        {"name": "inner", "members": [
            {"name": "share", "kind": "double"},
            {"name": "is", "kind": "boolean", "is_optional": true}
        ], "keeps_others": true},
        {"name": "names", "kind": "texts"},
        {"name": "row", "kind": "doubles", "is_optional": true},
        {"name": "times", "kind": "object", "is_optional": true}
    ]}"#;

    fn read(records: &[&str]) -> Read {
        let shape = RecordShape::from_json(SHAPE).expect("a shape");
        RecordReader::new(shape).read(records.iter().map(|text| Some(text.as_bytes())))
    }

    fn doubles(record: &str) -> Vec<u8> {
        let mut read = read(&[record]);
        assert!(read.left.is_empty(), "{record}");
        let (_, buffers) = read.columns.swap_remove(2).into_buffers();
        buffers[1].clone().expect("numbers")
    }

    fn with_share(share: &str) -> String {
        format!(r#"{{"id":"a","at":1,"inner":{{"share":{share}}},"names":[]}}"#)
    }

    #[test]
    fn the_columns_are_those_of_the_shape() {
        let records = [
            r#"{"id":"a","at":0,"inner":{"share":0.1,"x":1,"is":true,"y":null},"names":["b","c"],
                "more":{"a":[1,{}]},"row":[1,null],"times":{ "a" : 1 }}"#,
            r#" {"row":null,"names":null,"inner":{"share":null},"at":9,"id":null} "#,
        ];
        let read = read(&records);
        assert!(read.left.is_empty());
        let lengths: Vec<usize> = read.columns.iter().map(Column::len).collect();
        assert_eq!(lengths, [2; 8]);
        let nulls: Vec<usize> = read
            .columns
            .iter()
            .map(|column| column.clone().into_buffers().0)
            .collect();
        assert_eq!(nulls, [1, 0, 1, 1, 1, 1, 1, 1]);
        let others = read.columns[4].clone().into_buffers().1;
        assert_eq!(others[2].as_deref(), Some(&br#"{"x":1,"y":null}"#[..]));
        let times = read.columns[7].clone().into_buffers().1;
        assert_eq!(times[2].as_deref(), Some(&br#"{"a":1}"#[..]));
    }

    #[test]
    fn doubles_are_exact_to_the_bit() {
        let bits = |number: f64| number.to_ne_bytes().to_vec();
        for (text, number) in [
            ("0.1", 0.1),
            ("-0.0", -0.0),
            ("1e-7", 1e-7),
            ("5e-324", 5e-324),
            (
                "2.2250738585072011e-308",
                f64::from_bits(0x000f_ffff_ffff_ffff),
            ),
            ("7", 7.0),
            ("-9007199254740992", -9_007_199_254_740_992.0),
        ] {
            assert_eq!(doubles(&with_share(text)), bits(number), "{text}");
        }
    }

    #[test]
    fn everything_that_is_not_plain_is_left() {
        let good = with_share("1");
        let mut records = vec![
            String::new(),
            "[]".into(),
            "{}".into(),
            format!("{good} x"),
            format!("{good}{good}"),
            good.replace(r#""id":"a","#, ""),
            good.replace(r#""id":"a","#, r#""id":"a","id":"a","#),
            good.replace(r#""id":"a""#, r#""id":"\u0041""#),
            good.replace(r#""id":"a""#, r#""id":1"#),
            good.replace(r#""at":1"#, r#""at":null"#),
            good.replace(r#""at":1"#, r#""at":10"#),
            good.replace(r#""at":1"#, r#""at":1.0"#),
            good.replace(r#""at":1"#, r#""at":01"#),
            good.replace(r#""at":1"#, r#""at":-0"#),
            good.replace(r#""at":1"#, r#""at":true"#),
            good.replace(r#""inner":{"#, r#""inner":{},"inner":{"#),
            good.replace(r#""inner":{"#, r#""inner":{"x":1,"x":1,"#),
            good.replace(r#""inner":{"#, r#""inner":{"x":[],"#),
            good.replace(r#""inner":{"#, r#""inner":{"x":1e5,"#),
            good.replace(r#""inner":{"#, r#""inner":{"x":99999999999999999999,"#),
            good.replace("[]", r#"["a",null]"#),
            good.replace("[]", r#"["a",]"#),
            good.replace("[]", r#"[],"other":1e999"#),
            good.replace("[]", r#"[],"other":NaN"#),
            good.replace("[]", &format!(r#"[],"other":{}"#, "[".repeat(99))),
        ];
        for share in [
            "1e999",
            "9007199254740993",
            "NaN",
            "-0",
            ".5",
            "1.",
            "+1",
            "true",
            "\"1\"",
        ] {
            records.push(with_share(share));
        }
        for record in &records {
            assert_eq!(read(&[record]).left, [0], "{record}");
        }
        assert_eq!(read(&[&good, "", &good]).left, [1]);
    }

    #[test]
    fn strict_records_keep_their_limits() {
        let shape = r#"{"strict": {"fields": [
            {"name": "a", "kind": "integer", "max": 9}, {"name": "b", "kind": "integer", "max": 9}
        ], "bytes_max": 14, "minima": [[0, 2]], "in_order": [[0, 1]]}}"#;
        let reader = RecordReader::new(RecordShape::from_json(shape).expect("a shape"));
        let left = |text: &str| reader.read([Some(text.as_bytes())].into_iter()).left.len();
        assert_eq!(left(r#"{"a":2,"b":2}"#), 0);
        assert_eq!(left(r#"{"a":1,"b":2}"#), 1);
        assert_eq!(left(r#"{"a":3,"b":2}"#), 1);
        assert_eq!(left(r#"{"a":2,"b":2}  "#), 1);
        assert_eq!(left(r#"{"a":2,"b":2,"a":2}"#), 1);
        assert_eq!(reader.read([None].into_iter()).left, [0]);
    }

    #[test]
    fn a_shape_of_other_positions_is_refused() {
        let shape =
            r#"{"strict": {"fields": [], "bytes_max": 1, "minima": [[0, 1]], "in_order": []}}"#;
        assert!(RecordShape::from_json(shape).is_err());
        assert!(RecordShape::from_json("{}").is_err());
    }
}
