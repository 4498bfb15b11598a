//! Models as containers, in a real Docker and with real servers in them.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use captura_e2e::captured;
use captura_e2e::connection::{Connection, Reply};
use captura_e2e::deployment::accept;
use captura_e2e::docker::{Contained, Docker};
use captura_e2e::oracle::Oracle;
use captura_e2e::server::{Home, Server, wait_for};
use captura_e2e::traffic::{Callers, Seen, Traffic};
use serde_json::{Value, json};

fn call(server: &Server, endpoint: &str, content_type: &str, body: &str) -> Reply {
    let mut connection = Connection::open(server.address()).unwrap();
    let path = format!("/endpoints/{endpoint}/invocations");
    connection.post(&path, &[("content-type", content_type)], body.as_bytes()).unwrap()
}

fn delete(server: &Server, name: &str) {
    accept(server, "DeleteEndpoint", &json!({"EndpointName": name}));
    accept(server, "DeleteEndpointConfig", &json!({"EndpointConfigName": name}));
    accept(server, "DeleteModel", &json!({"ModelName": name}));
}

fn wait_until_none_is_left(docker: &Docker, home: &Home) {
    wait_for("the containers to be gone", Duration::from_secs(60), || docker.containers(home).is_empty().then_some(()));
}

/// Deploys a model of the stories, asks it, finds the call captured, deletes everything.
fn a_whole_life(
    image: &str,
    content_type: &str,
    ask: impl Fn(&[Vec<f64>]) -> String,
    labels: impl Fn(&Reply) -> Value,
) {
    let Some(docker) = Docker::here(&format!("the image {image}")) else { return };
    let home = docker.home();
    let server = home.serve();
    let model = Contained { model_data_url: docker.model(image), ..Contained::new(image, image) };
    model.serve(&server);

    let (rows, expected) = docker.expected();
    let body = ask(&rows);
    let reply = call(&server, image, content_type, &body);
    assert_eq!(reply.status, 200, "{}\n{}", reply.text(), home.log());
    assert_eq!(labels(&reply), json!(expected), "{}", reply.text());
    wait_for("the captured call", Duration::from_secs(60), || {
        let lines = captured::read(&home.bucket("captures"));
        let line = lines.first()?;
        assert_eq!(line.request().as_deref(), Some(body.as_bytes()));
        assert_eq!(line.response(), Some(reply.body.clone()));
        Some(())
    });

    delete(&server, image);
    wait_until_none_is_left(&docker, &home);
    assert!(server.stop().success(), "{}", home.log());
}

