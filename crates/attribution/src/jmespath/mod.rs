//! JMESPath, the language in which SageMaker's configurations say where in a JSON value something is.
//!
//! ```text
//! text ── lexer ──▶ tokens ── parser ──▶ Node ── evaluate (functions) ──▶ a value
//! ```
//! The whole language of its specification, all functions included. The crate for it turns on a feature of serde that
//! everything here is built with, and its arithmetic panics on large numbers, which callers choose.
//!
//! Invariant: neither compiling nor searching panics, and what a search builds is bounded by `VALUES_MAX`.
//! Refuses to: know what the values mean.

mod evaluate;
mod functions;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use self::parser::Node;

/// Longest expression, bytes; it bounds how deep one is nested.
const EXPRESSION_MAX_BYTES: usize = 256;
/// Most values that one search copies or makes.
const VALUES_MAX: usize = 1 << 20;

/// A compiled expression. Cheap to clone.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    node: Arc<Node>,
}

impl Expression {
    /// What the expression finds in a value; null where there is nothing.
    ///
    /// # Errors
    /// Says in words for a person why it cannot be evaluated.
    pub fn search(&self, value: &Value) -> Result<Value, String> {
        evaluate::search(&self.node, value)
    }

    /// What it is for every value, where it is a literal.
    pub fn constant(&self) -> Option<&Value> {
        match &*self.node {
            Node::Literal(value) => Some(value),
            _ => None,
        }
    }
}

impl FromStr for Expression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > EXPRESSION_MAX_BYTES {
            return Err(format!("it is longer than {EXPRESSION_MAX_BYTES} bytes"));
        }
        let node = parser::parse(lexer::tokens(text)?)?;
        Ok(Self { text: text.into(), node: Arc::new(node) })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
