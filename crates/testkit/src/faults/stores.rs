//! T14, T15: the object store goes away for a while, or flaps. The store is another captura's S3 interface, behind a proxy.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::kills::{MODES, Scene};
use crate::order::{Broken, Figures, Order, Told};
use crate::program::said;
use crate::proof;
use crate::proxy::{Proxy, Weather};
use crate::seeded::Seeded;
use crate::server::{Home, Server, found_within};
use crate::traffic::Traffic;

/// Rounds in one pair of homes before everything is proven.
const ROUNDS_PER_HOME: usize = 12;
/// From clear weather to an empty journal: the longest wait between two tries is a minute.
const DRAINED_WITHIN: Duration = Duration::from_secs(150);

/// The store's house, the network, and the server that archives through it.
struct Pair {
    store_home: Home,
    _store: Server,
    proxy: Proxy,
    scene: Scene,
}

impl Pair {
    fn new(seed: u64) -> Result<Self, String> {
        let store_home = Home::new("");
        let store = store_home.serve_through(&[])?;
        let proxy = Proxy::start(store.address(), seed);
        let configuration = format!(
            "[capture]\nseal_after = \"200ms\"\nseal_bytes = \"128KiB\"\n\
             [stores.captures]\nurl = \"s3://captures\"\n[stores.captures.options]\nendpoint = \"http://{}\"\n\
             region = \"us-east-1\"\naccess_key_id = \"AKIDSTORE\"\nsecret_access_key = \"secret\"\nallow_http = \"true\"\n",
            proxy.address()
        );
        Ok(Self { store_home, _store: store, proxy, scene: Scene::new(Home::new(&configuration)) })
    }

    fn bucket(&self) -> PathBuf {
        self.store_home.bucket("captures")
    }

    /// Everything is in the store, once, as it was sent, and nothing half-done is left there.
    fn prove(&mut self, server: Server, figures: &mut Figures) -> Result<(), String> {
        self.proxy.set_weather(Weather::Clear);
        let (clear, mut last) = (Instant::now(), Vec::new());
        let drained = found_within(DRAINED_WITHIN, || {
            last = proof::accounts(&server).ok()?;
            last.iter().all(|account| account["local_pending"] == 0 && account["in_flight"] == 0).then_some(())
        });
        drained.ok_or_else(|| {
            format!("the journal is not empty {DRAINED_WITHIN:?} after the store came back: {last:?}")
        })?;
        figures.max("s until the journal was empty", clear.elapsed().as_secs());
        if !server.stop().success() {
            return Err("the server did not end in order".to_owned());
        }
        let compared = proof::compare(&self.bucket(), &self.scene.oracle)?;
        if let Some(first) = compared.missing.first() {
            return Err(format!("{} acknowledged calls are lost, one is {first:?}", compared.missing.len()));
        }
        for (index, (endpoint, _)) in MODES.iter().enumerate() {
            let queued = self.scene.seen[index].queued.lock().expect("no client panicked");
            let missing = queued.iter().filter(|event_id| !compared.captured.contains_key(*event_id)).count();
            let lost = proof::account_of(&last, endpoint)["dropped"]["lost_unclean"].as_u64().unwrap_or(0);
            if missing as u64 > lost {
                return Err(format!("{endpoint}: {missing} queued calls are in no object, the book says {lost}"));
            }
        }
        let reconciled = proof::reconcile(&self.scene.home, &self.scene.oracle);
        if !reconciled.status.success() {
            return Err(said(&reconciled));
        }
        let half_done = count_files(&self.store_home.data_dir().join("bucket-uploads"));
        if half_done > 0 {
            return Err(format!("{half_done} files of uploads that nobody completed are left in the store"));
        }
        let objects: HashSet<PathBuf> = compared_objects(&self.bucket());
        figures.add("objects uploaded", objects.len() as u64);
        figures.add(super::ACKNOWLEDGED, compared.promised as u64);
        figures.add("calls captured", compared.captured.len() as u64);
        let (faults, lost_replies) = self.proxy.faults();
        figures.add("connections broken", faults);
        figures.add("replies lost after the store had done its part", lost_replies);
        Ok(())
    }
}

fn compared_objects(bucket: &std::path::Path) -> HashSet<PathBuf> {
    let mut objects = HashSet::new();
    crate::captured::each(bucket, |line| {
        objects.insert(line.object);
    });
    objects
}

fn count_files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

/// What a round does to the network while clients call.
fn rounds(order: &Order, round: fn(&mut Pair, Server, &mut Seeded, &mut Figures) -> Result<Server, String>) -> Told {
    let mut seeds = order.seeds().peekable();
    let mut figures = Figures::default();
    while let Some(first) = seeds.peek().copied() {
        let mut tell = || -> Result<(), String> {
            let mut pair = Pair::new(first)?;
            let mut server = pair.scene.home.serve_through(&[])?;
            Scene::deploy(&server);
            let outcome = (|| {
                for seed in seeds.by_ref().take(ROUNDS_PER_HOME) {
                    let mut numbers = Seeded::new(seed);
                    pair.scene.wait_until_all_answer(&server)?;
                    server = round(&mut pair, server, &mut numbers, &mut figures)?;
                    figures.units += 1;
                    figures.seeds += 1;
                    if figures.units >= order.units {
                        break;
                    }
                }
                pair.prove(server, &mut figures)
            })();
            outcome.map_err(|what| format!("{what}\n-- server\n{}", pair.scene.home.log_end()))
        };
        if let Err(what) = tell() {
            return Told::Broken(Broken { seed: first, what });
        }
        if figures.units >= order.units {
            break;
        }
    }
    Told::Held(figures)
}

fn call_for(pair: &Pair, server: &Server, numbers: &mut Seeded, time: Duration) -> Result<(), String> {
    let load = pair.scene.load(server, numbers);
    // Not synchronisation: the weather lasts as long as the seed says.
    std::thread::sleep(time);
    load.into_iter().for_each(Traffic::finish);
    let refused: u64 = pair.scene.seen.iter().map(|seen| seen.refused.load(Ordering::Relaxed)).sum();
    if refused == 0 { Ok(()) } else { Err(format!("{refused} calls were refused because of the store")) }
}

/// T14: the store is gone for a while, in one of two ways; calls go on.
pub(super) fn run_outages(order: &Order) -> Told {
    rounds(order, |pair, server, numbers, figures| {
        pair.proxy.set_weather(if numbers.once_in(2) { Weather::Down } else { Weather::Silent });
        let outage = Duration::from_millis(numbers.between(300, 2_500));
        call_for(pair, &server, numbers, outage)?;
        figures.add("ms without store", outage.as_millis() as u64);
        pair.proxy.set_weather(Weather::Clear);
        Ok(server)
    })
}

/// T15: the store flaps, and now and then the server is killed in the middle of it.
pub(super) fn run_flaps(order: &Order) -> Told {
    rounds(order, |pair, server, numbers, figures| {
        pair.proxy.set_weather(Weather::Stormy);
        let calls = Duration::from_millis(numbers.between(30, 200));
        call_for(pair, &server, numbers, calls)?;
        // Not synchronisation: time for the archive to try, and for the storm to break what it tries.
        std::thread::sleep(Duration::from_millis(numbers.between(500, 2_000)));
        if !numbers.once_in(3) {
            return Ok(server);
        }
        server.kill();
        figures.add("kills meanwhile", 1);
        pair.scene.home.serve_through(&[])
    })
}
