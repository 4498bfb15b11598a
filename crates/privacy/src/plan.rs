//! Rules for the values of one body, laid out for the walk through it.
//!
//! Names and numbers of columns become one: a model's signature says which is which, so that a rule by name finds its
//! value in a CSV row, and a rule by number its member in a JSON object.

use std::collections::HashMap;

use captura_route::Field;

use crate::action::Action;
use crate::failed::Failed;
use crate::pointer::{Pointer, Token};
use crate::rules::{Column, Place, Rule};

/// Which rule; the first in the operator's order wins where two meet.
pub(crate) type RuleId = usize;

/// Columns by their numbers.
pub(crate) type ByIndex = Vec<Option<RuleId>>;

/// Rules, laid out.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) marks: Vec<Mark>,
    pub(crate) by_index: ByIndex,
    pub(crate) by_name: HashMap<String, RuleId>,
    /// Rules by number as they were written, for bodies that name their columns themselves.
    numbered: Vec<(usize, RuleId)>,
    pub(crate) tree: Node,
    /// What is done to values that no rule names.
    pub(crate) otherwise: Option<Action>,
    pub(crate) has_columns: bool,
    /// Whether a flat list may be one value for each row, as answers of a batch are.
    pub(crate) is_output: bool,
}

/// A rule at one place.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) action: Action,
    pub(crate) optional: bool,
    pub(crate) is_column: bool,
    /// The place, for people.
    pub(crate) label: String,
}

/// Pointers, as a tree of their steps.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) rule: Option<RuleId>,
    pub(crate) names: HashMap<String, Node>,
    pub(crate) every: Option<Box<Node>>,
}

impl Node {
    fn insert(&mut self, tokens: &[Token], rule: RuleId) {
        match tokens.split_first() {
            None => self.rule = Some(self.rule.map_or(rule, |known| known.min(rule))),
            Some((Token::Name(name), rest)) => self.names.entry(name.clone()).or_default().insert(rest, rule),
            Some((Token::EveryItem, rest)) => self.every.get_or_insert_default().insert(rest, rule),
        }
    }

    pub(crate) fn has_more(&self) -> bool {
        !self.names.is_empty() || self.every.is_some()
    }

    /// Calls `met` with each rule here and below.
    pub(crate) fn each(&self, met: &mut impl FnMut(RuleId)) {
        self.rule.into_iter().for_each(&mut *met);
        self.names.values().for_each(|node| node.each(met));
        self.every.iter().for_each(|node| node.each(met));
    }
}

impl Plan {
    /// Lays rules out. `fields` are the values of a row as the model names them, where it does.
    pub(crate) fn new(rules: &[Rule], otherwise: Action, fields: Option<&[Field]>, is_output: bool) -> Self {
        let mut plan =
            Self { otherwise: (otherwise != Action::Keep).then_some(otherwise), is_output, ..Self::default() };
        let columns = Columns::of(fields.unwrap_or_default());
        for rule in rules {
            let id = plan.marks.len();
            let (is_column, label) = match &rule.place {
                Place::Column(Column::Index(index)) => (true, format!("column {index}")),
                Place::Column(Column::Name(name)) => (true, format!("column {name:?}")),
                Place::Pointer(pointer) => (false, format!("value at {pointer}")),
            };
            plan.marks.push(Mark { action: rule.action, optional: rule.optional, is_column, label });
            plan.has_columns |= is_column;
            let found = match &rule.place {
                Place::Column(Column::Index(index)) => {
                    plan.numbered.push((*index, id));
                    let named = columns.name(*index).is_none_or(|name| plan.name(name, id));
                    plan.number(*index, id) & named
                }
                Place::Column(Column::Name(name)) => {
                    let numbers = columns.numbers(name);
                    let numbered = numbers.fold(true, |free, index| plan.number(index, id) & free);
                    plan.name(name, id) & numbered
                }
                Place::Pointer(text) => {
                    let pointer = Pointer::parse(text).expect("our bug: rules hold pointers that were parsed");
                    plan.tree.insert(&pointer.0, id);
                    true
                }
            };
            // An earlier rule, which names the same value in another way, has it.
            plan.marks[id].optional |= !found;
        }
        plan
    }

    fn number(&mut self, index: usize, id: RuleId) -> bool {
        if self.by_index.len() <= index {
            self.by_index.resize(index + 1, None);
        }
        *self.by_index[index].get_or_insert(id) == id
    }

    fn name(&mut self, name: &str, id: RuleId) -> bool {
        *self.by_name.entry(name.to_owned()).or_insert(id) == id
    }

    /// The columns of a body that names them.
    pub(crate) fn named<'n>(&self, names: impl Iterator<Item = &'n str>) -> ByIndex {
        let numbered = |index| self.numbered.iter().find(|(number, _)| *number == index).map(|(_, id)| *id);
        names.enumerate().map(|(index, name)| self.by_name.get(name).copied().or_else(|| numbered(index))).collect()
    }

    /// Whether anything is to be done.
    pub(crate) fn is_idle(&self) -> bool {
        self.otherwise.is_none() && self.marks.iter().all(|mark| mark.action == Action::Keep)
    }

    /// What is done to a value.
    pub(crate) fn action(&self, rule: Option<RuleId>) -> Action {
        rule.map_or(self.otherwise.unwrap_or(Action::Keep), |rule| self.marks[rule].action)
    }
}

/// Which rules found something to work on.
#[derive(Debug)]
pub(crate) struct Hits(Vec<bool>);

impl Hits {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(vec![false; plan.marks.len()])
    }

    pub(crate) fn hit(&mut self, rule: RuleId) {
        self.0[rule] = true;
    }

    /// Every rule of that kind found something, or must not; begins anew for the next row or document.
    pub(crate) fn close(&mut self, plan: &Plan, columns: bool) -> Result<(), Failed> {
        for (hit, mark) in self.0.iter_mut().zip(&plan.marks).filter(|(_, mark)| mark.is_column == columns) {
            if !std::mem::take(hit) && !mark.optional {
                return Err(Failed::Missing(mark.label.clone()));
            }
        }
        Ok(())
    }
}

/// The values of a row as a model names them: name, first number, how many.
struct Columns<'f>(Vec<(&'f str, usize, usize)>);

impl<'f> Columns<'f> {
    fn of(fields: &'f [Field]) -> Self {
        let mut next = 0;
        let mut columns = Vec::new();
        for field in fields {
            let size = field
                .shape
                .iter()
                .try_fold(1_usize, |size, dimension| size.checked_mul(usize::try_from((*dimension)?).ok()?));
            // Behind values of which nobody knows how many they are, nobody knows the numbers.
            let Some(size) = size.filter(|size| *size <= COLUMNS_MAX) else { break };
            columns.push((field.name.as_str(), next, size));
            next += size;
        }
        Self(columns)
    }

    fn numbers(&self, name: &str) -> std::ops::Range<usize> {
        self.0.iter().find(|(known, ..)| *known == name).map_or(0..0, |(_, first, size)| *first..first + size)
    }

    fn name(&self, index: usize) -> Option<&'f str> {
        self.0.iter().find(|(_, first, size)| *first == index && *size == 1).map(|(name, ..)| *name)
    }
}

/// Values of a row whose names are looked up.
const COLUMNS_MAX: usize = 1 << 20;
