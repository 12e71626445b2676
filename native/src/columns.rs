//! Columns of a batch of records, as the buffers of an Arrow array.

/// The values of one column, row after row.
#[derive(Debug, Clone)]
pub struct Column {
    /// How many rows there are.
    rows: usize,
    /// One bit a row, the lowest first: whether it has a value. Empty before the first null.
    validity: Vec<u8>,
    nulls: usize,
    /// The end of each text or list; empty for values of a fixed size.
    offsets: Vec<i32>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    /// Bytes: texts, or numbers in the order of this machine.
    Bytes(Vec<u8>),
    /// One bit a row.
    Bits(Vec<u8>),
    /// The elements of lists.
    Elements(Box<Column>),
}

/// How the values of a column are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Eight bytes each.
    Number,
    /// One bit each.
    Boolean,
    /// UTF-8.
    Text,
    /// Lists of texts.
    Texts,
    /// Lists of numbers.
    Numbers,
}

/// One buffer of an Arrow array; `None` where the array needs none.
pub type Buffer = Option<Vec<u8>>;

impl Column {
    /// A column without rows.
    pub fn new(layout: Layout) -> Self {
        let body = match layout {
            Layout::Number | Layout::Text => Body::Bytes(Vec::new()),
            Layout::Boolean => Body::Bits(Vec::new()),
            Layout::Texts => Body::Elements(Box::new(Column::new(Layout::Text))),
            Layout::Numbers => Body::Elements(Box::new(Column::new(Layout::Number))),
        };
        let has_offsets = !matches!(layout, Layout::Number | Layout::Boolean);
        Column {
            rows: 0,
            validity: Vec::new(),
            nulls: 0,
            offsets: if has_offsets { vec![0] } else { Vec::new() },
            body,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row without a value.
    pub fn push_null(&mut self) {
        match &mut self.body {
            Body::Bytes(bytes) if self.offsets.is_empty() => bytes.extend_from_slice(&[0; 8]),
            Body::Bits(bits) => push_bit(bits, self.rows, false),
            _ => {}
        }
        self.nulls += 1;
        self.end_row(false);
    }

    /// Adds a whole number.
    pub fn push_integer(&mut self, number: i64) {
        self.push_bytes(&number.to_ne_bytes());
    }

    /// Adds a double.
    pub fn push_double(&mut self, number: f64) {
        self.push_bytes(&number.to_ne_bytes());
    }

    /// Adds a text.
    pub fn push_text(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    /// Adds a truth value.
    pub fn push_boolean(&mut self, is: bool) {
        if let Body::Bits(bits) = &mut self.body {
            push_bit(bits, self.rows, is);
        }
        self.end_row(true);
    }

    /// Adds a list, whose elements the caller adds to the column that it is given.
    pub fn push_list(&mut self, fill: impl FnOnce(&mut Column)) {
        if let Body::Elements(elements) = &mut self.body {
            fill(elements);
        }
        self.end_row(true);
    }

    /// How many bytes of texts or elements there are; an Arrow array of offsets holds 2^31.
    pub fn body_len(&self) -> usize {
        match &self.body {
            Body::Bytes(bytes) | Body::Bits(bytes) => bytes.len(),
            Body::Elements(elements) => elements.rows.max(elements.body_len()),
        }
    }

    /// The buffers in Arrow's order, those of the elements of lists last, and the number of nulls.
    pub fn into_buffers(self) -> (usize, Vec<Buffer>) {
        let mut buffers = vec![(self.nulls > 0).then_some(self.validity)];
        if !self.offsets.is_empty() {
            buffers.push(Some(
                self.offsets
                    .iter()
                    .flat_map(|end| end.to_ne_bytes())
                    .collect(),
            ));
        }
        match self.body {
            Body::Bytes(bytes) | Body::Bits(bytes) => buffers.push(Some(bytes)),
            Body::Elements(elements) => buffers.extend(elements.into_buffers().1),
        }
        (self.nulls, buffers)
    }

    fn push_bytes(&mut self, value: &[u8]) {
        if let Body::Bytes(bytes) = &mut self.body {
            bytes.extend_from_slice(value);
        }
        self.end_row(true);
    }

    fn end_row(&mut self, has_value: bool) {
        if self.nulls > 0 {
            if self.validity.is_empty() {
                (0..self.rows).for_each(|at| push_bit(&mut self.validity, at, true));
            }
            push_bit(&mut self.validity, self.rows, has_value);
        }
        self.rows += 1;
        if !self.offsets.is_empty() {
            let end = match &self.body {
                Body::Bytes(bytes) | Body::Bits(bytes) => bytes.len(),
                Body::Elements(elements) => elements.rows,
            };
            self.offsets.push(end as i32);
        }
    }
}

fn push_bit(bits: &mut Vec<u8>, at: usize, is: bool) {
    if at % 8 == 0 {
        bits.push(0);
    }
    if let Some(last) = bits.last_mut() {
        *last |= (is as u8) << (at % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[i32]) -> Buffer {
        Some(
            numbers
                .iter()
                .flat_map(|number| number.to_ne_bytes())
                .collect(),
        )
    }

    #[test]
    fn nulls_are_bits_and_take_the_room_of_a_number() {
        let mut column = Column::new(Layout::Number);
        column.push_integer(-1);
        column.push_null();
        let (nulls, buffers) = column.into_buffers();
        assert_eq!(nulls, 1);
        let mut data = vec![0xff; 8];
        data.extend([0; 8]);
        assert_eq!(buffers, [Some(vec![0b01]), Some(data)]);
    }

    #[test]
    fn a_column_without_nulls_needs_no_bits() {
        let mut column = Column::new(Layout::Boolean);
        for at in 0..9 {
            column.push_boolean(at == 8);
        }
        assert_eq!(column.into_buffers(), (0, vec![None, Some(vec![0, 1])]));
    }

    #[test]
    fn lists_have_the_buffers_of_their_elements_behind_their_own() {
        let mut column = Column::new(Layout::Texts);
        column.push_list(|elements| {
            elements.push_text("a");
            elements.push_text("bc");
        });
        column.push_null();
        column.push_list(|_| {});
        let (nulls, buffers) = column.into_buffers();
        assert_eq!(nulls, 1);
        let wanted = [
            Some(vec![0b101]),
            bytes(&[0, 2, 2, 2]),
            None,
            bytes(&[0, 1, 3]),
            Some(b"abc".to_vec()),
        ];
        assert_eq!(buffers, wanted);
    }
}
