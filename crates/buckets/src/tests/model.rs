//! A bucket behaves as a sorted map of keys, as far as a file system can hold them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Act {
    Put(String, String),
    Delete(String),
}

fn act() -> impl Strategy<Value = Act> {
    let key = "[ab](/[ab]){0,2}";
    prop_oneof![3 => (key, "[xyz]{0,3}").prop_map(|(key, body)| Act::Put(key, body)), 1 => key.prop_map(Act::Delete)]
}

/// Whether a key is a folder of another one, or the other way round.
fn clashes(model: &BTreeMap<String, String>, key: &str) -> bool {
    model.keys().any(|other| other.starts_with(&format!("{key}/")) || key.starts_with(&format!("{other}/")))
}

fn all(told: &Told, name: &str) -> Vec<String> {
    let open = format!("<{name}>");
    let pieces = told.text().split(&open).skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
    pieces.collect()
}

async fn check(acts: Vec<Act>) -> Result<(), TestCaseError> {
    let house = House::new();
    house.call("PUT /models").await;
    let mut model = BTreeMap::new();
    for act in acts {
        match act {
            Act::Put(key, body) => {
                let status = house.put(&format!("/models/{key}"), &body).await.status.as_u16();
                prop_assert_eq!(status, if clashes(&model, &key) { 400 } else { 200 });
                if status == 200 {
                    model.insert(key, body);
                }
            }
            Act::Delete(key) => {
                prop_assert_eq!(house.call(&format!("DELETE /models/{key}")).await.status.as_u16(), 204);
                model.remove(&key);
            }
        }
    }
    for (key, body) in &model {
        let told = house.call(&format!("GET /models/{key}")).await;
        prop_assert_eq!(told.text(), body.as_str());
    }
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let told = house.call(&format!("GET /models?list-type=2&max-keys=2{token}")).await;
        found.extend(all(&told, "Key"));
        match all(&told, "NextContinuationToken").pop() {
            Some(next) => token = format!("&continuation-token={next}"),
            None => break,
        }
    }
    prop_assert_eq!(&found, &model.keys().cloned().collect::<Vec<_>>());
    let told = house.call("GET /models?delimiter=/&prefix=a").await;
    let expected = usize::from(model.contains_key("a")) + usize::from(model.keys().any(|key| key.starts_with("a/")));
    prop_assert_eq!(all(&told, "Key").len() + told.text().matches("<CommonPrefixes>").count(), expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn puts_deletes_reads_and_listings_agree_with_a_map(acts in prop::collection::vec(act(), 0..16)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(check(acts))?;
    }
}
