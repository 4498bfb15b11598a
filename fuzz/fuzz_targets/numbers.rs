//! Any lines of CSV: the numbers that are read sixteen bytes at a time are those that are read one cell at a time.
#![no_main]

use captura_monitor::dataset::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::numbers(bytes));
