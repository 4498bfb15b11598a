//! What an operation answers, before it is written in one of the three protocols.

use captura_names::Timestamp;

/// Members of a structure, in the order of the service model.
pub type Structure = Vec<(&'static str, Output)>;

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number; infinite ones and NaN are written as each protocol writes them.
    Double(f64),
    /// Text.
    Text(String),
    /// A moment.
    Time(Timestamp),
    /// A list.
    List(Vec<Output>),
    /// Named members.
    Structure(Structure),
    /// Keys that are data.
    Map(Vec<(String, Output)>),
}

impl Output {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}
