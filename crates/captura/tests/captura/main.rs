//! The binary as whoever starts it sees it: ready line, exit codes, signals, what it says on the way.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]
#![expect(clippy::disallowed_methods, reason = "the program under test is started as whoever uses it starts it")]

mod access;
mod compatibility;
mod scripts;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

fn captura(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_captura"));
    command.args(arguments).env_remove("CAPTURA_URL").env_remove("RUST_LOG");
    for name in [
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_PROFILE",
        "AWS_CA_BUNDLE",
    ] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    captura(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server that has said that it is ready.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("captura listening on ").unwrap_or_else(|| panic!("not ready: {line:?}")).trim();
        Self { url: url.to_owned(), child }
    }

    /// Ends the server as an operator does; its exit code and what it wrote to a piped stderr.
    fn stop(mut self) -> (ExitStatus, String) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).unwrap();
        }
        (self.child.wait().unwrap(), log)
    }
}

fn serve(data_dir: &Path) -> Command {
    let mut command = captura(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data_dir).current_dir(data_dir);
    command
}

fn deploy_echo(url: &str, destination: &str) {
    let deploy =
        run(&["deploy", "e", "captura/echo", "--wait", "--capture", "100", "--capture-to", destination, "--url", url]);
    assert!(deploy.status.success(), "{}", text(&deploy.stderr));
}

fn invoke_echo(url: &str, data_dir: &Path) {
    let body = data_dir.join("row.csv");
    std::fs::write(&body, "1,2,3").unwrap();
    let body = body.to_str().unwrap();
    let invoked = run(&["invoke", "e", "--body", body, "--json", "--url", url]);
    assert!(invoked.status.success(), "{}", text(&invoked.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&invoked.stdout).unwrap();
    assert_eq!(answer["Body"], "1,2,3");
}

#[test]
fn a_misspelt_command_line_is_an_error_and_not_a_violation() {
    for arguments in
        [&["no-such-verb"][..], &["serve", "--listen", "nowhere"], &["deploy", "x", "y", "--capture", "101"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_server() {
    let data = tempfile::tempdir().unwrap();
    let mut command = serve(data.path());
    command.stderr(File::options().write(true).open("/dev/full").unwrap());
    let server = Server::start(command);
    deploy_echo(&server.url, "s3://captures");
    invoke_echo(&server.url, data.path());
    assert_eq!(server.stop().0.code(), Some(0));
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk_and_not_the_end() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    // Blocks of 512 bytes: room for the catalog, not for a segment.
    command.args(["-c", "ulimit -f 8192; exec \"$0\" serve --listen 127.0.0.1:0 --data-dir \"$1\""]);
    command.arg(env!("CARGO_BIN_EXE_captura")).arg(data.path()).stderr(Stdio::null());
    let server = Server::start(command);
    deploy_echo(&server.url, "s3://captures");
    invoke_echo(&server.url, data.path());
    assert_eq!(server.stop().0.code(), Some(0));
}

#[test]
fn a_start_that_fails_late_closes_what_it_had_opened() {
    let data = tempfile::tempdir().unwrap();
    let in_the_way = data.path().join("backlog");
    std::fs::write(&in_the_way, "").unwrap();
    let failed = serve(data.path()).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let told = text(&failed.stderr);
    assert!(told.contains("as a queue of asynchronous invocations"), "{told}");
    std::fs::remove_file(&in_the_way).unwrap();
    let mut command = serve(data.path());
    command.stderr(Stdio::piped());
    let (status, log) = Server::start(command).stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("epoch=2 unclean=false"), "{log}");
}

#[test]
fn an_orderly_end_warns_of_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut command = serve(data.path());
    command.stderr(Stdio::piped());
    let server = Server::start(command);
    deploy_echo(&server.url, "s3://captures");
    invoke_echo(&server.url, data.path());
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("stopped cleanly") && !log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_port_that_is_taken_is_told_and_leaves_the_data_directory_closed() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = run(&["serve", "--listen", &address, "--data-dir", data.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains(&format!("error: cannot listen on {address}")), "{}", text(&refused.stderr));
    let mut command = serve(data.path());
    command.stderr(Stdio::piped());
    let (_, log) = Server::start(command).stop();
    assert!(log.contains("unclean=false"), "{log}");
}

#[test]
fn a_store_that_never_answers_does_not_hold_up_the_end() {
    let data = tempfile::tempdir().unwrap();
    // Connections are taken by the system and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = data.path().join("captura.toml");
    let text = format!(
        "[server]\nshutdown_deadline = \"100ms\"\n[stores.far]\nurl = \"s3://far\"\noptions = {{ endpoint = \"http://{}\", \
         allow_http = \"true\", access_key_id = \"a\", secret_access_key = \"b\" }}\n",
        silent.local_addr().unwrap()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = serve(data.path());
    command.arg("--config").arg(&config).stderr(Stdio::piped());
    let server = Server::start(command);
    deploy_echo(&server.url, "s3://far/x");
    invoke_echo(&server.url, data.path());
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("it stays in the journal, and the next start goes on"), "{log}");
}

#[test]
fn client_verbs_find_the_server_as_awss_own_clients_do() {
    let (ours, awss) = ("http://127.0.0.1:9", "http://127.0.0.1:7");
    for (set, expected) in [
        (&[("AWS_ENDPOINT_URL", awss)][..], awss),
        (&[("AWS_ENDPOINT_URL", awss), ("CAPTURA_URL", ours)], ours),
        (&[("AWS_ENDPOINT_URL", "")], "http://127.0.0.1:8080"),
    ] {
        let told = captura(&["endpoint", "nobody"]).envs(set.iter().copied()).output().unwrap();
        let said = text(&told.stderr);
        // Somebody may listen where captura does by default.
        assert!(said.contains(&format!("no answer from {expected}")) || expected.ends_with(":8080"), "{set:?}: {said}");
        assert!(!told.status.success(), "{set:?}");
    }
}
