//! The model inside a pickled XGBoost booster. Nothing is unpickled: a pickle is a program for a small stack machine, and
//! here its steps only build a picture of what it would make ([`machine`]), in which the booster's state is looked up.
//!
//! ```text
//! Booster          state {"handle": bytearray, "feature_names": […], "feature_types": […], "best_ntree_limit": …, …}
//! XGBClassifier …  state {"_Booster": Booster, "missing": nan, …}
//! bytearray        BYTEARRAY8, or bytearray(bytes), bytearray("text", "latin-1"), bytearray(_codecs.encode("text", "latin1"))
//! ```
//! A wrapper answers as the booster inside it does: probabilities instead of the classes' own names.
//!
//! Invariant: no name in a pickle is imported and none is called, whatever it is; memory is bounded by a number of steps.
//! Refuses: pickles of anything but a booster or XGBoost's own wrapper around one, and wrappers with a `missing` value of
//! their own, whose answers would differ.

mod machine;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;

use self::machine::run;
use self::value::{Id, Picture, Value};

/// Deepest nesting of calls that make bytes: `bytearray(_codecs.encode(…))` is two.
const MAX_BYTES_DEPTH: usize = 4;

/// What a pickled booster holds.
#[derive(Debug)]
pub(super) struct Pickled<'a> {
    /// The booster's memory as XGBoost serialised it.
    pub(super) buffer: Cow<'a, [u8]>,
    pub(super) feature_names: Vec<String>,
    pub(super) feature_types: Vec<String>,
    pub(super) best_iteration: Option<u64>,
    pub(super) best_ntree_limit: Option<u64>,
}

/// Why bytes are no pickled booster.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum PickleError {
    #[error("the pickle is cut off or broken at byte {at}: {what}")]
    Broken { at: usize, what: &'static str },
    #[error("the pickle has more than {limit} steps, too many for a booster")]
    TooLong { limit: usize },
    #[error(
        "it is a Python pickle of {what}, not of an XGBoost Booster; pickles of anything else are programs, which are never \
         run here"
    )]
    NoBooster { what: String },
    #[error("the pickled booster holds no model")]
    NoModel,
    #[error(
        "the pickled wrapper takes {missing} for missing, so its answers are not its booster's; save the booster with \
         booster.save_model(\"model.json\") and leave such cells blank"
    )]
    Missing { missing: f64 },
}

/// Whether a file that begins like this is a pickle that deals with XGBoost.
pub(in crate::embedded) fn looks_pickled_xgboost(start: &[u8]) -> bool {
    looks_pickled(start) && memchr::memmem::find(start, b"xgboost").is_some()
}

/// Whether bytes are a pickle: since protocol 2 it says so, before that an object's first step names its class.
pub(super) fn looks_pickled(start: &[u8]) -> bool {
    let first_steps: [&[u8]; 5] = [b"ccopy_reg\n", b"ccopyreg\n", b"cxgboost", b"(ixgboost", b"(cxgboost"];
    matches!(start, [0x80, 2..=5, ..]) || first_steps.iter().any(|step| start.starts_with(step))
}

/// Reads a pickled booster, or XGBoost's scikit-learn wrapper around one.
pub(super) fn booster(bytes: &[u8]) -> Result<Pickled<'_>, PickleError> {
    let picture = run(bytes)?;
    let root = picture.root();
    let no_booster = || PickleError::NoBooster { what: picture.describe(root) };
    if !is_xgboosts(&picture, root) {
        return Err(no_booster());
    }
    let Some(inner) = picture.state_of(root, "_Booster") else {
        return of_booster(&picture, root)?.ok_or_else(no_booster);
    };
    if let Some(Value::Number(missing)) = picture.state_of(root, "missing").map(|id| picture.value(id))
        && !missing.is_nan()
    {
        return Err(PickleError::Missing { missing: *missing });
    }
    if is_xgboosts(&picture, inner) {
        return of_booster(&picture, inner)?.ok_or_else(no_booster);
    }
    // Wrappers of 0.4 keep the buffer itself.
    let buffer = bytes_of(&picture, inner, MAX_BYTES_DEPTH).ok_or(PickleError::NoModel)?;
    let (feature_names, feature_types) = Default::default();
    Ok(Pickled { buffer, feature_names, feature_types, best_iteration: None, best_ntree_limit: None })
}

fn is_xgboosts(picture: &Picture<'_>, id: Id) -> bool {
    picture.class_of(id).is_some_and(|(module, _)| module == "xgboost" || module.starts_with("xgboost."))
}

fn of_booster<'a>(picture: &Picture<'a>, booster: Id) -> Result<Option<Pickled<'a>>, PickleError> {
    let Some(handle) = picture.state_of(booster, "handle") else { return Ok(None) };
    let buffer = bytes_of(picture, handle, MAX_BYTES_DEPTH).ok_or(PickleError::NoModel)?;
    let texts = |key: &str| match picture.state_of(booster, key).map(|id| picture.value(id)) {
        Some(Value::List(items)) => {
            items.iter().map(|item| picture.text_of(*item).map(Cow::into_owned)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds are small; casts saturate")]
    let count = |key: &str| match picture.state_of(booster, key).map(|id| picture.value(id)) {
        Some(Value::Number(number)) if *number >= 0.0 => Some(*number as u64),
        _ => None,
    };
    Ok(Some(Pickled {
        buffer,
        feature_names: texts("feature_names").unwrap_or_default(),
        feature_types: texts("feature_types").unwrap_or_default(),
        best_iteration: count("best_iteration"),
        best_ntree_limit: count("best_ntree_limit"),
    }))
}

/// The bytes that a value stands for, in every way that Python's pickles write bytes and bytearrays.
fn bytes_of<'a>(picture: &Picture<'a>, id: Id, depth: usize) -> Option<Cow<'a, [u8]>> {
    let (callable, arguments) = match picture.value(id) {
        Value::Bytes(bytes) => return Some(Cow::Borrowed(bytes)),
        Value::Object { callable, arguments, .. } => (picture.global(*callable)?, picture.list(*arguments)?),
        _ => return None,
    };
    let makes_bytes =
        matches!(callable, ("builtins" | "__builtin__", "bytearray" | "bytes" | "str") | ("_codecs", "encode"));
    if !makes_bytes || depth == 0 {
        return None;
    }
    match arguments {
        [] => Some(Cow::Borrowed(&[])),
        [inner] => bytes_of(picture, *inner, depth - 1),
        [text, encoding] => {
            let encoding = picture.text_of(*encoding)?;
            if !matches!(&*encoding, "latin-1" | "latin1" | "iso-8859-1") {
                return None;
            }
            let text = picture.text_of(*text)?;
            text.chars().map(|char| u8::try_from(char).ok()).collect::<Option<Vec<u8>>>().map(Cow::Owned)
        }
        _ => None,
    }
}
