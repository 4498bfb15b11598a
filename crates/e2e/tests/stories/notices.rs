//! Webhooks that the operator names are told what happens.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use captura_e2e::deployment::Deployment;
use captura_e2e::server::Home;
use serde_json::Value;

/// How long a notice may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A webhook that takes everything; gives its address and what it gets.
fn webhook() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, got) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.into_inner().write_all(answer).unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, got)
}

#[test]
fn a_webhook_hears_of_every_state_of_an_endpoint_in_order() {
    let (url, got) = webhook();
    let home = Home::new(&format!("[[notices]]\nurl = \"{url}\"\ntopics = [\"aws.sagemaker\"]\n"));
    let server = home.serve();
    Deployment::echo("told").create(&server);
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "IN_SERVICE") {
        let event =
            got.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("after {states:?} nothing came\n{}", home.log()));
        assert_eq!(event["detail-type"], "SageMaker Endpoint State Change");
        assert_eq!(event["detail"]["EndpointName"], "told");
        states.push(event["detail"]["EndpointStatus"].as_str().unwrap().to_owned());
    }
    assert_eq!(states, ["CREATING", "IN_SERVICE"]);
}
