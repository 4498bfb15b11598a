//! Any bytes as captured lines and as CSV: rows come out, bad records are counted, and the reader ends.
#![no_main]

use captura_monitor::dataset::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::rows(bytes));
