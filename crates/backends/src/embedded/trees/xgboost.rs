//! XGBoost models (JSON, UBJ, binary, pickled boosters): `gbtree`, `dart` and `gblinear`, in single precision as XGBoost
//! computes.
//!
//! Early stopping counts: where the model names a `best_iteration`, the rounds after it are left out, as SageMaker's
//! container and scikit-learn's wrapper do.
//!
//! Refuses: vector leaves (`multi_strategy=multi_output_tree`), objectives whose transform is not known.

use std::collections::HashMap;

use captura_route::{Field, FieldType};
use serde::de::IgnoredAny;

use super::super::sniff::{ModelFormat, sniff};
use super::forest::{Builder, CategorySet, Forest, MAX_CATEGORY_WORDS, SourceNode, Treatment};
use super::xgboost_file::{RawBooster, RawFile, RawLearner, RawModel, RawTree};
use super::xgboost_objective::Objective;
use super::{pickle, xgboost_binary};

/// Most outputs per row; a bound on what a small file may allocate.
const MAX_GROUPS: usize = 1 << 16;
/// Most features; each costs about 100 bytes of signature, and a small file may claim any number.
const MAX_FEATURES: usize = 1 << 20;
const MAX_PARALLEL_TREES: usize = 1 << 24;

#[derive(Debug)]
enum Body {
    Trees(Forest<f32>),
    /// Weights by feature and output, then the bias of each output.
    Linear(Vec<f32>),
}

/// An XGBoost model ready to run.
#[derive(Debug)]
pub(super) struct Xgboost {
    body: Body,
    /// Margin that each output starts from.
    base: Vec<f32>,
    /// Whether leaves are summed before the margin is added, as old versions did. Floats do not commute.
    leaves_first: bool,
    objective: Objective,
    pub(super) objective_name: String,
    pub(super) features: Vec<Field>,
    /// Whether the file names its features, or the names are made up.
    pub(super) names_features: bool,
}

