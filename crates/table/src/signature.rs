//! Columns that a model's signature makes: their names, and which cells of a row go where.
//!
//! | of the signature | dotted | plain |
//! | --- | --- | --- |
//! | input `Account Length` | `in.Account Length` | `in_account_length` |
//! | output `f(x)` | `out.f(x)` | `out_f_x_` |
//!
//! Readers of columns do not tell letters by their case, so a name that differs from an earlier one in nothing else gets
//! `_2`, `_3`, …, in the order of the signature.
//!
//! Invariant: names are different from each other, whatever the case of their letters, and a function of the signature.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use captura_archive::rendering::ColumnNames;
use captura_capture::record::{Field, FieldType};
use captura_monitor::dataset::Row;

/// A column of inputs or outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feature {
    /// Its name in the table.
    pub(crate) column: String,
    /// Its name in the signature.
    pub(crate) name: String,
    pub(crate) kind: FieldType,
    /// Cells of a row that it takes, of a list; `None` for a scalar.
    list: Option<Width>,
}

/// How long a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Fixed(usize),
    /// As long as the row makes it.
    Varies,
}

impl Feature {
    pub(crate) fn is_list(&self) -> bool {
        self.list.is_some()
    }

    fn width(&self) -> Option<usize> {
        match self.list {
            None => Some(1),
            Some(Width::Fixed(width)) => Some(width),
            Some(Width::Varies) => None,
        }
    }
}

/// Features that are columns by their own names.
pub(crate) fn features_as_named(fields: &[Field]) -> Vec<Feature> {
    let feature = |field: &Field| Feature {
        column: field.name.clone(),
        name: field.name.clone(),
        kind: field.kind,
        list: (!field.shape.is_empty()).then(|| width(&field.shape)),
    };
    fields.iter().map(feature).collect()
}

/// Gives columns of one table their names.
pub(crate) struct Naming {
    columns: ColumnNames,
    taken: HashSet<String>,
}

impl Naming {
    pub(crate) fn new(columns: ColumnNames, taken: impl IntoIterator<Item = &'static str>) -> Self {
        Self { columns, taken: taken.into_iter().map(str::to_owned).collect() }
    }

    /// The columns of one side, `in` or `out`.
    pub(crate) fn features(&mut self, side: &str, fields: &[Field]) -> Vec<Feature> {
        fields
            .iter()
            .map(|field| Feature {
                column: self.name(side, &field.name),
                name: field.name.clone(),
                kind: field.kind,
                list: (!field.shape.is_empty()).then(|| width(&field.shape)),
            })
            .collect()
    }

    fn name(&mut self, side: &str, name: &str) -> String {
        let base = match self.columns {
            ColumnNames::Dotted => format!("{side}.{name}"),
            ColumnNames::Plain => format!("{side}_{}", plain(name)),
        };
        let numbered = (2..).map(|n| format!("{base}_{n}"));
        let mut candidates = std::iter::once(base.clone()).chain(numbered);
        let free = |candidate: &String| self.taken.insert(candidate.to_lowercase());
        candidates.find(free).expect("our bug: numbers do not run out")
    }
}

fn plain(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    name.chars().map(letter).collect()
}

fn width(shape: &[Option<u64>]) -> Width {
    let product = shape.iter().try_fold(1_u64, |product, dimension| dimension.and_then(|d| product.checked_mul(d)));
    product.and_then(|product| usize::try_from(product).ok()).map_or(Width::Varies, Width::Fixed)
}

/// Finds the cells of each feature in rows; remembers where they were, since calls of one model look alike.
#[derive(Debug)]
pub(crate) struct Places {
    features: Vec<Feature>,
    by_name: HashMap<String, usize>,
    last_names: Vec<Option<String>>,
    named: Option<Vec<Vec<usize>>>,
    last_count: Option<usize>,
    counted: Vec<Range<usize>>,
    /// Which of the two the last row was laid by.
    is_named: bool,
}

/// The cells of a row that a feature takes.
pub(crate) enum Cells<'p> {
    Run(Range<usize>),
    Picked(&'p [usize]),
}

impl Places {
    pub(crate) fn new(features: Vec<Feature>) -> Self {
        let by_name = features.iter().enumerate().map(|(at, feature)| (feature.name.clone(), at)).collect();
        Self {
            features,
            by_name,
            last_names: Vec::new(),
            named: None,
            last_count: None,
            counted: Vec::new(),
            is_named: false,
        }
    }

    pub(crate) fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Finds the cells of the row for each feature: by name where the row has a name of the signature, else by position.
    ///
    /// # Errors
    /// When the row has not as many cells as the signature wants.
    pub(crate) fn locate(&mut self, row: &Row<'_>) -> Result<(), String> {
        if !row.names.is_empty() && self.last_names != row.names {
            self.named = self.by_names(&row.names);
            self.last_names.clone_from(&row.names);
        }
        self.is_named = !row.names.is_empty() && self.named.is_some();
        if !self.is_named && self.last_count != Some(row.cells.len()) {
            self.last_count = None;
            self.counted = self.by_position(row.cells.len())?;
            self.last_count = Some(row.cells.len());
        }
        Ok(())
    }

