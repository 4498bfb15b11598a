//! Names inside archives and stores, turned into paths that cannot lead out of a folder.

use std::path::PathBuf;

use super::Limits;

/// Turns the name of an entry into a relative path without `.` parts; an empty path is the folder itself.
///
/// # Errors
/// Says what is wrong with the name.
pub(super) fn relative_path(name: &[u8], limits: &Limits) -> Result<PathBuf, String> {
    let shown = || String::from_utf8_lossy(name).escape_debug().to_string();
    let text = str::from_utf8(name).map_err(|_| format!("\"{}\" is not UTF-8", shown()))?;
    if text.chars().any(char::is_control) {
        return Err(format!("\"{}\" holds a control character", shown()));
    }
    if text.contains('\\') {
        return Err(format!("\"{}\" holds a backslash", shown()));
    }
    let bytes = text.as_bytes();
    if text.starts_with('/') || (bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':') {
        return Err(format!("\"{}\" is an absolute path", shown()));
    }
    let mut path = PathBuf::new();
    let mut depth = 0;
    for part in text.split('/') {
        match part {
            "" | "." => continue,
            ".." => return Err(format!("\"{}\" leads out of the model's folder", shown())),
            part if part.len() > Limits::MAX_NAME_PART_BYTES => {
                return Err(format!("a name is longer than {} bytes", Limits::MAX_NAME_PART_BYTES));
            }
            part => path.push(part),
        }
        depth += 1;
        if depth > limits.max_depth + 1 {
            return Err(format!("a name is more than {} folders deep", limits.max_depth));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn plain_names_pass_and_dots_vanish() {
        let limits = Limits::default();
        assert_eq!(relative_path(b"./model.onnx", &limits).unwrap(), Path::new("model.onnx"));
        assert_eq!(relative_path(b"code//a.py", &limits).unwrap(), Path::new("code/a.py"));
        assert_eq!(relative_path(b"./", &limits).unwrap(), Path::new(""));
        assert_eq!(relative_path("modèle.onnx".as_bytes(), &limits).unwrap(), Path::new("modèle.onnx"));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let limits = Limits { max_depth: 2, ..Limits::default() };
        for bad in [
            "../../x",
            "/etc/x",
            "a/../../x",
            "a/..",
            "..\\x",
            "C:\\x",
            "C:/x",
            "\\\\host\\x",
            "a\0b",
            "a\nb",
            "a/b/c/d",
        ] {
            assert!(relative_path(bad.as_bytes(), &limits).is_err(), "{bad:?}");
        }
        assert!(relative_path(b"\xff\xfe", &limits).is_err());
        assert!(relative_path("x".repeat(256).as_bytes(), &limits).is_err());
        assert!(relative_path(b"a/b/c", &limits).is_ok());
    }
}
