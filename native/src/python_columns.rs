//! The columns of a log as Python takes them.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::columns::{Buffer, Column};
use crate::record_reader::RecordReader;
use crate::record_shape::RecordShape;

/// Reads the records of a log into columns; see [`crate::record_reader`].
#[pyclass(name = "RecordReader", frozen, module = "weir_engine")]
pub struct PyRecordReader {
    reader: RecordReader,
}

/// The number of nulls of a column, and its buffers.
type PyColumn<'py> = (usize, Vec<Option<Bound<'py, PyBytes>>>);

#[pymethods]
impl PyRecordReader {
    /// Reads a shape; `ValueError` says what is wrong with it.
    #[new]
    fn new(shape: &str) -> PyResult<Self> {
        let shape = RecordShape::from_json(shape)?;
        Ok(PyRecordReader {
            reader: RecordReader::new(shape),
        })
    }

    /// Reads records: the positions of those that are left to Python, and the columns of the
    /// others, each as the buffers of an Arrow array.
    fn read<'py>(
        &self,
        py: Python<'py>,
        records: Vec<Option<Bound<'py, PyBytes>>>,
    ) -> (Vec<usize>, Vec<PyColumn<'py>>) {
        let values: Vec<Option<&[u8]>> = records
            .iter()
            .map(|record| record.as_ref().map(|value| value.as_bytes()))
            .collect();
        let (left, columns) = py.detach(|| {
            let read = self.reader.read(values.into_iter());
            let columns = read.columns.into_iter().map(Column::into_buffers);
            (read.left, columns.collect::<Vec<_>>())
        });
        let to_python = |(nulls, buffers): (usize, Vec<Buffer>)| {
            let bytes = |buffer: Buffer| buffer.map(|bytes| PyBytes::new(py, &bytes));
            (nulls, buffers.into_iter().map(bytes).collect())
        };
        (left, columns.into_iter().map(to_python).collect())
    }
}
