//! Telling model files apart by their first bytes; names lie (`xgboost-model` may hold anything).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::trees::pickle::looks_pickled_xgboost;
use super::trees::xgboost_binary::looks_binary;

/// Formats of model files that are run inside this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelFormat {
    /// XGBoost, JSON.
    XgboostJson,
    /// XGBoost, Universal Binary JSON.
    XgboostUbj,
    /// XGBoost, its own binary format of old.
    XgboostBinary,
    /// XGBoost, a pickled booster.
    XgboostPickle,
    /// LightGBM, text.
    LightgbmText,
    /// ONNX, protobuf.
    Onnx,
}

/// The format of a model file, by its first bytes (a few hundred are enough) and, where these do not tell, its name.
#[must_use]
pub fn sniff(start: &[u8], file_name: &str) -> Option<ModelFormat> {
    if looks_binary(start) {
        return Some(ModelFormat::XgboostBinary);
    }
    if looks_pickled_xgboost(start) {
        return Some(ModelFormat::XgboostPickle);
    }
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let text = start.trim_ascii_start();
    if text.starts_with(b"tree\n") || text.starts_with(b"tree\r\n") {
        return Some(ModelFormat::LightgbmText);
    }
    // XGBoost tells its two formats apart the same way: what follows the brace is a quote, or the type of a length.
    if let [b'{', second, ..] = start
        && b"iUIlL".contains(second)
    {
        return Some(ModelFormat::XgboostUbj);
    }
    if text.starts_with(b"{") {
        return memchr::memmem::find(text, b"\"learner\"").map(|_| ModelFormat::XgboostJson);
    }
    // ModelProto opens with field 1, the IR version, a small number; exporters write it first.
    if let [0x08, 1..=20, ..] = start {
        return Some(ModelFormat::Onnx);
    }
    file_name.to_ascii_lowercase().ends_with(".onnx").then_some(ModelFormat::Onnx)
}

/// Bytes of a file that are looked at.
const LOOK_BYTES: u64 = 4096;
/// Files of a folder or archive that are looked at, and bytes that may be unpacked to reach them.
const LOOK_FILES: usize = 100;
const LOOK_UNPACKED_BYTES: u64 = 64 << 20;

/// The format of the model in a file, a folder or a `model.tar.gz`: that of the first file which has one.
///
/// # Errors
/// When the file or folder cannot be read, or the archive is broken.
pub fn sniff_path(path: &Path) -> io::Result<Option<ModelFormat>> {
    if path.is_dir() {
        let mut files: Vec<_> = path.read_dir()?.collect::<Result<_, _>>()?;
        files.sort_by_key(std::fs::DirEntry::file_name);
        let files = files.iter().map(std::fs::DirEntry::path).filter(|file| file.is_file());
        return files.take(LOOK_FILES).find_map(|file| sniff_path(&file).transpose()).transpose();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let start = start_of(File::open(path)?)?;
    if start.starts_with(&[0x1f, 0x8b]) { sniff_archive(File::open(path)?) } else { Ok(sniff(&start, &name)) }
}

/// Whether a file, which is no archive, holds an XGBoost model.
pub(super) fn is_xgboost(file: &Path) -> io::Result<bool> {
    use ModelFormat::{XgboostBinary, XgboostJson, XgboostPickle, XgboostUbj};
    let format = sniff(&start_of(File::open(file)?)?, "");
    Ok(matches!(format, Some(XgboostJson | XgboostUbj | XgboostBinary | XgboostPickle)))
}

fn sniff_archive(file: File) -> io::Result<Option<ModelFormat>> {
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(LOOK_UNPACKED_BYTES));
    for entry in archive.entries()?.take(LOOK_FILES) {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if let Some(format) = sniff(&start_of(entry)?, &name) {
            return Ok(Some(format));
        }
    }
    Ok(None)
}

fn start_of(file: impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(LOOK_BYTES).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_archives_are_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("README"), "nothing").unwrap();
        std::fs::write(dir.path().join("xgboost-model"), "{\"learner\":{}}").unwrap();
        assert_eq!(sniff_path(dir.path()).unwrap(), Some(ModelFormat::XgboostJson));

        let packed = dir.path().join("model.tar.gz");
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
            File::create(&packed).unwrap(),
            flate2::Compression::fast(),
        ));
        archive.append_path_with_name(dir.path().join("xgboost-model"), "deep/xgboost-model").unwrap();
        archive.into_inner().unwrap().finish().unwrap();
        assert_eq!(sniff_path(&packed).unwrap(), Some(ModelFormat::XgboostJson));
        assert!(sniff_path(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let binary = [&[0; 136][..], &15_u64.to_le_bytes(), b"binary:logistic"].concat();
        let cases: [(&[u8], &str, Option<ModelFormat>); 12] = [
            (b"{\"learner\":{\"attributes\"", "xgboost-model", Some(ModelFormat::XgboostJson)),
            (b"{\n  \"version\": [1,0,0], \"learner\": {", "m", Some(ModelFormat::XgboostJson)),
            (b"{L\0\0\0\0\0\0\0\x07learner{", "xgboost-model", Some(ModelFormat::XgboostUbj)),
            (b"tree\nversion=v4\n", "model.json", Some(ModelFormat::LightgbmText)),
            (b"\x08\x08\x12\x07pytorch", "model", Some(ModelFormat::Onnx)),
            (b"\x3a\x00", "Model.ONNX", Some(ModelFormat::Onnx)),
            (b"\x80\x04\x95", "xgboost-model", None),
            (b"\x80\x03cxgboost.core\nBooster\n", "xgboost-model", Some(ModelFormat::XgboostPickle)),
            (b"ccopy_reg\n_reconstructor\n(cxgboost.core\nBooster\n", "m", Some(ModelFormat::XgboostPickle)),
            (&binary, "xgboost-model", Some(ModelFormat::XgboostBinary)),
            (b"{\"a\":1}", "model.json", None),
            (b"", "model.json", None),
        ];
        for (start, name, expected) in cases {
            assert_eq!(sniff(start, name), expected, "{name}");
        }
    }
}
