//! Scripts of a user's that a monitoring job runs: a Python program that is given captured records over a pipe and says what to
//! make of each, and one that is run when the work is done.
//!
//! ```text
//! lines ──▶ (a thread writes) ──▶ python3 driver.py preprocess FILE ──▶ (a thread reads) ──▶ answers, one for each line
//! ```
//! The script runs as whoever started the job: it is that person's own program, and nobody else's word names it.
//!
//! Invariant: a line is answered in its order, within the time limit, or the script is ended and the error has its last words.
//! What is in flight is one batch. Refuses to: run anything whose path did not come from whoever started the job.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

const DRIVER: &str = include_str!("script/driver.py");
/// Records that are sent before their answers are waited for.
pub const BATCH_RECORDS_MAX: usize = 128;
/// Bytes of records that are sent before their answers are waited for; one larger record goes alone.
pub const BATCH_MAX_BYTES: usize = 4 << 20;
/// Longest answer to one record, bytes.
const ANSWER_MAX_BYTES: u64 = 64 << 20;
/// How much of what a script said last an error shows, bytes.
const LAST_WORDS_MAX_BYTES: usize = 2_048;

/// A script and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The file.
    pub path: PathBuf,
    /// The Python that runs it.
    pub python: PathBuf,
    /// How long it may take over one record, or over its whole work where it has no records.
    pub timeout: Duration,
    /// Variables it gets beside those of this process.
    pub environment: BTreeMap<String, String>,
}

/// What a script made of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// A JSON list of rows.
    Rows(String),
    /// The record is left out.
    Skipped,
    /// The script failed on it, and says why.
    Failed(String),
}

/// Why a script could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be started.
    #[error("{path} cannot be run with {python}: {source}")]
    Start {
        /// The script.
        path: String,
        /// Its interpreter.
        python: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended before its work was done.
    #[error("{path} ended ({status}) before it had answered everything{last_words}")]
    Ended {
        /// The script.
        path: String,
        /// How.
        status: String,
        /// What it said last, with a separator in front; else empty.
        last_words: String,
    },
    /// It took too long, and was ended.
    #[error("{path} took longer than {timeout_s} s over {over} and was ended{last_words}")]
    TimedOut {
        /// The script.
        path: String,
        /// Over what.
        over: &'static str,
        /// The limit.
        timeout_s: u64,
        /// What it said last, with a separator in front; else empty.
        last_words: String,
    },
    /// It wrote what is no answer.
    #[error("{path} answered what cannot be read: {reason}")]
    Answer {
        /// The script.
        path: String,
        /// What about it.
        reason: String,
    },
}

/// A running `preprocess_handler`.
pub struct Preprocessor {
    script: Script,
    running: Running,
    batches: Option<SyncSender<Vec<u8>>>,
    answers: Receiver<Result<String, String>>,
}

impl Preprocessor {
    /// Starts the script; that it has a handler shows with the first record.
    ///
    /// # Errors
    /// When there is no such interpreter.
    pub fn start(script: &Script) -> Result<Self, ScriptError> {
        let mut running = Running::start(script, "preprocess", Stdio::piped())?;
        let (mut stdin, stdout) = (running.child.stdin.take(), running.child.stdout.take());
        let (batches, sent) = sync_channel::<Vec<u8>>(1);
        std::thread::spawn(move || {
            for batch in sent {
                // A script that reads no more has ended, which shows where its answers are missing.
                if stdin.as_mut().is_none_or(|stdin| stdin.write_all(&batch).is_err()) {
                    break;
                }
            }
        });
        let (replies, answers) = sync_channel(BATCH_RECORDS_MAX);
        std::thread::spawn(move || {
            let Some(stdout) = stdout else { return };
            let mut reader = BufReader::new(stdout);
            while let Some(answer) = next_line(&mut reader) {
                if replies.send(answer).is_err() {
                    return;
                }
            }
        });
        Ok(Self { script: script.clone(), running, batches: Some(batches), answers })
    }

    /// What the script makes of these records, each a line without its end; in their order.
    ///
    /// # Errors
    /// When it ends, takes too long over one of them, or answers what cannot be read.
    pub fn handle(&mut self, records: &[&[u8]]) -> Result<Vec<Handled>, ScriptError> {
        let mut handled = Vec::with_capacity(records.len());
        let mut rest = records;
        while !rest.is_empty() {
            let (mut bytes, mut count) = (0, 0);
            while count < rest.len().min(BATCH_RECORDS_MAX)
                && (count == 0 || bytes + rest[count].len() < BATCH_MAX_BYTES)
            {
                bytes += rest[count].len();
                count += 1;
            }
            let (batch, behind) = rest.split_at(count);
            rest = behind;
            let mut lines = batch.join(&b'\n');
            lines.push(b'\n');
            // Nobody takes it when the script has ended, which shows in the answers.
            let _ = self.batches.as_ref().map(|batches| batches.send(lines));
            for _ in batch {
                handled.push(self.answer()?);
            }
        }
        Ok(handled)
    }

