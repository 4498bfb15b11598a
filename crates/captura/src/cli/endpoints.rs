//! `captura endpoints`, `captura endpoint NAME`: what is served.

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::{Outcome, Server, say, table};
use crate::client::Client;

/// List the endpoints
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    server: Server,
}

impl List {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let mut endpoints: Vec<Value> = Vec::new();
        let mut input = json!({ "MaxResults": 100, "SortBy": "Name", "SortOrder": "Ascending" });
        loop {
            let page = client.operation("ListEndpoints", &input).await?;
            endpoints.extend(page["Endpoints"].as_array().cloned().unwrap_or_default());
            match page.get("NextToken") {
                Some(token) => input["NextToken"] = token.clone(),
                None => break,
            }
        }
        if self.server.json {
            say(&Value::Array(endpoints).to_string());
            return Ok(Outcome::Fine);
        }
        let served = client.observe("/captura/v1/endpoints").await?;
        let mut rows = table(&["ENDPOINT", "STATUS", "CAPTURE", "CREATED"]);
        for endpoint in &endpoints {
            rows.add_row([
                text(&endpoint["EndpointName"]),
                text(&endpoint["EndpointStatus"]),
                guarantee(&served, &endpoint["EndpointName"]),
                time(&endpoint["CreationTime"]),
            ]);
        }
        say(&rows.to_string());
        Ok(Outcome::Fine)
    }
}

/// Describe one endpoint, with the model's inputs and outputs
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// Endpoint
    name: String,
    #[command(flatten)]
    server: Server,
}

impl Describe {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let mut described = client.operation("DescribeEndpoint", &json!({ "EndpointName": self.name })).await?;
        let served = client.observe("/captura/v1/endpoints").await?;
        let endpoint = served["endpoints"]
            .as_array()
            .context("the server's list of endpoints has another form than this program knows")?
            .iter()
            .find(|endpoint| endpoint["name"] == json!(self.name));
        let part = |key: &str| endpoint.map_or(Value::Null, |endpoint| endpoint[key].clone());
        let (variants, tables) = (part("variants"), part("tables"));
        if self.server.json {
            described["CapturaVariants"] = variants;
            described["CapturaTables"] = tables;
            say(&described.to_string());
            return Ok(Outcome::Fine);
        }
        say(&format!("endpoint  {}", text(&described["EndpointName"])));
        say(&format!("status    {}", text(&described["EndpointStatus"])));
        if let Some(reason) = described["FailureReason"].as_str() {
            say(&format!("reason    {reason}"));
        }
        say(&format!("config    {}", text(&described["EndpointConfigName"])));
        say(&format!("created   {}", time(&described["CreationTime"])));
        let capture = &described["DataCaptureConfig"];
        if capture.is_object() {
            say(&format!(
                "capture   {}, {} % of calls, to {}",
                text(&capture["CaptureStatus"]),
                capture["CurrentSamplingPercentage"],
                text(&capture["DestinationS3Uri"])
            ));
        }
        for table in tables.as_array().into_iter().flatten() {
            say(&format!("table     {}, in invocations/ and rows/ endpoint={}", text(table), self.name));
        }
        for variant in variants.as_array().into_iter().flatten() {
            describe_variant(variant);
        }
        Ok(Outcome::Fine)
    }
}

fn variants<'a>(served: &'a Value, name: &Value) -> impl Iterator<Item = &'a Value> {
    let endpoints = served["endpoints"].as_array().into_iter().flatten();
    let name = name.clone();
    endpoints.filter(move |endpoint| endpoint["name"] == name).flat_map(|one| one["variants"].as_array()).flatten()
}

/// How surely an endpoint's calls are captured, in a word or two; `-` where they are not.
fn guarantee(served: &Value, name: &Value) -> String {
    let captured = variants(served, name).find(|variant| variant["durability"].is_string());
    captured.map_or_else(
        || "-".to_owned(),
        |variant| format!("{}, {}", text(&variant["durability"]), text(&variant["whenUnavailable"])),
    )
}

/// What an endpoint's captured calls are promised, a line for each variant that captures.
pub(super) async fn promises(client: &Client, name: &str) -> anyhow::Result<Vec<String>> {
    let served = client.observe("/captura/v1/endpoints").await?;
    let name = json!(name);
    let promised = variants(&served, &name).filter(|variant| variant["durability"].is_string()).map(|variant| {
        let promise = promise(&text(&variant["durability"]), &text(&variant["whenUnavailable"]));
        format!("{}: {promise}", text(&variant["name"]))
    });
    Ok(promised.collect())
}

fn describe_variant(variant: &Value) {
    say(&format!(
        "\nvariant   {} (model {}, weight {})",
        text(&variant["name"]),
        text(&variant["model"]),
        variant["weight"]
    ));
    if let Some(durability) = variant["durability"].as_str() {
        say(&format!("          {}", promise(durability, &text(&variant["whenUnavailable"]))));
    }
    for (title, key) in [("inputs", "inputs"), ("outputs", "outputs")] {
        let Some(fields) = variant["signature"][key].as_array() else { continue };
        let named: Vec<String> =
            fields.iter().map(|field| format!("{} ({})", text(&field["name"]), text(&field["type"]))).collect();
        say(&format!("{title:<9} {}", named.join(", ")));
    }
}

/// What a captured call is promised, in words.
fn promise(durability: &str, when_unavailable: &str) -> String {
    let kept = match durability {
        "ack-after-fsync" => "a call is answered once its record is safe on the disk (ack-after-fsync)",
        "ack-after-write" => {
            "a call is answered once its record is written, safe from a crash of captura (ack-after-write)"
        }
        "best-effort" => "a call is answered while its record is still on the way (best-effort)",
        other => other,
    };
    let lost = match when_unavailable {
        "serve" => "where that fails it is answered all the same, and the loss is counted",
        "refuse" => "where that fails it is refused",
        other => other,
    };
    format!("{kept}; {lost}")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), str::to_owned)
}

fn time(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |seconds| captura_names::Timestamp::from_unix_seconds(seconds).to_string())
}

#[cfg(test)]
mod tests {
    use captura_route::{Durability, WhenUnavailable};

    use super::*;

    #[test]
    fn every_promise_has_words() {
        for durability in [Durability::AckAfterFsync, Durability::AckAfterWrite, Durability::BestEffort] {
            for when_unavailable in [WhenUnavailable::Serve, WhenUnavailable::Refuse] {
                let said = promise(&text(&json!(durability)), &text(&json!(when_unavailable)));
                assert!(said.contains("a call is answered") && said.contains("where that fails it is"), "{said}");
            }
        }
    }
}
