//! Trees as one flat array of nodes, walked without branches.
//!
//! ```text
//! nodes:  [ root A | left right | left right … | root B | … ]      children are neighbours
//! split:  threshold  feature + flags  left      next = left + (x >= threshold, or x is missing and goes right)
//! leaf:   NaN        0                itself    next = itself, so a walk may go on past a leaf
//! ```
//! Because a leaf leads to itself, eight walks run side by side for as many steps as the deepest of them needs, and the
//! processor overlaps their memory accesses. Rows are widened to *columns* first: one per feature and way of treating
//! missing values, so that every node asks the same question.
//!
//! Invariant: after [`Builder::add`] every child lies inside the array, every column inside the row, and every walk ends:
//! prediction cannot fail. The sums are added tree by tree in the order of the model, because floats do not commute.

use std::collections::HashMap;

use super::real::Real;

/// Walks that run side by side.
const LANES: usize = 8;
/// Rows that see one tree before the next tree comes, so that a large tree is fetched once for all of them.
const BLOCK: usize = 64;

const MISSING_RIGHT: u32 = 1 << 31;
const CATEGORICAL: u32 = 1 << 30;
const COLUMN: u32 = CATEGORICAL - 1;
/// Indices of category sets are kept as thresholds; `f32` counts exactly to here.
const MAX_CATEGORY_SETS: usize = 1 << 24;
/// Most words of category bits, 256 MiB: one far category takes as many words as all before it, and few bytes of file.
pub(super) const MAX_CATEGORY_WORDS: usize = 1 << 26;

#[derive(Debug, Clone, Copy)]
struct Node<T> {
    threshold: T,
    /// Column, with flags above.
    column: u32,
    left: u32,
}

#[derive(Debug, Clone, Copy)]
struct Tree {
    root: u32,
    depth: u32,
    group: u32,
}

/// How a model treats what is missing, before a node looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Treatment {
    /// NaN is missing.
    AsIs,
    /// NaN is zero.
    NanIsZero,
    /// Zero and NaN are missing; zero reaches as far as LightGBM's 1e-35.
    ZeroIsMissing,
}

/// Categories that a node sends one way.
#[derive(Debug, Clone)]
pub(super) struct CategorySet {
    /// One bit per category, from the lowest bit of the first word.
    pub(super) bits: Vec<u32>,
    /// Whether members go right (XGBoost) or left (LightGBM).
    pub(super) members_go_right: bool,
    /// Whether negative fractions round to category 0 (LightGBM) or are no category (XGBoost).
    pub(super) rounds_to_zero: bool,
}

impl CategorySet {
    fn goes_right(&self, value: f64) -> bool {
        let is_category = if self.rounds_to_zero { value > -1.0 } else { value >= 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts saturate; far values are in no set"
        )]
        let category = if is_category { value as usize } else { usize::MAX };
        let member = self.bits.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1);
        member == self.members_go_right
    }
}

/// A node as a model file tells it; children are positions in the file's list.
#[derive(Debug, Clone)]
pub(super) enum SourceNode<T> {
    Leaf(T),
    /// Right when `x >= threshold`.
    Split {
        feature: usize,
        treatment: Treatment,
        threshold: T,
        missing_right: bool,
        left: usize,
        right: usize,
    },
    Categories {
        feature: usize,
        set: CategorySet,
        missing_right: bool,
        left: usize,
        right: usize,
    },
}

/// An ensemble ready to run.
#[derive(Debug)]
pub(super) struct Forest<T> {
    nodes: Vec<Node<T>>,
    /// Of each node, its value when it is a leaf.
    values: Vec<T>,
    trees: Vec<Tree>,
    sets: Vec<CategorySet>,
    /// Of each column, the feature it comes from.
    columns: Vec<(usize, Treatment)>,
    features: usize,
    groups: usize,
}

/// Checks trees while it adds them.
#[derive(Debug)]
pub(super) struct Builder<T> {
    forest: Forest<T>,
    positions: HashMap<(usize, Treatment), u32>,
    category_words: usize,
}

impl<T: Real> Builder<T> {
    /// A forest over rows of `features` features that sums into `groups` sums.
    pub(super) fn new(features: usize, groups: usize) -> Self {
        let (nodes, values, trees, sets, columns) = Default::default();
        let forest = Forest { nodes, values, trees, sets, columns, features, groups };
        Self { forest, positions: HashMap::new(), category_words: 0 }
    }

