//! LightGBM models in their text format, in double precision as LightGBM computes.
//!
//! ```text
//! tree                           key=value lines up to the first tree
//! version=v4
//! num_tree_per_iteration=1       outputs; tree i belongs to output i modulo this
//! objective=binary sigmoid:1
//! average_output                 random forests: the sum is divided by the rounds
//!
//! Tree=0                         lists by internal node; children ≥ 0 are nodes, < 0 leaf -1-child
//! decision_type=2 2 1            bit 0 by category, bit 1 missing goes left, bits 2-3 missing is: nothing, 0, NaN
//! …
//! end of trees
//! ```
//! Refuses: linear trees (`linear_tree=true`), objectives whose transform is not known.

use std::collections::HashMap;
use std::str::FromStr;

use captura_route::{Field, FieldType};

use super::forest::{Builder, CategorySet, Forest, MAX_CATEGORY_WORDS, SourceNode, Treatment};
use super::lightgbm_objective::Objective;

/// Most outputs and features; bounds on what a small file may allocate.
const MAX_GROUPS: usize = 1 << 16;
const MAX_FEATURES: usize = 1 << 20;
/// The line after the last tree.
const END_OF_TREES: &str = "end of trees";

/// A LightGBM model ready to run.
#[derive(Debug)]
pub(super) struct Lightgbm {
    forest: Forest<f64>,
    groups: usize,
    /// Sums are divided by this.
    divisor: f64,
    objective: Objective,
    pub(super) features: Vec<Field>,
    /// Whether the file names its features, or the names are made up.
    pub(super) names_features: bool,
}

impl Lightgbm {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not a LightGBM model: the text is not UTF-8".to_owned())?;
        let mut sections = text.split("\nTree=");
        let header = Section::new(sections.next().unwrap_or_default());
        if !text.lines().any(|line| line.trim_end() == END_OF_TREES) {
            // Fewer trees still make answers, only wrong ones.
            return Err(format!(
                "the LightGBM model is cut off: the line {END_OF_TREES:?} is missing; copy the file again"
            ));
        }
        let groups = header.number::<usize>("num_tree_per_iteration").unwrap_or(1);
        let features = header.number::<usize>("max_feature_idx")?.saturating_add(1);
        if groups == 0 || groups > MAX_GROUPS || features > MAX_FEATURES {
            return Err(format!(
                "it has {features} features and {groups} outputs, where {MAX_FEATURES} and {MAX_GROUPS} are the most"
            ));
        }
        let mut builder = Builder::new(features, groups);
        let mut trees = 0;
        for section in sections {
            // What follows the last tree belongs to it as text, not as keys.
            let section = section.split("\nend of trees").next().unwrap_or_default();
            let name = section.lines().next().unwrap_or_default();
            source_nodes(&Section::new(section))
                .and_then(|nodes| builder.add(&nodes, trees % groups))
                .map_err(|reason| format!("tree {name}: {reason}"))?;
            trees += 1;
        }
        let rounds = trees / groups;
        #[expect(clippy::cast_precision_loss, reason = "there are fewer trees than bytes")]
        let divisor = if header.has_line("average_output") && rounds > 0 { rounds as f64 } else { 1.0 };
        let objective = Objective::parse(header.get("objective").unwrap_or_default(), groups)?;
        let (features, names_features) = fields(&header, features);
        Ok(Self { forest: builder.build(), groups, divisor, objective, features, names_features })
    }

    /// Values of one row of the answer.
    pub(super) fn width(&self) -> usize {
        self.groups
    }

    pub(super) fn steps(&self) -> u64 {
        self.forest.steps()
    }

    pub(super) fn trees(&self) -> usize {
        self.forest.trees()
    }

    /// Predicts whole rows of the model's features.
    pub(super) fn predict(&self, numbers: &[f64]) -> Vec<f64> {
        let rows = numbers.len() / self.features.len();
        let mut sums = vec![0.0; rows * self.groups];
        self.forest.add_leaves(numbers, &mut sums);
        for sums in sums.chunks_exact_mut(self.groups) {
            if self.divisor != 1.0 {
                sums.iter_mut().for_each(|sum| *sum /= self.divisor);
            }
            self.objective.transform(sums);
        }
        sums
    }
}

/// Lines of `key=value`.
struct Section<'a> {
    text: &'a str,
    values: HashMap<&'a str, &'a str>,
}

impl<'a> Section<'a> {
    fn new(text: &'a str) -> Self {
        let values = text.lines().filter_map(|line| line.split_once('=')).collect();
        Self { text, values }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.values.get(key).map(|value| value.trim())
    }

    fn has_line(&self, line: &str) -> bool {
        self.text.lines().any(|found| found.trim() == line)
    }

    fn number<N: FromStr>(&self, key: &str) -> Result<N, String> {
        let text = self.get(key).ok_or_else(|| format!("{key} is missing"))?;
        text.parse().map_err(|_| format!("{key}={text:?} is not a number"))
    }