fn csv(rows: &[Vec<f64>]) -> String {
    let line = |row: &Vec<f64>| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn awss_own_inference_toolkit_serves_a_scikit_learn_model() {
    // Without an Accept header the toolkit answers in JSON.
    a_whole_life("toolkit", "text/csv", csv, |reply| serde_json::from_slice(&reply.body).unwrap());
}

#[test]
fn mlflows_pyfunc_server_serves_a_scikit_learn_model() {
    let ask = |rows: &[Vec<f64>]| json!({"inputs": rows}).to_string();
    a_whole_life("mlflow", "application/json", ask, |reply| {
        serde_json::from_slice::<Value>(&reply.body).unwrap()["predictions"].clone()
    });
}

#[test]
fn multi_model_server_serves_a_scikit_learn_model() {
    a_whole_life("multi-model", "text/csv", csv, |reply| {
        let labels: Vec<i64> = reply.text().split(',').map(|label| label.parse().unwrap()).collect();
        json!(labels)
    });
}

/// Calls one of many models.
fn call_target(server: &Server, endpoint: &str, target: &str, body: &str) -> Reply {
    let mut connection = Connection::open(server.address()).unwrap();
    let path = format!("/endpoints/{endpoint}/invocations");
    let headers = [("content-type", "text/csv"), ("x-amzn-sagemaker-target-model", target)];
    connection.post(&path, &headers, body.as_bytes()).unwrap()
}

#[test]
fn multi_model_server_loads_models_when_they_are_called_and_the_longest_unused_makes_room() {
    let Some(docker) = Docker::here("many models in multi-model-server") else { return };
    let home = docker.home_with("[models]\nloaded_max = 2\n");
    let server = home.serve();
    let prefix = home.bucket("models").join("regions");
    std::fs::create_dir_all(&prefix).unwrap();
    let packed = docker.model("multi-model").unwrap();
    for name in ["north", "south", "west"] {
        let to = prefix.join(name).with_extension("tar.gz");
        std::fs::copy(packed.strip_prefix("file://").unwrap(), to).unwrap();
    }
    let model_data_url = Some("s3://models/regions/".to_owned());
    let model =
        Contained { model_data_url, more: json!({"Mode": "MultiModel"}), ..Contained::new("many", "multi-model") };
    model.serve(&server);
    let [container] = <[String; 1]>::try_from(docker.containers(&home)).unwrap();
    assert!(docker.loaded_models(&container).is_empty(), "none is loaded before it is called");

    let (rows, labels) = docker.expected();
    let ask = |target: &str, place: usize| {
        let reply = call_target(&server, "many", target, &csv(&rows[place..=place]));
        assert_eq!((reply.status, reply.text()), (200, labels[place].to_string()), "{}", home.log());
        docker.loaded_models(&container)
    };
    let north = ask("north.tar.gz", 0);
    assert_eq!(north.len(), 1);
    let both = ask("south.tar.gz", 1);
    assert!(both.len() == 2 && both.is_superset(&north), "{both:?}");
    assert_eq!(ask("north.tar.gz", 2), both, "a model that is loaded serves again");
    let later = ask("west.tar.gz", 0);
    assert!(later.len() == 2 && later.is_superset(&north), "south was unused for longest: {both:?}, then {later:?}");
    let unknown = call_target(&server, "many", "east.tar.gz", "1");
    assert_eq!(unknown.status, 400, "{}", unknown.text());
    assert!(unknown.text().contains("Failed to download model data(bucket: models, key: regions/east.tar.gz)"));

    let targets = wait_for("the captured calls", Duration::from_secs(60), || {
        let lines = captured::read(&home.bucket("captures"));
        let targets: Vec<_> = lines.iter().map(|line| line.json["captura"]["targetModel"].clone()).collect();
        (targets.len() == 5).then_some(targets)
    });
    assert_eq!(targets, ["north.tar.gz", "south.tar.gz", "north.tar.gz", "west.tar.gz", "east.tar.gz"]);
    delete(&server, "many");
    wait_until_none_is_left(&docker, &home);
}

#[test]
fn data_beside_the_model_are_there_to_be_read_and_the_image_is_told_by_its_digest() {
    let Some(docker) = Docker::here("data beside a model") else { return };
    let home = docker.home();
    let server = home.serve();
    let words = home.bucket("models").join("words");
    std::fs::create_dir_all(&words).unwrap();
    std::fs::write(words.join("hello.txt"), "hello").unwrap();
    let source = json!({"S3Uri": "s3://models/words/", "S3DataType": "S3Prefix", "CompressionType": "None"});
    let more = json!({"AdditionalModelDataSources": [{"ChannelName": "vocabulary", "S3DataSource": source}]});
    let model = Contained { model_data_url: docker.model("toolkit"), more, ..Contained::new("beside", "plain") };
    model.serve(&server);
    let reply = call(&server, "beside", "text/plain", "look");
    let seen: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(seen["channels"], json!({"vocabulary": ["hello.txt"]}), "{seen}");
    assert_eq!(seen["writable"]["/opt/ml/additional-model-data-sources/vocabulary"], "Read-only file system");
    assert_eq!(seen["model"], json!(["code", "model.joblib"]), "the model's own are where they always are");

    let described = model.settled(&server);
    let image = &described["ProductionVariants"][0]["DeployedImages"][0];
    assert_eq!(image["SpecifiedImage"], "captura-stories/plain");
    assert_eq!(image["ResolvedImage"], format!("captura-stories/plain@{}", docker.image_id("plain")));
}

#[test]
fn a_container_has_the_least_that_it_needs() {
    let Some(docker) = Docker::here("what a container may do") else { return };
    let home = docker.home();
    let server = home.serve();
    let environment = json!({"COLOUR": "blue", "DOCKER_HOST": "unix:///var/run/docker.sock"});
    let model = Contained { model_data_url: docker.model("toolkit"), environment, ..Contained::new("least", "plain") };
    model.serve(&server);
    let reply = call(&server, "least", "text/plain", "look");
    let seen: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&seen["capabilities"], &seen["bounding"]), (&json!("0000000000000000"), &json!("0000000000000000")));
    assert_eq!(seen["no_new_privileges"], "1");
    let writable = &seen["writable"];
    assert_eq!((&writable["/tmp"], &writable["/etc"]), (&json!(true), &json!(true)), "{writable}");
    assert_eq!(writable["/usr"], "Read-only file system");
    assert_eq!(writable["/opt/ml/model"], "Read-only file system");
    assert_eq!(seen["processes"], json!(["1"]), "it sees no process but its own");
    assert_eq!(seen["docker_socket"], false);
    assert_eq!(seen["model"], json!(["code", "model.joblib"]));
    assert_eq!(seen["arguments"], json!(["serve"]));
    let told = &seen["environment"];
    assert_eq!((&told["COLOUR"], &told["SAGEMAKER_BIND_TO_PORT"]), (&json!("blue"), &json!("8080")));
}

