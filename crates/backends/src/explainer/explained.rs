//! A model behind an explainer: one call, from its records to its answer with explanations.
//!
//! Invariant: the model gets the call as it came, once; everything else it is asked is synthetic. A call that is dropped asks
//! nothing more.
//! Refuses to: answer in part. When one record cannot be explained, the call fails and says why.

use std::sync::Arc;

use captura_attribution::jmespath::Expression;
use captura_attribution::kernel::{Coalitions, attributions};
use captura_attribution::outputs::Outputs;
use captura_attribution::record::{self, Layout, Record};
use captura_route::{Answer, Backend, BackendError, Extras, Invoking, ModelRequest, Signature};
use serde_json::Value;

use super::answer::{Explanation, Told};
use super::asking::{Asking, layout_of, outputs_of};
use super::limits::{ATTRIBUTIONS_MAX, EVALUATED_AT_ONCE, FEATURES_MAX, READ_AT_ONCE_MAX_BYTES, SYNTHETIC_RECORDS_MAX};
use super::units::{Texts, Unit, mixed};
use super::{Explainer, samples};

/// Log-odds of probabilities are computed no nearer to 0 and 1 than this, where they are infinite.
const PROBABILITY_MARGIN: f64 = f64::EPSILON;

/// A model whose answers are explained.
#[derive(Debug)]
pub(crate) struct Explained {
    model: Arc<dyn Backend>,
    explainer: Explainer,
    signature: Option<Signature>,
}

impl Explained {
    pub(crate) fn new(model: Arc<dyn Backend>, explainer: Explainer) -> Self {
        // What goes in is what it was; what comes out is a document.
        let signature = model.signature().map(|own| Signature { inputs: own.inputs.clone(), outputs: Vec::new() });
        Self { model, explainer, signature }
    }
}

impl Backend for Explained {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(self.explain(request))
    }

    fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    fn extras(&self) -> Extras {
        // A model that remembers calls would remember synthetic ones.
        Extras { explanations: true, sessions: false, ..self.model.extras() }
    }

    fn instances(&self) -> usize {
        self.model.instances()
    }

    fn resolved_image(&self, container: usize) -> Option<Arc<str>> {
        self.model.resolved_image(container)
    }
}

/// A call's records, and which of them are to be explained, by their places.
struct Wanted<'a> {
    layout: Layout,
    records: &'a [Record],
    explained: &'a [usize],
    outputs: &'a Outputs,
}

impl Explained {
    async fn explain(&self, request: &ModelRequest) -> Result<Answer, BackendError> {
        let spec = &self.explainer.spec;
        let enabled = match request.enable_explanations.as_deref() {
            None => spec.enabled.clone(),
            Some(text) => text.parse::<Expression>().map_err(|why| {
                BackendError::refused(format!("EnableExplanations is not a JMESPath expression: {why}"))
            })?,
        };
        let asked = ModelRequest { enable_explanations: None, ..request.clone() };
        let records = match enabled.constant() {
            Some(Value::Bool(false)) => None,
            _ => Some(self.records_of(&asked).await?),
        };
        let answer = self.model.invoke(&asked).await?;
        let mut told = Told {
            answer: &answer,
            label_headers: spec.label_headers.clone().map(|labels| labels.into_iter().map(Value::from).collect()),
            feature_headers: spec.feature_headers.as_deref(),
            explanations: Vec::new(),
            outputs: 1,
        };
        if let Some((layout, records)) = records {
            let outputs = outputs_of(&answer, records.len()).map_err(BackendError::refused)?;
            let explained = chosen(&enabled, &outputs).await.map_err(BackendError::refused)?;
            if let Some(&first) = explained.first() {
                if told.label_headers.is_none() {
                    told.label_headers = outputs.labels(first, &spec.places).map_err(BackendError::refused)?;
                }
                let wanted = Wanted { layout, records: &records, explained: &explained, outputs: &outputs };
                (told.explanations, told.outputs) = self.explanations(&asked, &wanted).await?;
            }
        }
        told.written().map_err(BackendError::refused)
    }

    async fn records_of(&self, request: &ModelRequest) -> Result<(Layout, Vec<Record>), BackendError> {
        let shape = &self.explainer.spec.shape;
        let layout = layout_of(request.content_type.as_deref())
            .map_err(|why| BackendError::refused(format!("ContentType {why}")))?;
        if layout == Layout::JsonLines && shape.template.is_none() {
            return Err(BackendError::refused(
                "the explainer's configuration has no ContentTemplate, so it cannot write JSON Lines",
            ));
        }
        let records = if request.body.len() > READ_AT_ONCE_MAX_BYTES {
            let (body, shape) = (request.body.clone(), shape.clone());
            self.computed(move || record::read(&body, layout, &shape)).await?
        } else {
            record::read(&request.body, layout, shape)
        };
        let records = records.map_err(|why| BackendError::refused(format!("the body cannot be read: {why}")))?;
        let (found, wanted) = (records[0].len(), self.explainer.baseline[0].len());
        if found != wanted {
            let text = format!("the records have {found} features, but the SHAP baseline has {wanted}");
            return Err(BackendError::refused(text));
        }
        Ok((layout, records))
    }

