//! XGBoost's own binary model format, which `save_model` wrote by default until 2.1 and which pickled boosters of 0.x
//! and 1.x hold inside.
//!
//! ```text
//! file       ["binf"] parameters text:objective text:booster body [attributes]          little-endian throughout
//! parameters base_score f32, num_feature u32, num_class i32, has_attributes i32, has_metrics i32,
//!            version 2 × u32, num_target u32, 104 bytes of no interest
//! gbtree     num_trees i32, num_parallel_tree i32, …, 160 bytes in all; trees; output of each tree i32
//! dart       gbtree, then list of f32: the weight of each tree
//! gblinear   136 bytes of no interest, then list of f32: weights
//! tree       roots i32, nodes i32, 3 × i32, leaf size i32, 124 bytes of no interest; nodes 20 bytes each; statistics 16
//! node       parent, left, right i32; feature u32, whose highest bit says that what is missing goes left; value f32
//! text, list length u64, then as many bytes or elements
//! ```
//! Before 1.0 the version is 0 and the base score is already a margin.
//!
//! Invariant: what is allocated is smaller than the input; every count is checked against the bytes that are left.
//! Refuses: several roots, vector leaves.

use std::collections::HashMap;

use super::xgboost_file::{
    RawBooster, RawInnerBooster, RawLearner, RawLearnerParameters, RawModel, RawObjective, RawTree, RawTreesParameters,
};

const HEADER: &[u8] = b"binf";
const PARAMETERS_BYTES: usize = 136;
const TREES_PARAMETERS_BYTES: usize = 160;
const LINEAR_PARAMETERS_BYTES: usize = 136;
const TREE_PARAMETERS_BYTES: usize = 148;
const NODE_BYTES: usize = 20;
const STATISTICS_BYTES: usize = 16;
/// Longest name of an objective or a booster.
const MAX_NAME_BYTES: usize = 64;
/// Until here the second parameter of the trees is something else.
const COUNTS_PARALLEL_TREES_SINCE: (u32, u32) = (1, 6);
const MISSING_LEFT: u32 = 1 << 31;

/// Whether a file that begins like this is in the binary format: a name stands where the objective must be.
pub(in crate::embedded) fn looks_binary(start: &[u8]) -> bool {
    let start = start.strip_prefix(HEADER).unwrap_or(start);
    let Some(rest) = start.get(PARAMETERS_BYTES..) else { return false };
    let is_name = |name: &[u8]| {
        name.contains(&b':') && name.iter().all(|byte| byte.is_ascii_lowercase() || b":_0123456789".contains(byte))
    };
    Reader { rest }.name().is_ok_and(|name| is_name(name.as_bytes()))
}

/// Reads a model.
pub(super) fn parse(bytes: &[u8]) -> Result<RawLearner, String> {
    let mut reader = Reader { rest: bytes.strip_prefix(HEADER).unwrap_or(bytes) };
    let mut parameters = Reader { rest: reader.take(PARAMETERS_BYTES)? };
    let base_score = parameters.f32()?;
    let num_feature = parameters.u32()?;
    let num_class = parameters.i32()?;
    let has_attributes = parameters.i32()? != 0;
    parameters.take(4)?;
    let version = (parameters.u32()?, parameters.u32()?);
    let num_target = parameters.u32()?;
    let objective = reader.name()?;
    let booster = reader.text()?;
    let gradient_booster = match booster.as_str() {
        "gbtree" => RawBooster { model: Some(reader.trees(version)?), ..named(booster) },
        "dart" => {
            let model = reader.trees(version)?;
            let weight_drop = if model.trees.is_empty() { Vec::new() } else { reader.floats()? };
            RawBooster { gbtree: Some(RawInnerBooster { model }), weight_drop, ..named(booster) }
        }
        "gblinear" => {
            reader.take(LINEAR_PARAMETERS_BYTES)?;
            let model = RawModel { weights: reader.floats()?, ..RawModel::default() };
            RawBooster { model: Some(model), ..named(booster) }
        }
        _ => named(booster),
    };
    let attributes = if has_attributes { reader.attributes()? } else { HashMap::new() };
    Ok(RawLearner {
        version: Some(version),
        attributes,
        feature_names: Vec::new(),
        feature_types: Vec::new(),
        gradient_booster,
        learner_model_param: RawLearnerParameters {
            base_score: base_score.to_string(),
            base_is_margin: version.0 == 0,
            num_class: num_class.to_string(),
            num_feature: num_feature.to_string(),
            num_target: num_target.to_string(),
        },
        objective: RawObjective { name: objective },
    })
}

