//! Which columns there are, and of which types, found out from a sample.
//!
//! | cells of the sample | type |
//! | --- | --- |
//! | whole numbers only | Integral |
//! | numbers, `NaN` and `Infinity` among them | Fractional |
//! | `true` and `false` only | Boolean |
//! | anything else, or nothing | String |
//!
//! Invariant: the same objects give the same columns. A value that its column cannot take later on is null and counted.
//! Refuses to: guess names; a cell without a name is called by its place, from 0.

use std::collections::{BTreeMap, HashMap};

use captura_capture::record::{Field, FieldType, Signature};
use captura_monitor::dataset::{Cell, Naming, Row};

/// Records that are looked at for each endpoint, or of plain files, unless told otherwise.
pub const SAMPLE_RECORDS: u64 = 20_000;
/// Columns of one side of a model, or of plain files, at most.
pub(crate) const COLUMNS_MAX: usize = 10_000;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// So many records, of objects spread over the whole.
    Records(u64),
    /// Everything.
    All,
}

impl Sample {
    /// Records that are looked at, at most.
    pub(crate) fn records(self) -> u64 {
        match self {
            Self::Records(records) => records,
            Self::All => u64::MAX,
        }
    }
}

/// How the cells of a column were written.
#[derive(Debug, Clone, Copy, Default)]
struct Kinds {
    whole: bool,
    fraction: bool,
    truth: bool,
    text: bool,
}

impl Kinds {
    fn note(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Missing => {}
            Cell::Number { integral: true, text, .. } if text.trim().parse::<i64>().is_ok() => self.whole = true,
            Cell::Number { .. } => self.fraction = true,
            Cell::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "false" => self.truth = true,
                "nan" | "inf" | "+inf" | "-inf" | "infinity" | "+infinity" | "-infinity" => self.fraction = true,
                _ => self.text = true,
            },
        }
    }

    fn kind(self) -> FieldType {
        match self {
            Self { text: true, .. } => FieldType::String,
            Self { truth: true, whole: false, fraction: false, .. } => FieldType::Boolean,
            Self { truth: true, .. } => FieldType::String,
            Self { fraction: true, .. } => FieldType::Fractional,
            Self { whole: true, .. } => FieldType::Integral,
            _ => FieldType::String,
        }
    }
}

/// The columns of rows of one sort.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
    named: Vec<Kinds>,
    /// Rows without names by their width: how many, and what they hold.
    by_width: BTreeMap<usize, (u64, Vec<Kinds>)>,
}

impl Columns {
    pub(crate) fn note(&mut self, row: &Row<'_>) {
        if row.names.is_empty() {
            let width = row.cells.len().min(COLUMNS_MAX);
            let (rows, kinds) = self.by_width.entry(width).or_insert_with(|| (0, vec![Kinds::default(); width]));
            *rows += 1;
            kinds.iter_mut().zip(&row.cells).for_each(|(kinds, cell)| kinds.note(cell));
            return;
        }
        for (name, cell) in row.names.iter().zip(&row.cells) {
            let Some(name) = name else { continue };
            let place = match self.places.get(name) {
                Some(place) => *place,
                None if self.names.len() < COLUMNS_MAX => {
                    self.names.push(name.clone());
                    self.named.push(Kinds::default());
                    self.places.insert(name.clone(), self.names.len() - 1);
                    self.names.len() - 1
                }
                None => continue,
            };
            self.named[place].note(cell);
        }
    }

    /// The columns: those with names where there are any, else those of the rows that are most, called `prefix` and their place.
    pub(crate) fn fields(&self, prefix: &str) -> Vec<Field> {
        let field = |name: String, kinds: &Kinds| Field { name, kind: kinds.kind(), shape: Vec::new() };
        if !self.names.is_empty() {
            return self.names.iter().cloned().zip(&self.named).map(|(name, kinds)| field(name, kinds)).collect();
        }
        let most = self.by_width.values().max_by_key(|(rows, _)| *rows);
        let kinds = most.map_or(&[][..], |(_, kinds)| kinds);
        kinds.iter().enumerate().map(|(place, kinds)| field(format!("{prefix}{place}"), kinds)).collect()
    }
}