    /// What every feature of every record adds, and to how many outputs.
    async fn explanations(
        &self,
        request: &ModelRequest,
        wanted: &Wanted<'_>,
    ) -> Result<(Vec<Option<Explanation>>, usize), BackendError> {
        let (spec, baseline) = (&self.explainer.spec, &self.explainer.baseline);
        let numbers = |&record: &usize| wanted.outputs.numbers(record, &spec.places).map_err(BackendError::refused);
        let predictions: Vec<Vec<f64>> = wanted.explained.iter().map(numbers).collect::<Result<_, _>>()?;
        let outputs = predictions[0].len();
        if predictions.iter().any(|numbers| numbers.len() != outputs) {
            return Err(BackendError::refused("the model answered different numbers of outputs to the records"));
        }
        let units: Vec<Vec<Unit>> = wanted.explained.iter().map(|&place| self.units(&wanted.records[place])).collect();
        self.check_size((wanted.explained, &units), outputs).map_err(BackendError::refused)?;
        let asking = Asking {
            model: &*self.model,
            spec,
            request,
            layout: wanted.layout,
            outputs,
            batch_records: &self.explainer.batch_records,
        };
        let mut common = vec![0.0; outputs];
        if self.explainer.texts.is_none() {
            let write =
                |row: usize, body: &mut Vec<u8>| record::write(baseline[row].iter(), wanted.layout, &spec.shape, body);
            asking.each(baseline.len(), write, |_, numbers| add_share(&mut common, numbers, baseline.len())).await?;
            self.link(&mut common)?;
        }
        let mut explanations = vec![None; wanted.records.len()];
        let mut coalitions = None;
        for ((&place, mut prediction), units) in wanted.explained.iter().zip(predictions).zip(&units) {
            self.link(&mut prediction)?;
            let record = &wanted.records[place];
            let expected = match &self.explainer.texts {
                None => common.clone(),
                Some(_) => self.expected_of(&asking, (record, units)).await?,
            };
            let whole: Vec<f64> = prediction.iter().zip(&expected).map(|(one, base)| one - base).collect();
            let added = self.one(&asking, (record, units), (&expected, whole), &mut coalitions).await?;
            let parts = self.explainer.texts.as_ref().map(|_| Texts::told(record, units)).unwrap_or_default();
            explanations[place] = Some(Explanation { added, parts });
        }
        Ok((explanations, outputs))
    }

    /// What of a record is explained by itself.
    fn units(&self, record: &Record) -> Vec<Unit> {
        match &self.explainer.texts {
            Some(texts) => texts.units(record),
            None => Unit::features(record),
        }
    }

    /// What the model says of a record when nothing of it is left: a text without its parts has as many parts of the
    /// baseline's, so that it differs from record to record.
    async fn expected_of(
        &self,
        asking: &Asking<'_>,
        (record, units): (&Record, &[Unit]),
    ) -> Result<Vec<f64>, BackendError> {
        let (baseline, spec) = (&self.explainer.baseline, &self.explainer.spec);
        let mut expected = vec![0.0; asking.outputs];
        let write = |row: usize, body: &mut Vec<u8>| {
            let features = mixed((record, units), &baseline[row], |_| false);
            record::write(features.iter().map(|one| &**one), asking.layout, &spec.shape, body);
        };
        asking.each(baseline.len(), write, |_, numbers| add_share(&mut expected, numbers, baseline.len())).await?;
        self.link(&mut expected)?;
        Ok(expected)
    }

    fn check_size(&self, (places, units): (&[usize], &[Vec<Unit>]), outputs: usize) -> Result<(), String> {
        let (spec, baseline, records) = (&self.explainer.spec, &self.explainer.baseline, units.len());
        let is_long = |units: &Vec<Unit>| units.len() > FEATURES_MAX;
        if let (Some(texts), Some(index)) = (&self.explainer.texts, units.iter().position(is_long)) {
            return Err(format!(
                "record {} has {} {} and other features, and {FEATURES_MAX} can be explained; send shorter texts, or cut them \
                 into larger parts",
                places[index] + 1,
                units[index].len(),
                texts.cutting.noun()
            ));
        }
        let synthetic = |units: &Vec<Unit>| samples(spec, units.len()).saturating_mul(baseline.len());
        let synthetic = units.iter().map(synthetic).fold(0_usize, usize::saturating_add);
        if synthetic > SYNTHETIC_RECORDS_MAX {
            return Err(format!(
                "{records} records would be explained by {synthetic} synthetic ones, and a call may have \
                 {SYNTHETIC_RECORDS_MAX}; send fewer records, or lower NumberOfSamples or the size of the SHAP baseline"
            ));
        }
        let numbers = units.iter().map(|units| units.len().saturating_mul(outputs)).fold(0, usize::saturating_add);
        if numbers > ATTRIBUTIONS_MAX {
            return Err(format!(
                "the explanations would have more than {ATTRIBUTIONS_MAX} numbers; send fewer records"
            ));
        }
        Ok(())
    }

