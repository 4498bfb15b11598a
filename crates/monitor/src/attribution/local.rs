//! Attributions row by row, and `explanations_shap/out.csv`, which holds them.
//!
//! Columns are `<feature>_<label>`, all features of a label before those of the next, as Clarify writes them.
//! Invariant: what was written is read again as the same numbers.

use captura_attribution::record::{Layout, Record, Shape, write};

use crate::dataset::each_csv_row;

/// Attributions of the explained rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LocalValues {
    /// Names of the features.
    pub features: Vec<String>,
    /// Names of the outputs.
    pub labels: Vec<String>,
    /// Of each row, feature by feature, output by output.
    pub rows: Vec<Vec<f64>>,
    /// Their standard deviations; absent where they are not known of every row.
    pub deviations: Option<Vec<Vec<f64>>>,
}

impl LocalValues {
    /// As `out.csv`.
    #[must_use]
    pub fn csv(&self) -> String {
        let labels = self.labels.len();
        let places = || (0..labels).flat_map(|label| (0..self.features.len()).map(move |feature| (label, feature)));
        let names: Vec<String> =
            places().map(|(label, feature)| format!("{}_{}", self.features[feature], self.labels[label])).collect();
        let mut text = line(&names);
        for row in &self.rows {
            let values: Vec<String> =
                places().map(|(label, feature)| row[feature * labels + label].to_string()).collect();
            text.push_str(&line(&values));
        }
        text
    }

    /// Reads `out.csv` of these features and labels; `None` when it is not such a file.
    #[must_use]
    pub fn read(text: &str, features: &[String], labels: &[String]) -> Option<Self> {
        let mut places: Option<Vec<usize>> = None;
        let mut rows = Vec::new();
        let outcome = each_csv_row(text, |cells| {
            if places.is_none() {
                let column = |name: String| cells.iter().position(|cell| **cell == name);
                let names =
                    features.iter().flat_map(|feature| labels.iter().map(move |label| format!("{feature}_{label}")));
                places = names.map(column).collect();
                return places.as_ref().map(|_| ()).ok_or_else(|| "other columns".to_owned());
            }
            let number =
                |&place: &usize| cells.get(place)?.trim().parse::<f64>().ok().filter(|value| value.is_finite());
            let row: Option<Vec<f64>> = places.iter().flatten().map(number).collect();
            rows.push(row.ok_or("no number")?);
            Ok(())
        });
        outcome.ok()?;
        (!rows.is_empty()).then(|| Self {
            features: features.to_vec(),
            labels: labels.to_vec(),
            rows,
            deviations: None,
        })
    }
}

/// A line of CSV.
fn line(cells: &[String]) -> String {
    use captura_attribution::record::Feature;
    let record: Record = cells.iter().map(|cell| Feature::Cell(cell.as_str().into())).collect();
    let mut bytes = Vec::new();
    write(record.iter(), Layout::Csv, &Shape::default(), &mut bytes);
    bytes.push(b'\n');
    String::from_utf8(bytes).expect("our bug: cells are text")
}
