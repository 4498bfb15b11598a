//! Names and types of what goes into a model and comes out of it.

use serde::{Deserialize, Serialize};

/// A model's inputs and outputs, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// What goes in.
    pub inputs: Vec<Field>,
    /// What comes out.
    pub outputs: Vec<Field>,
}

/// One named value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    /// Its name in the model.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Dimensions of one value beyond the row, empty for a scalar; `None` inside is a dimension that varies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<Option<u64>>,
}

/// Types of values, in Model Monitor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FieldType {
    /// Whole numbers.
    Integral,
    /// Numbers with a fraction.
    Fractional,
    /// Text.
    String,
    /// True or false.
    Boolean,
}
