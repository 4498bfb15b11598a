//! Processes for real: a small program of Python's that does what a test tells it to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use captura_route::{Backend, BackendError, ModelRequest};
use serde_json::{Value, json};

use super::{ProcessRule, Sandbox};
use crate::{Backends, ImageRule, Launch, LoadError, LogSink, ModelSpec, Replicas, Settings};

const IMAGE: &str = "team/model:1";
const PATIENT: Duration = Duration::from_secs(60);

/// A world in which one image runs the program.
struct World {
    folder: tempfile::TempDir,
    rule: ProcessRule,
    environment: BTreeMap<String, String>,
    launch: Launch,
    lines: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes/model_server.py");
        // Under the system's own temporary folder, which every user reaches.
        let folder = tempfile::Builder::new().prefix("captura-process-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        std::fs::create_dir(folder.path().join("model")).unwrap();
        std::fs::write(folder.path().join("model/weights"), "1 2 3").unwrap();
        let copy = folder.path().join("server/model_server.py");
        std::fs::create_dir(copy.parent().unwrap()).unwrap();
        std::fs::copy(program, &copy).unwrap();
        let command = ["python3", "-u", copy.to_str().unwrap()].map(str::to_owned).to_vec();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&lines);
        let log = LogSink::new(move |_, line| taken.lock().unwrap().push(line.text));
        Self {
            folder,
            rule: ProcessRule { command, ..ProcessRule::default() },
            environment: BTreeMap::new(),
            launch: Launch { log, ..Launch::default() },
            lines,
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn processes(&self) -> PathBuf {
        self.folder.path().join("processes")
    }

    fn backends(&self) -> Backends {
        let settings = Settings {
            images: vec![ImageRule::process("team/*", self.rule.clone())],
            allow_file_urls: true,
            process_environment: [("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())].into(),
            process_dir: self.processes(),
            ..Settings::new(self.folder.path())
        };
        Backends::new(settings, Arc::new(|_| Err("no stores here".into())))
    }

    async fn load(&self) -> Result<(Backends, Arc<Replicas>), LoadError> {
        let backends = self.backends();
        let spec = ModelSpec {
            image: IMAGE.into(),
            model_data_url: Some(self.folder.path().join("model").display().to_string()),
            environment: self.environment.clone(),
            ..ModelSpec::default()
        };
        let replicas = backends.load(&spec, self.launch.clone()).await?;
        Ok((backends, replicas))
    }

    async fn refused(&self) -> String {
        match self.load().await {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it was loaded"),
        }
    }
}

async fn ask(replicas: &Replicas, body: &str) -> Result<Value, BackendError> {
    let request = ModelRequest { body: body.to_owned().into(), ..ModelRequest::default() };
    let answer = replicas.invoke(&request).await?;
    Ok(serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&answer.body))))
}

fn is_alive(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie waits for its parent only.
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

async fn until(mut what: impl FnMut() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_program_of_many_models_is_told_which_to_load_and_reads_them_in_its_sandbox() {
    let world = World::new();
    for name in ["north", "south"] {
        let folder = world.folder.path().join("many").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("weights"), name).unwrap();
    }
    let backends = world.backends();
    let spec = ModelSpec {
        image: IMAGE.into(),
        model_data_url: Some(world.folder.path().join("many").display().to_string()),
        multi_model: Some(crate::MultiModelSpec { is_cached: true }),
        ..ModelSpec::default()
    };
    let replicas = backends.load(&spec, world.launch.clone()).await.unwrap();
    assert!(replicas.extras().target_model);
    for name in ["north", "south", "north"] {
        let request = ModelRequest { target_model: Some(name.into()), body: "1,2".into(), ..ModelRequest::default() };
        let answer = replicas.invoke(&request).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), json!([name, "1,2"]));
    }
    let unknown = ModelRequest { target_model: Some("west".into()), ..ModelRequest::default() };
    let error = replicas.invoke(&unknown).await.unwrap_err();
    assert!(matches!(error, BackendError::NoSuchTarget(_)), "{error:?}");
    drop(replicas);
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn a_program_answers_with_its_model_and_its_own_environment_only() {
    let mut world = World::new().with("MODEL_SAYS", "hello").with("BOTH", "model");
    world.rule.env.insert("BOTH".to_owned(), "operator".to_owned());
    let (backends, replicas) = world.load().await.unwrap();
    assert_eq!(ask(&replicas, "1,2,3").await.unwrap(), "1,2,3");
    assert_eq!(ask(&replicas, "model").await.unwrap(), json!({"weights": "done: b'1 2 3'"}));
    let environment = ask(&replicas, "environment").await.unwrap();
    let names: Vec<&String> = environment.as_object().unwrap().keys().filter(|name| *name != "LC_CTYPE").collect();
    let mut expected =
        ["BOTH", "CAPTURA_INSTANCE", "HOME", "MODEL_SAYS", "PATH", "SAGEMAKER_BIND_TO_PORT", "SM_MODEL_DIR", "TMPDIR"]
            .to_vec();
    expected.sort_unstable();
    let mut names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!((&environment["BOTH"], &environment["MODEL_SAYS"]), (&json!("operator"), &json!("hello")));
    assert!(world.lines.lock().unwrap().iter().any(|line| line == "starting"));
    let pid = ask(&replicas, "pid").await.unwrap().as_i64().unwrap();
    drop(replicas);
    backends.close(PATIENT).await;
    assert!(!is_alive(pid));
    assert_eq!(std::fs::read_dir(world.processes()).unwrap().count(), 0, "nothing is left of it");
}

