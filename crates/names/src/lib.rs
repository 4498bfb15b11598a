//! Validated words: every name that crosses a door is parsed here, once, and carried as a type from then on.
//!
//! Invariant: a value of one of these types satisfies its pattern; nothing downstream checks again.
//! Refuses to: read clocks, touch files, know about HTTP.

mod arn;
mod endpoint_pattern;
mod event_id;
pub mod glob;
mod name;
mod percent;
mod s3_uri;
mod timestamp;

pub use arn::{Arn, InvalidArn, ResourceKind};
pub use endpoint_pattern::{EndpointPattern, InvalidEndpointPattern};
pub use event_id::EventId;
pub use name::{
    ContainerHostname, EndpointConfigName, EndpointName, InferenceComponentName, InferenceId, InvalidName, ModelName,
    ProcessingJobName, VariantName,
};
pub use percent::{InvalidPercent, Percent};
pub use s3_uri::{InvalidS3Uri, S3Uri};
pub use timestamp::{HourPath, InvalidTimestamp, Timestamp};
