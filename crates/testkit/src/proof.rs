//! The book, the files and the clients tell the same story, or not.
//!
//! Two witnesses beside each other: `captura reconcile --deep --oracle`, and a reading of the objects that knows nothing
//! of captura's code.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::captured;
use crate::oracle::{Acknowledged, Oracle, sha256};
use crate::program::{self, said};
use crate::server::{Home, Server, found_within};

/// Time in which the archive must have taken everything, once nobody calls any more.
const REST_LIMIT: Duration = Duration::from_secs(120);

/// The accounts of a running server.
///
/// # Errors
/// When the book does not balance, or there is none.
pub fn accounts(server: &Server) -> Result<Vec<Value>, String> {
    let told = program::run(["ledger", "--json", "--url", &server.url()]);
    if !told.status.success() {
        return Err(format!("the book does not balance: {}", said(&told)));
    }
    let book: Value = serde_json::from_slice(&told.stdout).map_err(|error| error.to_string())?;
    Ok(book["accounts"].as_array().cloned().unwrap_or_default())
}

/// The account of an endpoint, `Null` where it has none.
pub fn account_of<'a>(accounts: &'a [Value], endpoint: &str) -> &'a Value {
    accounts.iter().find(|account| account["endpoint"] == endpoint).unwrap_or(&Value::Null)
}

/// One quiet life after the last fault, until everything is sealed and archived. Gives the accounts at rest.
///
/// # Errors
/// When the server does not start or end, the book does not balance, or the archive does not come to rest.
pub fn rest(home: &Home) -> Result<Vec<Value>, String> {
    let server = home.serve_through(&[])?;
    let mut last = Err("the server gave no accounts".to_owned());
    let rested = found_within(REST_LIMIT, || {
        last = accounts(&server);
        let at_rest = |account: &Value| account["local_pending"] == 0 && account["in_flight"] == 0;
        last.as_ref().is_ok_and(|accounts| accounts.iter().all(at_rest)).then_some(())
    });
    let accounts = last?;
    rested.ok_or_else(|| format!("the archive did not come to rest: {accounts:?}"))?;
    let ended = server.stop();
    if ended.success() { Ok(accounts) } else { Err(format!("the server ended with {ended}")) }
}

/// What the objects hold, beside what clients were promised.
#[derive(Debug, Default)]
pub struct Compared {
    /// Calls that clients hold a promise for.
    pub promised: usize,
    /// Event ids in the objects, and of which endpoint's folder.
    pub captured: HashMap<String, String>,
    /// Promises without a line.
    pub missing: Vec<Acknowledged>,
}

impl Compared {
    /// Lines of one endpoint.
    pub fn lines_of(&self, endpoint: &str) -> usize {
        self.captured.values().filter(|of| *of == endpoint).count()
    }
}

/// Reads every object of a bucket.
///
/// # Errors
/// When a call stands there twice, or a promised call with another number or other bytes.
pub fn compare(bucket: &Path, oracle: &Oracle) -> Result<Compared, String> {
    let mut promises = oracle.read();
    let mut compared = Compared { promised: promises.len(), ..Compared::default() };
    let mut lsns = HashSet::new();
    let mut wrong: Option<String> = None;
    captured::each(bucket, |line| {
        let endpoint = line.endpoint(bucket);
        let again =
            compared.captured.insert(line.event_id().to_owned(), endpoint).is_some() || !lsns.insert(line.lsn());
        if again && wrong.is_none() {
            wrong = Some(format!("the same call twice in the archive: {}", line.line));
        }
        let Some(promise) = promises.remove(line.event_id()) else { return };
        let hash = |bytes: Option<Vec<u8>>| bytes.map(|bytes| sha256(&bytes)).unwrap_or_default();
        let found = (line.lsn(), hash(line.request()), hash(line.response()));
        if found != (promise.lsn.clone(), promise.request_sha256.clone(), promise.response_sha256.clone()) {
            wrong.get_or_insert_with(|| format!("{promise:?} and in the archive {}", line.line));
        }
    });
    compared.missing = promises.into_values().collect();
    wrong.map_or(Ok(compared), Err)
}

/// `captura reconcile --deep --oracle` on a stopped server.
pub fn reconcile(home: &Home, oracle: &Oracle) -> Output {
    program::run(arguments(home).chain(["--oracle".into(), oracle.path().into()]))
}

/// The same where clients hold promises that may be broken.
pub fn reconcile_without_oracle(home: &Home) -> Output {
    program::run(arguments(home))
}

fn arguments(home: &Home) -> impl Iterator<Item = OsString> {
    let config = home.path().join("captura.toml").into_os_string();
    let fixed = ["reconcile".into(), "--deep".into(), "--config".into(), config];
    fixed.into_iter().chain(["--data-dir".into(), home.data_dir().into_os_string()])
}

/// Everything promised is there, once, as it was sent, and the book agrees. Gives how many calls were promised and how
/// many are captured.
///
/// # Errors
/// What is wrong.
pub fn proven(home: &Home, oracle: &Oracle) -> Result<Compared, String> {
    rest(home)?;
    let compared = compare(&home.bucket("captures"), oracle)?;
    if let Some(first) = compared.missing.first() {
        return Err(format!("{} acknowledged calls are lost, one is {first:?}", compared.missing.len()));
    }
    let reconciled = reconcile(home, oracle);
    if reconciled.status.success() { Ok(compared) } else { Err(said(&reconciled)) }
}

/// The same for a story.
///
/// # Panics
/// When something is wrong, with the server's log.
pub fn prove(home: &Home, oracle: &Oracle) -> Compared {
    proven(home, oracle).unwrap_or_else(|wrong| panic!("{wrong}\n{}", home.log()))
}