#[test]
fn a_container_that_is_never_healthy_fails_in_time_and_its_last_words_are_the_reason() {
    let Some(docker) = Docker::here("a container that is never healthy") else { return };
    let home = docker.home();
    let server = home.serve();
    let (sick, ends) = (json!({"SICK": "yes"}), json!({"SICK": "exit"}));
    let sick = Contained { environment: sick, startup_timeout_s: 60, ..Contained::new("sick", "plain") };
    let ends = Contained { environment: ends, ..Contained::new("ends", "plain") };
    let unknown = Contained::new("unknown", "nobody-has-it");
    let began = Instant::now();
    for model in [&sick, &ends, &unknown] {
        model.create(&server);
    }
    for (model, words) in [
        (&unknown, vec!["captura-stories/nobody-has-it", "is not on this machine", "never"]),
        (&ends, vec!["ended with status 3 before it was healthy", "plain: the weights are corrupt"]),
        (&sick, vec!["was not healthy within 60 s", "503", "plain: the weights are corrupt"]),
    ] {
        let described = model.settled(&server);
        assert_eq!(described["EndpointStatus"], "Failed");
        let reason = described["FailureReason"].as_str().unwrap();
        assert!(words.iter().all(|word| reason.contains(word)), "{words:?} in {reason}");
    }
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    wait_until_none_is_left(&docker, &home);
}

/// A machine outside, one hop away: a network namespace in which somebody listens. Only root may make one.
struct Outside {
    listener: Child,
}

impl Outside {
    const NAME: &str = "captura-story";
    /// Of the block that is set aside for examples.
    const ADDRESS: &str = "198.51.100.2";
    const PORT: &str = "8000";

    fn make() -> Option<Self> {
        let ip = |arguments: &str| {
            let done = Command::new("ip").args(arguments.split(' ')).output();
            done.is_ok_and(|output| output.status.success())
        };
        let _ = ip("netns delete captura-story");
        let is_made = [
            "netns add captura-story",
            "link add captura-story type veth peer name outside netns captura-story",
            "address add 198.51.100.1/30 dev captura-story",
            "link set captura-story up",
            "-n captura-story address add 198.51.100.2/30 dev outside",
            "-n captura-story link set outside up",
            "-n captura-story route add default via 198.51.100.1",
        ];
        if !is_made.into_iter().all(ip) {
            println!("skipped: network isolation because no network namespace can be made");
            return None;
        }
        let mut listen = Command::new("ip");
        listen.args(["netns", "exec", Self::NAME, "python3", "-m", "http.server", Self::PORT]);
        listen.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { listener: listen.spawn().unwrap() })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.listener.kill();
        let _ = self.listener.wait();
        let _ = Command::new("ip").args(["netns", "delete", Self::NAME]).status();
    }
}

