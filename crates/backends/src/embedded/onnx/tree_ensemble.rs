//! Tree ensembles whose branches lead back: the library would walk in circles for ever, inside one operator, where
//! nothing can stop it.
//!
//! A node of a graph names its operator in field 4 and holds attributes in field 5, each with a name (1), whole numbers
//! (8), texts (9) or a reference to an attribute of the surrounding function (21). Tree ensembles state their branches
//! in parallel lists:
//!
//! ```text
//! TreeEnsembleClassifier, TreeEnsembleRegressor    node (treeids, nodeids) leads to nodes (treeids, truenodeids) and
//!                                                  (treeids, falsenodeids), unless its mode is LEAF
//! TreeEnsemble                                     node i leads to nodes truenodeids[i] unless trueleafs[i], and
//!                                                  falsenodeids[i] unless falseleafs[i]
//! ```

use std::collections::HashMap;

use super::inspect::Suspicion;
use super::protobuf::{Fields, Malformed, Value, varint};

/// The lists of an ensemble by the name of their attribute.
#[derive(Debug, Default)]
struct Lists<'a> {
    numbers: HashMap<&'a [u8], Vec<i64>>,
    texts: HashMap<&'a [u8], Vec<&'a [u8]>>,
}

/// Checks a node of a graph, if it is a tree ensemble.
pub(super) fn check(node: &[u8]) -> Result<(), Suspicion> {
    let (mut is_old, mut is_new) = (false, false);
    for field in Fields::new(node) {
        if let (4, Value::Bytes(operator)) = field? {
            is_new |= operator == b"TreeEnsemble";
            is_old |= matches!(operator, b"TreeEnsembleClassifier" | b"TreeEnsembleRegressor");
        }
    }
    if !is_old && !is_new {
        return Ok(());
    }
    let lists = Lists::of(node)?;
    if is_old {
        acyclic(&lists.old_branches()?)?;
    }
    if is_new {
        acyclic(&lists.new_branches()?)?;
    }
    Ok(())
}

impl<'a> Lists<'a> {
    fn of(node: &'a [u8]) -> Result<Self, Suspicion> {
        let mut lists = Self::default();
        for field in Fields::new(node) {
            let (5, Value::Bytes(attribute)) = field? else { continue };
            let (mut name, mut numbers, mut texts) = (&b""[..], Vec::new(), Vec::new());
            for field in Fields::new(attribute) {
                match field? {
                    (1, Value::Bytes(given)) => name = given,
                    (8, Value::Number(number)) => numbers.push(number as i64),
                    (8, Value::Bytes(mut packed)) => {
                        while !packed.is_empty() {
                            numbers.push(varint(&mut packed)? as i64);
                        }
                    }
                    (9, Value::Bytes(text)) => texts.push(text),
                    (21, Value::Bytes(reference)) if !reference.is_empty() => return Err(Suspicion::HiddenTrees),
                    _ => {}
                }
            }
            lists.numbers.insert(name, numbers);
            lists.texts.insert(name, texts);
        }
        Ok(lists)
    }

    fn numbers(&self, name: &str) -> &[i64] {
        self.numbers.get(name.as_bytes()).map(Vec::as_slice).unwrap_or_default()
    }

    /// For each node the nodes that it leads to.
    fn old_branches(&self) -> Result<Vec<Vec<usize>>, Suspicion> {
        let (trees, nodes) = (self.numbers("nodes_treeids"), self.numbers("nodes_nodeids"));
        let children = [self.numbers("nodes_truenodeids"), self.numbers("nodes_falsenodeids")];
        let modes = self.texts.get(&b"nodes_modes"[..]).map(Vec::as_slice).unwrap_or_default();
        let count = nodes.len();
        if trees.len() != count || modes.len() != count || children.iter().any(|list| list.len() != count) {
            return Err(Malformed.into());
        }
        let places: HashMap<(i64, i64), usize> =
            trees.iter().zip(nodes).enumerate().map(|(place, (tree, node))| ((*tree, *node), place)).collect();
        let branches = (0..count).map(|place| match modes[place] {
            b"LEAF" => Vec::new(),
            // A child that is not there is for the library to refuse.
            _ => children.iter().filter_map(|list| places.get(&(trees[place], list[place])).copied()).collect(),
        });
        Ok(branches.collect())
    }

