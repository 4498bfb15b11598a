//! Just enough Rust to look at code without what people wrote in it: texts and comments blanked, lines kept.
//!
//! Refuses to be a parser: it knows strings, characters, lifetimes and comments, and finds functions by their braces.

/// The code of a file with the content of comments, strings and character literals replaced by spaces.
pub(super) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'r' | b'b' if !is_word_before(bytes, at) => raw_string_end(bytes, at).unwrap_or(at + 1),
            b'\'' => character_end(bytes, at).unwrap_or(at + 1),
            _ => at + 1,
        };
        if end > at + 1 {
            blank(&mut out[at..end]);
        }
        at = end;
    }
    String::from_utf8(out).expect("our bug: blanks replace whole texts, so the rest stays UTF-8")
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

fn is_word_before(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| from + at)
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `from` is just behind the opening quote.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`, `b'x'`; nothing when the letter begins an ordinary word.
fn raw_string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let prefix = bytes[from..].iter().take(2).take_while(|byte| matches!(byte, b'r' | b'b')).count();
    let raw = bytes[from..from + prefix].contains(&b'r');
    let hashes = bytes[from + prefix..].iter().take_while(|byte| **byte == b'#').count();
    let open = from + prefix + hashes;
    match bytes.get(open) {
        Some(b'"') if !raw && hashes == 0 => Some(string_end(bytes, open + 1)),
        Some(b'\'') if !raw && hashes == 0 => character_end(bytes, open),
        Some(b'"') if raw => {
            let mut close = vec![b'"'];
            close.resize(hashes + 1, b'#');
            let body = &bytes[open + 1..];
            let found = body.windows(close.len()).position(|window| window == close);
            Some(found.map_or(bytes.len(), |at| open + 1 + at + close.len()))
        }
        _ => None,
    }
}

/// `'x'` and `'\n'`, but not the lifetime `'a`.
fn character_end(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.get(from + 1) == Some(&b'\\') {
        let close = bytes[from + 3..].iter().take(12).position(|byte| *byte == b'\'')?;
        return Some(from + 3 + close + 1);
    }
    // One character is one to four bytes long.
    let close = bytes[from + 1..].iter().take(5).position(|byte| *byte == b'\'')?;
    let inside = std::str::from_utf8(&bytes[from + 1..from + 1 + close]).ok()?;
    (inside.chars().count() == 1).then_some(from + 1 + close + 1)
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// The line of its `fn`, from 1.
    pub(super) line: usize,
    /// From its `fn` to its closing brace.
    pub(super) lines: usize,
}

/// The functions with a body, in blanked code.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if is_word_before(code.as_bytes(), at) {
            continue;
        }
        let name: String =
            code[at + 3..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        let Some(end) = body_end(code.as_bytes(), at) else { continue };
        if name.is_empty() {
            continue; // the type `fn (…)`
        }
        let line = code[..at].matches('\n').count() + 1;
        found.push(Function { name, line, lines: code[at..end].matches('\n').count() + 1 });
    }
    found
}

/// Just behind the brace that closes the body; nothing for a function that ends with a semicolon.
fn body_end(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' => braces += 1,
            b'}' if braces == 1 && brackets == 0 => return Some(at + 1),
            b'}' => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_comments_are_blanked_and_lines_kept() {
        let text = "let a = \"todo!() \\\" {\"; // {\nlet b = r#\"}\"}\"#; /* { /* */ } */ let c = '{';\nlet d: &'a str = b\"{\";";
        let code = code_only(text);
        assert!(!code.contains('{') && !code.contains('}') && !code.contains("todo"), "{code}");
        assert!(code.contains("let c") && code.contains("&'a str") && code.contains("let d"));
        assert_eq!(code.matches('\n').count(), 2);
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn functions_are_measured_from_their_name_to_their_closing_brace() {
        let code = "trait T {\n fn declared(a: [u8; 3]);\n}\nfn long(a: fn (u8) -> u8) -> u8 {\n  if x {\n  }\n}\nfn short() {}\n";
        let found = functions(code);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].line, found[0].lines), ("long", 4, 4));
        assert_eq!((found[1].name.as_str(), found[1].line, found[1].lines), ("short", 8, 1));
    }
}
