//! `captura report`: one HTML page for people. No server is needed.

use captura_archive::document;
use captura_monitor::job;
use captura_monitor::report::{Grounds, Language, page};
use clap::{Args, ValueEnum};

use super::analysis::{Input, Wanted, or_cannot_tell};
use super::drift::{Question, named, outcome};
use super::scripts::Scripts;
use super::standing::Standing;
use super::{Outcome, say};

/// One self-contained HTML page: what changed, through whom, since when, and on how many of the calls it stands
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Captures, or tables as CSV, JSON Lines or Parquet: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// Where the page goes: a file or an s3:// address
    #[arg(long, value_name = "FILE")]
    html: String,
    /// Language of the page
    #[arg(long, value_enum, default_value_t = Tongue::En)]
    language: Tongue,
    /// What the page is called [default: the addresses]
    #[arg(long)]
    title: Option<String>,
    /// Exit with 2 when something drifted, as `drift` does
    #[arg(long)]
    fail: bool,
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    scripts: Scripts,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tongue {
    En,
    Pt,
}

impl Report {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let mut request = self.question.about(&self.addresses, &self.wanted, &self.input)?;
        request.is_pictured = true;
        let asked = request.source.clone();
        let opened = self.input.open()?;
        request = named(&opened, request).await?;
        let (mut prepared, _before) = match self.scripts.prepare_examination(&opened.stores, &mut request).await? {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok(outcome),
        };
        let mut found = match or_cannot_tell(job::examine(&opened.stores, &request).await)? {
            Ok(found) => found,
            Err(outcome) => return Ok(outcome),
        };
        prepared.count(&mut found.data);
        let standing = opened.standing(&asked, found.data.records).await;
        let subject = self.title.clone().unwrap_or_else(|| self.addresses.join(" "));
        let language = match self.language {
            Tongue::En => Language::English,
            Tongue::Pt => Language::Portuguese,
        };
        let text = page(&subject, &grounds(&standing), &found, language);
        let size = text.len();
        document::write(&opened.stores, &self.html, text.into()).await?;
        self.scripts.conclude(&self.html, None)?;
        if self.input.json {
            let json = serde_json::json!({ "written": self.html, "bytes": size, "standing": standing });
            say(&json.to_string());
        } else {
            standing.in_words().iter().for_each(|words| say(words));
            say(&format!("wrote {} ({} kB)", self.html, size.div_ceil(1000)));
        }
        Ok(if self.fail { outcome(&found) } else { Outcome::Fine })
    }
}

fn grounds(standing: &Standing) -> Grounds {
    match standing {
        Standing::Known { share, invocations, sampled_out, dropped, in_flight, elsewhere, .. } => Grounds::Known {
            share: *share,
            invocations: *invocations,
            dropped: *dropped,
            sampled_out: *sampled_out,
            in_flight: *in_flight,
            elsewhere: *elsewhere,
        },
        Standing::Unknown { cannot_tell } => Grounds::Unknown(cannot_tell.clone()),
        Standing::Tables => Grounds::Tables,
    }
}