    fn new_branches(&self) -> Result<Vec<Vec<usize>>, Suspicion> {
        let sides = [
            (self.numbers("nodes_truenodeids"), self.numbers("nodes_trueleafs")),
            (self.numbers("nodes_falsenodeids"), self.numbers("nodes_falseleafs")),
        ];
        let count = sides[0].0.len();
        if sides.iter().any(|(children, leaves)| children.len() != count || leaves.len() != count) {
            return Err(Malformed.into());
        }
        let branches = (0..count).map(|place| {
            let inner = sides.iter().filter(|(_, leaves)| leaves[place] == 0);
            let children = inner.filter_map(|(children, _)| usize::try_from(children[place]).ok());
            children.filter(|child| *child < count).collect()
        });
        Ok(branches.collect())
    }
}

/// Takes away nodes that nothing leads to until none is left; what remains leads in circles (A. B. Kahn, "Topological
/// sorting of large networks", 1962).
fn acyclic(branches: &[Vec<usize>]) -> Result<(), Suspicion> {
    let mut leading_here = vec![0_usize; branches.len()];
    branches.iter().flatten().for_each(|child| leading_here[*child] += 1);
    let mut free: Vec<usize> = (0..branches.len()).filter(|node| leading_here[*node] == 0).collect();
    let mut taken = 0;
    while let Some(node) = free.pop() {
        taken += 1;
        for child in &branches[node] {
            leading_here[*child] -= 1;
            if leading_here[*child] == 0 {
                free.push(*child);
            }
        }
    }
    if taken == branches.len() { Ok(()) } else { Err(Suspicion::CircularTrees) }
}

#[cfg(test)]
mod tests {
    use super::super::inspect::tests::field;
    use super::*;

    fn ints(name: &str, numbers: &[u8]) -> Vec<u8> {
        let unpacked: Vec<u8> = numbers.iter().flat_map(|number| [8 << 3, *number]).collect();
        field(5, &[field(1, name.as_bytes()), unpacked].concat())
    }

    fn old(true_children: &[u8], modes: &[&str]) -> Vec<u8> {
        let modes: Vec<u8> = modes.iter().flat_map(|mode| field(9, mode.as_bytes())).collect();
        [
            ints("nodes_treeids", &[0, 0, 0]),
            ints("nodes_nodeids", &[0, 1, 2]),
            ints("nodes_truenodeids", true_children),
            ints("nodes_falsenodeids", &[2, 0, 0]),
            field(5, &[field(1, b"nodes_modes"), modes].concat()),
            // The operator may come last.
            field(4, b"TreeEnsembleClassifier"),
        ]
        .concat()
    }

    #[test]
    fn branches_that_lead_back_are_found() {
        assert_eq!(check(&old(&[1, 0, 0], &["BRANCH_LEQ", "LEAF", "LEAF"])), Ok(()));
        assert_eq!(check(&old(&[1, 0, 0], &["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"])), Err(Suspicion::CircularTrees));
        assert_eq!(check(&old(&[0, 0, 0], &["BRANCH_EQ", "LEAF", "LEAF"])), Err(Suspicion::CircularTrees));
        assert_eq!(check(&old(&[1, 0], &["BRANCH_LEQ", "LEAF", "LEAF"])), Err(Malformed.into()));
    }

    #[test]
    fn the_newer_operator_is_checked_too() {
        let new = |true_children: &[u8], true_leaves: &[u8]| {
            [
                field(4, b"TreeEnsemble"),
                ints("nodes_truenodeids", true_children),
                ints("nodes_trueleafs", true_leaves),
                ints("nodes_falsenodeids", &[0, 1]),
                ints("nodes_falseleafs", &[1, 1]),
            ]
            .concat()
        };
        assert_eq!(check(&new(&[1, 0], &[0, 1])), Ok(()));
        assert_eq!(check(&new(&[1, 0], &[0, 0])), Err(Suspicion::CircularTrees));
    }

    #[test]
    fn other_operators_are_left_alone_and_references_are_not() {
        let reference = field(5, &[field(1, b"nodes_treeids"), field(21, b"outer")].concat());
        assert_eq!(check(&[field(4, b"MatMul"), reference.clone()].concat()), Ok(()));
        assert_eq!(check(&[field(4, b"TreeEnsembleRegressor"), reference].concat()), Err(Suspicion::HiddenTrees));
    }
}
