//! Notices told to a small true webhook.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering as Order};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

/// What a webhook got, and how it answers: the statuses in turn, then 200 for ever.
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<(String, Value)>>>,
    rung: Arc<Notify>,
    asked: Arc<AtomicUsize>,
}

impl Receiver {
    async fn answering(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { url, got: Arc::default(), rung: Arc::default(), asked: Arc::default() };
        let (got, rung, asked) = (Arc::clone(&receiver.got), Arc::clone(&receiver.rung), Arc::clone(&receiver.asked));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (head, body) = read(&mut stream).await;
                let turn = asked.fetch_add(1, Order::SeqCst);
                let status = statuses.get(turn).copied().unwrap_or(200);
                if status == 200 {
                    got.lock().unwrap().push((head, body));
                }
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: http://127.0.0.1:9/\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                rung.notify_one();
            }
        });
        receiver
    }

    async fn until_got(&self, count: usize) -> Vec<(String, Value)> {
        while self.got.lock().unwrap().len() < count {
            self.rung.notified().await;
        }
        self.got.lock().unwrap().clone()
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the request broke off");
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
        if bytes.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return (text[..end].to_owned(), serde_json::from_slice(&bytes[end + 4..]).unwrap());
        }
    }
}

fn settings(folder: &tempfile::TempDir, webhooks: Vec<Webhook>) -> Settings {
    Settings {
        folder: folder.path().join("notices"),
        webhooks,
        keep: Settings::DEFAULT_KEEP,
        answer_within: Settings::DEFAULT_ANSWER_WITHIN,
        tasks: Tasks::default(),
    }
}

fn webhook(receiver: &Receiver, topics: &[&str]) -> Webhook {
    Webhook::new(&receiver.url, topics.iter().map(ToString::to_string).collect(), None).unwrap()
}

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:alerts";

fn noon() -> Clock {
    Clock::fixed(Timestamp::from_unix_us(1_769_860_800_123_000))
}

#[tokio::test]
async fn each_webhook_gets_what_it_listens_to_in_order_and_in_the_services_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let (alerts, all) = (Receiver::answering(&[]).await, Receiver::answering(&[]).await);
    let settings = settings(&folder, vec![webhook(&alerts, &["arn:aws:sns:*"]), webhook(&all, &[])]);
    let notices = Notices::open(&settings, noon()).unwrap();
    let sending = notices.start(&settings).unwrap();
    notices.event(&json!({"source": "aws.sagemaker", "detail-type": "SageMaker Endpoint State Change"}));
    notices.message(TOPIC, Some("ALARM"), &json!({"AlarmName": "a"}));
    let got = all.until_got(2).await;
    assert_eq!(got[0].1["detail-type"], "SageMaker Endpoint State Change");
    assert_eq!(got[1].1["Message"], r#"{"AlarmName":"a"}"#);
    let got = alerts.until_got(1).await;
    assert!(got[0].0.contains("x-amz-sns-message-type: notification"), "{}", got[0].0);
    assert_eq!((&got[0].1["TopicArn"], &got[0].1["Subject"]), (&json!(TOPIC), &json!("ALARM")));
    assert_eq!(got[0].1["Timestamp"], "2026-01-31T12:00:00.123Z");
    sending.stop().await;
    assert_eq!(alerts.got.lock().unwrap().len(), 1);
    assert_eq!(notices.figures().dropped, 0);
}

#[tokio::test]
async fn a_webhook_that_fails_is_tried_again_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering(&[503, 429]).await;
    let settings = settings(&folder, vec![webhook(&receiver, &[])]);
    let notices = Notices::open(&settings, noon()).unwrap();
    let sending = notices.start(&settings).unwrap();
    notices.event(&json!({"source": "a", "n": 1}));
    notices.event(&json!({"source": "a", "n": 2}));
    let got = receiver.until_got(2).await;
    assert_eq!((&got[0].1["n"], &got[1].1["n"]), (&json!(1), &json!(2)));
    assert_eq!(receiver.asked.load(Order::SeqCst), 4);
    sending.stop().await;
}

#[tokio::test]
async fn what_was_told_before_the_end_is_sent_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering(&[]).await;
    let settings = settings(&folder, vec![webhook(&receiver, &[])]);
    let before = Notices::open(&settings, noon()).unwrap();
    before.event(&json!({"source": "a", "n": 1}));
    assert_eq!(before.figures().waiting, 1);
    let after = Notices::open(&settings, noon()).unwrap();
    after.event(&json!({"source": "a", "n": 2}));
    let sending = after.start(&settings).unwrap();
    let got = receiver.until_got(2).await;
    assert_eq!((&got[0].1["n"], &got[1].1["n"]), (&json!(1), &json!(2)));
    sending.stop().await;
}

#[tokio::test]
async fn a_final_no_and_a_redirect_drop_the_notice_and_the_next_one_goes_out() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering(&[400, 302]).await;
    let settings = settings(&folder, vec![webhook(&receiver, &[])]);
    let notices = Notices::open(&settings, noon()).unwrap();
    let sending = notices.start(&settings).unwrap();
    for number in 1..=3 {
        notices.event(&json!({"source": "a", "n": number}));
    }
    assert_eq!(receiver.until_got(1).await[0].1["n"], 3);
    sending.stop().await;
    assert_eq!(notices.figures().dropped, 2);
}

#[tokio::test]
async fn a_notice_that_is_too_old_is_dropped_and_so_is_a_file_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering(&[500]).await;
    let mut settings = settings(&folder, vec![webhook(&receiver, &[])]);
    settings.keep = Duration::ZERO;
    let notices = Notices::open(&settings, noon()).unwrap();
    notices.event(&json!({"source": "a", "n": 1}));
    notices.event(&json!({"source": "a", "n": 2}));
    let outbox = std::fs::read_dir(&settings.folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(outbox.join("00000000000000000001.json"), "{").unwrap();
    notices.event(&json!({"source": "a", "n": 3}));
    let sending = notices.start(&settings).unwrap();
    assert_eq!(receiver.until_got(1).await[0].1["n"], 3);
    sending.stop().await;
    assert_eq!(notices.figures().dropped, 2);
}

#[tokio::test]
async fn two_webhooks_with_one_address_lose_each_other_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering(&[]).await;
    let settings = settings(&folder, vec![webhook(&receiver, &["aws.sagemaker"]), webhook(&receiver, &[TOPIC])]);
    let notices = Notices::open(&settings, noon()).unwrap();
    notices.event(&serde_json::json!({"source": "aws.sagemaker"}));
    notices.message(TOPIC, None, &serde_json::json!("message"));
    let sending = notices.start(&settings).unwrap();
    let got = receiver.until_got(2).await;
    assert_ne!(got[0].1, got[1].1);
    sending.stop().await;
}
