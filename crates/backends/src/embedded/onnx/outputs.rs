//! From what a model answers to predictions.
//!
//! * A tensor whose first dimension is the row: one value, or an array, a row. `[N, 1]` counts as one value.
//! * A sequence of maps (ZipMap, what skl2onnx makes of probabilities by default): one number for each key, a row.
//! * A sequence of tensors (classifiers of several targets): one output each, named `NAME_0`, `NAME_1`, ….
//!
//! In CSV a row is all outputs side by side in the model's order, e.g. `label,probability of class 0,probability of
//! class 1`; in JSON an object of the outputs by name.

use captura_route::{BackendError, Field, FieldType};
use ort::session::SessionOutputs;
use ort::value::{
    DynMapValueType, DynTensorValueType, DynValue, Outlet, PrimitiveTensorElementType, TensorElementType, ValueType,
};

use super::element::{field_type, shown, tensor_of, unsupported};
use super::{broken, failed};
use crate::payload::{Output, Predictions, Values};

/// What a model answers with.
#[derive(Debug)]
pub(super) struct Outputs {
    outputs: Vec<(Field, Kind)>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Tensor,
    Maps { key: TensorElementType },
    Tensors,
}

impl Outputs {
    /// What a model answers with; `wanted` picks some of its outputs.
    pub(super) fn of(outlets: &[Outlet], wanted: Option<&[String]>) -> Result<Self, String> {
        let chosen: Vec<&Outlet> = match wanted {
            None => outlets.iter().collect(),
            Some(names) => names.iter().map(|name| named(outlets, name)).collect::<Result<_, _>>()?,
        };
        let outputs = chosen.into_iter().map(|outlet| describe(outlet).ok_or_else(|| unsupported("output", outlet)));
        Ok(Self { outputs: outputs.collect::<Result<_, _>>()? })
    }

    /// Names and types of what comes out.
    pub(super) fn fields(&self) -> Vec<Field> {
        self.outputs.iter().map(|(field, _)| field.clone()).collect()
    }

    /// Takes the answer for the next `rows` rows.
    pub(super) fn take(
        &self,
        values: &SessionOutputs<'_>,
        rows: usize,
        predictions: &mut Predictions,
    ) -> Result<(), BackendError> {
        let mut taken = Vec::with_capacity(self.outputs.len());
        for (field, kind) in &self.outputs {
            let name = field.name.as_str();
            let value = values.get(name).ok_or_else(|| broken(format!("the model gave no output {name:?}")))?;
            match kind {
                Kind::Tensor => taken.push(tensor(name.to_owned(), value, rows)?),
                Kind::Maps { key } => taken.push(maps(name, value, *key, rows)?),
                Kind::Tensors => {
                    let tensors = value.try_extract_sequence::<DynTensorValueType>().map_err(|e| failed(&e))?;
                    for (position, value) in tensors.into_iter().enumerate() {
                        taken.push(tensor(format!("{name}_{position}"), &value.into_dyn(), rows)?);
                    }
                }
            }
        }
        predictions.rows += rows;
        if predictions.outputs.is_empty() {
            predictions.outputs = taken;
            return Ok(());
        }
        append(&mut predictions.outputs, taken)
    }
}

fn named<'a>(outlets: &'a [Outlet], name: &str) -> Result<&'a Outlet, String> {
    let known = || outlets.iter().map(Outlet::name).collect::<Vec<_>>().join(", ");
    let found = outlets.iter().find(|outlet| outlet.name() == name);
    found.ok_or_else(|| format!("{} names the output {name:?}, but it has {}", super::options::OUTPUTS, known()))
}

fn describe(outlet: &Outlet) -> Option<(Field, Kind)> {
    let (element, shape, kind) = match outlet.dtype() {
        tensor @ ValueType::Tensor { .. } => {
            let (element, dimensions) = tensor_of(tensor)?;
            let row = dimensions.get(1..).unwrap_or_default();
            let shape = if row == [Some(1)] { vec![] } else { row.iter().map(|l| l.map(|l| l as u64)).collect() };
            (element, shape, Kind::Tensor)
        }
        ValueType::Sequence(inner) => match &**inner {
            ValueType::Map { key, value: TensorElementType::Float32 }
                if matches!(key, TensorElementType::Int64 | TensorElementType::String) =>
            {
                (TensorElementType::Float32, vec![None], Kind::Maps { key: *key })
            }
            tensor @ ValueType::Tensor { .. } => (tensor_of(tensor)?.0, vec![None], Kind::Tensors),
            _ => return None,
        },
        _ => return None,
    };
    let kind_of_field: FieldType = field_type(element)?;
    Some((Field { name: outlet.name().to_owned(), kind: kind_of_field, shape }, kind))
}