    fn answer(&mut self) -> Result<Handled, ScriptError> {
        let line = match self.answers.recv_timeout(self.script.timeout) {
            Ok(Ok(line)) => line,
            Ok(Err(reason)) => return Err(self.unread(reason)),
            Err(RecvTimeoutError::Timeout) => return Err(self.running.timed_out(&self.script, "one record")),
            Err(RecvTimeoutError::Disconnected) => return Err(self.running.ended(&self.script)),
        };
        match line.split_once('\t') {
            Some(("rows", rows)) => Ok(Handled::Rows(rows.to_owned())),
            Some(("skipped", _)) => Ok(Handled::Skipped),
            Some(("failed", reason)) => {
                serde_json::from_str(reason).map(Handled::Failed).map_err(|error| self.unread(error.to_string()))
            }
            _ => Err(self.unread("a line of another kind".to_owned())),
        }
    }

    fn unread(&self, reason: String) -> ScriptError {
        ScriptError::Answer { path: self.script.path.display().to_string(), reason }
    }
}

impl Drop for Preprocessor {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        self.batches = None;
    }
}

/// Runs a `postprocess_handler` to its end.
///
/// # Errors
/// When it cannot be started, fails, or takes too long.
pub fn postprocess(script: &Script) -> Result<(), ScriptError> {
    let mut running = Running::start(script, "postprocess", Stdio::null())?;
    let stdout = running.child.stdout.take();
    let (ended, end) = sync_channel::<()>(1);
    std::thread::spawn(move || {
        // It writes nothing there; when the pipe closes it has ended.
        let _ = stdout.map(|mut stdout| std::io::copy(&mut stdout, &mut std::io::sink()));
        let _ = ended.send(());
    });
    if end.recv_timeout(script.timeout).is_err() {
        return Err(running.timed_out(script, "its work"));
    }
    match running.wait() {
        Some(status) if status.success() => Ok(()),
        _ => Err(running.ended(script)),
    }
}

/// A started script and what it says.
struct Running {
    child: Child,
    last_words: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

impl Running {
    fn start(script: &Script, mode: &str, stdin: Stdio) -> Result<Self, ScriptError> {
        #[expect(clippy::disallowed_methods, reason = "this is where a user's scripts are started")]
        let mut command = Command::new(&script.python);
        command.args(["-c", DRIVER, mode]).arg(&script.path).envs(&script.environment);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let failed = |source| ScriptError::Start {
            path: script.path.display().to_string(),
            python: script.python.display().to_string(),
            source,
        };
        let mut child = command.spawn().map_err(failed)?;
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let (kept, stderr) = (Arc::clone(&last_words), child.stderr.take());
        let listener = std::thread::spawn(move || {
            let Some(mut stderr) = stderr else { return };
            let mut piece = [0; 4_096];
            while let Ok(length @ 1..) = stderr.read(&mut piece) {
                // Whoever started the job hears what the script says, as it says it.
                let _ = std::io::stderr().write_all(&piece[..length]);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&piece[..length]);
                let surplus = kept.len().saturating_sub(LAST_WORDS_MAX_BYTES);
                kept.drain(..surplus);
            }
        });
        Ok(Self { child, last_words, listener: Some(listener) })
    }

    /// How it ended, where it has.
    fn wait(&mut self) -> Option<ExitStatus> {
        self.child.wait().ok()
    }

