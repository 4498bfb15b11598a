//! Bringing a model's files here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use captura_names::S3Uri;
use sha2::{Digest as _, Sha256};

use super::copy::{Budget, copy_file, copy_folder, open_up};
use super::extract::extract;
use super::place::{Place, next};
use super::scratch::Scratch;
use super::source::Source;
use super::{Artifact, ArtifactError, DataForm, Limits};
use crate::{Settings, StoreResolver};

/// The first two bytes of every gzip stream.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Brings models' files here. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    stores: StoreResolver,
    limits: Limits,
    allow_file_urls: bool,
    form: DataForm,
    /// The SHA-256 that data must have, hexadecimal.
    pin: Option<String>,
    /// Copies live below this folder while a model is loaded.
    scratch: PathBuf,
}

impl Fetcher {
    /// A fetcher with the limits and leaves of `settings`.
    #[must_use]
    pub fn new(settings: &Settings, stores: StoreResolver) -> Self {
        let (limits, allow_file_urls) = (settings.limits, settings.allow_file_urls);
        Self {
            stores,
            limits,
            allow_file_urls,
            form: DataForm::default(),
            pin: None,
            scratch: settings.cache_dir.join("models"),
        }
    }

    /// This fetcher for addresses of another meaning.
    pub(crate) fn of_form(&self, form: DataForm) -> Self {
        Self { form, ..self.clone() }
    }

    /// This fetcher for data of that SHA-256 alone.
    pub(crate) fn pinned(&self, sha256: Option<&str>) -> Self {
        Self { pin: sha256.map(str::to_ascii_lowercase), ..self.clone() }
    }

    /// This fetcher with its copies below another folder.
    pub(crate) fn below(&self, folder: PathBuf) -> Self {
        Self { scratch: folder, ..self.clone() }
    }

