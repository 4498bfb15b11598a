//! Telling model files apart by their first bytes; names lie (`xgboost-model` may hold anything).

/// Formats of model files that are run inside this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelFormat {
    /// XGBoost, JSON.
    XgboostJson,
    /// XGBoost, Universal Binary JSON.
    XgboostUbj,
    /// LightGBM, text.
    LightgbmText,
    /// ONNX, protobuf.
    Onnx,
}

/// The format of a model file, by its first bytes (a few hundred are enough) and, where these do not tell, its name.
#[must_use]
pub fn sniff(start: &[u8], file_name: &str) -> Option<ModelFormat> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let cases: [(&[u8], &str, Option<ModelFormat>); 9] = [
            (b"{\"learner\":{\"attributes\"", "xgboost-model", Some(ModelFormat::XgboostJson)),
            (b"{\n  \"version\": [1,0,0], \"learner\": {", "m", Some(ModelFormat::XgboostJson)),
            (b"{L\0\0\0\0\0\0\0\x07learner{", "xgboost-model", Some(ModelFormat::XgboostUbj)),
            (b"tree\nversion=v4\n", "model.json", Some(ModelFormat::LightgbmText)),
            (b"\x08\x08\x12\x07pytorch", "model", Some(ModelFormat::Onnx)),
            (b"\x3a\x00", "Model.ONNX", Some(ModelFormat::Onnx)),
            (b"\x80\x04\x95", "xgboost-model", None),
            (b"{\"a\":1}", "model.json", None),
            (b"", "model.json", None),
        ];
        for (start, name, expected) in cases {
            assert_eq!(sniff(start, name), expected, "{name}");
        }
    }
}