    /// Adds the tree whose root is the first of `source`, summed into `group`.
    pub(super) fn add(&mut self, source: &[SourceNode<T>], group: usize) -> Result<(), String> {
        if group >= self.forest.groups {
            return Err(format!("it belongs to output {group} of {}", self.forest.groups));
        }
        let root = self.reserve(1)?;
        // Breadth first; a node seen twice would make more visits than there are nodes.
        let mut layer = vec![(0_usize, root)];
        let (mut visits, mut depth) = (0, 0);
        while !layer.is_empty() {
            let mut next = Vec::new();
            for (from, to) in layer {
                visits += 1;
                let node = source.get(from).ok_or_else(|| format!("node {from} does not exist"))?;
                if visits > source.len() {
                    return Err(format!("node {from} has more than one parent"));
                }
                if let Some(children) = self.place(node, to)? {
                    let left = self.forest.nodes[to as usize].left;
                    next.extend([(children.0, left), (children.1, left + 1)]);
                }
            }
            depth += u32::from(!next.is_empty());
            layer = next;
        }
        let group = u32::try_from(group).map_err(|_| "too many outputs".to_owned())?;
        self.forest.trees.push(Tree { root, depth, group });
        Ok(())
    }

    pub(super) fn build(mut self) -> Forest<T> {
        if self.forest.columns.is_empty() {
            // Leaves look at column 0, whatever it holds.
            self.forest.columns.push((0, Treatment::AsIs));
        }
        self.forest
    }

    /// Room for nodes that are placed later.
    fn reserve(&mut self, count: usize) -> Result<u32, String> {
        let at = self.forest.nodes.len();
        let end = u32::try_from(at + count).map_err(|_| "the model has more than 2^32 nodes".to_owned())?;
        self.forest.nodes.resize(at + count, Node { threshold: T::NAN, column: 0, left: 0 });
        self.forest.values.resize(at + count, T::ZERO);
        Ok(end - count as u32)
    }

    fn place(&mut self, node: &SourceNode<T>, to: u32) -> Result<Option<(usize, usize)>, String> {
        let (column, threshold, children) = match node {
            SourceNode::Leaf(value) => {
                self.forest.values[to as usize] = *value;
                self.forest.nodes[to as usize].left = to;
                return Ok(None);
            }
            SourceNode::Split { feature, treatment, threshold, missing_right, left, right } => {
                // Nothing is below NaN, so all that is there goes right.
                let threshold = if threshold.is_nan() { T::NEG_INFINITY } else { *threshold };
                (self.column(*feature, *treatment)? | flag(*missing_right), threshold, (*left, *right))
            }
            SourceNode::Categories { feature, set, missing_right, left, right } => {
                let index = self.forest.sets.len();
                if index >= MAX_CATEGORY_SETS {
                    return Err(format!("the model has more than {MAX_CATEGORY_SETS} categorical splits"));
                }
                self.category_words += set.bits.len();
                if self.category_words > MAX_CATEGORY_WORDS {
                    return Err("its categorical splits name too many or too large categories".into());
                }
                self.forest.sets.push(set.clone());
                let column = self.column(*feature, Treatment::AsIs)? | CATEGORICAL | flag(*missing_right);
                (column, T::from_index(index), (*left, *right))
            }
        };
        let left = self.reserve(2)?;
        self.forest.nodes[to as usize] = Node { threshold, column, left };
        Ok(Some(children))
    }

    fn column(&mut self, feature: usize, treatment: Treatment) -> Result<u32, String> {
        if feature >= self.forest.features {
            return Err(format!("it asks for feature {feature} of {}", self.forest.features));
        }
        let columns = &mut self.forest.columns;
        let next = u32::try_from(columns.len()).ok().filter(|next| *next < COLUMN);
        let next = next.ok_or_else(|| "the model has too many features".to_owned())?;
        Ok(*self.positions.entry((feature, treatment)).or_insert_with(|| {
            columns.push((feature, treatment));
            next
        }))
    }
}

fn flag(missing_right: bool) -> u32 {
    if missing_right { MISSING_RIGHT } else { 0 }
}

impl<T: Real> Forest<T> {
    /// Steps of all walks of one row: what a prediction costs.
    pub(super) fn steps(&self) -> u64 {
        self.trees.iter().map(|tree| u64::from(tree.depth) + 1).sum()
    }

    /// Number of trees.
    pub(super) fn trees(&self) -> usize {
        self.trees.len()
    }

