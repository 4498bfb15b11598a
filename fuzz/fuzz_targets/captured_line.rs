//! Any lines: what the scanner of captured lines reads is what a general parser of JSON reads.
#![no_main]

use captura_monitor::dataset::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::lines(bytes));
