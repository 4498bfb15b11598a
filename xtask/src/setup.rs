//! Brings what tests need into the cache folder. Safe to run twice, quiet when everything is there.
//!
//! Invariant: nothing outside the cache folder changes, except that a Debian machine where we are root gets the
//! `python3-venv` package when Python cannot make a virtual environment without it.
//! Refuses to: hide what could not be had. Each missing thing is one sentence with its reason.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::ci;
use crate::program::Program;

/// ONNX Runtime's shared library comes out of its Python wheel; this is the release that the exported models were tried on.
const ONNXRUNTIME: &str = "1.31.1";
/// What stories told through Python import; DuckDB and pyarrow read the invocation table as its users do.
const PACKAGES: [&str; 6] = ["awscli", "boto3", "duckdb", "numpy", "pyarrow", "sagemaker<3"];
/// Programs of cargo that checks use.
const CARGO_DENY: &str = "0.20.2";
pub(crate) const GARAGE: &str = "garage";
const GARAGE_VERSION: &str = "2.5.0";

/// Something that could not be had, and why.
pub(crate) struct Missing {
    what: &'static str,
    why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} because {}", self.what, self.why)
    }
}

/// `cargo xtask setup`
pub(crate) fn run() -> Result<()> {
    let missing = provide(&Cache::locate()?)?;
    for thing in &missing {
        println!("skipped: {thing}");
    }
    if ci::is_deciding() && !missing.is_empty() {
        bail!("what the tests need is missing, and CI=true");
    }
    Ok(())
}

/// Fetches what is not there yet; gives what could not be had. An error only where the cache folder itself cannot be made.
pub(crate) fn provide(cache: &Cache) -> Result<Vec<Missing>> {
    std::fs::create_dir_all(cache.root()).with_context(|| format!("cannot make {}", cache.root().display()))?;
    let mut missing = Vec::new();
    let mut note = |what, made: Result<()>| {
        if let Err(error) = made {
            missing.push(Missing { what, why: format!("{error:#}") });
        }
    };
    note("stories told through the AWS SDK for Python", venv(cache));
    note("tests of ONNX models", onnxruntime(cache));
    note("licences, bans and sources of dependencies", cargo_tool(cache, "cargo-deny", CARGO_DENY, &[]));
    Ok(missing)
}

/// The store of others that `cargo xtask stores` tries. Its speed is of no interest, the time to build it is.
pub(crate) fn garage(cache: &Cache) -> Result<()> {
    cargo_tool(
        cache,
        GARAGE,
        GARAGE_VERSION,
        &["--debug", "--no-default-features", "--features", "bundled-libs,sqlite"],
    )
}

fn venv(cache: &Cache) -> Result<()> {
    let wanted = PACKAGES.join("\n");
    let folder = cache.venv();
    if is_stamped(&folder, &wanted) && cache.python().exists() {
        return Ok(());
    }
    if !Program::new("python3").arg("--version").succeeds() {
        bail!("there is no python3; install it (Debian: apt-get install python3 python3-venv)");
    }
    if !Program::new("python3").args(["-c", "import venv, ensurepip"]).succeeds() {
        install_debian_venv()?;
    }
    println!("making {} with {}", folder.display(), PACKAGES.join(", "));
    Program::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).read()?;
    pip(cache).args(["install", "--quiet"]).args(PACKAGES).read()?;
    stamp(&folder, &wanted)
}

fn install_debian_venv() -> Result<()> {
    let root = Program::new("id").arg("-u").read().is_ok_and(|id| id.trim() == "0");
    if !root || !Program::new("apt-get").arg("--version").succeeds() {
        bail!(
            "this Python cannot make virtual environments; install that part of it (Debian: apt-get install python3-venv)"
        );
    }
    println!("installing Debian's python3-venv");
    Program::new("apt-get").args(["update", "--quiet"]).read()?;
    Program::new("apt-get").args(["install", "--yes", "--quiet", "--no-install-recommends", "python3-venv"]).read()?;
    Ok(())
}

