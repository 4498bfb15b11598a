//! Captured calls of a time that begins or ends within an hour, cut out of their objects.
//!
//! Objects are named by the hour; a job that is about five minutes finds the whole hour's objects in its folder.

use std::io::Write as _;
use std::ops::Range;
use std::path::Path;

use captura_monitor::dataset::record::CapturedRecord;
use captura_names::Timestamp;

use crate::Failure;
use crate::job::Job;

const HOUR_US: i64 = 3_600_000_000;

/// The files with the calls of the job's time; whole hours are what the files hold already.
pub(crate) fn of_window(job: &Job, files: Vec<String>) -> Result<Vec<String>, Failure> {
    let Some(window) = job.window()?.filter(|window| !is_whole(window)) else { return Ok(files) };
    let folder = job.scratch("captures")?;
    let mut kept = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let failed = |reason| Failure::File { path: file.clone(), reason };
        let bytes = captured(file).map_err(failed)?;
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| is_of(&window, line)).collect();
        if lines.is_empty() {
            continue;
        }
        let path = folder.join(format!("{number:08}.jsonl"));
        let mut out = std::io::BufWriter::new(std::fs::File::create(&path).map_err(failed)?);
        for line in lines {
            out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        kept.push(path.display().to_string());
    }
    if kept.is_empty() { Err(Failure::NoData) } else { Ok(kept) }
}

fn is_whole(window: &Range<Timestamp>) -> bool {
    [window.start, window.end].iter().all(|at| at.unix_us().rem_euclid(HOUR_US) == 0)
}

/// A file's bytes, unpacked where its name says that it is packed.
pub(crate) fn captured(file: &str) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let bytes = std::fs::read(Path::new(file))?;
    if !file.ends_with(".gz") {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain)?;
    Ok(plain)
}

/// A record that does not say when it was made is of any time.
fn is_of(window: &Range<Timestamp>, line: &[u8]) -> bool {
    let Ok(record) = CapturedRecord::parse(line) else { return !line.is_empty() };
    let time = record.event_metadata.inference_time.as_ref().and_then(|time| Timestamp::parse(&time.0).ok());
    time.is_none_or(|time| window.contains(&time))
}
