//! The operations. Each is a function from an input to an answer; what must be on the disk before it is answered, or
//! told after, it says in [`Done`].

mod alarms;
mod metrics;
mod tags;

use captura_wire::cloudwatch::{Call, Code, Fault, Operation, Structure};

use crate::Cloudwatch;
use crate::notice::StateChange;

/// What an operation did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) output: Structure,
    /// The alarms must be written before the answer goes out.
    pub(crate) alarms_changed: bool,
    /// To be told when they are written.
    pub(crate) changes: Vec<StateChange>,
}

impl Done {
    fn output(output: Structure) -> Self {
        Self { output, ..Self::default() }
    }

    fn changed() -> Self {
        Self { alarms_changed: true, ..Self::default() }
    }
}

/// Carries out a call.
pub(crate) fn carry_out(cloudwatch: &Cloudwatch, call: Call, region: &str) -> Result<Done, Fault> {
    match call.operation {
        Operation::PutMetricAlarm => alarms::put(cloudwatch, call.input()?, region),
        Operation::DescribeAlarms => alarms::describe(cloudwatch, &call.input()?),
        Operation::DescribeAlarmsForMetric => alarms::describe_for_metric(cloudwatch, call.input()?),
        Operation::DescribeAlarmHistory => alarms::history(cloudwatch, &call.input()?),
        Operation::SetAlarmState => alarms::set_state(cloudwatch, call.input()?),
        Operation::DeleteAlarms => alarms::delete(cloudwatch, &call.input()?),
        Operation::EnableAlarmActions => alarms::enable_actions(cloudwatch, &call.input()?, true),
        Operation::DisableAlarmActions => alarms::enable_actions(cloudwatch, &call.input()?, false),
        Operation::PutMetricData => metrics::put(cloudwatch, call.input()?),
        Operation::GetMetricData => metrics::get_data(cloudwatch, &call.input()?),
        Operation::GetMetricStatistics => metrics::get_statistics(cloudwatch, call.input()?),
        Operation::ListMetrics => metrics::list(cloudwatch, &call.input()?),
        Operation::TagResource => tags::tag(cloudwatch, call.input()?),
        Operation::UntagResource => tags::untag(cloudwatch, &call.input()?),
        Operation::ListTagsForResource => tags::list(cloudwatch, &call.input()?),
    }
}

/// One page of a sorted list: what follows the token, and the token of the next page. A token is the last key shown.
fn page<T>(
    items: impl Iterator<Item = (String, T)>,
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), Fault> {
    let after = token.map(decode).transpose()?;
    let mut page = Vec::new();
    let mut last = String::new();
    for (key, item) in items.skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after)) {
        if page.len() == size {
            return Ok((page, Some(encode(&last))));
        }
        last = key;
        page.push(item);
    }
    Ok((page, None))
}

fn encode(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(token: &str) -> Result<String, Fault> {
    let bad = || Fault::new(Code::InvalidNextToken, "The NextToken is not one that this server gave.");
    if !token.is_ascii() || !token.len().is_multiple_of(2) {
        return Err(bad());
    }
    let bytes = (0..token.len()).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16));
    let bytes = bytes.collect::<Result<Vec<u8>, _>>().map_err(|_| bad())?;
    String::from_utf8(bytes).map_err(|_| bad())
}
