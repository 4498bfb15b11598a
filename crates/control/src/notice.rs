//! Changes of endpoints and of processing jobs, told as EventBridge tells them: `SageMaker Endpoint State Change`,
//! `SageMaker Processing Job State Change`. Of monitoring schedules AWS tells nothing but their jobs.
//!
//! A notice is written with the change that it tells of, and stays until whoever delivers them says that it was told: so
//! each is told at least once, in the order in which the catalog changed. Who delivers them is another room.

use std::fmt;
use std::sync::Arc;

use captura_names::{Arn, ResourceKind, Timestamp};
use captura_wire::hosting::Tag;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::catalog::{EndpointRow, JobRow};
use crate::deployment::Deployment;

/// Rings when there are notices to tell. It is called while the catalog is held, so it must return at once and must not
/// call control.
pub type NoticeBell = Arc<dyn Fn() + Send + Sync>;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Later ones have larger ones.
    pub id: i64,
    /// In EventBridge's shape.
    pub event: Value,
}

/// Who hears of notices, and in whose name they are.
#[derive(Clone)]
pub(crate) struct Notices {
    pub(crate) bell: NoticeBell,
    pub(crate) account: String,
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Notices {
    /// The event of an endpoint's state.
    pub(crate) fn state_change(&self, endpoint: &EndpointRow, tags: &[Tag]) -> Value {
        let arn = Arn {
            region: endpoint.region.clone(),
            account: self.account.clone(),
            kind: ResourceKind::Endpoint,
            name: endpoint.name.to_string(),
        };
        let shown = endpoint.current.as_ref().or(endpoint.pending.as_ref());
        let mut detail = Map::from_iter([
            ("EndpointName".to_owned(), json!(endpoint.name)),
            ("EndpointArn".to_owned(), json!(arn.to_string())),
            ("EndpointConfigName".to_owned(), json!(shown.map(|shown| &shown.config_name))),
            ("ProductionVariants".to_owned(), variants(shown)),
            ("EndpointStatus".to_owned(), json!(endpoint.status.as_event_str())),
            ("CreationTime".to_owned(), milliseconds(endpoint.created_at)),
            ("LastModifiedTime".to_owned(), milliseconds(endpoint.modified_at)),
            ("Tags".to_owned(), tags.iter().map(|tag| (tag.key.clone(), json!(tag.value))).collect()),
        ]);
        if let Some(reason) = &endpoint.failure_reason {
            detail.insert("FailureReason".to_owned(), json!(reason));
        }
        self.event("SageMaker Endpoint State Change", (&arn, endpoint.modified_at), &detail)
    }

    /// The event of a processing job's state: what DescribeProcessingJob tells, with times in milliseconds.
    pub(crate) fn job_state_change(&self, job: &JobRow, tags: &[Tag]) -> Value {
        let arn = Arn {
            region: job.region.clone(),
            account: self.account.clone(),
            kind: ResourceKind::ProcessingJob,
            name: job.request.processing_job_name.to_string(),
        };
        let asked = serde_json::to_value(&job.request).expect("our bug: a request is text, numbers and lists");
        let mut detail = asked.as_object().cloned().unwrap_or_default();
        let told = [
            ("ProcessingJobArn", Some(json!(arn.to_string()))),
            ("ProcessingJobStatus", Some(json!(job.status.as_str()))),
            ("ExitMessage", job.exit_message.as_ref().map(|message| json!(message))),
            ("FailureReason", job.failure_reason.as_ref().map(|reason| json!(reason))),
            ("MonitoringScheduleArn", job.schedule_arn.as_ref().map(|arn| json!(arn))),
            ("CreationTime", Some(milliseconds(job.created_at))),
            ("ProcessingStartTime", job.started_at.map(milliseconds)),
            ("ProcessingEndTime", job.ended_at.map(milliseconds)),
            ("LastModifiedTime", Some(milliseconds(job.modified_at))),
            ("Tags", Some(tags.iter().map(|tag| (tag.key.clone(), json!(tag.value))).collect())),
        ];
        detail.extend(told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        self.event("SageMaker Processing Job State Change", (&arn, job.modified_at), &detail)
    }

    fn event(&self, kind: &str, (arn, at): (&Arn, Timestamp), detail: &Map<String, Value>) -> Value {
        json!({
            "version": "0",
            "id": Uuid::new_v4(),
            "detail-type": kind,
            "source": "aws.sagemaker",
            "account": self.account,
            "time": at.to_string(),
            "region": arn.region,
            "resources": [arn.to_string()],
            "detail": detail,
        })
    }
}

fn variants(shown: Option<&Deployment>) -> Value {
    let variants = shown.map(|shown| shown.variants.as_slice()).unwrap_or_default();
    let variant = |variant: &crate::deployment::DeployedVariant| {
        json!({
            "VariantName": variant.name,
            "CurrentWeight": variant.weight,
            "DesiredWeight": variant.weight,
            "CurrentInstanceCount": variant.instance_count,
            "DesiredInstanceCount": variant.instance_count,
        })
    };
    variants.iter().map(variant).collect()
}

fn milliseconds(at: Timestamp) -> Value {
    json!(at.unix_us() / 1_000)
}
