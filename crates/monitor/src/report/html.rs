//! Text into HTML.
//!
//! Invariant: whatever a column, a value, a consumer or an address is called, it shows as text: markup in it is escaped,
//! control characters and those that turn the direction of writing are shown as replacement characters, and what is too
//! long is cut. Together with the page's content security policy nothing that came from data can run or be fetched.

use std::fmt::Write as _;

/// Longest name or value that is shown, characters.
pub(super) const SHOWN_CHARACTERS: usize = 80;

/// Appends text, escaped.
pub(super) fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => out.push('\u{fffd}'),
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
}

/// Text, escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(&mut out, text);
    out
}

/// A name that came from data: escaped, cut at [`SHOWN_CHARACTERS`], and with a direction of writing of its own.
pub(super) fn name(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("<bdi>{}</bdi>", escaped(&shown))
}

/// A cell of a table, with the value it is sorted by.
pub(super) fn cell(out: &mut String, sorted_by: Option<f64>, shown: &str) {
    match sorted_by {
        // Six decimals sort well enough, and a page of ten thousand columns has a hundred thousand of them.
        Some(value) if value.abs() < 1e9 => {
            write!(out, "<td data-v=\"{}\">{shown}</td>", (value * 1e6).round() / 1e6)
                .expect("our bug: a string takes all");
        }
        Some(value) => write!(out, "<td data-v=\"{value:e}\">{shown}</td>").expect("our bug: a string takes all"),
        None => write!(out, "<td data-v=\"\">{shown}</td>").expect("our bug: a string takes all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_controls_and_length_of_names_are_disarmed() {
        assert_eq!(escaped("<script>\"'&"), "&lt;script&gt;&quot;&#39;&amp;");
        assert_eq!(escaped("a\u{202e}b\u{0}c\nd"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(name(&"é".repeat(90)), format!("<bdi>{}…</bdi>", "é".repeat(80)));
    }
}