pub(crate) fn pip(cache: &Cache) -> Program {
    Program::new(cache.python()).args(["-m", "pip", "--disable-pip-version-check", "--no-input"])
}

fn onnxruntime(cache: &Cache) -> Result<()> {
    let folder = cache.onnxruntime();
    if is_stamped(&folder, ONNXRUNTIME) && cache.onnxruntime_library().exists() {
        return Ok(());
    }
    if !cache.python().exists() {
        bail!("its shared library comes out of a Python wheel, and there is no Python environment to fetch that with");
    }
    println!("fetching ONNX Runtime {ONNXRUNTIME} into {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let wheel = folder.join("wheel");
    std::fs::create_dir_all(&wheel).with_context(|| format!("cannot make {}", wheel.display()))?;
    let release = format!("onnxruntime=={ONNXRUNTIME}");
    pip(cache).args(["download", "--quiet", "--no-deps", "--dest"]).arg(&wheel).arg(release).read()?;
    // Python reads the wheel, a zip file, so that no unzip program is needed.
    let script = "import glob, os, sys, zipfile\n\
        folder = sys.argv[1]\n\
        with zipfile.ZipFile(glob.glob(os.path.join(folder, 'wheel', '*.whl'))[0]) as wheel:\n\
        \x20   names = [n for n in wheel.namelist() if n.startswith('onnxruntime/capi/libonnxruntime.so')]\n\
        \x20   licences = [n for n in wheel.namelist() if n.endswith(('LICENSE', 'ThirdPartyNotices.txt'))]\n\
        \x20   for name in names + licences:\n\
        \x20       open(os.path.join(folder, os.path.basename(name)), 'wb').write(wheel.read(name))\n\
        print(os.path.basename(names[0]))\n";
    let library = Program::new(cache.python()).args(["-c", script]).arg(&folder).read()?;
    std::fs::remove_dir_all(&wheel).context("cannot remove the wheel after unpacking")?;
    let plain = cache.onnxruntime_library();
    if library.trim() != "libonnxruntime.so" {
        std::os::unix::fs::symlink(library.trim(), &plain)
            .with_context(|| format!("cannot link {}", plain.display()))?;
    }
    stamp(&folder, ONNXRUNTIME)
}

fn cargo_tool(cache: &Cache, name: &str, version: &str, how: &[&str]) -> Result<()> {
    let program = cache.tool(name);
    let has = Program::new(&program).arg("--version").read().is_ok_and(|said| said.contains(version));
    if has {
        return Ok(());
    }
    println!("building {name} {version} into {} (once, some minutes)", cache.tools().display());
    // Its own build folder: a tool's dependencies are not ours, and its leftovers would swell our cache.
    Program::cargo()
        .args(["install", "--quiet", "--locked", "--force", "--root"])
        .arg(cache.tools())
        .args(["--version", version, name])
        .args(how)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TARGET_DIR", cache.tools().join("build"))
        .read()?;
    std::fs::remove_dir_all(cache.tools().join("build")).context("cannot remove the tool's build folder")
}

const STAMP: &str = "captura-setup";

/// A folder is complete only when its stamp, written last, names what was wanted.
pub(crate) fn is_stamped(folder: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == wanted)
}

pub(crate) fn stamp(folder: &Path, wanted: &str) -> Result<()> {
    std::fs::write(folder.join(STAMP), wanted)
        .with_context(|| format!("cannot write the stamp in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_as_made_only_with_the_stamp_of_what_is_wanted_now() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_stamped(folder.path(), "boto3"));
        stamp(folder.path(), "boto3").unwrap();
        assert!(is_stamped(folder.path(), "boto3"));
        assert!(!is_stamped(folder.path(), "boto3\nnumpy"), "a longer wish makes it again");
    }

    #[test]
    fn a_missing_thing_says_why() {
        let missing = Missing { what: "tests of ONNX models", why: "there is no python3".to_owned() };
        assert_eq!(missing.to_string(), "tests of ONNX models because there is no python3");
    }
}