    /// What every unit of one record adds. `coalitions` are kept for records with as many units that differ.
    async fn one(
        &self,
        asking: &Asking<'_>,
        (record, units): (&Record, &[Unit]),
        (expected, whole): (&[f64], Vec<f64>),
        coalitions: &mut Option<(usize, Arc<Coalitions>)>,
    ) -> Result<Vec<f64>, BackendError> {
        let (baseline, spec, outputs) = (&self.explainer.baseline, &self.explainer.spec, asking.outputs);
        let varying: Vec<usize> = (0..units.len()).filter(|&unit| units[unit].differs(record, baseline)).collect();
        let mut added = vec![0.0; units.len() * outputs];
        if varying.is_empty() {
            return Ok(added);
        }
        let drawn = match coalitions.take().filter(|(count, _)| *count == varying.len()) {
            Some((_, drawn)) => drawn,
            None => {
                let (count, seed, budget) = (varying.len(), spec.seed, samples(spec, varying.len()));
                Arc::new(self.computed(move || Coalitions::draw(count, budget, seed)).await?)
            }
        };
        // Place of each unit among those that vary.
        let mut places = vec![None; units.len()];
        for (place, &unit) in varying.iter().enumerate() {
            places[unit] = Some(place);
        }
        let has_texts = self.explainer.texts.is_some();
        let write = |row: usize, body: &mut Vec<u8>| {
            let (subset, base) = (row / baseline.len(), &baseline[row % baseline.len()]);
            let is_kept = |unit: usize| places[unit].is_none_or(|place| drawn.has(subset, place));
            if has_texts {
                let features = mixed((record, units), base, is_kept);
                return record::write(features.iter().map(|one| &**one), asking.layout, &spec.shape, body);
            }
            let features = (0..record.len()).map(|unit| if is_kept(unit) { &record[unit] } else { &base[unit] });
            record::write(features, asking.layout, &spec.shape, body);
        };
        let mut gains = vec![0.0; drawn.len() * outputs];
        let take = |row: usize, numbers: &[f64]| {
            let subset = row / baseline.len();
            add_share(&mut gains[subset * outputs..][..outputs], numbers, baseline.len());
        };
        asking.each(drawn.len() * baseline.len(), write, take).await?;
        for means in gains.chunks_exact_mut(outputs) {
            self.link(means)?;
            for (mean, base) in means.iter_mut().zip(expected) {
                *mean -= base;
            }
        }
        let fitting = Arc::clone(&drawn);
        let fitted = self.computed(move || attributions(&fitting, &gains, &whole)).await?;
        *coalitions = Some((varying.len(), drawn));
        for (place, &unit) in varying.iter().enumerate() {
            added[unit * outputs..][..outputs].copy_from_slice(&fitted[place * outputs..][..outputs]);
        }
        Ok(added)
    }

    /// Log-odds of probabilities, where the configuration asks for them.
    fn link(&self, numbers: &mut [f64]) -> Result<(), BackendError> {
        if !self.explainer.spec.use_logit {
            return Ok(());
        }
        for number in numbers {
            if !(0.0..=1.0).contains(number) {
                return Err(BackendError::refused(format!(
                    "UseLogit is for probabilities from 0 to 1, and the model answered {number}"
                )));
            }
            let probability = number.clamp(PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN);
            *number = (probability / (1.0 - probability)).ln();
        }
        Ok(())
    }

    /// Computes where it may take its time. What is computed for a call that is given up goes on holding its turn.
    async fn computed<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackendError> {
        let turn = Arc::clone(&self.explainer.fits).acquire_owned().await;
        let computing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            compute()
        });
        match computing.await {
            Ok(computed) => Ok(computed),
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_) => Err(BackendError::Unavailable("the server shuts down".to_owned())),
        }
    }
}

/// The places of the records that an expression chooses.
async fn chosen(enabled: &Expression, outputs: &Outputs) -> Result<Vec<usize>, String> {
    let mut places = Vec::new();
    for (place, record) in outputs.records().iter().enumerate() {
        if place % EVALUATED_AT_ONCE == EVALUATED_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        match enabled.search(record) {
            Ok(Value::Bool(true)) => places.push(place),
            Ok(Value::Bool(false)) => {}
            Ok(other) => {
                let found = match other {
                    Value::Null => "nothing",
                    Value::Number(_) => "a number",
                    Value::String(_) => "a string",
                    _ => "a list or an object",
                };
                return Err(format!(
                    "EnableExplanations {enabled} finds {found} in the model's answer to record {}, and neither true nor false",
                    place + 1
                ));
            }
            Err(why) => return Err(format!("EnableExplanations {enabled} of record {}: {why}", place + 1)),
        }
    }
    Ok(places)
}

fn add_share(sums: &mut [f64], numbers: &[f64], count: usize) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum += number / count as f64;
    }
}
