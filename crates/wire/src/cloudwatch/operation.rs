//! The operations of CloudWatch that are known here, and what their inputs must look like.

use serde_json::{Map, Value};

use super::fault::Fault;
use super::{query, schema};
use crate::validation::{self, Member};

macro_rules! operations {
    ($($name:ident $members:ident $has_output:literal,)*) => {
        /// An operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are AWS's own")]
        pub enum Operation {
            $($name,)*
        }

        impl Operation {
            /// All of them, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Whether the service model gives it an output; without one, clients expect no result element.
            #[must_use]
            pub fn has_output(self) -> bool {
                match self { $(Self::$name => $has_output,)* }
            }

            fn members(self) -> &'static [Member] {
                match self { $(Self::$name => schema::$members,)* }
            }
        }
    };
}

operations! {
    DeleteAlarms ALARM_NAMES_REQUIRED false,
    DescribeAlarmHistory DESCRIBE_ALARM_HISTORY true,
    DescribeAlarms DESCRIBE_ALARMS true,
    DescribeAlarmsForMetric DESCRIBE_ALARMS_FOR_METRIC true,
    DisableAlarmActions ALARM_NAMES_REQUIRED false,
    EnableAlarmActions ALARM_NAMES_REQUIRED false,
    GetMetricData GET_METRIC_DATA true,
    GetMetricStatistics GET_METRIC_STATISTICS true,
    ListMetrics LIST_METRICS true,
    ListTagsForResource RESOURCE_ARN_ONLY true,
    PutMetricAlarm PUT_METRIC_ALARM false,
    PutMetricData PUT_METRIC_DATA false,
    SetAlarmState SET_ALARM_STATE false,
    TagResource TAG_RESOURCE true,
    UntagResource UNTAG_RESOURCE true,
}

impl Operation {
    /// The operation of that name.
    ///
    /// # Errors
    /// `UnknownOperationException`.
    pub fn of_name(name: &str) -> Result<Self, Fault> {
        let found = Self::ALL.iter().find(|operation| operation.name() == name);
        found.copied().ok_or_else(|| Fault::unknown_operation(name))
    }

    /// Gives the members of a form the types that they should have.
    pub(super) fn shape_form(self, input: &mut Map<String, Value>) {
        query::shape(input, self.members());
    }

    /// Checks an input against the constraints of the service model.
    pub(super) fn check(self, input: &Map<String, Value>) -> Result<(), Fault> {
        Ok(validation::check(input, self.members())?)
    }
}
