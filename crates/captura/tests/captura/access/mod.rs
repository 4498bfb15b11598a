//! Keys, signatures and encryption as an operator sets them up and meets them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Server, captura, run, serve, text};

/// A data directory, a configuration in which signatures count, and what else it says.
struct Place {
    folder: tempfile::TempDir,
}

/// A key as `captura keys create --json` shows it.
struct Key {
    id: String,
    secret: String,
}

impl Place {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("captura.toml"), format!("[auth]\nmode = \"sigv4\"\n{more}")).unwrap();
        Self { folder }
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self) -> Command {
        let mut command = serve(&self.data_dir_there());
        command.arg("--config").arg(self.folder.path().join("captura.toml")).stderr(Stdio::piped());
        command
    }

    fn data_dir_there(&self) -> PathBuf {
        std::fs::create_dir_all(self.data_dir()).unwrap();
        self.data_dir()
    }

    fn keys(&self, arguments: &[&str]) -> Output {
        captura(&["keys"]).args(arguments).arg("--data-dir").arg(self.data_dir()).output().unwrap()
    }

    fn create(&self, arguments: &[&str]) -> Key {
        let made = self.keys(&[&["create", "--json"], arguments].concat());
        assert!(made.status.success(), "{}", text(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let member = |name: &str| made[name].as_str().unwrap().to_owned();
        Key { id: member("accessKeyId"), secret: member("secretAccessKey") }
    }
}

impl Key {
    fn run(&self, server: &Server, arguments: &[&str]) -> Output {
        let mut command = captura(arguments);
        command.args(["--url", &server.url]);
        command.env("AWS_ACCESS_KEY_ID", &self.id).env("AWS_SECRET_ACCESS_KEY", &self.secret);
        command.output().unwrap()
    }
}

fn refused(output: &Output, code: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(code), "{code} is not in {}", text(&output.stderr));
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_listener_that_others_reach_does_not_start_without_signatures_and_encryption() {
    let place = Place::new("");
    let open = run(&["serve", "--listen", "0.0.0.0:0", "--data-dir", place.data_dir().to_str().unwrap()]);
    refused(&open, "[auth] mode = \"sigv4\"");
    let config = place.folder.path().join("captura.toml");
    let plain = run(&["serve", "--listen", "0.0.0.0:0", "--config", config.to_str().unwrap()]);
    refused(&plain, "[tls]");
    assert!(!place.data_dir().exists(), "nothing was touched");
}

#[test]
fn the_first_start_makes_an_admin_and_tells_where_and_not_what() {
    let place = Place::new("");
    let server = Server::start(place.command());
    let file = place.data_dir().join("keys/admin-credentials");
    assert_eq!(mode(&file), 0o600);
    let listed = |credentials: Option<&Path>| {
        let mut command = captura(&["endpoints", "--url", &server.url]);
        credentials.map(|path| command.env("AWS_SHARED_CREDENTIALS_FILE", path));
        command.output().unwrap()
    };
    let fine = listed(Some(&file));
    assert!(fine.status.success(), "{}", text(&fine.stderr));
    refused(&listed(None), "MissingAuthenticationTokenException");
    let secret = std::fs::read_to_string(&file).unwrap();
    let secret = secret.lines().find_map(|line| line.strip_prefix("aws_secret_access_key = ")).unwrap().to_owned();
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("admin-credentials") && !log.contains(&secret), "{log}");

    let (_, log) = Server::start(place.command()).stop();
    assert!(!log.contains("admin-credentials"), "once: {log}");
}

#[test]
fn a_key_works_as_soon_as_it_is_made_and_no_more_when_it_is_revoked() {
    let place = Place::new("");
    let server = Server::start(place.command());
    let key = place.create(&["--consumer", "billing", "--description", "nightly"]);
    assert_eq!(mode(&place.data_dir().join("keys/keys.json")), 0o600);
    let deployed = key
        .run(&server, &["deploy", "e", "captura/echo", "--wait", "--capture", "100", "--capture-to", "s3://captures"]);
    assert!(deployed.status.success(), "{}", text(&deployed.stderr));
    let body = place.folder.path().join("row.csv");
    std::fs::write(&body, "1,2,3").unwrap();
    let invoked = key.run(&server, &["invoke", "e", "--body", body.to_str().unwrap()]);
    assert!(invoked.status.success() && text(&invoked.stdout).contains("1,2,3"), "{}", text(&invoked.stderr));
    let tail = text(&key.run(&server, &["tail", "e", "--json"]).stdout);
    assert!(tail.contains("\"consumer\":\"billing\""), "{tail}");

    let wrong = Key { id: key.id.clone(), secret: "wrong".into() };
    refused(&wrong.run(&server, &["endpoints"]), "InvalidSignatureException");
    let unknown = Key { id: "AKIANOBODYNOBODYNOBO".into(), secret: key.secret.clone() };
    refused(&unknown.run(&server, &["endpoints"]), "UnrecognizedClientException");

    let listed = place.keys(&["list"]);
    let listed = text(&listed.stdout);
    assert!(listed.contains(&key.id) && listed.contains("active") && !listed.contains(&key.secret), "{listed}");
    assert!(place.keys(&["revoke", &key.id]).status.success());
    let began = Instant::now();
    let gone = loop {
        let asked = key.run(&server, &["endpoints"]);
        if !asked.status.success() {
            break asked;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "a revoked key still works");
    };
    refused(&gone, "UnrecognizedClientException");
    refused(&place.keys(&["revoke", "AKIANOBODY"]), "there is no key AKIANOBODY");
    server.stop();
}

