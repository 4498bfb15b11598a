//! The real images that the stories serve, made of Debian's packages and Python's wheels: no container registry.
//!
//! One file system holds what all of them need; three images on top of it differ in how they begin. The stamps say what
//! was built from what, so a change of a script rebuilds in seconds and a change of a package in minutes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::cache::{self, Cache};
use crate::docker;
use crate::program::Program;
use crate::setup::{is_stamped, pip, stamp};

/// The file system's Debian, whatever the machine's is, and its Python.
const SUITE: &str = "bookworm";
const PYTHON: &str = "3.11";
/// What multi-model-server (Java) and the numeric wheels (OpenMP) need beside Python.
const DEBIAN: &str = "python3,libgomp1,openjdk-17-jre-headless";
/// Releases that were tried together. The inference toolkit imports `pkg_resources`, which newer setuptools lack.
const WHEELS: [&str; 6] = [
    "sagemaker-inference==1.10.1",
    "multi-model-server==1.1.11",
    "mlflow-skinny==3.17.2",
    "scikit-learn==1.9.1",
    "pandas",
    "setuptools==80.9.0",
];
/// Those of them that PyPI has as source only.
const SOURCES: [&str; 2] = [WHEELS[0], WHEELS[1]];
/// What nobody reads in a container.
const NEEDLESS: [&str; 6] =
    ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/debconf"];
/// The images, by the names of their files.
const IMAGES: [&str; 4] = ["plain", "toolkit", "mlflow", "multi-model"];
const BASE: &str = "captura-stories/base";

/// The models that the images serve, with what they must answer.
pub(crate) fn models(cache: &Cache) -> PathBuf {
    cache.images().join("models")
}

/// Builds what is not in the engine yet.
pub(crate) fn provide(cache: &Cache, socket: &Path) -> Result<()> {
    base(cache, socket)?;
    let sources = cache::checkout().join("crates/e2e/images");
    let wanted = content(&sources)?;
    let has_all = IMAGES.iter().all(|image| has(socket, &format!("captura-stories/{image}")));
    if is_stamped(&cache.images(), &wanted) && has_all {
        return Ok(());
    }
    println!("building the images {}", IMAGES.join(", "));
    for image in IMAGES {
        docker::client(socket)
            .env("DOCKER_BUILDKIT", "0")
            .args(["build", "--quiet", "--tag", &format!("captura-stories/{image}"), "--file"])
            .arg(sources.join(format!("{image}.Dockerfile")))
            .arg(&sources)
            .read()?;
    }
    let models = models(cache);
    std::fs::create_dir_all(&models)?;
    docker::client(socket)
        .args(["run", "--rm", "--network=none", "--volume"])
        .arg(format!("{}:/models", models.display()))
        .args(["--entrypoint", "python3", "captura-stories/toolkit", "/opt/stories/models.py", "/models"])
        .read()?;
    stamp(&cache.images(), &wanted)
}

/// The file system that all images share.
fn base(cache: &Cache, socket: &Path) -> Result<()> {
    let folder = cache.images().join("base");
    let wanted = format!("{SUITE} {PYTHON} {DEBIAN} {}", WHEELS.join(" "));
    if is_stamped(&folder, &wanted) && has(socket, BASE) {
        return Ok(());
    }
    if !cache.python().exists() {
        bail!("the images hold Python wheels, and there is no Python environment to fetch them with");
    }
    println!("making the images' file system of Debian's packages and Python's wheels (once, some minutes)");
    // An earlier run may have been killed in the middle.
    drop(InMemory(&folder.join("root")));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let (root, wheels) = (folder.join("root"), folder.join("wheels"));
    std::fs::create_dir_all(&wheels)?;
    let _memory = InMemory::mount(&root)?;
    Program::new("debootstrap").args(["--variant=minbase", &format!("--include={DEBIAN}"), SUITE]).arg(&root).read()?;
    install_wheels(cache, &root, &wheels)?;
    for needless in NEEDLESS {
        let path = root.join(needless);
        if path.exists() {
            std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    let archive = folder.join("root.tar");
    Program::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").read()?;
    docker::client(socket)
        .args(["import", "--change", "ENV PYTHONUNBUFFERED=1 LANG=C.UTF-8"])
        .arg(&archive)
        .arg(BASE)
        .read()?;
    std::fs::remove_file(&archive)?;
    std::fs::remove_dir_all(&wheels)?;
    stamp(&folder, &wanted)
}

/// A folder in memory: forty thousand small files are made and thrown away there in no time, and on some disks in minutes.
struct InMemory<'a>(&'a Path);

impl<'a> InMemory<'a> {
    fn mount(at: &'a Path) -> Result<Self> {
        std::fs::create_dir_all(at).with_context(|| format!("cannot make {}", at.display()))?;
        Program::new("mount").args(["-t", "tmpfs", "-o", "size=3g,dev,suid,exec", "captura-images"]).arg(at).read()?;
        Ok(Self(at))
    }
}

impl Drop for InMemory<'_> {
    fn drop(&mut self) {
        // Lazily: what debootstrap mounts in it goes with it.
        let _ = Program::new("umount").arg("--lazy").arg(self.0).read();
    }
}

/// Puts the wheels where that Python looks for them; this machine's Python may be another.
fn install_wheels(cache: &Cache, root: &Path, wheels: &Path) -> Result<()> {
    pip(cache).args(["wheel", "--quiet", "--no-deps", "--wheel-dir"]).arg(wheels).args(SOURCES).read()?;
    let foreign = ["--quiet", "--only-binary=:all:", "--python-version", PYTHON, "--find-links"];
    pip(cache).arg("download").args(foreign).arg(wheels).arg("--dest").arg(wheels).args(WHEELS).read()?;
    let packages = root.join(format!("usr/local/lib/python{PYTHON}/dist-packages"));
    pip(cache)
        .args(["install", "--no-index", "--no-compile"])
        .args(foreign)
        .arg(wheels)
        .arg("--target")
        .arg(&packages)
        .args(WHEELS)
        .read()?;
    let (from, to) = (packages.join("bin"), root.join("usr/local/bin"));
    for program in std::fs::read_dir(&from)? {
        let program = program?;
        // Their first line names the Python of this machine.
        let Ok(text) = std::fs::read_to_string(program.path()) else { continue };
        let Some((first, rest)) = text.split_once('\n').filter(|(first, _)| first.starts_with("#!")) else { continue };
        let first = if first.contains("python") { "#!/usr/bin/python3" } else { first };
        let placed = to.join(program.file_name());
        std::fs::write(&placed, format!("{first}\n{rest}"))?;
        std::fs::set_permissions(&placed, program.metadata()?.permissions())?;
    }
    let library = format!("/usr/local/lib/python{PYTHON}/dist-packages");
    // Containers cannot write what Python would compile anew with every start.
    Program::new("chroot").arg(root).args(["python3", "-m", "compileall", "-q", "-j0", &library]).read().map(drop)
}

fn has(socket: &Path, image: &str) -> bool {
    docker::client(socket).args(["image", "inspect", image]).succeeds()
}

/// All files of a folder, one after the other.
fn content(folder: &Path) -> Result<String> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    let mut content = String::new();
    for path in paths {
        content.push_str(&format!("== {}\n", path.file_name().unwrap_or_default().display()));
        content.push_str(&std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(content)
}
