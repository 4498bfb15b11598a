//! T04: the power goes under load, in all three durability modes at once.
//!
//! The process outlives the cut by a moment, which no process does whose machine loses its power: what clients hear then
//! was said by nobody. It can be wrong: a sync that is under way when ext4 is shut down comes back as if it had succeeded.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::kills::{MODES, Scene};
use crate::oracle::Acknowledged;
use crate::order::{Broken, Figures, Order, Told};
use crate::power_cut::{Kind, PowerCut};
use crate::program::said;
use crate::proof;
use crate::seeded::Seeded;
use crate::server::Home;
use crate::traffic::Traffic;

/// Cuts in one home before everything is proven.
const CUTS_PER_HOME: usize = 50;
/// Written records become durable this often; it is the default, said here because the test is about it.
const SYNC_INTERVAL_MS: u64 = 100;
/// What a record that was written and is lost may be older than that: the sync that was under way, on a busy machine.
const GRACE_MS: u64 = 2_900;

pub(super) fn run_ext4(order: &Order) -> Told {
    run(Kind::Ext4, order)
}

pub(super) fn run_xfs(order: &Order) -> Told {
    run(Kind::Xfs, order)
}

fn run(kind: Kind, order: &Order) -> Told {
    let mut seeds = order.seeds().peekable();
    let mut figures = Figures::default();
    while let Some(first) = seeds.peek().copied() {
        let mut batch = seeds.by_ref().take(CUTS_PER_HOME);
        // The disk is small: by the limits for whole disks nothing would be captured on it.
        let configuration = format!(
            "[capture]\nseal_after = \"1s\"\nsync_interval = \"{SYNC_INTERVAL_MS}ms\"\nspool_max = \"64MiB\"\n\
             seal_bytes = \"4MiB\"\ndisk_min_free = \"4MiB\"\ndisk_stop_percent = 99\n"
        );
        let mut scene = Scene::new(Home::new(&configuration));
        let disk = match PowerCut::make(kind, &scene.home.path().join("image"), &scene.home.data_dir()) {
            Ok(disk) => disk,
            Err(why) => return Told::Skipped(why),
        };
        let outcome = cut_and_prove(&mut scene, &disk, &mut batch, &mut figures);
        if let Err(what) = outcome {
            let what = format!("{what}\n-- server\n{}", scene.home.log_end());
            return Told::Broken(Broken { seed: first, what });
        }
    }
    Told::Held(figures)
}

/// The command before the server's by which it believes that the machine has booted anew: what it counts after a power
/// loss depends on that.
fn new_boot(scene: &Scene, seed: u64) -> Vec<String> {
    let file = scene.home.path().join("boot_id");
    std::fs::write(&file, format!("{seed:08x}-0000-4000-8000-000000000000\n")).expect("the boot id is written");
    let bound = format!("mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$@\"", file.display());
    ["unshare", "-m", "sh", "-c", &bound, "sh"].map(str::to_owned).to_vec()
}

fn cut_and_prove(
    scene: &mut Scene,
    disk: &PowerCut,
    seeds: &mut dyn Iterator<Item = u64>,
    figures: &mut Figures,
) -> Result<(), String> {
    let mut cuts = Heard::default();
    let mut deployed = false;
    for seed in seeds {
        let mut numbers = Seeded::new(seed);
        let server = scene.home.serve_through(&new_boot(scene, seed))?;
        figures.max("ms to start", server.started_in.as_millis() as u64);
        if !deployed {
            Scene::deploy(&server);
            deployed = true;
        }
        scene.wait_until_all_answer(&server)?;
        let load = scene.load(&server, &mut numbers);
        // Not synchronisation: the moment of the cut is what the seed chooses.
        std::thread::sleep(Duration::from_micros(numbers.between(1_000, 250_000)));
        let cut_at = Instant::now();
        disk.cut()?;
        server.kill();
        load.into_iter().for_each(Traffic::finish);
        for seen in &scene.seen {
            let recent = std::mem::take(&mut *seen.recent.lock().expect("no client panicked"));
            for (event_id, at) in recent {
                match cut_at.checked_duration_since(at) {
                    Some(age) => drop(cuts.ages.insert(event_id, age)),
                    None => drop(cuts.too_late.insert(event_id)),
                }
            }
        }
        disk.restore()?;
        figures.units += 1;
        figures.seeds += 1;
    }
    prove(scene, &cuts, figures)
}

/// Event ids of what clients heard.
#[derive(Default)]
struct Heard {
    /// Before a cut, and how old it was then.
    ages: HashMap<String, Duration>,
    /// After a cut.
    too_late: HashSet<String>,
}

fn prove(scene: &Scene, heard: &Heard, figures: &mut Figures) -> Result<(), String> {
    proof::rest(&scene.home)?;
    let compared = proof::compare(&scene.home.bucket("captures"), &scene.oracle)?;
    let (durable, _) = MODES[0];
    let mut first_durable_after: HashMap<String, u64> = HashMap::new();
    let is_promise = |promise: &Acknowledged| !heard.too_late.contains(&promise.event_id);
    let promises = scene.oracle.read();
    for promise in promises.values().filter(|promise| promise.endpoint == durable && is_promise(promise)) {
        let Some((run, n)) = number(&promise.lsn) else { continue };
        let last = first_durable_after.entry(run).or_default();
        *last = n.max(*last);
    }
    let missing: Vec<&Acknowledged> = compared.missing.iter().filter(|lost| is_promise(lost)).collect();
    for lost in &missing {
        if lost.endpoint == durable {
            let told = said(&proof::reconcile(&scene.home, &scene.oracle));
            return Err(format!("{} calls are missing, one was durable: {lost:?}\n{told}", missing.len()));
        }
        let age_ms = heard.ages.get(&lost.event_id).map_or(u64::MAX, |age| age.as_millis() as u64);
        if age_ms > SYNC_INTERVAL_MS + GRACE_MS {
            return Err(format!("a written call is lost that was {age_ms} ms old when the power went: {lost:?}"));
        }
        // What was durable after it makes it durable too.
        let after = number(&lost.lsn).and_then(|(run, n)| Some(*first_durable_after.get(&run)? > n));
        if after == Some(true) {
            return Err(format!("a call is lost although a later one of the same run was durable: {lost:?}"));
        }
        figures.max("ms that a lost record was old", age_ms);
    }
    figures.add("written records lost, none older than the sync interval and one sync", missing.len() as u64);
    figures.add("calls told of after the power had gone", heard.too_late.len() as u64);
    figures.add(super::ACKNOWLEDGED, (compared.promised - heard.too_late.len()) as u64);
    figures.add("calls captured", compared.captured.len() as u64);
    figures.add("durable calls lost", 0);
    // Without the oracle, which holds what was allowed to go.
    let told = proof::reconcile_without_oracle(&scene.home);
    if told.status.success() { Ok(()) } else { Err(said(&told)) }
}

/// Run and number of `node-epoch-n`.
fn number(lsn: &str) -> Option<(String, u64)> {
    let (run, n) = lsn.rsplit_once('-')?;
    Some((run.to_owned(), n.parse().ok()?))
}
