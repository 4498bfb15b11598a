//! T13: a model server that misbehaves: nobody gets another's answer, and every call is captured with its outcome.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::connection::Connection;
use crate::deployment::Deployment;
use crate::order::{Broken, Figures, Order, Told, in_parallel};
use crate::scripted::{BEHAVIOURS, Scripted, expected};
use crate::seeded::Seeded;
use crate::server::Home;
use crate::{captured, proof};

const ENDPOINT: &str = "misbehaving";
/// Callers at the same time: answers can only be mixed up where there are several.
const CALLERS: usize = 8;
/// Calls of one unit: each with another behaviour, back to back on one connection.
const CALLS: usize = 6;

pub(super) fn run(order: &Order) -> Told {
    run_on(order, false)
}

/// The same before a model server that mixes answers up itself; must be found.
pub fn run_crossed(order: &Order) -> Told {
    run_on(order, true)
}

fn run_on(order: &Order, crosses_answers: bool) -> Told {
    let model = Scripted::start(crosses_answers);
    let configuration = format!(
        "[capture]\nseal_after = \"500ms\"\n[limits]\nmodel_timeout = \"1s\"\nanswer_max = \"1MiB\"\n\
         [[models.images]]\nimage = \"scripted\"\nbackend = \"remote\"\nurl = \"http://{}/invocations\"\n",
        model.address()
    );
    let home = Home::new(&configuration);
    let server = home.serve();
    Deployment { image: "scripted", ..Deployment::echo(ENDPOINT) }.create(&server);
    // By event id: what was sent, and the answer where there was one.
    let calls: Mutex<HashMap<String, (String, Option<String>)>> = Mutex::default();
    let told = in_parallel(order, CALLERS, |seed| {
        let mut numbers = Seeded::new(seed);
        let mut connection = Connection::open(server.address()).map_err(|error| error.to_string())?;
        let mut figures = Figures { units: 1, ..Figures::default() };
        for call in 0..CALLS {
            let (behaviour, answered) = *numbers.pick(&BEHAVIOURS);
            let nonce = format!("{seed}-{call}-{:x}", numbers.number());
            let body = format!("{behaviour} {nonce}");
            let path = format!("/endpoints/{ENDPOINT}/invocations");
            let reply = connection.post(&path, &[("content-type", "text/csv")], body.as_bytes());
            let reply = reply.map_err(|error| format!("{behaviour}: the server gave no reply: {error}"))?;
            let answer = (reply.status == 200).then(|| reply.text());
            let fits = match &answer {
                Some(answer) => answered && *answer == expected(&nonce),
                // A connection that the model server has just closed may take a call with it.
                None => [424, 429, 503].contains(&reply.status) && (!answered || reply.status == 424),
            };
            // Error texts quote what the model said, which must be this call's too.
            if !fits || (reply.text().contains("answer to") && !reply.text().contains(&expected(&nonce))) {
                return Err(format!("{behaviour} with nonce {nonce}: {} {:.300}", reply.status, reply.text()));
            }
            figures.add(if answer.is_some() { "calls answered" } else { "calls failed" }, 1);
            if let Some(event_id) = reply.header("x-captura-event-id") {
                let known = calls.lock().expect("no caller panicked").insert(event_id.to_owned(), (body, answer));
                if known.is_some() {
                    return Err(format!("two calls got the event id {event_id}"));
                }
            }
        }
        Ok(figures)
    });
    let Told::Held(figures) = told else { return told };
    drop(server);
    let calls = calls.into_inner().expect("no caller panicked");
    match compare(&home, &calls) {
        Ok(()) => Told::Held(figures),
        Err(what) => Told::Broken(Broken { seed: order.seed, what: format!("{what}\n{}", home.log_end()) }),
    }
}

fn compare(home: &Home, calls: &HashMap<String, (String, Option<String>)>) -> Result<(), String> {
    proof::rest(home)?;
    let mut found = 0;
    let mut wrong = None;
    captured::each(&home.bucket("captures"), |line| {
        let Some((sent, answer)) = calls.get(line.event_id()) else { return };
        found += 1;
        let request = line.request().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let response = line.response().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let outcome = line.json["captura"]["outcome"].as_str().unwrap_or_default().to_owned();
        let fits = match answer {
            Some(answer) => response.as_ref() == Some(answer) && outcome == "ok",
            None => outcome != "ok",
        };
        if !fits || request.as_ref() != Some(sent) {
            wrong.get_or_insert_with(|| format!("{sent:?} was answered with {answer:?} and captured as {}", line.line));
        }
    });
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    if found == calls.len() { Ok(()) } else { Err(format!("{} calls, {found} captured", calls.len())) }
}
