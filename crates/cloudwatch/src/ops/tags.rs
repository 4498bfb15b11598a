//! Tags of alarms.

use captura_wire::cloudwatch::shapes::{Tag, Tagging};
use captura_wire::cloudwatch::{Code, Fault, Output};

use super::Done;
use crate::{Cloudwatch, lock};

/// Tags of one alarm: CloudWatch's own limit.
const TAGS_MAX: usize = 50;

fn unknown(arn: &str) -> Fault {
    Fault::new(Code::ResourceNotFoundException, format!("No alarm has the ARN {arn}."))
}

pub(super) fn check(tags: &[Tag]) -> Result<(), Fault> {
    if tags.len() > TAGS_MAX {
        return Err(Fault::invalid(format!("The collection Tags must not have a size greater than {TAGS_MAX}.")));
    }
    match tags.iter().find(|tag| tag.key.starts_with("aws:")) {
        Some(tag) => Err(Fault::invalid(format!("The tag key {} begins with aws:, which is reserved.", tag.key))),
        None => Ok(()),
    }
}

pub(super) fn tag(cloudwatch: &Cloudwatch, input: Tagging) -> Result<Done, Fault> {
    check(&input.tags)?;
    let mut alarms = lock(&cloudwatch.0.alarms);
    let alarm = alarms.by_arn_mut(&input.resource_arn).ok_or_else(|| unknown(&input.resource_arn))?;
    let mut tags = alarm.tags_mut().clone();
    for tag in input.tags {
        tags.retain(|kept| kept.key != tag.key);
        tags.push(tag);
    }
    check(&tags)?;
    *alarm.tags_mut() = tags;
    Ok(Done::changed())
}

pub(super) fn untag(cloudwatch: &Cloudwatch, input: &Tagging) -> Result<Done, Fault> {
    let mut alarms = lock(&cloudwatch.0.alarms);
    let alarm = alarms.by_arn_mut(&input.resource_arn).ok_or_else(|| unknown(&input.resource_arn))?;
    alarm.tags_mut().retain(|tag| !input.tag_keys.contains(&tag.key));
    Ok(Done::changed())
}

pub(super) fn list(cloudwatch: &Cloudwatch, input: &Tagging) -> Result<Done, Fault> {
    let alarms = lock(&cloudwatch.0.alarms);
    let found = alarms.iter().find(|(_, alarm)| alarm.arn == input.resource_arn);
    let (_, alarm) = found.ok_or_else(|| unknown(&input.resource_arn))?;
    let shown = alarm
        .definition
        .tags
        .iter()
        .map(|tag| Output::Structure(vec![("Key", Output::text(&tag.key)), ("Value", Output::text(&tag.value))]));
    Ok(Done::output(vec![("Tags", Output::List(shown.collect()))]))
}
