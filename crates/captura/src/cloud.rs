//! The stores, with the credentials that a cloud's own tools would use: the environment, AWS's shared files with their
//! profiles, and what machines and containers are given. Options of `[stores]` win over all of it.
//!
//! Only words of credentials and regions are passed on. An endpoint is not: `AWS_ENDPOINT_URL` points clients at captura
//! itself.
//!
//! Refuses to: run programs (`credential_process`), sign in (`sso_…`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use captura_archive::stores::StoreEnvironment;
use captura_archive::{StoreMapping, StoreSettings, Stores};
use captura_wire::sigv4::Secret;

use crate::config::variable;

/// Variables of AWS that are passed on, and what the client calls them.
const AWS: [(&str, &str); 14] = [
    ("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
    ("AWS_SESSION_TOKEN", "aws_session_token"),
    ("AWS_DEFAULT_REGION", "aws_region"),
    ("AWS_REGION", "aws_region"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "aws_web_identity_token_file"),
    ("AWS_ROLE_ARN", "aws_role_arn"),
    ("AWS_ROLE_SESSION_NAME", "aws_role_session_name"),
    ("AWS_ENDPOINT_URL_STS", "aws_endpoint_url_sts"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "aws_container_credentials_relative_uri"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "aws_container_credentials_full_uri"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "aws_container_authorization_token_file"),
    ("AWS_METADATA_ENDPOINT", "aws_metadata_endpoint"),
    ("AWS_IMDSV1_FALLBACK", "aws_imdsv1_fallback"),
];
/// The same of a profile in AWS's shared files.
const PROFILE: [(&str, &str); 7] = [
    ("aws_access_key_id", "aws_access_key_id"),
    ("aws_secret_access_key", "aws_secret_access_key"),
    ("aws_session_token", "aws_session_token"),
    ("region", "aws_region"),
    ("web_identity_token_file", "aws_web_identity_token_file"),
    ("role_arn", "aws_role_arn"),
    ("role_session_name", "aws_role_session_name"),
];
const GCS: [&str; 4] = [
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
];
const AZURE: [&str; 10] = [
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
];
/// Largest shared file that is read, bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The stores of a data directory.
pub(crate) fn stores(data_dir: &Path, mappings: BTreeMap<String, StoreMapping>) -> Stores {
    let settings = StoreSettings { data_dir: data_dir.to_owned(), mappings };
    Stores::with_environment(settings, environment(&|name| variable(name)))
}

/// Keys of AWS and the region that the environment names.
pub(crate) struct AwsKeys {
    pub(crate) access_key_id: String,
    pub(crate) secret: Secret,
    pub(crate) session_token: Option<String>,
    pub(crate) region: Option<String>,
}

/// Keys by the same chain as those of stores.
pub(crate) async fn aws_keys() -> anyhow::Result<AwsKeys> {
    let environment = environment(&|name| variable(name));
    let region = environment.aws.get("aws_region").cloned();
    let keys = captura_archive::stores::aws_keys(&environment).await.map_err(anyhow::Error::msg)?;
    let (access_key_id, secret, session_token) = keys;
    Ok(AwsKeys { access_key_id, secret: Secret::new(secret), session_token, region })
}

fn environment(variable: &dyn Fn(&str) -> Option<String>) -> StoreEnvironment {
    let mut aws = shared_files(variable);
    let set: Vec<_> = AWS.iter().filter_map(|(name, option)| Some(((*option).to_owned(), variable(name)?))).collect();
    // Keys belong together: a session token of the files must not stay beside keys of the environment.
    if set.iter().any(|(option, _)| option == "aws_access_key_id") {
        aws.retain(|option, _| option == "aws_region");
    }
    aws.extend(set);
    let lower =
        |names: &[&str]| names.iter().filter_map(|name| Some((name.to_ascii_lowercase(), variable(name)?))).collect();
    StoreEnvironment { aws, gcs: lower(&GCS), azure: lower(&AZURE) }
}

/// The profile of AWS's shared files; `credentials` wins over `config`.
fn shared_files(variable: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".into());
    let home = variable("HOME").map(|home| PathBuf::from(home).join(".aws"));
    let file = |name: &str, below: &str| variable(name).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(below)));
    let mut found = BTreeMap::new();
    let section = if profile == "default" { profile.clone() } else { format!("profile {profile}") };
    for (path, section) in
        [(file("AWS_CONFIG_FILE", "config"), section), (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), profile)]
    {
        let small = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() <= FILE_MAX_BYTES);
        let Some(text) = path.filter(small).and_then(|path| std::fs::read_to_string(path).ok()) else { continue };
        found.extend(section_of(&text, &section));
    }
    let said = PROFILE.iter().filter_map(|(name, option)| Some(((*option).to_owned(), found.get(*name)?.clone())));
    said.collect()
}

/// The lines of one section: `[name]`, then `key = value`.
fn section_of(text: &str, wanted: &str) -> BTreeMap<String, String> {
    let mut inside = false;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == wanted;
        } else if inside
            && !trimmed.starts_with(['#', ';'])
            // Indented lines belong to a group of settings that is not ours.
            && !line.starts_with([' ', '\t'])
            && let Some((key, value)) = trimmed.split_once('=')
        {
            found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[other]\naws_access_key_id=C\n\
        aws_secret_access_key = D\naws_session_token = E\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\ns3 =\n  max_concurrent_requests = 9\n# region = no\n\
        [profile other]\nregion=sa-east-1\n";

    fn seen(set: &[(&str, &str)]) -> BTreeMap<String, String> {
        let home = tempfile::tempdir().unwrap();
        let aws = home.path().join(".aws");
        std::fs::create_dir(&aws).unwrap();
        std::fs::write(aws.join("credentials"), CREDENTIALS).unwrap();
        std::fs::write(aws.join("config"), CONFIG).unwrap();
        let home = home.path().display().to_string();
        let variable = |name: &str| {
            let set = set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
            set.or_else(|| (name == "HOME").then(|| home.clone()))
        };
        environment(&variable).aws
    }

    fn of(found: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
        found.iter().map(|(option, value)| (option.as_str(), value.as_str())).collect()
    }

    #[test]
    fn profiles_are_found_in_the_shared_files() {
        let default = [("aws_access_key_id", "A"), ("aws_region", "eu-west-1"), ("aws_secret_access_key", "B")];
        assert_eq!(of(&seen(&[])), default);
        let other = seen(&[("AWS_PROFILE", "other")]);
        assert_eq!(other["aws_session_token"], "E");
        assert_eq!((&*other["aws_access_key_id"], &*other["aws_region"]), ("C", "sa-east-1"));
        assert!(seen(&[("AWS_PROFILE", "none")]).is_empty());
    }

    #[test]
    fn the_environment_wins_and_its_keys_stay_together() {
        let set = [("AWS_PROFILE", "other"), ("AWS_ACCESS_KEY_ID", "X"), ("AWS_SECRET_ACCESS_KEY", "Y")];
        let found = seen(&set);
        let expected = [("aws_access_key_id", "X"), ("aws_region", "sa-east-1"), ("aws_secret_access_key", "Y")];
        assert_eq!(of(&found), expected);
        let found = seen(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:8080"), ("AWS_REGION", "us-west-2")]);
        assert_eq!(found["aws_region"], "us-west-2");
        assert!(found.keys().all(|option| !option.contains("endpoint")), "captura must not be pointed at itself");
    }
}
