//! What an instance type of AWS's holds, as far as its name says so: copies of inference components are counted by it.
//!
//! Invariant: a name that is not understood holds nothing that is known. Refuses to: know prices, regions, or every type;
//! the names say cores by their size, and memory by their family, and that is near enough to count instances.

/// What there is in one instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Holds {
    pub(crate) cores: f64,
    pub(crate) memory_mb: f64,
    pub(crate) accelerators: f64,
}

/// What an instance of that type holds, e.g. `ml.g5.12xlarge`.
pub(crate) fn holds(instance_type: &str) -> Option<Holds> {
    let (family, size) = instance_type.strip_prefix("ml.")?.split_once('.')?;
    let cores = cores(size)?;
    let accelerators = accelerators(family, size);
    Some(Holds { cores, memory_mb: cores * memory_mb_per_core(family)?, accelerators })
}

fn cores(size: &str) -> Option<f64> {
    match size {
        "medium" => Some(1.0),
        "large" => Some(2.0),
        "xlarge" => Some(4.0),
        _ => size.strip_suffix("xlarge")?.parse::<u32>().ok().map(|times| 4.0 * f64::from(times)),
    }
}

fn memory_mb_per_core(family: &str) -> Option<f64> {
    let gib = match family {
        _ if family.starts_with("p3") => 7.625,
        _ if family.starts_with("p4") => 12.0,
        _ if family.starts_with("p5") => 10.625,
        _ if family.starts_with("inf1") => 2.0,
        _ if family.starts_with('c') => 2.0,
        _ if family.starts_with('r') => 8.0,
        _ if family.starts_with(['m', 't', 'g', 'i']) => 4.0,
        _ => return None,
    };
    Some(gib * 1_024.0)
}

fn accelerators(family: &str, size: &str) -> f64 {
    match (family, size) {
        ("g4dn" | "g5" | "g6" | "g6e", "12xlarge" | "24xlarge") => 4.0,
        ("g5" | "g6" | "g6e", "48xlarge") => 8.0,
        ("g4dn" | "g5" | "g6" | "g6e", _) | ("p3", "2xlarge") => 1.0,
        ("p3", "8xlarge") => 4.0,
        ("p3" | "p3dn" | "p4d" | "p4de" | "p5" | "p5e" | "p5en", _) => 8.0,
        ("inf1", "6xlarge") => 4.0,
        ("inf1", "24xlarge") => 16.0,
        ("inf2", "24xlarge") => 6.0,
        ("inf2", "48xlarge") => 12.0,
        ("inf1" | "inf2", _) => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_instances_hold() {
        for (name, cores, memory_gib, accelerators) in [
            ("ml.m5.large", 2.0, 8.0, 0.0),
            ("ml.c6i.2xlarge", 8.0, 16.0, 0.0),
            ("ml.r5.xlarge", 4.0, 32.0, 0.0),
            ("ml.g5.12xlarge", 48.0, 192.0, 4.0),
            ("ml.g5.xlarge", 4.0, 16.0, 1.0),
            ("ml.p4d.24xlarge", 96.0, 1_152.0, 8.0),
            ("ml.inf2.48xlarge", 192.0, 768.0, 12.0),
        ] {
            assert_eq!(holds(name), Some(Holds { cores, memory_mb: memory_gib * 1_024.0, accelerators }), "{name}");
        }
        for name in ["m5.large", "ml.m5", "ml.m5.metal", "ml.x9.large", ""] {
            assert_eq!(holds(name), None, "{name}");
        }
    }
}
