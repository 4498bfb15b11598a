//! The demo's callers: three programs that use one model in their own ways.
//!
//! Everything goes through the real HTTP API, each caller under its own access key id. The patients are real, who is
//! asked about when is drawn from a seeded generator, so every run sends the same bodies in the same order.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Method;

use crate::client::Client;
use crate::credentials::Credentials;

/// The demo's endpoint.
pub(super) const ENDPOINT: &str = "diabetes-progression";
/// The caller that will make the mistake.
pub(super) const CARELESS: &str = "insurer-batch";

/// Kilopascal per millimetre of mercury.
const KPA_PER_MMHG: f64 = 0.133_322;
const BLOOD_PRESSURE: usize = 3;

/// Patients as the demo's file has them: one row of numbers each.
pub(super) struct Patients {
    pub(super) names: Vec<String>,
    rows: Vec<Vec<f64>>,
}

impl Patients {
    pub(super) fn parse(csv: &str) -> anyhow::Result<Self> {
        let mut lines = csv.lines();
        let names = lines.next().context("the demo's patient file is empty")?.split(',').map(str::to_owned).collect();
        let parse = |line: &str| line.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>();
        let rows = lines
            .map(parse)
            .collect::<Result<_, _>>()
            .context("the demo's patient file holds something that is no number")?;
        Ok(Self { names, rows })
    }

    fn csv(&self, patient: usize, unit: Unit) -> String {
        let mut line = String::new();
        for (column, value) in self.rows[patient % self.rows.len()].iter().enumerate() {
            let separator = if column == 0 { "" } else { "," };
            let _ = match (column, unit) {
                (BLOOD_PRESSURE, Unit::Kilopascal) => write!(line, "{separator}{:.2}", value * KPA_PER_MMHG),
                _ => write!(line, "{separator}{value}"),
            };
        }
        line
    }
}

/// The unit in which a caller sends blood pressure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    MillimetresOfMercury,
    Kilopascal,
}

/// One caller's habits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) name: &'static str,
    pub(super) habit: &'static str,
    calls: usize,
    patients_per_call: usize,
    /// Every so many calls one is nonsense; 0 never.
    mistake_every: usize,
}

/// Who calls the demo's model in each half of the demo.
pub(super) const CALLERS: [Caller; 3] = [
    Caller { name: "clinic-app", habit: "one patient at a time", calls: 600, patients_per_call: 1, mistake_every: 0 },
    Caller { name: CARELESS, habit: "batches of five", calls: 120, patients_per_call: 5, mistake_every: 0 },
    Caller {
        name: "research-notebook",
        habit: "trying things, sometimes nonsense",
        calls: 80,
        patients_per_call: 1,
        mistake_every: 16,
    },
];

/// What one caller saw.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) patients: u64,
    pub(super) refused: u64,
}

impl Caller {
    /// Makes this caller's calls of one half of the demo.
    pub(super) async fn run(self, url: &str, patients: &Patients, unit: Unit, seed: u64) -> anyhow::Result<Tally> {
        let client = Client::new(url, Some(Credentials::claimed(self.name)))?;
        let path = format!("/endpoints/{ENDPOINT}/invocations");
        let mut draw = Draw(seed ^ self.name.len() as u64);
        let mut tally = Tally::default();
        for call in 1..=self.calls {
            let nonsense = self.mistake_every > 0 && call % self.mistake_every == 0;
            let body = if nonsense {
                "52,2,unknown,101,192,103,37,5,4.3,69".to_owned()
            } else {
                let picked = (0..self.patients_per_call).map(|_| patients.csv(draw.next(), unit));
                picked.collect::<Vec<_>>().join("\n")
            };
            let id = format!("{}-{seed}-{call}", self.name);
            let headers = [("content-type", "text/csv"), ("x-amzn-sagemaker-inference-id", id.as_str())];
            let reply = client.send(Method::POST, &path, &headers, Bytes::from(body)).await?;
            tally.calls += 1;
            match (reply.status.as_u16(), nonsense) {
                (200, false) => tally.patients += self.patients_per_call as u64,
                (424, true) => tally.refused += 1,
                (status, _) => bail!("{} got status {status}: {}", self.name, reply.message()),
            }
        }
        Ok(tally)
    }
}

/// SplitMix64: enough chance for picking patients, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blood_pressure_changes_with_the_unit() {
        let patients = Patients::parse("age,sex,bmi,bp,tc\n59,2,25.5,95.33,190\n").unwrap();
        assert_eq!(patients.names[BLOOD_PRESSURE], "bp");
        assert_eq!(patients.csv(0, Unit::MillimetresOfMercury), "59,2,25.5,95.33,190");
        assert_eq!(patients.csv(7, Unit::Kilopascal), "59,2,25.5,12.71,190");
    }
}
