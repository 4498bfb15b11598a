//! Types of numbers and text that go into models and come out of them.

use captura_route::FieldType;
use ort::value::{Outlet, TensorElementType, ValueType};

/// The element types that are served; others (half precision, complex numbers) have no form in CSV and JSON here.
pub(super) fn field_type(element: TensorElementType) -> Option<FieldType> {
    Some(match element {
        TensorElementType::Float32 | TensorElementType::Float64 => FieldType::Fractional,
        TensorElementType::Int8
        | TensorElementType::Int16
        | TensorElementType::Int32
        | TensorElementType::Int64
        | TensorElementType::Uint8
        | TensorElementType::Uint16
        | TensorElementType::Uint32
        | TensorElementType::Uint64 => FieldType::Integral,
        TensorElementType::String => FieldType::String,
        TensorElementType::Bool => FieldType::Boolean,
        _ => return None,
    })
}

/// A tensor of a model's face: its element type and dimensions, `None` where they vary.
pub(super) fn tensor_of(kind: &ValueType) -> Option<(TensorElementType, Vec<Option<usize>>)> {
    let ValueType::Tensor { ty, shape, .. } = kind else { return None };
    Some((*ty, shape.iter().map(|length| usize::try_from(*length).ok()).collect()))
}

/// Words for a person when an input or output cannot be served.
pub(super) fn unsupported(what: &str, outlet: &Outlet) -> String {
    format!("its {what} {:?} is of the type {}, which is not supported", outlet.name(), outlet.dtype())
}

/// Dimensions as a person reads them: `[3, ?, ?]`.
pub(super) fn shown(dimensions: &[Option<usize>]) -> String {
    let lengths: Vec<_> = dimensions.iter().map(|length| length.map_or("?".into(), |l| l.to_string())).collect();
    format!("[{}]", lengths.join(", "))
}
