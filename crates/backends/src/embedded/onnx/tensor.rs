//! Making one tensor from cells, in the element type that the model takes.
//!
//! A missing cell is NaN in floating point and empty text; whole numbers and truth values have no value for it, so there
//! it is refused. Whole numbers come through a double, so those beyond 2^53 are refused instead of being rounded.

use captura_route::BackendError;
use ort::session::SessionInputValue;
use ort::value::{OwnedTensorArrayData, PrimitiveTensorElementType, Tensor, TensorElementType};

use super::inputs::Cut;
use crate::payload::Cell;

/// The largest whole number up to which a double holds all of them.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Makes a tensor of that shape from the cells of `cut`, row by row.
pub(super) fn tensor(
    element: TensorElementType,
    shape: Vec<usize>,
    cut: &Cut<'_>,
) -> Result<SessionInputValue<'static>, BackendError> {
    #[expect(clippy::cast_possible_truncation, reason = "a single-precision model takes the nearest single")]
    let single = |number: f64| number as f32;
    match element {
        TensorElementType::Float32 => owned(shape, floats(cut, single)),
        TensorElementType::Float64 => owned(shape, floats(cut, |number| number)),
        TensorElementType::Int8 => owned(shape, whole::<i8>(cut)?),
        TensorElementType::Int16 => owned(shape, whole::<i16>(cut)?),
        TensorElementType::Int32 => owned(shape, whole::<i32>(cut)?),
        TensorElementType::Int64 => owned(shape, whole::<i64>(cut)?),
        TensorElementType::Uint8 => owned(shape, whole::<u8>(cut)?),
        TensorElementType::Uint16 => owned(shape, whole::<u16>(cut)?),
        TensorElementType::Uint32 => owned(shape, whole::<u32>(cut)?),
        TensorElementType::Uint64 => owned(shape, whole::<u64>(cut)?),
        TensorElementType::Bool => owned(shape, truths(cut)?),
        TensorElementType::String => {
            let texts = texts(cut)?;
            let tensor = Tensor::from_string_array((shape, texts.as_slice()));
            Ok(tensor.map_err(|error| super::failed(&error))?.into())
        }
        other => unreachable!("our bug: a model with inputs of type {other} was loaded"),
    }
}

fn owned<T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
    shape: Vec<usize>,
    values: Vec<T>,
) -> Result<SessionInputValue<'static>, BackendError>
where
    (Vec<usize>, Vec<T>): OwnedTensorArrayData<T>,
{
    Ok(Tensor::from_array((shape, values)).map_err(|error| super::failed(&error))?.into())
}

fn floats<T>(cut: &Cut<'_>, convert: impl Fn(f64) -> T) -> Vec<T> {
    let mut floats = Vec::with_capacity(cut.rows.len() * cut.columns.len());
    let width = cut.table.columns();
    for row in cut.table.numbers()[cut.rows.start * width..cut.rows.end * width].chunks_exact(width) {
        floats.extend(row[cut.columns.clone()].iter().map(|number| convert(*number)));
    }
    floats
}

fn whole<T: TryFrom<i64>>(cut: &Cut<'_>) -> Result<Vec<T>, BackendError> {
    let width = cut.table.columns();
    let read = |(row, column): (usize, usize)| {
        let number: f64 = cut.table.numbers()[row * width + column];
        if number.is_nan() {
            return Err(cut.refusal(row, column, "a value is missing, and the model takes whole numbers here"));
        }
        if number.fract() != 0.0 || number.abs() > LARGEST_EXACT {
            return Err(cut.refusal(
                row,
                column,
                format!("{number} is not a whole number, and the model takes those here"),
            ));
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
        let number = number as i64;
        T::try_from(number)
            .map_err(|_| cut.refusal(row, column, format!("{number} is beyond what the model takes here")))
    };
    cut.cells().map(read).collect()
}

fn truths(cut: &Cut<'_>) -> Result<Vec<bool>, BackendError> {
    let read = |(row, column)| match cut.table.cell(row, column) {
        Cell::Number(1.0) => Ok(true),
        Cell::Number(0.0) => Ok(false),
        Cell::Text(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
        Cell::Text(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
        _ => Err(cut.refusal(row, column, "the model takes true or false here")),
    };
    cut.cells().map(read).collect()
}

fn texts(cut: &Cut<'_>) -> Result<Vec<String>, BackendError> {
    let read = |(row, column)| {
        let text = cut.table.text(row, column).unwrap_or_default();
        // The library takes C strings, which would end there.
        if text.contains('\0') {
            return Err(cut.refusal(row, column, "the text holds a NUL character"));
        }
        Ok(text.into_owned())
    };
    cut.cells().map(read).collect()
}