    /// A list of `length` numbers.
    fn list<N: FromStr>(&self, key: &str, length: usize) -> Result<Vec<N>, String> {
        let text = self.get(key).unwrap_or_default();
        let list = text
            .split_ascii_whitespace()
            .map(|item| item.parse::<N>().map_err(|_| format!("{key} holds {item:?}, which is not a number")))
            .collect::<Result<Vec<N>, String>>()?;
        if list.len() == length { Ok(list) } else { Err(format!("{key} holds {} numbers, not {length}", list.len())) }
    }
}

fn source_nodes(tree: &Section<'_>) -> Result<Vec<SourceNode<f64>>, String> {
    let leaves = tree.number::<usize>("num_leaves")?;
    if tree.get("is_linear").is_some_and(|flag| flag != "0") {
        return Err("leaves that hold linear models (linear_tree=true) are not supported".into());
    }
    let values = tree.list::<f64>("leaf_value", leaves)?;
    // Thresholds and leaves make at least as many characters, so the counts are honest from here on.
    let splits = leaves.checked_sub(1).ok_or_else(|| "it has no leaves".to_owned())?;
    let features = tree.list::<usize>("split_feature", splits)?;
    let thresholds = tree.list::<f64>("threshold", splits)?;
    let decisions = tree.list::<u8>("decision_type", splits)?;
    let lefts = tree.list::<i64>("left_child", splits)?;
    let rights = tree.list::<i64>("right_child", splits)?;
    let sets = category_sets(tree)?;
    let child = |child: i64| {
        let place = if child >= 0 {
            usize::try_from(child).ok()
        } else {
            usize::try_from(!child).ok().map(|leaf| splits + leaf)
        };
        place.filter(|place| *place < splits + leaves).ok_or_else(|| format!("child {child} does not exist"))
    };
    let mut nodes = Vec::with_capacity(splits + leaves);
    let mut category_words = 0;
    for node in 0..splits {
        let (left, right) = (child(lefts[node])?, child(rights[node])?);
        let (feature, decision) = (features[node], decisions[node]);
        nodes.push(if decision & 1 == 1 {
            let set = category(thresholds[node], &sets).ok_or_else(|| format!("node {node} has no categories"))?;
            category_words += set.bits.len();
            if category_words > MAX_CATEGORY_WORDS {
                return Err("its categorical splits name too many or too large categories".into());
            }
            SourceNode::Categories { feature, set: set.clone(), missing_right: true, left, right }
        } else {
            let treatment = match decision >> 2 & 3 {
                0 => Treatment::NanIsZero,
                1 => Treatment::ZeroIsMissing,
                2 => Treatment::AsIs,
                other => return Err(format!("node {node} has the unknown missing type {other}")),
            };
            let missing_right = decision & 2 == 0;
            SourceNode::Split { feature, treatment, threshold: above(thresholds[node]), missing_right, left, right }
        });
    }
    nodes.extend(values.into_iter().map(SourceNode::Leaf));
    Ok(nodes)
}

/// The least number that goes right of a threshold which itself goes left.
fn above(threshold: f64) -> f64 {
    threshold.next_up()
}

fn category(index: f64, sets: &[CategorySet]) -> Option<&CategorySet> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate, and `get` refuses")]
    let index = index as usize;
    sets.get(index)
}

fn category_sets(tree: &Section<'_>) -> Result<Vec<CategorySet>, String> {
    let count = tree.get("num_cat").map_or(Ok(0), |_| tree.number::<usize>("num_cat"))?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let boundaries = tree.list::<usize>("cat_boundaries", count.saturating_add(1))?;
    let words = tree.list::<u32>("cat_threshold", boundaries.last().copied().unwrap_or(0))?;
    boundaries
        .windows(2)
        .map(|bounds| {
            let bits = words.get(bounds[0]..bounds[1]).ok_or_else(|| "cat_boundaries do not ascend".to_owned())?;
            Ok(CategorySet { bits: bits.to_vec(), members_go_right: false, rounds_to_zero: true })
        })
        .collect()
}

/// Names and types; whether the names are the user's own.
fn fields(header: &Section<'_>, features: usize) -> (Vec<Field>, bool) {
    let given: Vec<&str> = header.get("feature_names").unwrap_or_default().split_ascii_whitespace().collect();
    let infos: Vec<&str> = header.get("feature_infos").unwrap_or_default().split_ascii_whitespace().collect();
    let complete = given.len() == features;
    let generated = |index: usize| format!("Column_{index}");
    let own = complete && given.iter().enumerate().any(|(index, name)| **name != generated(index));
    let field = |index: usize| {
        // Ranges are in brackets, categories in a list with colons.
        let is_category = infos.get(index).is_some_and(|info| !info.starts_with('[') && *info != "none");
        let kind = if is_category { FieldType::Integral } else { FieldType::Fractional };
        let name = if complete { given[index].to_owned() } else { generated(index) };
        Field { name, kind, shape: Vec::new() }
    };
    ((0..features).map(field).collect(), own)
}
