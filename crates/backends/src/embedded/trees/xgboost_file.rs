//! The shape of XGBoost's model files, as far as prediction needs it (doc/model.schema of XGBoost). Numbers in parameters
//! are text there.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// A model, or the state of a booster as pickles hold it: the model beside its configuration.
#[derive(Deserialize)]
pub(super) struct RawFile {
    #[serde(default)]
    pub(super) learner: Option<RawLearner>,
    #[serde(default, rename = "Model")]
    pub(super) model: Option<RawStateModel>,
    /// Of the XGBoost that wrote the file: major, minor, patch.
    #[serde(default)]
    pub(super) version: Vec<u32>,
}

#[derive(Deserialize)]
pub(super) struct RawStateModel {
    pub(super) learner: RawLearner,
    #[serde(default)]
    pub(super) version: Vec<u32>,
}

#[derive(Deserialize)]
pub(super) struct RawLearner {
    /// Major and minor version of the XGBoost that wrote the file, where it tells.
    #[serde(skip)]
    pub(super) version: Option<(u32, u32)>,
    #[serde(default)]
    pub(super) attributes: HashMap<String, String>,
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    #[serde(default)]
    pub(super) feature_types: Vec<String>,
    pub(super) gradient_booster: RawBooster,
    pub(super) learner_model_param: RawLearnerParameters,
    pub(super) objective: RawObjective,
}

#[derive(Deserialize)]
pub(super) struct RawLearnerParameters {
    pub(super) base_score: String,
    /// Whether the base score is a margin already.
    #[serde(skip)]
    pub(super) base_is_margin: bool,
    #[serde(default = "zero")]
    pub(super) num_class: String,
    pub(super) num_feature: String,
    #[serde(default = "zero")]
    pub(super) num_target: String,
}

#[derive(Deserialize)]
pub(super) struct RawObjective {
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct RawBooster {
    pub(super) name: String,
    #[serde(default)]
    pub(super) model: Option<RawModel>,
    /// Of `dart`: the booster inside.
    #[serde(default)]
    pub(super) gbtree: Option<RawInnerBooster>,
    #[serde(default)]
    pub(super) weight_drop: Vec<f32>,
}

#[derive(Deserialize)]
pub(super) struct RawInnerBooster {
    pub(super) model: RawModel,
}

#[derive(Deserialize, Default)]
pub(super) struct RawModel {
    #[serde(default)]
    pub(super) gbtree_model_param: RawTreesParameters,
    #[serde(default)]
    pub(super) iteration_indptr: Vec<usize>,
    #[serde(default)]
    pub(super) tree_info: Vec<usize>,
    #[serde(default)]
    pub(super) trees: Vec<RawTree>,
    /// Of `gblinear`.
    #[serde(default)]
    pub(super) weights: Vec<f32>,
}

#[derive(Deserialize, Default)]
pub(super) struct RawTreesParameters {
    /// Absent before 1.6.
    #[serde(default)]
    pub(super) num_parallel_tree: String,
}

#[derive(Deserialize, Default)]
pub(super) struct RawTree {
    pub(super) left_children: Vec<i32>,
    pub(super) right_children: Vec<i32>,
    pub(super) split_indices: Vec<u32>,
    /// Thresholds of splits, values of leaves.
    pub(super) split_conditions: Vec<f32>,
    pub(super) default_left: Vec<Flag>,
    /// 1 where the split is by category.
    #[serde(default)]
    pub(super) split_type: Vec<u8>,
    #[serde(default)]
    pub(super) categories: Vec<i64>,
    #[serde(default)]
    pub(super) categories_nodes: Vec<i64>,
    #[serde(default)]
    pub(super) categories_segments: Vec<i64>,
    #[serde(default)]
    pub(super) categories_sizes: Vec<i64>,
    #[serde(default)]
    pub(super) tree_param: RawTreeParameters,
}

#[derive(Deserialize, Default)]
pub(super) struct RawTreeParameters {
    #[serde(default)]
    pub(super) size_leaf_vector: String,
}

/// A truth value, which some versions write as 0 and 1.
#[derive(Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;

        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, 0 or 1")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }
        }

        deserializer.deserialize_any(FlagVisitor)
    }
}

fn zero() -> String {
    "0".into()
}
