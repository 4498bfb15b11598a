//! Members of a capture block.

use super::*;

static SAMPLING: Shape = integer(0, 100);
static CAPTURE_MODE: Shape = Shape::OneOf(&["Input", "Output", "InputAndOutput"]);
static CAPTURE_OPTION: Shape = Shape::Structure(&[required("CaptureMode", &CAPTURE_MODE)]);
static CAPTURE_OPTIONS: Shape = Shape::List { member: &CAPTURE_OPTION, min: 1, max: 32 };
static MEDIA_TYPE: Shape = text(1, 256, &pattern::MEDIA_TYPE);
static MEDIA_TYPES: Shape = Shape::List { member: &MEDIA_TYPE, min: 1, max: 10 };
static CAPTURE_CONTENT_TYPES: Shape =
    Shape::Structure(&[optional("CsvContentTypes", &MEDIA_TYPES), optional("JsonContentTypes", &MEDIA_TYPES)]);
pub(super) static DATA_CAPTURE: Shape = Shape::Structure(&[
    optional("EnableCapture", &BOOLEAN),
    required("InitialSamplingPercentage", &SAMPLING),
    required("DestinationS3Uri", &DESTINATION),
    optional("KmsKeyId", &KMS_KEY),
    required("CaptureOptions", &CAPTURE_OPTIONS),
    optional("CaptureContentTypeHeader", &CAPTURE_CONTENT_TYPES),
]);
