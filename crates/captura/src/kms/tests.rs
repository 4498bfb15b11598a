//! A small true service on a port of its own: it verifies signatures, seals with AES-GCM bound to key and context, and
//! forgets nothing but keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use captura_names::Timestamp;
use captura_privacy::Master;
use captura_wire::sigv4::{self, Head, Secret};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const KEY_ID: &str = "alias/captura";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

/// Answers requests until it is dropped.
struct Service {
    endpoint: String,
    /// Operations that came, in order.
    asked: Arc<Mutex<Vec<String>>>,
    /// Statuses of the next answers, instead of what was asked for.
    failures: Arc<Mutex<Vec<u16>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Service {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (asked, failures) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<u16>>>::default());
        let (told, due) = (Arc::clone(&asked), Arc::clone(&failures));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&told), Arc::clone(&due)));
            }
        });
        Self { endpoint, asked, failures, _runtime: runtime }
    }

    fn client(&self, secret: &str) -> KeyManagement {
        let keys = ("AKIDEXAMPLE".to_owned(), Secret::new(secret.to_owned()), Some("session".to_owned()));
        let credentials = Credentials::of_keys(keys, "eu-west-1".into(), SERVICE);
        KeyManagement { credentials, key_id: KEY_ID.into(), endpoint: self.endpoint.clone() }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>, failures: Arc<Mutex<Vec<u16>>>) {
    let mut bytes = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
        let headers: BTreeMap<String, String> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers["content-length"].parse().unwrap();
        while bytes.len() < head_end + length {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        let body: Vec<u8> = bytes.drain(..head_end + length).skip(head_end).collect();
        let operation = headers["x-amz-target"].strip_prefix("TrentService.").unwrap().to_owned();
        asked.lock().unwrap().push(operation.clone());
        let failure = {
            let mut failures = failures.lock().unwrap();
            (!failures.is_empty()).then(|| failures.remove(0))
        };
        let (status, answer) = match failure {
            Some(status) => (status, json!({ "__type": "InternalFailure", "message": "not today" })),
            None if !is_signed(&headers, &body) => {
                (400, json!({ "__type": "InvalidSignatureException", "message": "the signature does not match" }))
            }
            None => match answer(&operation, &serde_json::from_slice(&body).unwrap()) {
                Some(answer) => (200, answer),
                None => (400, json!({ "__type": "InvalidCiphertextException", "message": "that cannot be opened" })),
            },
        };
        let answer = answer.to_string();
        let reply = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
}

/// Whether the signature is that of the secret, over the headers that it names.
fn is_signed(headers: &BTreeMap<String, String>, body: &[u8]) -> bool {
    let authorization = &headers["authorization"];
    let signed = authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    assert!(signed.contains("x-amz-security-token") && signed.contains("host"), "{signed}");
    let signed = signed.split(';').map(|name| (name, headers[name].as_bytes())).collect();
    let head = Head { method: "POST", path: "/", query: "", headers: signed };
    let date = &headers["x-amz-date"];
    let at =
        format!("{}-{}-{}T{}:{}:{}Z", &date[..4], &date[4..6], &date[6..8], &date[9..11], &date[11..13], &date[13..15]);
    let secret = Secret::new(SECRET.into());
    let credentials =
        sigv4::Credentials { access_key_id: "AKIDEXAMPLE", secret: &secret, region: "eu-west-1", service: "kms" };
    sigv4::sign(&head, body, &credentials, Timestamp::parse(&at).unwrap()) == *authorization
}

fn answer(operation: &str, input: &Value) -> Option<Value> {
    let own = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    assert_eq!(input["KeyId"], KEY_ID);
    let context = input["EncryptionContext"].to_string();
    let seal = |key: &[u8]| {
        let mut sealed = key.to_vec();
        own.seal_in_place_append_tag(
            Nonce::assume_unique_for_key([1; NONCE_LEN]),
            Aad::from(context.as_bytes()),
            &mut sealed,
        )
        .unwrap();
        BASE64.encode(sealed)
    };
    let bytes = |member: &str| BASE64.decode(input[member].as_str().unwrap()).unwrap();
    Some(match operation {
        "GenerateDataKey" => {
            assert_eq!(input["KeySpec"], "AES_256");
            let key: Vec<u8> = (0..32).collect();
            json!({ "KeyId": KEY_ID, "Plaintext": BASE64.encode(&key), "CiphertextBlob": seal(&key) })
        }
        "Encrypt" => json!({ "KeyId": KEY_ID, "CiphertextBlob": seal(&bytes("Plaintext")) }),
        _ => {
            let mut sealed = bytes("CiphertextBlob");
            let nonce = Nonce::assume_unique_for_key([1; NONCE_LEN]);
            let key = own.open_in_place(nonce, Aad::from(context.as_bytes()), &mut sealed).ok()?;
            json!({ "KeyId": KEY_ID, "Plaintext": BASE64.encode(key) })
        }
    })
}

#[test]
fn the_master_key_is_made_by_the_service_once_and_opened_by_it_at_every_start() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let (sealed, before) = (folder.path().join("master.key.sealed"), folder.path().join("master.key"));
    let open = || Master::open_or_seal(&sealed, &before, &service.client(SECRET)).map(|master| master.subject("maria"));
    let first = open().unwrap();
    assert_eq!(service.asked(), ["GenerateDataKey", "Decrypt"]);
    assert_eq!(open().unwrap(), first);
    assert_eq!(service.asked(), ["Decrypt"]);
    let on_disk = std::fs::read(&sealed).unwrap();
    let key: Vec<u8> = (0..32).collect();
    assert!(!String::from_utf8(on_disk).unwrap().contains(&BASE64.encode(key)));

    service.failures.lock().unwrap().extend([500, 503]);
    assert_eq!(open().unwrap(), first, "a service that stumbles is asked again");
    let wrong = Master::open_or_seal(&sealed, &before, &service.client("wrong")).unwrap_err().to_string();
    assert!(wrong.contains("the signature does not match") && !wrong.contains("wrong"), "{wrong}");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&sealed).unwrap()).unwrap();
    text["sealed"] = json!(BASE64.encode([0; 60]));
    std::fs::write(&sealed, text.to_string()).unwrap();
    service.asked();
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains("Decrypt") && refused.contains("that cannot be opened"), "{refused}");
    assert_eq!(service.asked(), ["Decrypt"], "a refusal is final, and no new key takes its place");
}

#[test]
fn a_key_that_lay_in_a_file_is_sealed_by_the_service() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let (sealed, before) = (folder.path().join("master.key.sealed"), folder.path().join("master.key"));
    let open = Master::open_or_create(&before).unwrap().subject("maria");
    for _ in 0..2 {
        let master = Master::open_or_seal(&sealed, &before, &service.client(SECRET)).unwrap();
        assert_eq!(master.subject("maria"), open);
    }
    assert_eq!(service.asked(), ["Encrypt", "Decrypt", "Decrypt"]);
}