#[test]
fn a_limited_key_invokes_its_endpoint_and_does_nothing_else() {
    let place = Place::new("");
    let server = Server::start(place.command());
    let (admin, limited) =
        (place.create(&[]), place.create(&["--consumer", "app", "--allow", "sagemaker:InvokeEndpoint:mine*"]));
    for name in ["mine-1", "other"] {
        let deployed = admin.run(&server, &["deploy", name, "captura/echo", "--wait"]);
        assert!(deployed.status.success(), "{}", text(&deployed.stderr));
    }
    let body = place.folder.path().join("row.csv");
    std::fs::write(&body, "1").unwrap();
    let invoke = |name: &str| limited.run(&server, &["invoke", name, "--body", body.to_str().unwrap()]);
    assert!(invoke("mine-1").status.success());
    refused(
        &invoke("other"),
        "AccessDeniedException: User: arn:aws:iam::000000000000:user/app is not authorized to perform: \
         sagemaker:InvokeEndpoint on resource: arn:aws:sagemaker:us-east-1:000000000000:endpoint/other",
    );
    for verb in [&["endpoints"][..], &["ledger"], &["tail", "mine-1"], &["deploy", "mine-2", "captura/echo"]] {
        refused(&limited.run(&server, verb), "AccessDeniedException");
    }
    let policy = place.keys(&["show-policy", &limited.id]);
    let policy: Value = serde_json::from_slice(&policy.stdout).unwrap();
    assert_eq!(policy["allow"][0]["resources"][0], "mine*");
    refused(&place.keys(&["create", "--allow", "everything"]), "is no OPERATION[:RESOURCE]");
    server.stop();
}

#[test]
fn a_secret_is_in_no_log_no_answer_and_no_list_of_processes() {
    let place = Place::new("metrics = \"open\"\n");
    let key = place.create(&[]);
    let mut command = place.command();
    command.env("RUST_LOG", "trace");
    let server = Server::start(command);
    let mut said = String::new();
    for arguments in [&["endpoints"][..], &["endpoint", "nobody"], &["ledger", "--json"]] {
        let output = key.run(&server, arguments);
        said.push_str(&(text(&output.stdout) + &text(&output.stderr)));
    }
    let wrong = Key { id: key.id.clone(), secret: "wrong".into() };
    said.push_str(&text(&wrong.run(&server, &["endpoints"]).stderr));
    said.push_str(&std::fs::read_to_string(format!("/proc/{}/cmdline", server.child.id())).unwrap());
    said.push_str(&text(&place.keys(&["list", "--json"]).stdout));
    let (_, log) = server.stop();
    said.push_str(&log);
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log tells everything: {log}");
    assert!(!said.contains(&key.secret), "a secret was said");
    let kept: Vec<_> =
        std::fs::read_dir(place.data_dir().join("keys")).unwrap().map(|file| file.unwrap().path()).collect();
    for path in &kept {
        assert_eq!(mode(path), 0o600, "{}", path.display());
        assert!(!text(&std::fs::read(path).unwrap()).contains(&key.secret), "{}", path.display());
    }
    assert_eq!(kept.len(), 3);
}

#[test]
fn keys_that_others_can_read_keep_the_server_from_starting() {
    let place = Place::new("");
    place.create(&[]);
    let master = place.data_dir().join("keys/master.key");
    std::fs::set_permissions(&master, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused_start = place.command().output().unwrap();
    refused(&refused_start, "others may read it");
}

#[test]
fn with_a_certificate_it_serves_https_and_the_command_line_trusts_whom_it_is_told_to() {
    let place = Place::new("[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n");
    let key = place.create(&[]);
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    // Relative to where the server is started.
    let (certificate, private) = (place.data_dir().join("tls.pem"), place.data_dir().join("tls.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&private, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(place.command());
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let asked = |bundle: &Path| {
        let mut command = captura(&["endpoints", "--url", &server.url]);
        command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", &key.secret);
        command.env("AWS_CA_BUNDLE", bundle).output().unwrap()
    };
    let fine = asked(&certificate);
    assert!(fine.status.success(), "{}", text(&fine.stderr));
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let elsewhere = place.folder.path().join("other.pem");
    std::fs::write(&elsewhere, other.cert.pem()).unwrap();
    refused(&asked(&elsewhere), "no answer from https://");
    assert_eq!(server.stop().0.code(), Some(0));
}