impl Xgboost {
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        Self::from_learner(&json_learner(bytes)?)
    }

    pub(super) fn from_ubj(bytes: &[u8]) -> Result<Self, String> {
        Self::from_learner(&ubj_learner(bytes)?)
    }

    pub(super) fn from_binary(bytes: &[u8]) -> Result<Self, String> {
        Self::from_learner(&xgboost_binary::parse(bytes)?)
    }

    /// Of a pickled booster: its state is read as data, nothing of the pickle is run.
    pub(super) fn from_pickle(bytes: &[u8]) -> Result<Self, String> {
        let pickled = pickle::booster(bytes).map_err(|error| error.to_string())?;
        let inside = |reason| format!("the booster inside the pickle: {reason}");
        let mut learner = state_learner(&pickled.buffer).map_err(inside)?;
        if learner.feature_names.is_empty() {
            learner.feature_names = pickled.feature_names;
        }
        if learner.feature_types.is_empty() {
            learner.feature_types = pickled.feature_types;
        }
        // Old boosters keep what early stopping found beside the model.
        for (name, value) in
            [("best_iteration", pickled.best_iteration), ("best_ntree_limit", pickled.best_ntree_limit)]
        {
            if let Some(value) = value {
                learner.attributes.entry(name.to_owned()).or_insert_with(|| value.to_string());
            }
        }
        Self::from_learner(&learner).map_err(inside)
    }

    fn from_learner(learner: &RawLearner) -> Result<Self, String> {
        let parameters = &learner.learner_model_param;
        let features = count("num_feature", &parameters.num_feature, MAX_FEATURES)?.max(1);
        let classes = count("num_class", &parameters.num_class, MAX_GROUPS)?;
        let targets = count("num_target", &parameters.num_target, MAX_GROUPS)?;
        if classes > 1 && targets > 1 {
            return Err("models of several targets with several classes each are not supported".into());
        }
        let groups = classes.max(targets).max(1);
        let objective = Objective::parse(&learner.objective.name)?;
        let body = match &learner.gradient_booster {
            RawBooster { name, model: Some(model), .. } if name == "gbtree" => {
                Body::Trees(forest(model, &[], features, groups, &learner.attributes)?)
            }
            RawBooster { name, gbtree: Some(inner), weight_drop, .. } if name == "dart" => {
                Body::Trees(forest(&inner.model, weight_drop, features, groups, &learner.attributes)?)
            }
            RawBooster { name, model: Some(model), .. } if name == "gblinear" => {
                if model.weights.len() != (features + 1) * groups {
                    return Err(format!(
                        "the linear model has {} weights where {} features and {groups} outputs need {}",
                        model.weights.len(),
                        features,
                        (features + 1) * groups
                    ));
                }
                Body::Linear(model.weights.clone())
            }
            other => return Err(format!("booster {:?} is not supported", other.name)),
        };
        let margin = |score| if parameters.base_is_margin { score } else { objective.margin_of(score) };
        let mut base = base_margins(&parameters.base_score, groups, margin)?;
        if matches!(body, Body::Linear(_)) {
            // XGBoost 3.2's gblinear starts every output from the first one's score; equal means equal.
            base = vec![base[0]; groups];
        }
        let names_features = learner.feature_names.len() == features;
        let leaves_first = sums_leaves_first(learner);
        let (objective_name, features) = (learner.objective.name.clone(), fields(learner, features));
        Ok(Self { body, base, leaves_first, objective, objective_name, features, names_features })
    }

    /// Values of one row of the answer.
    pub(super) fn width(&self) -> usize {
        if self.objective == Objective::Argmax { 1 } else { self.base.len() }
    }

    /// Sums of one row.
    pub(super) fn groups(&self) -> usize {
        self.base.len()
    }

    pub(super) fn classes(&self) -> bool {
        matches!(self.objective, Objective::Argmax | Objective::Hinge)
    }

    pub(super) fn steps(&self) -> u64 {
        match &self.body {
            Body::Trees(forest) => forest.steps(),
            Body::Linear(weights) => weights.len() as u64,
        }
    }

    pub(super) fn trees(&self) -> usize {
        match &self.body {
            Body::Trees(forest) => forest.trees(),
            Body::Linear(_) => 0,
        }
    }

    /// Predicts whole rows of the model's features.
    pub(super) fn predict(&self, numbers: &[f64]) -> Vec<f32> {
        let rows = numbers.len() / self.features.len();
        let mut margins = self.base.repeat(rows);
        match &self.body {
            Body::Trees(forest) if self.leaves_first => {
                let mut sums = vec![0.0; margins.len()];
                forest.add_leaves(numbers, &mut sums);
                margins.iter_mut().zip(sums).for_each(|(margin, sum)| *margin += sum);
            }
            Body::Trees(forest) => forest.add_leaves(numbers, &mut margins),
            Body::Linear(weights) => self.add_products(weights, numbers, &mut margins),
        }
        self.objective.transform(margins, self.base.len())
    }

    fn add_products(&self, weights: &[f32], numbers: &[f64], margins: &mut [f32]) {
        let groups = self.base.len();
        let (weights, bias) = weights.split_at(self.features.len() * groups);
        for (row, margins) in numbers.chunks_exact(self.features.len()).zip(margins.chunks_exact_mut(groups)) {
            for (group, margin) in margins.iter_mut().enumerate() {
                let mut sum = bias[group] + *margin;
                for (value, weights) in row.iter().zip(weights.chunks_exact(groups)) {
                    if !value.is_nan() {
                        sum += *value as f32 * weights[group];
                    }
                }
                *margin = sum;
            }
        }
    }
}

/// Since 1.3 trees add to the margin one by one, those of `dart` since 1.4.
fn sums_leaves_first(learner: &RawLearner) -> bool {
    let one_by_one_since = if learner.gradient_booster.name == "dart" { (1, 4) } else { (1, 3) };
    learner.version.is_some_and(|version| version < one_by_one_since)
}

fn json_learner(bytes: &[u8]) -> Result<RawLearner, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    learner_of(serde_json::from_slice(bytes).map_err(|error| explain_json(&error))?)
}

fn ubj_learner(bytes: &[u8]) -> Result<RawLearner, String> {
    learner_of(super::ubj::from_slice(bytes).map_err(|error| format!("not an XGBoost model in UBJ: {error}"))?)
}

fn learner_of(file: RawFile) -> Result<RawLearner, String> {
    let (learner, version) = match file {
        RawFile { learner: Some(learner), version, .. } => (learner, version),
        RawFile { model: Some(model), .. } => (model.learner, model.version),
        _ => return Err("not an XGBoost model: missing field `learner`".into()),
    };
    let version = if let [major, minor, ..] = version.as_slice() { Some((*major, *minor)) } else { None };
    Ok(RawLearner { version, ..learner })
}