    /// The cells that the feature takes of the row that was located last.
    pub(crate) fn cells(&self, feature: usize) -> Cells<'_> {
        match &self.named {
            Some(named) if self.is_named => Cells::Picked(&named[feature]),
            _ => Cells::Run(self.counted[feature].clone()),
        }
    }

    fn by_names(&self, names: &[Option<String>]) -> Option<Vec<Vec<usize>>> {
        let mut places = vec![Vec::new(); self.features.len()];
        for (cell, name) in names.iter().enumerate() {
            let Some(name) = name else { continue };
            let found = self.by_name.get(name).copied().or_else(|| self.list_of(name));
            if let Some(feature) = found.filter(|at| self.features[*at].is_list() || places[*at].is_empty()) {
                places[feature].push(cell);
            }
        }
        places.iter().any(|picked| !picked.is_empty()).then_some(places)
    }

    /// The list that `name.0`, `name.1.2`, … is an element of.
    fn list_of(&self, name: &str) -> Option<usize> {
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        self.by_name.get(stem).copied().filter(|at| self.features[*at].is_list())
    }

    fn by_position(&self, cells: usize) -> Result<Vec<Range<usize>>, String> {
        let fixed: usize = self.features.iter().filter_map(Feature::width).sum();
        let varying = self.features.iter().filter(|feature| feature.width().is_none()).count();
        let rest = match (cells.checked_sub(fixed), varying) {
            (Some(0), 0) => 0,
            (Some(rest), 1) => rest,
            (_, 0) => return Err(format!("the row has {cells} values, the signature {fixed}")),
            (None, _) => return Err(format!("the row has {cells} values, the signature {fixed} at least")),
            (Some(_), _) => return Err("several values of the signature vary in length".to_owned()),
        };
        let mut next = 0;
        let places = self.features.iter().map(|feature| {
            let start = next;
            next += feature.width().unwrap_or(rest);
            start..next
        });
        Ok(places.collect())
    }
}

#[cfg(test)]
mod tests {
    use captura_monitor::dataset::Cell;

    use super::*;

    fn field(name: &str, shape: &[Option<u64>]) -> Field {
        Field { name: name.into(), kind: FieldType::Fractional, shape: shape.to_vec() }
    }

    #[test]
    fn names_are_escaped_predictably_and_never_meet() {
        let fields = ["Account Length", "f(x)", "F(X)", "", "f_x_"].map(|name| field(name, &[]));
        let names = |columns| -> Vec<String> {
            let mut naming = Naming::new(columns, ["event_id"]);
            naming.features("in", &fields).into_iter().map(|feature| feature.column).collect()
        };
        assert_eq!(names(ColumnNames::Dotted), ["in.Account Length", "in.f(x)", "in.F(X)_2", "in.", "in.f_x_"]);
        assert_eq!(names(ColumnNames::Plain), ["in_account_length", "in_f_x_", "in_f_x__2", "in_", "in_f_x__3"]);
    }

    fn places(fields: &[Field], names: &[&str], cells: usize) -> Result<Vec<Vec<usize>>, String> {
        let mut places = Places::new(Naming::new(ColumnNames::Dotted, []).features("in", fields));
        let names = names.iter().map(|name| Some((*name).to_owned())).collect();
        let row = Row { names, cells: vec![Cell::Missing; cells] };
        places.locate(&row)?;
        let cells = (0..fields.len()).map(|feature| match places.cells(feature) {
            Cells::Run(run) => run.collect(),
            Cells::Picked(picked) => picked.to_vec(),
        });
        Ok(cells.collect())
    }

    #[test]
    fn cells_are_found_by_name_or_by_position() {
        let scalars = [field("a", &[]), field("b", &[])];
        assert_eq!(places(&scalars, &[], 2).unwrap(), [vec![0], vec![1]]);
        assert_eq!(places(&scalars, &["b", "x", "a", "a"], 4).unwrap(), [vec![2], vec![0]]);
        assert_eq!(places(&scalars, &["b"], 1).unwrap(), [vec![], vec![0]]);
        assert_eq!(places(&scalars, &["score", "class"], 2).unwrap(), [vec![0], vec![1]], "no name fits");
        assert_eq!(places(&scalars, &[], 3).unwrap_err(), "the row has 3 values, the signature 2");
        let lists = [field("p", &[Some(2), Some(2)]), field("id", &[])];
        assert_eq!(places(&lists, &[], 5).unwrap(), [vec![0, 1, 2, 3], vec![4]]);
        assert_eq!(places(&lists, &["id", "p.0.0", "p.0.1"], 3).unwrap(), [vec![1, 2], vec![0]]);
        let varying = [field("id", &[]), field("tokens", &[None])];
        assert_eq!(places(&varying, &[], 4).unwrap(), [vec![0], vec![1, 2, 3]]);
        assert_eq!(places(&varying, &[], 0).unwrap_err(), "the row has 0 values, the signature 1 at least");
    }
}
