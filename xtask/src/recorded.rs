//! Pages under `docs/` that grow by one row with each recorded run: what was done, what came out, where.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cache;
use crate::program::Program;

/// Adds a row to a page's table; the page begins with `opening`, up to and including the table's head.
pub(crate) fn add_row(page: &str, opening: &str, cells: &[String]) -> Result<()> {
    let path = cache::checkout().join(page);
    add_row_to(&path, opening, cells)?;
    println!("noted in {page}");
    Ok(())
}

fn add_row_to(path: &Path, opening: &str, cells: &[String]) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    let mut file = std::fs::File::options().create(true).append(true).open(path).with_context(context)?;
    if file.metadata().with_context(context)?.len() == 0 {
        file.write_all(opening.as_bytes()).with_context(context)?;
    }
    writeln!(file, "| {} |", cells.join(" | ")).with_context(context)
}

/// Today, in UTC.
pub(crate) fn date() -> Result<String> {
    Ok(Program::new("date").args(["-u", "+%F"]).read()?.trim().to_owned())
}

/// The commit of the checkout; `-dirty` where files differ from it.
pub(crate) fn commit() -> Result<String> {
    Ok(Program::new("git").args(["describe", "--always", "--dirty", "--abbrev=10"]).read()?.trim().to_owned())
}

/// Cores, processor and kernel of this machine.
pub(crate) fn machine() -> String {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{cores} cores, {}, Linux {}",
        name.map_or("unknown processor", |(_, name)| name),
        kernel.split('-').next().unwrap_or_default().trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_brings_the_page_and_the_second_goes_below() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("docs/faults.md");
        add_row_to(&page, "# Faults\n\n| a | b |\n| --- | --- |\n", &["1".to_owned(), "2".to_owned()]).unwrap();
        add_row_to(&page, "# Faults\n\n| a | b |\n| --- | --- |\n", &["3".to_owned(), "4".to_owned()]).unwrap();
        assert_eq!(
            std::fs::read_to_string(page).unwrap(),
            "# Faults\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n"
        );
    }
}
