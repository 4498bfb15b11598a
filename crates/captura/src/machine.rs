//! How much of the machine this process uses, out of `/proc`.
//!
//! Refuses to: guess. Where `/proc` does not tell, nothing is told.

use captura_names::Timestamp;

/// Clock ticks of a second in `/proc`: fixed by Linux on every architecture that is built for.
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of `/proc/self/stat` behind the name: time in user mode, and in the kernel.
const USER_FIELD: usize = 11;
const KERNEL_FIELD: usize = 12;

/// The process's use of processor and memory.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// Processor seconds, and when.
    before: Option<(f64, Timestamp)>,
}

impl Machine {
    /// Metrics in percent: of one core for the processor (so up to 100 for each), of all memory for memory.
    pub(crate) fn read(&mut self, now: Timestamp) -> Vec<(&'static str, f64)> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut metrics = Vec::new();
        if let Some(used) = processor_seconds(&read("/proc/self/stat"))
            && let Some((before, at)) = self.before.replace((used, now))
        {
            let passed = (now.unix_us() - at.unix_us()) as f64 / 1e6;
            if passed > 0.0 {
                metrics.push(("CPUUtilization", 100.0 * (used - before).max(0.0) / passed));
            }
        }
        let resident = kilobytes(&read("/proc/self/status"), "VmRSS:");
        let total = kilobytes(&read("/proc/meminfo"), "MemTotal:");
        if let (Some(resident), Some(total)) = (resident, total) {
            metrics.push(("MemoryUtilization", 100.0 * resident / total));
        }
        metrics
    }
}

fn processor_seconds(stat: &str) -> Option<f64> {
    // The name of the program stands in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(USER_FIELD)? + ticks(KERNEL_FIELD)?) / TICKS_PER_SECOND)
}

fn kilobytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_some_memory_and_can_be_measured_again() {
        let mut machine = Machine::default();
        let first = machine.read(Timestamp::from_unix_us(0));
        let memory = first.iter().find(|(name, _)| *name == "MemoryUtilization").unwrap().1;
        assert!(memory > 0.0 && memory < 100.0, "{memory}");
        let names: Vec<&str> =
            machine.read(Timestamp::from_unix_us(1_000_000)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["CPUUtilization", "MemoryUtilization"]);
    }

    #[test]
    fn the_name_of_the_program_does_not_confuse_the_reader() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 100 1000000 3 18446744073709551615";
        assert_eq!(processor_seconds(stat), Some(2.0));
        assert_eq!(processor_seconds("7 (a"), None);
        assert_eq!(kilobytes("MemTotal:       2048 kB\n", "MemTotal:"), Some(2_048.0));
    }
}