    /// Adds each row's leaves to its sums. `numbers` holds whole rows of the forest's features, `sums` as many rows of its
    /// groups.
    pub(super) fn add_leaves(&self, numbers: &[f64], sums: &mut [T]) {
        if self.sets.is_empty() {
            self.add_all::<false>(numbers, sums);
        } else {
            self.add_all::<true>(numbers, sums);
        }
    }

    fn add_all<const SETS: bool>(&self, numbers: &[f64], sums: &mut [T]) {
        let width = self.columns.len();
        let mut columns = vec![T::NAN; width * (numbers.len() / self.features.max(1)).min(BLOCK)];
        for (block, sums) in numbers.chunks(self.features.max(1) * BLOCK).zip(sums.chunks_mut(self.groups * BLOCK)) {
            for (row, columns) in block.chunks_exact(self.features.max(1)).zip(columns.chunks_exact_mut(width)) {
                self.widen(row, columns);
            }
            let rows = block.len() / self.features.max(1);
            let together = rows - rows % LANES;
            self.add_rows_together::<SETS>(&columns[..together * width], &mut sums[..together * self.groups]);
            for row in together..rows {
                let columns = &columns[row * width..(row + 1) * width];
                self.add_trees_together::<SETS>(columns, &mut sums[row * self.groups..(row + 1) * self.groups]);
            }
        }
    }

    fn widen(&self, row: &[f64], columns: &mut [T]) {
        for (column, (feature, treatment)) in columns.iter_mut().zip(&self.columns) {
            let number = row.get(*feature).copied().unwrap_or(f64::NAN);
            *column = T::from_f64(match treatment {
                Treatment::AsIs => number,
                Treatment::NanIsZero if number.is_nan() => 0.0,
                Treatment::ZeroIsMissing if number.abs() <= 1e-35 => f64::NAN,
                Treatment::NanIsZero | Treatment::ZeroIsMissing => number,
            });
        }
    }

    /// One tree at a time, eight rows side by side.
    fn add_rows_together<const SETS: bool>(&self, columns: &[T], sums: &mut [T]) {
        let width = self.columns.len();
        for tree in &self.trees {
            for (rows, sums) in columns.chunks_exact(width * LANES).zip(sums.chunks_exact_mut(self.groups * LANES)) {
                let mut rows = rows.chunks_exact(width);
                let rows: [&[T]; LANES] = std::array::from_fn(|_| rows.next().unwrap_or_default());
                let leaves = self.walk::<SETS>([tree.root; LANES], rows, tree.depth);
                for (lane, leaf) in leaves.into_iter().enumerate() {
                    sums[lane * self.groups + tree.group as usize] += self.values[leaf as usize];
                }
            }
        }
    }

    /// One row, eight trees side by side.
    fn add_trees_together<const SETS: bool>(&self, columns: &[T], sums: &mut [T]) {
        for trees in self.trees.chunks(LANES) {
            let roots = std::array::from_fn(|lane| trees.get(lane).unwrap_or(&trees[0]).root);
            let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
            let leaves = self.walk::<SETS>(roots, [columns; LANES], depth);
            for (tree, leaf) in trees.iter().zip(leaves) {
                sums[tree.group as usize] += self.values[leaf as usize];
            }
        }
    }

    #[inline]
    fn walk<const SETS: bool>(&self, mut at: [u32; LANES], rows: [&[T]; LANES], depth: u32) -> [u32; LANES] {
        /// Depth-wise trees are rarely deeper; leaf-wise ones are, but most of their walks end early.
        const UNCHECKED: u32 = 8;
        for _ in 0..depth.min(UNCHECKED) {
            at = std::array::from_fn(|lane| self.step::<SETS>(at[lane], rows[lane]));
        }
        for _ in UNCHECKED..depth {
            let next = std::array::from_fn(|lane| self.step::<SETS>(at[lane], rows[lane]));
            if next == at {
                break;
            }
            at = next;
        }
        at
    }

    #[inline(always)]
    fn step<const SETS: bool>(&self, at: u32, row: &[T]) -> u32 {
        let node = &self.nodes[at as usize];
        let value = row[(node.column & COLUMN) as usize];
        let missing = value.is_nan();
        let right = if SETS && node.column & CATEGORICAL != 0 && !missing {
            self.sets[node.threshold.to_index()].goes_right(value.to_f64())
        } else {
            // Under a category set, `>=` compares NaN and is false.
            (value >= node.threshold) | (missing & (node.column & MISSING_RIGHT != 0))
        };
        node.left.wrapping_add(u32::from(right))
    }
}