fn tensor(name: String, value: &DynValue, rows: usize) -> Result<Output, BackendError> {
    let Some((element, dimensions)) = tensor_of(value.dtype()) else {
        return Err(broken(format!("the model gave no tensor as output {name:?}")));
    };
    let lengths: Vec<usize> = dimensions.iter().copied().flatten().collect();
    let shape = match lengths.split_first() {
        Some((first, row)) if *first == rows => row.to_vec(),
        // A model of one row at a time may leave the row out.
        _ if rows == 1 => lengths,
        _ => {
            return Err(broken(format!(
                "the model's output {name:?} has the shape {} for {rows} rows",
                shown(&dimensions)
            )));
        }
    };
    let shape = if shape == [1] { vec![] } else { shape };
    let values = match element {
        TensorElementType::Float32 => Values::F32(extract::<f32>(value)?.to_vec()),
        TensorElementType::Float64 => Values::F64(extract::<f64>(value)?.to_vec()),
        TensorElementType::Int64 => Values::I64(extract::<i64>(value)?.to_vec()),
        TensorElementType::Int8 => whole(extract::<i8>(value)?),
        TensorElementType::Int16 => whole(extract::<i16>(value)?),
        TensorElementType::Int32 => whole(extract::<i32>(value)?),
        TensorElementType::Uint8 => whole(extract::<u8>(value)?),
        TensorElementType::Uint16 => whole(extract::<u16>(value)?),
        TensorElementType::Uint32 => whole(extract::<u32>(value)?),
        // JSON readers hold doubles anyway; beyond 2^63 the nearest of those is the honest answer.
        #[expect(clippy::cast_precision_loss, reason = "there is no wider type in the answer")]
        TensorElementType::Uint64 => Values::F64(extract::<u64>(value)?.iter().map(|number| *number as f64).collect()),
        TensorElementType::Bool => Values::Bool(extract::<bool>(value)?.to_vec()),
        TensorElementType::String => Values::Text(value.try_extract_strings().map_err(|error| failed(&error))?.1),
        other => return Err(broken(format!("the model's output {name:?} is of the type {other}"))),
    };
    Ok(Output { name, shape, values, keys: None })
}

fn extract<T: PrimitiveTensorElementType>(value: &DynValue) -> Result<&[T], BackendError> {
    value.try_extract_tensor::<T>().map(|(_, values)| values).map_err(|error| failed(&error))
}

fn whole<T: Copy + Into<i64>>(values: &[T]) -> Values {
    Values::I64(values.iter().map(|number| (*number).into()).collect())
}

fn maps(name: &str, value: &DynValue, key: TensorElementType, rows: usize) -> Result<Output, BackendError> {
    let maps = value.try_extract_sequence::<DynMapValueType>().map_err(|error| failed(&error))?;
    if maps.len() != rows {
        return Err(broken(format!("the model's output {name:?} has {} maps for {rows} rows", maps.len())));
    }
    let mut keys: Option<Vec<String>> = None;
    let mut values = Vec::new();
    for map in &maps {
        let pairs: Vec<(String, f32)> = match key {
            TensorElementType::String => map.try_extract_key_values::<String, f32>().map_err(|error| failed(&error))?,
            _ => {
                let pairs = map.try_extract_key_values::<i64, f32>().map_err(|error| failed(&error))?;
                pairs.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
            }
        };
        match &keys {
            None => keys = Some(pairs.iter().map(|(key, _)| key.clone()).collect()),
            Some(keys) if keys.iter().eq(pairs.iter().map(|(key, _)| key)) => {}
            Some(_) => return Err(broken(format!("the model's output {name:?} has other keys in every row"))),
        }
        values.extend(pairs.into_iter().map(|(_, value)| value));
    }
    let keys = keys.unwrap_or_default();
    Ok(Output { name: name.to_owned(), shape: vec![keys.len()], values: Values::F32(values), keys: Some(keys) })
}

/// Rows of a later run below those of an earlier one.
fn append(outputs: &mut [Output], taken: Vec<Output>) -> Result<(), BackendError> {
    let differs = || broken("the model answers its rows in different shapes".into());
    if outputs.len() != taken.len() {
        return Err(differs());
    }
    for (output, next) in outputs.iter_mut().zip(taken) {
        if output.shape != next.shape || output.keys != next.keys {
            return Err(differs());
        }
        match (&mut output.values, next.values) {
            (Values::F32(values), Values::F32(next)) => values.extend(next),
            (Values::F64(values), Values::F64(next)) => values.extend(next),
            (Values::I64(values), Values::I64(next)) => values.extend(next),
            (Values::Bool(values), Values::Bool(next)) => values.extend(next),
            (Values::Text(values), Values::Text(next)) => values.extend(next),
            _ => return Err(differs()),
        }
    }
    Ok(())
}