#[test]
fn an_isolated_container_reaches_nothing_outside_and_is_reached_itself() {
    let Some(docker) = Docker::here("network isolation") else { return };
    let Some(_outside) = Outside::make() else { return };
    let home = docker.home();
    let server = home.serve();
    Contained::new("open", "plain").serve(&server);
    Contained { is_isolated: true, ..Contained::new("isolated", "plain") }.serve(&server);
    let reach = format!("reach {} {}", Outside::ADDRESS, Outside::PORT);
    wait_for("somebody outside to listen", Duration::from_secs(30), || {
        (call(&server, "open", "text/plain", &reach).text() == "reached").then_some(())
    });
    let refused = call(&server, "isolated", "text/plain", &reach).text();
    assert!(refused.contains("timed out") || refused.contains("unreachable"), "{refused}");
}

#[test]
fn a_container_killed_under_load_costs_no_call_when_another_lives_and_is_replaced() {
    let Some(docker) = Docker::here("a container killed under load") else { return };
    let home = docker.home();
    let server = home.serve();
    Contained { instances: 2, ..Contained::new("pair", "plain") }.serve(&server);
    let pair = docker.containers(&home);
    assert_eq!(pair.len(), 2);

    let (oracle, seen) = (Arc::new(Oracle::create(&home.path().join("oracle.jsonl"))), Arc::new(Seen::default()));
    let callers = Callers { address: server.address(), endpoint: "pair".to_owned(), clients: 4, seed: 1 };
    let traffic = Traffic::start(&callers, &oracle, &seen);
    let calls_go_on = |what: &str| {
        let before = seen.acknowledged.load(Ordering::Relaxed);
        wait_for(what, Duration::from_secs(30), || {
            (seen.acknowledged.load(Ordering::Relaxed) > before + 200).then_some(())
        });
    };
    calls_go_on("calls to both");
    docker.kill(&pair[0]);
    calls_go_on("calls to the one that lives");
    wait_for("another container in the place of the dead one", Duration::from_secs(60), || {
        let now = docker.containers(&home);
        (now.len() == 2 && !now.contains(&pair[0]) && now.contains(&pair[1])).then_some(())
    });
    calls_go_on("calls to the new pair");
    traffic.finish();
    assert_eq!(seen.refused.load(Ordering::Relaxed), 0, "{}", home.log());
    assert_eq!(seen.unacknowledged.load(Ordering::Relaxed), 0);
    assert!(server.stop().success(), "{}", home.log());
    assert_eq!(docker.containers(&home), Vec::<String>::new());
}

#[test]
fn what_a_killed_server_left_running_is_removed_by_the_next_one() {
    let Some(docker) = Docker::here("orphans") else { return };
    let home = docker.home();
    let server = home.serve();
    Contained::new("orphan", "plain").serve(&server);
    let orphans = docker.containers(&home);
    assert_eq!(orphans.len(), 1);
    server.kill();
    assert_eq!(docker.containers(&home), orphans, "nobody was there to stop it");

    let server = home.serve();
    wait_for("the endpoint to answer again", Duration::from_secs(60), || {
        (call(&server, "orphan", "text/csv", "1,2").text() == "1,2").then_some(())
    });
    let now = docker.containers(&home);
    assert_eq!(now.len(), 1);
    assert_ne!(now, orphans);
    assert!(server.stop().success(), "{}", home.log());
    assert_eq!(docker.containers(&home), Vec::<String>::new(), "a server that stops leaves none");
}