    fn kill(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    fn ended(&mut self, script: &Script) -> ScriptError {
        let status = self.wait().map_or_else(|| "nobody knows how".to_owned(), |status| status.to_string());
        ScriptError::Ended { path: script.path.display().to_string(), status, last_words: self.last_words() }
    }

    fn timed_out(&mut self, script: &Script, over: &'static str) -> ScriptError {
        self.kill();
        ScriptError::TimedOut {
            path: script.path.display().to_string(),
            over,
            timeout_s: script.timeout.as_secs(),
            last_words: self.last_words(),
        }
    }

    /// The end of what it said, once it says no more.
    fn last_words(&mut self) -> String {
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let kept = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        if text.trim().is_empty() { String::new() } else { format!("; it said last:\n{}", text.trim_end()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill();
        }
    }
}

/// The next line without its end; nothing at the end.
fn next_line(reader: &mut BufReader<impl Read>) -> Option<Result<String, String>> {
    let mut line = Vec::new();
    match reader.take(ANSWER_MAX_BYTES).read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(_) if line.pop() == Some(b'\n') => Some(String::from_utf8(line).map_err(|error| error.to_string())),
        Ok(_) if line.len() as u64 + 1 >= ANSWER_MAX_BYTES => {
            Some(Err(format!("an answer is longer than {ANSWER_MAX_BYTES} bytes")))
        }
        // Half a line is the last of a script that died.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"1,2","encoding":"CSV"},"endpointOutput":{"observedContentType":"text/csv","mode":"OUTPUT","data":"0.5\n","encoding":"CSV"}},"eventMetadata":{"eventId":"e1","customAttributes":["test"],"inferenceTime":"2026-01-01T00:00:00Z"},"eventVersion":"0"}"#;

    fn script(folder: &tempfile::TempDir, text: &str, timeout: Duration) -> Script {
        let path = folder.path().join("script.py");
        std::fs::write(&path, text).unwrap();
        Script { path, python: "python3".into(), timeout, environment: BTreeMap::new() }
    }

    fn handled(text: &str, records: &[&str]) -> Result<Vec<Handled>, ScriptError> {
        let folder = tempfile::tempdir().unwrap();
        let script = script(&folder, text, Duration::from_secs(60));
        let records: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
        Preprocessor::start(&script)?.handle(&records)
    }

    fn rows(text: &str) -> String {
        match handled(text, &[RECORD]).unwrap().remove(0) {
            Handled::Rows(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_handler_sees_a_record_as_on_sagemaker_and_its_rows_come_back_in_their_order() {
        let dict = "def preprocess_handler(inference_record):\n\
            \x20   r = inference_record\n\
            \x20   i, o, m = r.endpoint_input, r.endpoint_output, r.event_metadata\n\
            \x20   assert (i.encoding, i.observed_content_type, o.mode) == ('CSV', 'text/csv', 'OUTPUT')\n\
            \x20   assert (r.event_id, m.event_id, m.custom_attributes, m.inference_id) == ('e1', 'e1', ['test'], None)\n\
            \x20   assert not hasattr(r, 'ground_truth')\n\
            \x20   return {'z': float(o.data), **{'c%d' % n: c for n, c in enumerate(i.data.split(','))}, 'n': float('nan')}\n";
        assert_eq!(rows(dict), r#"[{"z": 0.5, "c0": "1", "c1": "2", "n": null}]"#);
        let list = "def preprocess_handler(inference_record, logger):\n    print('heard'); logger.info('x')\n    return [1, 'a']\n";
        assert_eq!(rows(list), r#"[[1, "a"]]"#);
        assert_eq!(rows("def preprocess_handler(r): return [{'a': 1}, {'a': 2}]"), r#"[{"a": 1}, {"a": 2}]"#);
    }

    #[test]
    fn records_are_left_out_or_fail_one_by_one() {
        let text = "def preprocess_handler(r):\n    n = r.endpoint_input.data\n    if n == '1': return []\n    if n == '2': return 'text'\n    \
                    return {'x': 1 / int(n)}\n";
        let records: Vec<String> = (0..400).map(|n| RECORD.replace("1,2", &(n % 4).to_string())).collect();
        let found = handled(text, &records.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(found.len(), 400);
        assert_eq!(found[0], Handled::Failed("ZeroDivisionError: division by zero (line 5)".into()));
        assert_eq!(found[1], Handled::Skipped);
        assert!(matches!(&found[2], Handled::Failed(why) if why.contains("returned str")), "{:?}", found[2]);
        assert_eq!(found[399], Handled::Rows(format!("[{{\"x\": {:?}}}]", 1.0 / 3.0)));
    }

    #[test]
    fn a_script_that_dies_has_the_last_word() {
        let dead = handled(
            "import os, sys\ndef preprocess_handler(r):\n    sys.stderr.write('goodbye\\n'); sys.stderr.flush(); os._exit(7)\n",
            &[RECORD],
        );
        let dead = dead.unwrap_err().to_string();
        assert!(dead.contains("exit status: 7") && dead.ends_with("goodbye"), "{dead}");
        let broken = handled("def preprocess_handler(:\n", &[RECORD]).unwrap_err().to_string();
        assert!(broken.contains("SyntaxError"), "{broken}");
        let none = handled("x = 1\n", &[RECORD]).unwrap_err().to_string();
        assert!(none.contains("has no preprocess_handler"), "{none}");
    }

    #[test]
    fn a_script_that_hangs_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let text = "import time\ndef preprocess_handler(r): time.sleep(600)\n";
        let script = script(&folder, text, Duration::from_millis(1_500));
        let error = Preprocessor::start(&script).unwrap().handle(&[RECORD.as_bytes()]).unwrap_err().to_string();
        assert!(error.contains("took longer than 1 s over one record"), "{error}");
    }

    #[test]
    fn a_postprocessor_runs_once_with_its_environment_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let good =
            "import os\ndef postprocess_handler():\n    open(os.environ['output_path'] + '/done', 'w').write('yes')\n";
        let mut one = script(&folder, good, Duration::from_secs(60));
        one.environment.insert("output_path".into(), folder.path().display().to_string());
        postprocess(&one).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("done")).unwrap(), "yes");
        let bad = script(&folder, "def postprocess_handler(): raise ValueError('no')\n", Duration::from_secs(60));
        let error = postprocess(&bad).unwrap_err().to_string();
        assert!(error.contains("exit status: 1") && error.ends_with("ValueError: no"), "{error}");
        let nowhere = Script { python: "/no/such/python".into(), ..bad };
        assert!(postprocess(&nowhere).unwrap_err().to_string().contains("cannot be run with /no/such/python"));
    }
}
