//! Parts of tables, as they are, merged and tampered with.

use super::*;
use crate::merges::{MERGE_VERSION, Merge, MergedFile, Merges};

impl World {
    fn parts(&self) -> Vec<PathBuf> {
        self.files("buckets/lake", ".parquet")
    }

    async fn closed_day() -> Self {
        let mut world = Self::new();
        let capture = world.busy_day().await;
        capture.close().await.unwrap();
        drop(capture);
        world
    }

    /// What merging the first two parts does, as far as `steps` say: the hidden file, the note, the parts gone, the file
    /// under its own name, the note closed.
    fn merge(&self, steps: usize) {
        let manifests = Manifests::at(&self.data.path().join("journal"));
        let manifest = manifests.all().unwrap().remove(0).unwrap();
        let sources: Vec<MergedFile> = manifest.tables[..2].iter().map(MergedFile::from).collect();
        let path = |uri: &str| self.data.path().join("buckets").join(uri.strip_prefix("s3://").unwrap());
        let content: Vec<u8> = sources.iter().flat_map(|source| std::fs::read(path(&source.uri)).unwrap()).collect();
        let target = MergedFile {
            uri: format!("s3://lake/x/merged-{:08x}-0.parquet", manifest.node),
            size_bytes: content.len() as u64,
            sha256: sha256_hex(&content),
            records: sources.iter().map(|source| source.records).sum(),
        };
        let staged = "s3://lake/x/_merging.tmp".to_owned();
        let mut merge = Merge {
            version: MERGE_VERSION,
            staged: staged.clone(),
            target: target.clone(),
            sources: sources.clone(),
            merged_at: String::new(),
            done: false,
        };
        let merges = Merges::create(&self.data.path().join("journal")).unwrap();
        for step in 0..steps {
            match step {
                0 => std::fs::write(path(&staged), &content).unwrap(),
                1 => merges.write(&merge).unwrap(),
                2 => std::fs::remove_file(path(&sources[0].uri)).unwrap(),
                3 => std::fs::remove_file(path(&sources[1].uri)).unwrap(),
                4 => std::fs::rename(path(&staged), path(&target.uri)).unwrap(),
                _ => {
                    merge.done = true;
                    merges.write(&merge).unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn parts_of_tables_are_compared_with_their_manifests() {
    let world = World::closed_day().await;
    let report = world.shallow().await;
    assert_balanced(&report, "as it was left");
    assert_eq!((report.tables.records, report.tables.parts), (40, world.parts().len() as u64));
    let part = &world.parts()[0];
    let sound = std::fs::read(part).unwrap();
    std::fs::write(part, "other").unwrap();
    assert_eq!(kinds(&world.shallow().await), BTreeSet::from([FindingKind::Altered]));
    std::fs::remove_file(part).unwrap();
    assert_eq!(kinds(&world.shallow().await), BTreeSet::from([FindingKind::Missing]));
    std::fs::write(part, &sound).unwrap();
    let name = part.file_name().unwrap().to_str().unwrap();
    let twin = part.with_file_name(name.replace(".parquet", "7.parquet"));
    std::fs::write(&twin, &sound).unwrap();
    let report = world.shallow().await;
    assert_eq!(kinds(&report), BTreeSet::from([FindingKind::Stray]));
    assert!(report.findings[0].reason.contains("its rows are there twice"));
    std::fs::remove_file(&twin).unwrap();
    std::fs::write(part.with_file_name("part-00000000-0-0-0.parquet"), "of another node").unwrap();
    assert_balanced(&world.reconcile(true).await, "put back");
}

#[tokio::test]
async fn merged_parts_are_found_through_their_notes_wherever_the_merge_was_cut_off() {
    for steps in 0..=6 {
        let world = World::closed_day().await;
        world.merge(steps);
        assert_balanced(&world.shallow().await, &format!("after {steps} steps"));
        if steps == 6 {
            let target = world.parts().into_iter().find(|part| part.to_string_lossy().contains("merged-")).unwrap();
            std::fs::remove_file(target).unwrap();
            assert_eq!(kinds(&world.shallow().await), BTreeSet::from([FindingKind::Missing]));
        }
    }
    let world = World::closed_day().await;
    world.merge(4);
    std::fs::remove_file(world.data.path().join("buckets/lake/x/_merging.tmp")).unwrap();
    assert_eq!(kinds(&world.shallow().await), BTreeSet::from([FindingKind::Missing]));
}