/// What XGBoost serialises a booster's memory to: since 1.0 a binary model and its configuration behind a header that
/// says where the configuration begins, or both as JSON or UBJ; before, just the model.
fn state_learner(buffer: &[u8]) -> Result<RawLearner, String> {
    const HEADER: &[u8] = b"CONFIG-offset:";
    if let Some(rest) = buffer.strip_prefix(HEADER) {
        let cut_off = || "its model is cut off".to_owned();
        let (offset, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
        let offset = usize::try_from(i64::from_le_bytes(*offset)).map_err(|_| cut_off())?;
        return xgboost_binary::parse(rest.get(..offset).ok_or_else(cut_off)?);
    }
    match sniff(buffer, "") {
        Some(ModelFormat::XgboostJson) => json_learner(buffer),
        Some(ModelFormat::XgboostUbj) => ubj_learner(buffer),
        Some(ModelFormat::XgboostBinary) => xgboost_binary::parse(buffer),
        _ => Err("its model is in no format that XGBoost wrote".into()),
    }
}

fn count(name: &str, text: &str, most: usize) -> Result<usize, String> {
    let count = text.trim().parse::<usize>().map_err(|_| format!("{name} {text:?} is not a count"))?;
    if count > most { Err(format!("{name} {count} is more than {most}")) } else { Ok(count) }
}

fn fields(learner: &RawLearner, features: usize) -> Vec<Field> {
    let kind = |index: usize| match learner.feature_types.get(index).map(String::as_str) {
        Some("int" | "c") => FieldType::Integral,
        Some("i") => FieldType::Boolean,
        _ => FieldType::Fractional,
    };
    let name = |index: usize| match learner.feature_names.get(index) {
        Some(name) if learner.feature_names.len() == features => name.clone(),
        _ => format!("f{index}"),
    };
    (0..features).map(|index| Field { name: name(index), kind: kind(index), shape: Vec::new() }).collect()
}

/// `"5E-1"`, or since XGBoost 3.1 `"[5E-1]"` with one score per output.
fn base_margins(text: &str, groups: usize, margin_of: impl Fn(f32) -> f32) -> Result<Vec<f32>, String> {
    let list = text.trim().trim_start_matches('[').trim_end_matches(']');
    let scores = list
        .split(',')
        .map(|score| score.trim().parse::<f32>().ok().filter(|score| score.is_finite()))
        .collect::<Option<Vec<f32>>>()
        .ok_or_else(|| format!("base_score {text:?} is not a number"))?;
    let scores = match scores.as_slice() {
        [score] => vec![*score; groups],
        several if several.len() == groups => scores,
        several => return Err(format!("base_score has {} values for {groups} outputs", several.len())),
    };
    Ok(scores.into_iter().map(margin_of).collect())
}

fn forest(
    model: &RawModel,
    weights: &[f32],
    features: usize,
    groups: usize,
    attributes: &HashMap<String, String>,
) -> Result<Forest<f32>, String> {
    if model.tree_info.len() != model.trees.len() || !(weights.is_empty() || weights.len() == model.trees.len()) {
        return Err("the lists of trees, their outputs and weights differ in length".into());
    }
    let kept = kept_trees(model, groups, attributes)?;
    let mut builder = Builder::new(features, groups);
    for (index, (tree, group)) in model.trees.iter().zip(&model.tree_info).enumerate().take(kept) {
        let weight = weights.get(index).copied();
        source_nodes(tree, weight)
            .and_then(|nodes| builder.add(&nodes, *group))
            .map_err(|reason| format!("tree {index}: {reason}"))?;
    }
    Ok(builder.build())
}

/// Trees up to the best iteration.
fn kept_trees(model: &RawModel, groups: usize, attributes: &HashMap<String, String>) -> Result<usize, String> {
    let all = model.trees.len();
    let attribute = |name: &str| attributes.get(name).and_then(|text| text.parse::<usize>().ok());
    let Some(rounds) = attribute("best_iteration").and_then(|best| best.checked_add(1)) else { return Ok(all) };
    if !model.iteration_indptr.is_empty() {
        return Ok(model.iteration_indptr.get(rounds).map_or(all, |end| all.min(*end)));
    }
    let parallel = &model.gbtree_model_param.num_parallel_tree;
    let per_output = if parallel.is_empty() {
        // Before 1.6 the file does not say how many trees a round grows, but the attribute counts them.
        attribute("best_ntree_limit").unwrap_or(all)
    } else {
        rounds.saturating_mul(count("num_parallel_tree", parallel, MAX_PARALLEL_TREES)?.max(1))
    };
    Ok(all.min(per_output.saturating_mul(groups)))
}

fn source_nodes(tree: &RawTree, weight: Option<f32>) -> Result<Vec<SourceNode<f32>>, String> {
    let nodes = tree.left_children.len();
    let lengths =
        [tree.right_children.len(), tree.split_indices.len(), tree.split_conditions.len(), tree.default_left.len()];
    if lengths.iter().any(|length| *length != nodes) || !(tree.split_type.is_empty() || tree.split_type.len() == nodes)
    {
        return Err("its lists differ in length".into());
    }
    if !matches!(tree.tree_param.size_leaf_vector.as_str(), "" | "0" | "1") {
        return Err("leaves that hold vectors (multi_strategy=multi_output_tree) are not supported".into());
    }
    let mut category_words = 0;
    let child = |child: i32| usize::try_from(child).map_err(|_| format!("child {child} does not exist"));
    (0..nodes)
        .map(|node| {
            if tree.left_children[node] == -1 {
                let leaf = tree.split_conditions[node];
                return Ok(SourceNode::Leaf(weight.map_or(leaf, |weight| leaf * weight)));
            }
            let feature = tree.split_indices[node] as usize;
            let (left, right) = (child(tree.left_children[node])?, child(tree.right_children[node])?);
            let missing_right = !tree.default_left[node].0;
            Ok(match tree.split_type.get(node) {
                Some(1) => {
                    let set = category_set(tree, node)?;
                    category_words += set.bits.len();
                    if category_words > MAX_CATEGORY_WORDS {
                        return Err("its categorical splits name too many or too large categories".into());
                    }
                    SourceNode::Categories { feature, set, missing_right, left, right }
                }
                _ => {
                    let threshold = tree.split_conditions[node];
                    let treatment = Treatment::AsIs;
                    SourceNode::Split { feature, treatment, threshold, missing_right, left, right }
                }
            })
        })
        .collect()
}

fn category_set(tree: &RawTree, node: usize) -> Result<CategorySet, String> {
    let broken = || format!("the categories of node {node} are broken");
    // `categories_nodes` ascends.
    let at = tree.categories_nodes.binary_search(&(node as i64)).map_err(|_| broken())?;
    let start = tree.categories_segments.get(at).and_then(|start| usize::try_from(*start).ok());
    let size = tree.categories_sizes.get(at).and_then(|size| usize::try_from(*size).ok());
    let range = start.zip(size).and_then(|(start, size)| Some(start..start.checked_add(size)?)).ok_or_else(broken)?;
    let categories = tree.categories.get(range).ok_or_else(broken)?;
    let mut bits = Vec::new();
    for category in categories {
        /// XGBoost's own limit: the largest whole number that single precision counts to.
        const MOST: usize = 1 << 24;
        let category = usize::try_from(*category).ok().filter(|category| *category < MOST).ok_or_else(broken)?;
        if bits.len() <= category / 32 {
            bits.resize(category / 32 + 1, 0_u32);
        }
        bits[category / 32] |= 1 << (category % 32);
    }
    Ok(CategorySet { bits, members_go_right: true, rounds_to_zero: false })
}

/// Why JSON that should be a model is none, in words of the file instead of this program's types.
fn explain_json(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return format!(
            "not an XGBoost model: the JSON is cut off at line {}, column {}; copy the file again",
            error.line(),
            error.column()
        );
    }
    let text = error.to_string();
    if text.contains(", expected struct ") {
        return format!(
            "it is JSON, but not an XGBoost model: something else stands where a part of one belongs, at line {}, \
             column {}",
            error.line(),
            error.column()
        );
    }
    format!("not an XGBoost model: {text}")
}

/// What bytes of no known format are, as far as that can be seen, and what to do.
pub(super) fn explain_unknown(bytes: &[u8]) -> String {
    if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return "it is JSON, but not an XGBoost model".into();
    }
    if super::pickle::looks_pickled(bytes) {
        return "it is a Python pickle, and none of an XGBoost Booster; pickles of anything else are programs, which are \
                never run here"
            .into();
    }
    if bytes.starts_with(b"binf") || bytes.starts_with(b"bs64") {
        return "it begins like XGBoost's binary format, but no objective follows; save the model with \
                booster.save_model(\"model.json\")"
            .into();
    }
    "it is no XGBoost model (JSON, UBJ, binary, pickle) and no LightGBM model (text)".into()
}