    /// This fetcher with other limits.
    pub(crate) fn within(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// Whether there is anything at the address.
    ///
    /// # Errors
    /// When the address cannot be read here, or its store does not answer.
    pub async fn exists(&self, url: &str) -> Result<bool, ArtifactError> {
        match Source::parse(url, self.allow_file_urls)? {
            Source::Local(path) => Ok(tokio::fs::try_exists(&path).await.unwrap_or(false)),
            Source::Store(uri) => {
                let place = match self.resolve(uri) {
                    Err(ArtifactError::Missing { .. }) => return Ok(false),
                    resolved => resolved?,
                };
                Ok(place.head().await?.is_some() || next(&mut place.list()).await.transpose()?.is_some())
            }
        }
    }

    /// Makes the files at the address readable here.
    ///
    /// # Errors
    /// Says which address, and why its files cannot be had.
    pub async fn fetch(&self, url: &str) -> Result<Artifact, ArtifactError> {
        match Source::parse(url, self.allow_file_urls)? {
            Source::Local(path) => self.fetch_local(url, path).await,
            Source::Store(uri) => self.fetch_objects(self.resolve(uri)?).await,
        }
    }

    /// Makes the files at the address readable for every user of this machine: always a copy, and nothing else in its
    /// folder. For those who run a model under another name than this process.
    ///
    /// # Errors
    /// Says which address, and why its files cannot be had.
    pub async fn fetch_copy(&self, url: &str) -> Result<Artifact, ArtifactError> {
        let artifact = match Source::parse(url, self.allow_file_urls)? {
            Source::Local(path) => self.copy_local(url, path).await?,
            Source::Store(uri) => self.fetch_objects(self.resolve(uri)?).await?,
        };
        blocking(move || match open_up(artifact.root()) {
            Ok(()) => Ok(artifact),
            Err(source) => Err(ArtifactError::File { path: artifact.root().to_owned(), source }),
        })
        .await
    }

    async fn copy_local(&self, url: &str, path: PathBuf) -> Result<Artifact, ArtifactError> {
        let found = self.fetch_local(url, path).await?;
        if found.is_copy() {
            return Ok(found);
        }
        let (fetcher, url) = (self.clone(), url.to_owned());
        blocking(move || {
            let scratch = fetcher.scratch()?;
            let mut budget = Budget::new(&url, &fetcher.limits);
            match &found.only {
                None => copy_folder(found.root(), scratch.path(), &mut budget)?,
                Some(file) => {
                    let name = file.file_name().expect("our bug: a file has a name");
                    copy_file(file, &scratch.path().join(name), &mut budget)?;
                }
            }
            let only = found.only.as_ref().and_then(|file| Some(scratch.path().join(file.file_name()?)));
            Ok(Artifact { root: scratch.path().to_owned(), only, scratch: Some(scratch) })
        })
        .await
    }

    async fn fetch_local(&self, url: &str, path: PathBuf) -> Result<Artifact, ArtifactError> {
        let (fetcher, url) = (self.clone(), url.to_owned());
        blocking(move || {
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ArtifactError::Missing { url }),
                Err(source) => return Err(ArtifactError::File { path, source }),
            };
            if metadata.is_dir() {
                fetcher.refuse_pinned_folder(&url)?;
                return Ok(Artifact { root: path, only: None, scratch: None });
            }
            if !metadata.is_file() {
                let reason = "it is neither a file nor a folder".into();
                return Err(ArtifactError::Address { url, reason });
            }
            fetcher.check_pin(&url, &path)?;
            if fetcher.is_archive(&url, &path)? {
                return fetcher.unpack(&url, &path, fetcher.scratch()?);
            }
            let root = path.parent().unwrap_or(Path::new(".")).to_owned();
            Ok(Artifact { root, only: Some(path), scratch: None })
        })
        .await
    }

    async fn fetch_objects(&self, place: Place) -> Result<Artifact, ArtifactError> {
        let fetcher = self.clone();
        let scratch = blocking(move || fetcher.scratch()).await?;
        let found = if self.form == DataForm::Prefix { None } else { place.head().await? };
        let Some(meta) = found else {
            if matches!(self.form, DataForm::Object | DataForm::Archive) {
                return Err(ArtifactError::Missing { url: place.uri.to_string() });
            }
            self.refuse_pinned_folder(&place.uri.to_string())?;
            self.fetch_prefix(&place, scratch.path()).await?;
            return Ok(Artifact { root: scratch.path().to_owned(), only: None, scratch: Some(scratch) });
        };
        let name = place.path.filename().unwrap_or("model");
        let file = scratch.path().join(place.relative_path(name, &self.limits)?);
        place.download(&meta, &file, self.limits.max_bytes).await?;
        let (fetcher, url) = (self.clone(), place.uri.to_string());
        blocking(move || {
            fetcher.check_pin(&url, &file)?;
            if fetcher.is_archive(&url, &file)? {
                return fetcher.unpack(&url, &file, scratch);
            }
            Ok(Artifact { root: scratch.path().to_owned(), only: Some(file), scratch: Some(scratch) })
        })
        .await
    }

    /// Copies all objects below a prefix into a folder.
    async fn fetch_prefix(&self, place: &Place, folder: &Path) -> Result<(), ArtifactError> {
        let mut listing = place.list();
        let (mut entries, mut left) = (0, self.limits.max_bytes);
        while let Some(meta) = next(&mut listing).await {
            let meta = meta?;
            entries += 1;
            if entries > self.limits.max_entries {
                return Err(place.too_large(format!("more than {} objects", self.limits.max_entries)));
            }
            let name = meta.location.as_ref();
            let name = name.strip_prefix(place.path.as_ref()).unwrap_or(name).trim_start_matches('/');
            let file = folder.join(place.relative_path(name, &self.limits)?);
            if let Some(folder) = file.parent() {
                let made = tokio::fs::create_dir_all(folder).await;
                made.map_err(|source| ArtifactError::File { path: folder.to_owned(), source })?;
            }
            left -= place.download(&meta, &file, left).await?;
        }
        if entries == 0 {
            return Err(ArtifactError::Missing { url: place.uri.to_string() });
        }
        Ok(())
    }

    /// Refuses a file that is not what was pinned. Nothing of it has been unpacked or read as a model by then.
    fn check_pin(&self, url: &str, file: &Path) -> Result<(), ArtifactError> {
        let Some(wanted) = &self.pin else { return Ok(()) };
        let failed = |source| ArtifactError::File { path: file.to_owned(), source };
        let mut digest = Sha256::new();
        io::copy(&mut File::open(file).map_err(failed)?, &mut digest).map_err(failed)?;
        let found: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found == *wanted {
            return Ok(());
        }
        Err(ArtifactError::Digest { url: url.to_owned(), found, wanted: wanted.clone() })
    }

    fn refuse_pinned_folder(&self, url: &str) -> Result<(), ArtifactError> {
        if self.pin.is_none() {
            return Ok(());
        }
        let reason = "the model is pinned to a SHA-256, which one object has and a folder has not".into();
        Err(ArtifactError::Address { url: url.to_owned(), reason })
    }

    /// Whether a file is to be unpacked.
    fn is_archive(&self, url: &str, file: &Path) -> Result<bool, ArtifactError> {
        match (self.form, is_gzip(file)?) {
            (DataForm::Object | DataForm::Prefix, _) => Ok(false),
            (DataForm::AsFound, is_gzip) => Ok(is_gzip),
            (DataForm::Archive, true) => Ok(true),
            (DataForm::Archive, false) => {
                let reason = "CompressionType is Gzip, and the object does not begin as a gzip stream does".into();
                Err(ArtifactError::Address { url: url.to_owned(), reason })
            }
        }
    }

    fn unpack(&self, url: &str, archive: &Path, scratch: Scratch) -> Result<Artifact, ArtifactError> {
        let file = File::open(archive).map_err(|source| ArtifactError::File { path: archive.to_owned(), source })?;
        // The folder's name is our own: an archive's object could be called the same.
        let root = scratch.path().join(".unpacked");
        extract(io::BufReader::new(file), &root, &self.limits)
            .map_err(|source| ArtifactError::Extract { url: url.to_owned(), source })?;
        Ok(Artifact { root, only: None, scratch: Some(scratch) })
    }

    /// An empty folder of our own.
    pub(crate) fn scratch(&self) -> Result<Scratch, ArtifactError> {
        Scratch::new(&self.scratch).map_err(|source| ArtifactError::File { path: self.scratch.clone(), source })
    }

    fn resolve(&self, uri: S3Uri) -> Result<Place, ArtifactError> {
        match (self.stores)(&uri) {
            Ok(Some((store, path))) => Ok(Place { uri, store, path }),
            Ok(None) => Err(ArtifactError::Missing { url: uri.to_string() }),
            Err(reason) => Err(ArtifactError::Store { url: uri.to_string(), reason }),
        }
    }
}

fn is_gzip(path: &Path) -> Result<bool, ArtifactError> {
    let failed = |source| ArtifactError::File { path: path.to_owned(), source };
    let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
    File::open(path).map_err(failed)?.take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    Ok(magic == GZIP_MAGIC)
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, ArtifactError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
        Err(_) => Err(ArtifactError::ShuttingDown),
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
