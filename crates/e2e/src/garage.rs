//! A store that others wrote: Garage, a distributed object store that speaks S3, run as a program of its own.
//!
//! `cargo xtask stores` builds it, which takes long, and tells the stories about it. Where it is not built, such a story says
//! that it was skipped and why.
//!
//! Invariant: a dropped store is a dead process and a removed folder.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::said;
use crate::server::wait_for;

/// How long the store may take to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Signatures name it.
const REGION: &str = "us-east-1";
const BUCKET: &str = "captures";
const KEY_ID: &str = "GK31c2f218a2e44f485b94239e";
const SECRET: &str = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835";

/// A running store with the bucket `captures` and one key.
pub struct Garage {
    program: PathBuf,
    folder: tempfile::TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl Garage {
    /// Starts a fresh store; nothing where it is not built.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("CAPTURA_GARAGE").map(PathBuf::from).filter(|path| path.exists()) else {
            #[expect(clippy::print_stdout, reason = "a story that was not told says so")]
            {
                println!("skipped: Garage is not built; `cargo xtask stores` builds it");
            }
            return None;
        };
        let folder = tempfile::Builder::new().prefix("captura-garage-").tempdir().expect("a temporary folder");
        let [address, rpc, admin] = free_addresses();
        std::fs::write(folder.path().join("garage.toml"), configuration(folder.path(), address, rpc, admin))
            .expect("the configuration is written");
        let mut garage = Self { program, folder, address, child: None };
        garage.start_again();
        let node = garage.run(&["node", "id", "-q"]);
        let node = node.split('@').next().unwrap_or_default().trim().to_owned();
        garage.run(&["layout", "assign", "-z", "here", "-c", "1G", &node]);
        garage.run(&["layout", "apply", "--version", "1"]);
        garage.run(&["key", "import", "--yes", "-n", "captura", KEY_ID, SECRET]);
        garage.run(&["bucket", "create", BUCKET]);
        garage.run(&["bucket", "allow", "--read", "--write", "--key", "captura", BUCKET]);
        Some(garage)
    }

    /// The store `garage` for `captura.toml`.
    pub fn configuration(&self) -> String {
        format!(
            "[stores.garage]\nurl = \"s3://{BUCKET}\"\noptions = {{ endpoint = \"{}\", allow_http = \"true\", region = \
             \"{REGION}\", access_key_id = \"{KEY_ID}\", secret_access_key = \"{SECRET}\" }}\n",
            self.url()
        )
    }

    /// Where it takes S3's requests.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Key id and secret of whoever may read and write.
    pub fn key(&self) -> (&'static str, &'static str) {
        (KEY_ID, SECRET)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the process is ours to kill");
            child.wait().expect("a killed process ends");
        }
    }

    /// Starts it on the folder it had, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn start_again(&mut self) {
        self.kill();
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"));
        let mut command = self.command(&["server"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("the log can be opened"));
        self.child = Some(command.spawn().expect("Garage starts"));
        wait_for("Garage to answer", START_LIMIT, || {
            let answers = self.command(&["status"]).output().is_ok_and(|told| told.status.success());
            (answers && std::net::TcpStream::connect(self.address).is_ok()).then_some(())
        });
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.folder.path().join("garage.toml")).args(arguments).env("RUST_LOG", "garage=info");
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let told = self.command(arguments).output().expect("Garage starts");
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(told.status.success(), "garage {arguments:?}: {}\n{}", said(&told), log());
        String::from_utf8_lossy(&told.stdout).into_owned()
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configuration(folder: &Path, s3: SocketAddr, rpc: SocketAddr, admin: SocketAddr) -> String {
    let folder = folder.display();
    // One node, one copy. The secret is for nodes among each other, and there is no other.
    format!(
        "metadata_dir = \"{folder}/metadata\"\ndata_dir = \"{folder}/data\"\ndb_engine = \"sqlite\"\n\
         replication_factor = 1\nrpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\nrpc_secret = \"{}\"\n\
         [s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{s3}\"\n\
         [admin]\napi_bind_addr = \"{admin}\"\n",
        "5e".repeat(32)
    )
}

/// Addresses nobody listens on. Held together until all are known, so that they differ.
fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let held = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("a bound socket has an address"))
}
