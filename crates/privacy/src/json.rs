//! A walk through a JSON body: values that rules name change, every other byte stays.
//!
//! Rows are found where the monitor finds them:
//!
//! | body | rows |
//! | --- | --- |
//! | `[[…], […]]`, `[{…}, {…}]` | an item each |
//! | `{"instances": …}`, `inputs`, `predictions`, `dataframe_records` | as the member's value |
//! | `{"dataframe_split": {"columns": […], "data": […]}}` | an item of `data` each, with those names |
//! | `[…]`, a single value | one |
//! | any other object, `{"features": […]}` included | one; its members are the columns |
//!
//! A flat list in an answer, or below one of those members, may be one value for each row as well: the rule for column 0 is
//! then applied to every value that has no rule of its own.
//!
//! Invariant: what is no JSON is refused, and so is what is nested deeper than [`DEPTH_MAX`]. `null` stays `null`.

use std::borrow::Cow;

use crate::failed::Failed;
use crate::plan::{ByIndex, Hits, Node, Plan, RuleId};
use crate::scan::Scanner;
use crate::walk::{Change, Visit};

/// Values inside values that are followed.
pub(crate) const DEPTH_MAX: usize = 64;
/// Members that only wrap the rows.
const WRAPPERS: [&str; 4] = ["predictions", "instances", "inputs", "dataframe_records"];
const SPLIT: &str = "dataframe_split";
const FEATURES: &str = "features";

/// What a value is to the rows.
#[derive(Clone, Copy)]
enum Role<'p> {
    /// The rows, or the only row; a flat list of it may be one value per row.
    Rows { flat: bool },
    /// A row that was begun.
    Row(&'p ByIndex),
    /// A value of a row.
    Cell(Option<RuleId>),
    /// Columns and rows beside each other.
    Split,
    /// Rows with named columns.
    SplitRows(&'p ByIndex),
    /// Nothing.
    None,
}

struct Walk<'t, 'p, 'v, 'w> {
    scanner: Scanner<'t>,
    plan: &'p Plan,
    visit: &'v mut Visit<'w>,
    hits: Hits,
    row: usize,
    out: String,
    copied: usize,
}

pub(crate) fn walk(text: &str, plan: &Plan, visit: &mut Visit<'_>) -> Result<String, Failed> {
    document(text, 0, plan, visit).map(|(out, _)| out)
}

pub(crate) fn walk_lines(text: &str, plan: &Plan, visit: &mut Visit<'_>) -> Result<String, Failed> {
    let mut out = String::with_capacity(text.len() + 64);
    let mut row = 0;
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            out.push_str(line);
            continue;
        }
        let (changed, next) = document(line, row, plan, visit)?;
        out.push_str(&changed);
        row = next;
    }
    Ok(out)
}

fn document(text: &str, row: usize, plan: &Plan, visit: &mut Visit<'_>) -> Result<(String, usize), Failed> {
    let (hits, out) = (Hits::new(plan), String::with_capacity(text.len() + 64));
    let mut walk = Walk { scanner: Scanner::new(text), plan, visit, hits, row, out, copied: 0 };
    let role = if plan.has_columns { Role::Rows { flat: plan.is_output } } else { Role::None };
    walk.value(role, &[&plan.tree], false, 0)?;
    walk.scanner.end()?;
    walk.hits.close(plan, false)?;
    if plan.has_columns && walk.row == row {
        // No row was found where rows are looked for; they may be anywhere else.
        walk.hits.close(plan, true)?;
    }
    let Walk { mut out, copied, row, .. } = walk;
    out.push_str(&text[copied..]);
    Ok((out, row))
}

