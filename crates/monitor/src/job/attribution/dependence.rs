//! Partial dependence of a table's or of captured rows, asked for by `methods.pdp`.
//!
//! Invariant: `analysis.json` keeps what is in it already; never more calls than the budget has. Refuses to: choose features
//! where neither names nor attributions say which.

use captura_archive::Stores;

use super::asking::{AskModel, ask};
use super::rows::gather;
use super::{ANALYSIS, Attribution, AttributionError, LabelAttribution, pretty, read_beside};
use crate::attribution::{DependenceConfig, Depending, InvalidAttribution, PartialDependence, Wording};
use crate::job::below;
use crate::job::files::write;

/// Rows that are asked about with each value of a feature, at the most.
const ROWS_MAX: usize = 2_000;

/// The outcome.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DependenceSummary {
    /// Feature by feature.
    pub curves: Vec<PartialDependence>,
    /// Rows that were asked about with each value, a random sample of all.
    pub rows: usize,
    /// Calls to the model.
    pub calls: usize,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Addresses of the artefacts.
    pub written: Vec<String>,
}

/// Asks `model` for the partial dependence that the configuration wishes, of the features that it names, else of those that add
/// most; writes it into `analysis.json`. Calls are numbered from behind those before, which count against the budget.
///
/// # Errors
/// When something cannot be read or written, the model cannot be asked, or a feature is not there.
pub async fn dependence(
    stores: &Stores,
    request: &Attribution,
    (ranked, calls_before): (&[LabelAttribution], usize),
    model: &dyn AskModel,
) -> Result<DependenceSummary, AttributionError> {
    let Some(wanted) = &request.config.dependence else { return Ok(DependenceSummary::default()) };
    let gathered = gather(stores, &request.source, &request.config, ROWS_MAX).await?;
    let wording = Wording::of(&request.config.predictor, &gathered.names)?;
    let chosen = chosen(wanted, &gathered.names, ranked)?;
    let mut depending = Depending::new((&gathered.names, &gathered.rows), &chosen, wanted.grid_resolution, &wording);
    let budget = &request.budget;
    let calls = budget.calls.saturating_sub(calls_before);
    let rows = depending.ask_at_most(calls.saturating_mul(budget.rows_per_call));
    let asked = ask(&mut depending, &wording, request, (model, calls_before)).await?;
    let curves = depending.finish();
    let mut notes = vec![format!("partial dependence of {} features is of {rows} rows each", chosen.len())];
    notes.extend(curves.iter().filter_map(|curve| {
        let error = curve.error.as_deref()?;
        Some(format!("no partial dependence of {:?}: {error}", curve.feature_name))
    }));
    let address = below(&request.out, ANALYSIS);
    let mut analysis = read_beside(stores, &address).await.unwrap_or_default();
    "1.0".clone_into(&mut analysis.version);
    analysis.explanations.get_or_insert_default().pdp.clone_from(&curves);
    let written = vec![write(stores, &address, pretty(&analysis)).await?];
    Ok(DependenceSummary { curves, rows, calls: asked.calls, notes, written })
}

/// Places of the features: of those that are named, else of those that add most to all labels together.
fn chosen(
    wanted: &DependenceConfig,
    names: &[String],
    ranked: &[LabelAttribution],
) -> Result<Vec<usize>, InvalidAttribution> {
    let place = |name: &String| {
        let named = names.iter().position(|known| known == name);
        named.or_else(|| name.parse().ok().filter(|&place| place < names.len())).ok_or_else(|| {
            InvalidAttribution(format!("asks for the partial dependence on {name:?}; there are {}", names.join(", ")))
        })
    };
    if !wanted.features.is_empty() {
        return wanted.features.iter().map(place).collect();
    }
    let size = |feature: usize| ranked.iter().map(|label| label.features[feature].value.abs()).sum::<f64>();
    let mut places: Vec<usize> = (0..names.len()).collect();
    places.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
    places.truncate(wanted.top_k_features);
    Ok(places)
}