#[tokio::test]
async fn only_the_standard_descriptors_are_passed_on() {
    let world = World::new();
    // A file of the server's that is not closed by itself.
    let secret = std::fs::File::create(world.folder.path().join("journal")).unwrap();
    let (backends, replicas) = {
        rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
        world.load().await.unwrap()
    };
    let descriptors = ask(&replicas, "descriptors").await.unwrap();
    let open = descriptors.as_array().unwrap();
    assert!(open.iter().all(|open| !open.as_str().unwrap().contains("journal")), "{open:?}");
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn a_program_that_dies_at_once_is_quoted() {
    let reason = World::new().with("FAKE_DIE", "no such file: weights.bin").refused().await;
    assert!(reason.contains("team/model:1"), "{reason}");
    assert!(reason.contains("exited with status 1"), "{reason}");
    assert!(reason.contains("no such file: weights.bin"), "{reason}");
}

#[tokio::test]
async fn a_program_that_never_answers_is_given_up_in_time_and_ended() {
    let mut world = World::new().with("FAKE_NEVER", "1");
    world.launch.startup_timeout = Some(Duration::from_secs(2));
    let began = std::time::Instant::now();
    let reason = world.refused().await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(reason.contains("did not answer /ping within 2 s") && reason.contains("starting"), "{reason}");
    let processes = world.processes();
    until(|| std::fs::read_dir(&processes).unwrap().count() == 0).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let mut world = World::new();
    world.rule.command = vec!["no-such-program".to_owned()];
    let reason = world.refused().await;
    assert!(reason.contains("cannot be started"), "{reason}");
}

#[tokio::test]
async fn a_model_does_not_choose_what_the_program_loads() {
    let reason = World::new().with("LD_PRELOAD", "/tmp/evil.so").refused().await;
    assert!(reason.contains("LD_PRELOAD"), "{reason}");
}

#[tokio::test]
async fn one_that_dies_is_replaced_while_the_other_answers() {
    let mut world = World::new();
    world.launch.instances = 2;
    let (backends, replicas) = world.load().await.unwrap();
    // It is asked of both, as the first dies without a word.
    assert!(matches!(ask(&replicas, "exit").await, Err(BackendError::WentAway(_))));
    for _ in 0..50 {
        if let Err(error) = ask(&replicas, "1").await {
            // Only while the second one, asked for the lost call as well, goes away and comes back.
            assert!(matches!(error, BackendError::Unavailable(_) | BackendError::WentAway(_)), "{error:?}");
        }
    }
    tokio::time::timeout(Duration::from_secs(60), async {
        until(|| replicas.instances() < 2).await;
        replicas.reached().await;
    })
    .await
    .unwrap();
    assert_eq!(ask(&replicas, "1").await.unwrap(), 1);
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn killed_from_outside_with_another_alive_no_call_fails() {
    let mut world = World::new();
    world.launch.instances = 2;
    let (backends, replicas) = world.load().await.unwrap();
    let pid = ask(&replicas, "pid").await.unwrap().as_i64().unwrap();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let replicas = Arc::clone(&replicas);
            tokio::spawn(async move {
                for call in 0..100 {
                    assert_eq!(
                        ask(&replicas, &format!("{caller}{call:03}x")).await.unwrap(),
                        format!("{caller}{call:03}x")
                    );
                }
            })
        })
        .collect();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn children_that_moved_away_end_with_the_instance() {
    let world = World::new();
    let (backends, replicas) = world.load().await.unwrap();
    let stray = ask(&replicas, "stray").await.unwrap().as_i64().unwrap();
    assert!(is_alive(stray));
    backends.close(PATIENT).await;
    until(|| !is_alive(stray)).await;
}

#[tokio::test]
async fn what_an_earlier_server_left_running_is_ended_at_the_next_start() {
    let world = World::new();
    let processes = world.processes();
    std::fs::create_dir_all(processes.join("loading-gone")).unwrap();
    std::fs::write(processes.join("loading-gone.lock"), "").unwrap();
    let token = processes.join("loading-gone").display().to_string();
    #[expect(clippy::disallowed_methods, reason = "a process of an earlier server")]
    let mut orphan =
        std::process::Command::new("sleep").arg("1000").env(super::orphans::TOKEN, &token).spawn().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a process of somebody else")]
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    // Between fork and exec it has its parent's environment still.
    let environment = format!("/proc/{}/environ", orphan.id());
    until(|| std::fs::read(&environment).unwrap_or_default().windows(12).any(|part| part == b"loading-gone")).await;
    drop(world.backends());
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(orphan.wait().unwrap().signal(), Some(9));
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn garbage_is_the_models_error_and_the_instance_stays() {
    let world = World::new();
    let (backends, replicas) = world.load().await.unwrap();
    let error = ask(&replicas, "garbage").await.unwrap_err();
    assert!(matches!(error, BackendError::Model { status: 502, .. }), "{error:?}");
    assert_eq!(ask(&replicas, "1").await.unwrap(), 1);
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn memory_beyond_the_limit_is_not_given() {
    let mut world = World::new();
    world.rule.memory_max_bytes = Some(512 << 20);
    let (backends, replicas) = world.load().await.unwrap();
    assert!(ask(&replicas, "allocate {\"bytes\": 2000000000}").await.is_err());
    assert_eq!(ask(&replicas, "1").await.unwrap(), 1);
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn a_sandboxed_program_reaches_nothing_that_is_not_its_own() {
    let world = World::new();
    let (backends, replicas) = match world.load().await {
        Ok(loaded) => loaded,
        // A kernel without Landlock starts nothing, and says so.
        Err(error) => return assert!(error.to_string().contains("Landlock"), "{error}"),
    };
    let secret = world.folder.path().join("data/secret");
    std::fs::create_dir(secret.parent().unwrap()).unwrap();
    std::fs::write(&secret, "secret").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tried = ask(&replicas, &format!("escapes {}", json!({"secret": secret, "port": port}))).await.unwrap();
    for (what, outcome) in tried.as_object().unwrap() {
        assert!(!outcome.as_str().unwrap().starts_with("done"), "{what}: {outcome}");
    }
    assert_eq!(ask(&replicas, "own-write").await.unwrap(), 1, "its own folder is its own");
    let status = ask(&replicas, "status").await.unwrap();
    assert_eq!((&status["NoNewPrivs"][0], &status["Seccomp"][0]), (&json!("1"), &json!("2")));
    if rustix::process::geteuid().is_root() {
        assert!(status["Uid"][0].as_str().unwrap().parse::<u32>().unwrap() >= 1_900_000_000, "{status}");
        assert_eq!(status["CapEff"][0], "0000000000000000");
    }
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn without_a_sandbox_the_rest_still_holds() {
    let mut world = World::new();
    world.rule.sandbox = Sandbox::Off;
    let (backends, replicas) = world.load().await.unwrap();
    assert_eq!(ask(&replicas, "status").await.unwrap()["NoNewPrivs"][0], "1");
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn files_without_end_are_not_given() {
    let world = World::new();
    let (backends, replicas) = world.load().await.unwrap();
    let hoarded = ask(&replicas, "hoard").await.unwrap();
    assert!(hoarded[0].as_u64().unwrap() < 65_536 && hoarded[1] == libc::EMFILE, "{hoarded}");
    let stretched = ask(&replicas, &format!("stretch {}", json!({"bytes": (16_u64 << 30) + 1}))).await.unwrap();
    assert_eq!(stretched, json!(format!("OSError: errno {}", libc::EFBIG)));
    assert_eq!(ask(&replicas, "1").await.unwrap(), 1);
    backends.close(PATIENT).await;
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_number_and_the_server_unaffected() {
    let mut world = World::new();
    world.rule.processes_max = Some(60);
    if !rustix::process::geteuid().is_root() {
        let why = world.refused().await;
        return assert!(why.contains("processes_max is not available"), "{why}");
    }
    let (backends, replicas) = world.load().await.unwrap();
    let bombed = ask(&replicas, "bomb").await.unwrap();
    assert!(bombed[0].as_u64().unwrap() < 60 && bombed[1] == libc::EAGAIN, "{bombed}");
    assert_eq!(ask(&replicas, "1").await.unwrap(), 1);
    backends.close(PATIENT).await;
}

fn is_mounted(below: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.contains(below.canonicalize().unwrap().to_str().unwrap())
}

#[tokio::test]
async fn a_disk_of_its_own_is_full_when_it_is_full_and_gone_with_the_instance() {
    let mut world = World::new();
    world.rule.disk_max_bytes = Some(8 << 20);
    if !rustix::process::geteuid().is_root() {
        let why = world.refused().await;
        return assert!(why.contains("disk_max is not available"), "{why}");
    }
    let (backends, replicas) = world.load().await.unwrap();
    assert!(is_mounted(&world.processes()));
    let small = ask(&replicas, "fill {\"bytes\": 4194304}").await.unwrap();
    assert_eq!(small, "done: 4194304");
    let large = ask(&replicas, "fill {\"bytes\": 67108864}").await.unwrap();
    assert_eq!(large, json!(format!("OSError: errno {}", libc::ENOSPC)));
    assert_eq!(ask(&replicas, "1").await.unwrap(), 1);
    drop(replicas);
    backends.close(PATIENT).await;
    assert!(!is_mounted(&world.processes()));
}

#[tokio::test]
async fn a_control_group_that_is_not_there_starts_nothing_and_says_so() {
    let mut world = World::new();
    world.rule.cgroup = Some(world.folder.path().to_owned());
    let why = world.refused().await;
    assert!(why.contains("cgroup is not available") && why.contains("no control group of version 2"), "{why}");
}