impl<'p> Walk<'_, 'p, '_, '_> {
    fn value(&mut self, role: Role<'_>, nodes: &[&'p Node], kept: bool, depth: usize) -> Result<(), Failed> {
        let first = self.scanner.peek()?;
        let role = match (role, first) {
            (_, b'{' | b'[') => role,
            // A single value is a row of one.
            (Role::Rows { .. }, _) => {
                self.value(Role::Cell(self.plan.by_index.first().copied().flatten()), nodes, kept, depth)?;
                return self.end_row();
            }
            (Role::Row(columns), _) => Role::Cell(columns.first().copied().flatten()),
            (role, _) => role,
        };
        let of_cell = if let Role::Cell(rule) = role { rule } else { None };
        let rule = nodes.iter().filter_map(|node| node.rule).chain(of_cell).min();
        let mut kept = kept;
        if let Some(rule) = rule {
            for met in nodes.iter().filter_map(|node| node.rule).chain(of_cell) {
                self.hits.hit(met);
            }
            if self.plan.action(Some(rule)) != crate::Action::Keep {
                // Rules for parts of it have found their place too.
                nodes.iter().for_each(|node| node.each(&mut |below| self.hits.hit(below)));
                return self.change(Some(rule), depth);
            }
            kept = true;
        }
        let is_plain = matches!(role, Role::Cell(_) | Role::None);
        let nothing_below = nodes.iter().all(|node| !node.has_more());
        if is_plain && nothing_below && (kept || self.plan.otherwise.is_none()) {
            return self.scanner.skip(depth);
        }
        match first {
            b'{' => self.object(role, nodes, kept, depth),
            b'[' => self.array(role, nodes, kept, depth),
            _ => self.change(None, depth),
        }
    }

    fn change(&mut self, rule: Option<RuleId>, depth: usize) -> Result<(), Failed> {
        let start = self.scanner.at();
        self.scanner.skip(depth)?;
        let raw = self.scanner.since(start);
        if raw == "null" {
            return Ok(());
        }
        let text = if raw.starts_with('"') { Scanner::unescaped(raw)? } else { Cow::Borrowed(raw) };
        let changed = (self.visit)(rule, self.row, &text)?;
        if changed != Change::Keep {
            self.out.push_str(self.scanner.between(self.copied, start));
            self.copied = self.scanner.at();
        }
        match changed {
            Change::Keep => {}
            Change::Empty => self.out.push_str("null"),
            Change::Text(text) => {
                self.out.push('"');
                self.out.push_str(&text);
                self.out.push('"');
            }
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), Failed> {
        self.row += 1;
        self.hits.close(self.plan, true)
    }

    fn object(&mut self, role: Role<'_>, nodes: &[&'p Node], kept: bool, depth: usize) -> Result<(), Failed> {
        let wraps = matches!(role, Role::Rows { .. })
            && self.scanner.has_member(depth, |name| WRAPPERS.contains(&name) || name == SPLIT)?;
        let split = if let Role::Split = role { Some(self.split_columns(depth)?) } else { None };
        let mut members = self.scanner.open(b'{', b'}')?;
        while members {
            let name = self.scanner.name()?;
            let below: Vec<&'p Node> = nodes.iter().filter_map(|node| node.names.get(&*name)).collect();
            let is_list = self.scanner.peek()? == b'[';
            let is_columns = matches!(role, Role::Split) && name == "columns";
            let inner = match role {
                Role::Rows { .. } if wraps => match &*name {
                    SPLIT => Role::Split,
                    name if WRAPPERS.contains(&name) => Role::Rows { flat: name != "dataframe_records" },
                    _ => Role::None,
                },
                Role::Rows { .. } | Role::Row(_) => match self.plan.by_name.get(&*name) {
                    None if name == FEATURES && is_list => Role::Row(&self.plan.by_index),
                    rule => Role::Cell(rule.copied()),
                },
                Role::Split if name == "data" && is_list => {
                    Role::SplitRows(split.as_ref().unwrap_or(&self.plan.by_index))
                }
                _ => Role::None,
            };
            self.value(inner, &below, kept || is_columns, depth + 1)?;
            members = self.scanner.more(b'}')?;
        }
        if matches!(role, Role::Rows { .. }) && !wraps { self.end_row() } else { Ok(()) }
    }

    /// The columns that the object names.
    fn split_columns(&self, depth: usize) -> Result<ByIndex, Failed> {
        let Some(raw) = self.scanner.member(depth, "columns")? else { return Ok(self.plan.by_index.clone()) };
        let names: Vec<serde_json::Value> =
            serde_json::from_str(raw).map_err(|_| Failed::NotJson("the columns of dataframe_split are no list"))?;
        let names: Vec<String> =
            names.iter().map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect();
        Ok(self.plan.named(names.iter().map(String::as_str)))
    }

    fn array(&mut self, role: Role<'_>, nodes: &[&'p Node], kept: bool, depth: usize) -> Result<(), Failed> {
        let role = match role {
            Role::Rows { flat } => match self.scanner.is_flat(depth)? {
                true => return self.flat(flat, nodes, kept, depth),
                false => Role::SplitRows(&self.plan.by_index),
            },
            role => role,
        };
        self.items(nodes, depth, |walk, index, below| {
            let inner = match role {
                Role::SplitRows(columns) => Role::Row(columns),
                Role::Row(columns) => Role::Cell(columns.get(index).copied().flatten()),
                _ => Role::None,
            };
            walk.value(inner, below, kept, depth + 1)?;
            if matches!(role, Role::SplitRows(_)) { walk.end_row() } else { Ok(()) }
        })
        .map(drop)
    }

    /// A list without lists and objects: one row, and maybe one value for each row.
    fn flat(&mut self, flat: bool, nodes: &[&'p Node], kept: bool, depth: usize) -> Result<(), Failed> {
        let count = self.items(nodes, depth, |walk, index, below| {
            let columns = &walk.plan.by_index;
            let rule = columns.get(index).copied().flatten();
            let rule = rule.or_else(|| columns.first().copied().flatten().filter(|_| flat));
            walk.value(Role::Cell(rule), below, kept, depth + 1)
        })?;
        if count > 0 { self.end_row() } else { Ok(()) }
    }

    /// Walks the items of a list; answers how many there were.
    fn items(
        &mut self,
        nodes: &[&'p Node],
        depth: usize,
        mut item: impl FnMut(&mut Self, usize, &[&'p Node]) -> Result<(), Failed>,
    ) -> Result<usize, Failed> {
        if depth >= DEPTH_MAX {
            return Err(Failed::NotJson("it is nested too deeply"));
        }
        let (mut count, mut more) = (0, self.scanner.open(b'[', b']')?);
        if !more {
            // Every item of none has been seen to.
            let every = nodes.iter().filter_map(|node| node.every.as_deref());
            every.for_each(|node| node.each(&mut |rule| self.hits.hit(rule)));
        }
        while more {
            let mut below: Vec<&'p Node> = Vec::new();
            for node in nodes.iter().filter(|node| node.has_more()) {
                below.extend(node.every.as_deref());
                below.extend(node.names.get(&count.to_string()));
            }
            item(self, count, &below)?;
            count += 1;
            more = self.scanner.more(b']')?;
        }
        Ok(count)
    }
}
