//! Model Monitor's files: printed as Jackson on a JVM prints them, and read back leniently.

mod java_double;
mod print;
mod statistics;
mod violations;

pub use java_double::java_double;
pub use print::jackson;
pub(crate) use statistics::domain;
pub use statistics::{
    CategoricalDistribution, CategoryBucket, Common, DatasetStatistics, FeatureStatistics, HistogramBucket,
    KllDistribution, NumericalDistribution, NumericalStatistics, SketchData, SketchParameters, Statistics,
    StringDistribution, StringStatistics,
};
pub use violations::{CheckType, ConstraintViolations, Violation};