/// What the bodies of one endpoint's calls hold.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    inputs: Columns,
    outputs: Columns,
}

impl Bodies {
    /// Notes the rows of a captured line; what cannot be read says nothing.
    pub(crate) fn note(&mut self, line: &[u8], naming: &Naming) {
        let (inputs, outputs) = (&mut self.inputs, &mut self.outputs);
        let _ = captura_table::lines::each_row(line, naming, |input, output| {
            input.into_iter().for_each(|row| inputs.note(row));
            output.into_iter().for_each(|row| outputs.note(row));
        });
    }

    pub(crate) fn signature(&self, naming: &Naming) -> Signature {
        let mut signature = Signature { inputs: self.inputs.fields(""), outputs: self.outputs.fields("") };
        let by_place = [&self.inputs, &self.outputs].iter().all(|side| side.names.is_empty());
        let width = signature.inputs.len() + signature.outputs.len();
        if let Some(names) = naming.columns().filter(|names| by_place && names.len() == width) {
            // The answer comes first.
            let fields = signature.outputs.iter_mut().chain(&mut signature.inputs);
            fields.zip(names).for_each(|(field, name)| field.name.clone_from(name));
        }
        signature
    }
}

/// Makes columns of one name one type over all signatures, so that they can stand in one table.
pub(crate) fn reconcile(signatures: &mut BTreeMap<String, Signature>) {
    fn sides(signature: &mut Signature) -> [&mut Vec<Field>; 2] {
        [&mut signature.inputs, &mut signature.outputs]
    }
    let mut kinds: [HashMap<String, FieldType>; 2] = Default::default();
    for signature in signatures.values_mut() {
        for (side, kinds) in sides(signature).into_iter().zip(&mut kinds) {
            for field in side.iter() {
                let known = kinds.entry(field.name.clone()).or_insert(field.kind);
                *known = common(*known, field.kind);
            }
        }
    }
    for signature in signatures.values_mut() {
        for (side, kinds) in sides(signature).into_iter().zip(&kinds) {
            side.iter_mut().for_each(|field| field.kind = kinds[&field.name]);
        }
    }
}

fn common(one: FieldType, other: FieldType) -> FieldType {
    use FieldType::{Fractional, Integral, String};
    match (one, other) {
        _ if one == other => one,
        (Integral, Fractional) | (Fractional, Integral) => Fractional,
        _ => String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(rows: &[&str]) -> Vec<(String, FieldType)> {
        let mut columns = Columns::default();
        for row in rows {
            let cells = row.split(',').map(|text| Cell::parse(text.into())).collect();
            columns.note(&Row { names: Vec::new(), cells });
        }
        columns.fields("").into_iter().map(|field| (field.name, field.kind)).collect()
    }

    #[test]
    fn types_are_the_narrowest_that_hold_the_sample() {
        use FieldType::{Boolean, Fractional, Integral, String};
        let found = kinds(&["1,1,true,x,,9223372036854775808", "2,NaN,False,7,,1", "3,4,5", "4,.5,true,,,2"]);
        let expected = [Integral, Fractional, Boolean, String, String, Fractional];
        assert_eq!(found.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(), expected);
        assert_eq!(found[5].0, "5");
    }

    #[test]
    fn columns_of_one_name_have_one_type() {
        let signature =
            |kind| Signature { inputs: vec![Field { name: "a".into(), kind, shape: vec![] }], outputs: Vec::new() };
        let mut signatures = BTreeMap::from([
            ("x".to_owned(), signature(FieldType::Integral)),
            ("y".to_owned(), signature(FieldType::Fractional)),
        ]);
        reconcile(&mut signatures);
        assert!(signatures.values().all(|signature| signature.inputs[0].kind == FieldType::Fractional));
    }
}
