//! Lists: order, filters, pages.

use serde_json::{Value, json};

use super::House;

async fn models(house: &House, names: &[&str]) {
    for name in names {
        house.ok("CreateModel", json!({"ModelName": name, "PrimaryContainer": {"Image": "echo"}})).await;
    }
}

fn names(list: &Value, key: &str, member: &str) -> Vec<String> {
    let items = list[key].as_array().expect("our bug: a list");
    items.iter().map(|item| item[member].as_str().expect("our bug: a name").to_owned()).collect()
}

/// All pages of a list of models.
async fn pages(house: &House, request: Value) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut request = request;
    loop {
        let page = house.ok("ListModels", request.clone()).await;
        pages.push(names(&page, "Models", "ModelName"));
        match page.get("NextToken") {
            Some(token) => request["NextToken"] = token.clone(),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn pages_of_every_length_and_order_show_everything_once() {
    let house = House::new();
    let created = ["b", "A", "d", "C", "e"];
    models(&house, &created).await;
    let newest_first: Vec<_> = created.iter().rev().map(|name| (*name).to_owned()).collect();
    let by_name = ["A", "b", "C", "d", "e"].map(str::to_owned).to_vec();
    let reversed = |names: &[String]| names.iter().rev().cloned().collect::<Vec<_>>();
    for (order, expected) in [
        (json!({}), newest_first.clone()),
        (json!({"SortBy": "CreationTime", "SortOrder": "Ascending"}), reversed(&newest_first)),
        (json!({"SortBy": "Name", "SortOrder": "Ascending"}), by_name.clone()),
        (json!({"SortBy": "Name"}), reversed(&by_name)),
    ] {
        for length in 1..=6 {
            let mut request = order.clone();
            request["MaxResults"] = json!(length);
            let pages = pages(&house, request).await;
            assert!(pages.iter().all(|page| !page.is_empty() && page.len() <= length), "{order} {length}: {pages:?}");
            assert_eq!(pages.concat(), expected, "{order} {length}");
        }
    }
}

#[tokio::test]
async fn pages_stay_right_while_rows_come_and_go() {
    let house = House::new();
    models(&house, &["a", "b", "c", "d"]).await;
    let request = json!({"SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 2});
    let first = house.ok("ListModels", request.clone()).await;
    house.ok("DeleteModel", json!({"ModelName": "b"})).await;
    models(&house, &["a1"]).await;
    let mut request = request;
    request["NextToken"] = first["NextToken"].clone();
    assert_eq!(names(&house.ok("ListModels", request).await, "Models", "ModelName"), ["c", "d"]);
}

#[tokio::test]
async fn the_default_page_is_ten_and_ends_without_a_token() {
    let house = House::new();
    let all: Vec<String> = (0..11).map(|index| format!("m{index}")).collect();
    models(&house, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let page = house.ok("ListModels", json!({})).await;
    assert_eq!(page["Models"].as_array().unwrap().len(), 10);
    assert!(page["NextToken"].is_string());
    house.ok("DeleteModel", json!({"ModelName": "m0"})).await;
    assert_eq!(house.ok("ListModels", json!({})).await.get("NextToken"), None);
}

#[tokio::test]
async fn tokens_of_another_list_or_hand_are_refused() {
    let house = House::new();
    models(&house, &["a", "b", "c"]).await;
    let token = house.ok("ListModels", json!({"MaxResults": 1})).await["NextToken"].as_str().unwrap().to_owned();
    let text = "The NextToken is not one that this list gave out. Begin again without a NextToken.";
    let mut tampered = vec![String::new(), "x".to_owned(), "é".to_owned(), format!("{token}A")];
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        tampered.push(String::from_utf8(bytes).unwrap());
    }
    for token in tampered {
        assert_eq!(house.refused("ListModels", json!({"MaxResults": 1, "NextToken": token})).await, text);
    }
    assert_eq!(house.refused("ListEndpointConfigs", json!({"NextToken": token})).await, text);
    assert_eq!(house.refused("ListModels", json!({"NextToken": token, "SortBy": "Name"})).await, text);
    assert_eq!(house.refused("ListModels", json!({"NextToken": token, "NameContains": "a"})).await, text);
    // The length of pages may change on the way.
    assert_eq!(names(&house.ok("ListModels", json!({"NextToken": token})).await, "Models", "ModelName"), ["b", "a"]);
}

#[tokio::test]
async fn filters_compare_names_without_case_and_times_as_clients_read_them() {
    let house = House::new();
    models(&house, &["Churn-1", "fraud", "old-churn"]).await;
    let by_name = json!({"NameContains": "churn", "SortBy": "Name", "SortOrder": "Ascending"});
    assert_eq!(names(&house.ok("ListModels", by_name).await, "Models", "ModelName"), ["Churn-1", "old-churn"]);
    let fraud = house.ok("DescribeModel", json!({"ModelName": "fraud"})).await;
    let at = fraud["CreationTime"].clone();
    let list = |request: Value| async { names(&house.ok("ListModels", request).await, "Models", "ModelName") };
    assert_eq!(list(json!({"CreationTimeAfter": at})).await, ["old-churn", "fraud"]);
    assert_eq!(list(json!({"CreationTimeBefore": at})).await, ["Churn-1"]);
    assert_eq!(list(json!({"CreationTimeAfter": "2999-01-01T00:00:00Z"})).await, Vec::<String>::new());
}

#[tokio::test]
async fn endpoints_are_filtered_and_sorted_by_state() {
    let house = House::new();
    house.endpoint("b").await;
    house.endpoint("a").await;
    house.config("c", "broken").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "c", "EndpointConfigName": "c"})).await;
    house.settle().await;
    let list = |request: Value| async { names(&house.ok("ListEndpoints", request).await, "Endpoints", "EndpointName") };
    assert_eq!(
        list(json!({"StatusEquals": "InService", "SortBy": "Name", "SortOrder": "Ascending"})).await,
        ["a", "b"]
    );
    assert_eq!(list(json!({"StatusEquals": "Failed"})).await, ["c"]);
    assert_eq!(list(json!({"SortBy": "Status", "SortOrder": "Ascending"})).await, ["c", "a", "b"]);
    let modified = house.describe("a").await["LastModifiedTime"].clone();
    assert_eq!(list(json!({"LastModifiedTimeAfter": modified})).await, ["c", "a"]);
    assert_eq!(list(json!({"LastModifiedTimeBefore": modified})).await, ["b"]);
    let page = house.ok("ListEndpoints", json!({"SortBy": "Status", "SortOrder": "Ascending", "MaxResults": 2})).await;
    let rest = json!({"SortBy": "Status", "SortOrder": "Ascending", "NextToken": page["NextToken"]});
    assert_eq!(list(rest).await, ["b"]);
    let configs = house.ok("ListEndpointConfigs", json!({"MaxResults": 1})).await;
    let config = &configs["EndpointConfigs"][0];
    assert_eq!(config["EndpointConfigName"], "c");
    assert!(config["EndpointConfigArn"].is_string() && config["CreationTime"].is_number());
}

#[tokio::test]
async fn the_environment_of_a_model_is_told_with_the_model_and_nowhere_else() {
    let house = House::new();
    let container = json!({"Image": "echo", "Environment": {"TOKEN": "canary"}});
    house.ok("CreateModel", json!({"ModelName": "m", "PrimaryContainer": container})).await;
    let variant = json!({"VariantName": "v", "ModelName": "m"});
    house.ok("CreateEndpointConfig", json!({"EndpointConfigName": "c", "ProductionVariants": [variant]})).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "c"})).await;
    house.settle().await;
    for (operation, input) in [
        ("ListModels", json!({})),
        ("ListEndpointConfigs", json!({})),
        ("ListEndpoints", json!({})),
        ("DescribeEndpointConfig", json!({"EndpointConfigName": "c"})),
        ("DescribeEndpoint", json!({"EndpointName": "e"})),
    ] {
        let told = house.ok(operation, input).await;
        assert!(!told.to_string().contains("canary"), "{operation}: {told}");
    }
    // As on AWS.
    let told = house.ok("DescribeModel", json!({"ModelName": "m"})).await;
    assert_eq!(told["PrimaryContainer"]["Environment"]["TOKEN"], "canary");
}
