//! Medians of the rounds, as a table for a page.

use std::fmt::Write as _;

/// One load on one server.
pub(super) struct Round {
    pub(super) requests_per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) cpu_us: f64,
    /// Share of the calls whose capture was dropped.
    pub(super) dropped: f64,
}

/// All rounds of one combination.
pub(super) struct Case {
    workload: String,
    connections: usize,
    capture: &'static str,
    pub(super) rounds: Vec<Round>,
}

impl Case {
    pub(super) fn new(workload: &str, connections: usize, capture: &'static str) -> Case {
        Case { workload: workload.to_owned(), connections, capture, rounds: Vec::new() }
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }

    fn requests_per_second(&self) -> f64 {
        self.median(|round| round.requests_per_second)
    }

    fn is_beside(&self, other: &Case) -> bool {
        self.workload == other.workload && self.connections == other.connections
    }
}

/// The middle of these, or between the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

pub(super) fn markdown(cases: &[Case]) -> String {
    let mut out =
        "| workload | connections | capture | requests/s | p50 µs | p99 µs | of floor | of capture off | CPU µs | dropped |\n\
        | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    for case in cases {
        let of = |capture: &str| {
            let other = cases.iter().find(|other| other.is_beside(case) && other.capture == capture);
            let is_known = other.is_some() && case.capture != capture && case.capture != "floor";
            let ratio = other.map_or(f64::NAN, |other| case.requests_per_second() / other.requests_per_second());
            if is_known { format!("{ratio:.2}") } else { "–".to_owned() }
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {} | {} | {:.1} | {:.1} % |",
            case.workload,
            case.connections,
            case.capture,
            case.requests_per_second(),
            case.median(|round| round.p50_us),
            case.median(|round| round.p99_us),
            of("floor"),
            of("off"),
            case.median(|round| round.cpu_us),
            case.median(|round| round.dropped * 100.0),
        );
    }
    if cases.iter().flat_map(|case| &case.rounds).any(|round| round.dropped > 0.0) {
        let _ = writeln!(out, "\nWhere captures were dropped the row flatters capture: a dropped record costs little.");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(capture: &'static str, rates: &[f64]) -> Case {
        let round =
            |rate: &f64| Round { requests_per_second: *rate, p50_us: 10.0, p99_us: 20.0, cpu_us: 5.0, dropped: 0.0 };
        Case { rounds: rates.iter().map(round).collect(), ..Case::new("echo", 8, capture) }
    }

    #[test]
    fn the_table_gives_medians_and_ratios_to_floor_and_to_capture_off() {
        let table =
            markdown(&[case("floor", &[900.0, 1000.0, 5000.0]), case("off", &[500.0]), case("100 %", &[400.0, 500.0])]);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(lines[0], "| echo | 8 | floor | 1000 | 10 | 20 | – | – | 5.0 | 0.0 % |");
        assert_eq!(lines[1], "| echo | 8 | off | 500 | 10 | 20 | 0.50 | – | 5.0 | 0.0 % |");
        assert_eq!(lines[2], "| echo | 8 | 100 % | 450 | 10 | 20 | 0.45 | 0.90 | 5.0 | 0.0 % |");
    }
}