fn named(name: String) -> RawBooster {
    RawBooster { name, model: None, gbtree: None, weight_drop: Vec::new() }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, String> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn f32(&mut self) -> Result<f32, String> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    /// A count of things of `size_bytes` each, which must all be there.
    fn length(&mut self, size_bytes: usize) -> Result<usize, String> {
        let length = u64::from_le_bytes(self.array()?);
        let length = usize::try_from(length).map_err(|_| cut_off())?;
        if length > self.rest.len() / size_bytes { Err(cut_off()) } else { Ok(length) }
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.length(1)?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| "it holds text that is not UTF-8".to_owned())
    }

    /// The name of the objective. Files of 0.4 and before have four more bytes of parameters in front of it.
    fn name(&mut self) -> Result<String, String> {
        let first = self.rest.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        if first.is_some_and(|length| length >= u64::from(u32::MAX)) {
            self.take(4)?;
        }
        let name = self.text()?;
        if name.len() > MAX_NAME_BYTES { Err("its objective has no name".into()) } else { Ok(name) }
    }

    fn floats(&mut self) -> Result<Vec<f32>, String> {
        let length = self.length(4)?;
        (0..length).map(|_| self.f32()).collect()
    }

    fn attributes(&mut self) -> Result<HashMap<String, String>, String> {
        let length = self.length(16)?;
        (0..length).map(|_| Ok((self.text()?, self.text()?))).collect()
    }

    fn trees(&mut self, version: (u32, u32)) -> Result<RawModel, String> {
        let mut parameters = Reader { rest: self.take(TREES_PARAMETERS_BYTES)? };
        let count = parameters.i32()?;
        let parallel = parameters.i32()?;
        let mut trees = Vec::new();
        for index in 0..count {
            trees.push(self.tree(version).map_err(|reason| format!("tree {index}: {reason}"))?);
        }
        let outputs = trees.iter().map(|_| {
            let output = self.i32()?;
            usize::try_from(output).map_err(|_| format!("there is no output {output}"))
        });
        let tree_info = outputs.collect::<Result<_, String>>()?;
        let known = version >= COUNTS_PARALLEL_TREES_SINCE;
        let num_parallel_tree = if known { parallel.to_string() } else { String::new() };
        let gbtree_model_param = RawTreesParameters { num_parallel_tree };
        Ok(RawModel { gbtree_model_param, tree_info, trees, ..RawModel::default() })
    }

    fn tree(&mut self, version: (u32, u32)) -> Result<RawTree, String> {
        let mut parameters = Reader { rest: self.take(TREE_PARAMETERS_BYTES)? };
        let (roots, nodes) = (parameters.i32()?, parameters.i32()?);
        parameters.take(12)?;
        let leaf_size = parameters.i32()?;
        if roots != 1 {
            return Err(format!("it has {roots} roots; only trees of one root are supported"));
        }
        if leaf_size > i32::from(version.0 > 0) {
            return Err("leaves that hold vectors are not supported".into());
        }
        let nodes = usize::try_from(nodes).map_err(|_| cut_off())?;
        let mut source = Reader { rest: self.take(nodes.checked_mul(NODE_BYTES).ok_or_else(cut_off)?)? };
        self.take(nodes * STATISTICS_BYTES)?;
        let mut tree = RawTree::default();
        for _ in 0..nodes {
            source.take(4)?;
            tree.left_children.push(source.i32()?);
            tree.right_children.push(source.i32()?);
            let feature = source.u32()?;
            tree.split_indices.push(feature & !MISSING_LEFT);
            tree.default_left.push(super::xgboost_file::Flag(feature & MISSING_LEFT != 0));
            tree.split_conditions.push(source.f32()?);
        }
        Ok(tree)
    }
}

fn cut_off() -> String {
    "not an XGBoost model in its binary format, or one that is cut off; copy the file again".into()
}
