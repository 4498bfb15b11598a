//! Looking into a model file before ONNX Runtime does.
//!
//! A model may keep tensors in other files (`external_data`), and names them by path: the library would follow a path
//! out of the model's folder. A tensor may claim more elements than the file could hold. And a tree may lead in a circle ([`tree_ensemble`]). All of it is found by walking
//! the messages that can contain tensors, whose fields are (onnx.proto):
//!
//! ```text
//! Model    7 graph, 20 training info, 25 functions
//! Training 1 initialization graph, 2 algorithm graph
//! Function 7 nodes, 11 attributes
//! Graph    1 nodes, 5 initializers, 15 sparse initializers
//! Node     5 attributes
//! Attribute 5 tensor, 6 graph, 10 tensors, 11 graphs, 22 sparse tensor, 23 sparse tensors
//! Sparse   1 values, 2 indices
//! Tensor   1 dims, 13 external data (1 key, 2 value), 14 data location (1 = external)
//! ```

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::protobuf::{Fields, Malformed, Value, varint};
use super::tree_ensemble;

/// Deepest nesting of graphs in attributes that is followed; ONNX Runtime itself follows fewer.
const MAX_DEPTH: usize = 64;
/// Elements that one byte of a tensor can stand for: two 4-bit, four 2-bit numbers.
const MAX_ELEMENTS_PER_BYTE: u64 = 4;

/// Why a model file is not handed to the library.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Suspicion {
    /// Not a model.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Graphs inside graphs inside graphs.
    #[error("its graphs are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// A tensor that cannot be.
    #[error("one of its tensors claims more elements than the file holds")]
    LyingTensor,
    /// A tree whose branches lead back to it.
    #[error("one of its trees leads in a circle")]
    CircularTrees,
    /// Trees that cannot be checked here.
    #[error("it takes the branches of a tree ensemble from a function's caller, which is not supported")]
    HiddenTrees,
    /// A tensor in a file that the model must not read.
    #[error("it keeps a tensor in {location:?}, which {reason}")]
    ExternalData {
        /// The path that the model names.
        location: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

#[derive(Debug, Clone, Copy)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Sparse,
    Tensor,
}

impl Message {
    /// What the field of that number holds, where it leads to tensors.
    fn inner(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Function, 7) | (Self::Graph, 1) => Self::Node,
            (Self::Function, 11) | (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            _ => return None,
        })
    }
}

/// What there is to know of a model before it is loaded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Whether it keeps tensors in other files of its folder, all of which are plain files inside it.
    pub(super) has_external_data: bool,
    /// Whether it holds a loop, which runs until the data ends it.
    pub(super) has_loop: bool,
}

/// What the walk through a model has gathered.
#[derive(Debug, Default)]
struct Gathered {
    locations: Vec<String>,
    has_loop: bool,
}

/// Checks the content of a model file that lies in `folder`.
pub(super) fn inspect(model: &[u8], folder: &Path) -> Result<Findings, Suspicion> {
    let mut gathered = Gathered::default();
    let mut has_graph = false;
    for field in Fields::new(model) {
        has_graph |= matches!(field?, (7, Value::Bytes(_)));
    }
    if !has_graph {
        return Err(Malformed.into());
    }
    walk(Message::Model, model, 0, &mut gathered)?;
    let Gathered { mut locations, has_loop } = gathered;
    locations.sort_unstable();
    locations.dedup();
    for location in &locations {
        check_location(location, folder)
            .map_err(|reason| Suspicion::ExternalData { location: location.clone(), reason })?;
    }
    Ok(Findings { has_external_data: !locations.is_empty(), has_loop })
}

fn walk(kind: Message, message: &[u8], depth: usize, gathered: &mut Gathered) -> Result<(), Suspicion> {
    if depth > MAX_DEPTH {
        return Err(Suspicion::TooDeep);
    }
    if let Message::Tensor = kind {
        return tensor(message, &mut gathered.locations);
    }
    if let Message::Node = kind {
        tree_ensemble::check(message)?;
    }
    for field in Fields::new(message) {
        let (number, value) = field?;
        gathered.has_loop |= matches!((kind, number, value), (Message::Node, 4, Value::Bytes(b"Loop")));
        if let (Some(inner), Value::Bytes(bytes)) = (kind.inner(number), value) {
            walk(inner, bytes, depth + 1, gathered)?;
        }
    }
    Ok(())
}

fn tensor(message: &[u8], locations: &mut Vec<String>) -> Result<(), Suspicion> {
    let (mut elements, mut is_empty) = (Some(1_u64), false);
    let (mut location, mut is_external) = (None, false);
    let mut dimension = |length: u64| {
        is_empty |= length == 0;
        elements = elements.and_then(|elements| elements.checked_mul(length));
    };
    for field in Fields::new(message) {
        match field? {
            (1, Value::Number(length)) => dimension(length),
            (1, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    dimension(varint(&mut packed)?);
                }
            }
            (13, Value::Bytes(entry)) => {
                is_external = true;
                location = location_of(entry)?.or(location);
            }
            (14, Value::Number(1)) => is_external = true,
            _ => {}
        }
    }
    if is_external {
        locations.push(location.unwrap_or_default());
        return Ok(());
    }
    // A splat (one value for a whole tensor) does not exist in the format, so elements take room.
    let room = (message.len() as u64).saturating_mul(MAX_ELEMENTS_PER_BYTE);
    if !is_empty && elements.is_none_or(|elements| elements > room) {
        return Err(Suspicion::LyingTensor);
    }
    Ok(())
}

/// The value of an entry of external data, if it is the one named `location`.
fn location_of(entry: &[u8]) -> Result<Option<String>, Malformed> {
    let (mut is_location, mut value) = (false, None);
    for field in Fields::new(entry) {
        match field? {
            (1, Value::Bytes(key)) => is_location = key == b"location",
            (2, Value::Bytes(text)) => value = Some(String::from_utf8_lossy(text).into_owned()),
            _ => {}
        }
    }
    Ok(value.filter(|_| is_location))
}

fn check_location(location: &str, folder: &Path) -> Result<(), &'static str> {
    let path = Path::new(location);
    if location.is_empty() || location.contains(['\\', '\0']) {
        return Err("is not a path");
    }
    let mut file = PathBuf::from(folder);
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => file.push(part),
            _ => return Err("leads out of the model's folder"),
        }
        let metadata = fs::symlink_metadata(&file).map_err(|_| "is not part of the model data")?;
        if metadata.is_symlink() {
            return Err("is a symbolic link");
        }
    }
    let metadata = fs::symlink_metadata(&file).map_err(|_| "is not part of the model data")?;
    match metadata {
        metadata if !metadata.is_file() => Err("is not a plain file"),
        metadata if metadata.nlink() != 1 => Err("is a hard link"),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
pub(super) mod tests;
