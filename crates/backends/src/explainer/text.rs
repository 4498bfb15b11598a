//! Texts cut into the parts that are explained: tokens, sentences or paragraphs.
//!
//! A token is a word (letters and digits, with apostrophes, hyphens, points and commas between them) or any other character
//! that is no space. A sentence ends at a point, an exclamation or a question mark, unless an abbreviation of the language or
//! an initial stands before the point, or what follows begins in lower case; a paragraph ends at a blank line, and so does the
//! last sentence in it.
//!
//! Invariant: parts are in their order, do not overlap, and begin and end with no space; whatever is between them is spaces.
//! Refuses to: cut languages whose rules are not here.

use std::ops::Range;

use serde::Deserialize;

/// What texts are cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Granularity {
    Token,
    Sentence,
    Paragraph,
}

/// A language whose texts can be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    English,
    Portuguese,
}

/// How texts are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cutting {
    granularity: Granularity,
    language: Language,
}

/// Words before a point that ends no sentence, in lower case, without the point.
const ABBREVIATIONS_ENGLISH: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "vs", "etc", "e.g", "i.e", "cf", "no", "inc", "ltd", "co",
    "corp", "dept", "est", "fig", "gen", "gov", "rev", "sen", "rep", "approx", "jan", "feb", "mar", "apr", "jun",
    "jul", "aug", "sep", "sept", "oct", "nov", "dec", "a.m", "p.m", "u.s", "u.k",
];
const ABBREVIATIONS_PORTUGUESE: &[&str] = &[
    "sr", "sra", "srs", "sras", "srta", "dr", "dra", "drs", "prof", "profa", "exmo", "exma", "ilmo", "ilma", "av", "r",
    "etc", "ex", "p.ex", "p", "pp", "pág", "págs", "art", "arts", "cap", "fig", "n", "nº", "núm", "tel", "cel", "vol",
    "ed", "ltda", "cia", "s.a", "obs", "aprox", "séc", "jan", "fev", "mar", "abr", "mai", "jun", "jul", "ago", "set",
    "out", "nov", "dez",
];

impl Cutting {
    /// # Errors
    /// When the language's rules are not here.
    pub(super) fn of(granularity: Granularity, language: &str) -> Result<Self, String> {
        let language = match language {
            "en" => Language::English,
            "pt" => Language::Portuguese,
            other => {
                return Err(format!(
                    "has Language {other}, whose texts captura cannot cut; it cuts English (en) and Portuguese (pt)"
                ));
            }
        };
        Ok(Self { granularity, language })
    }

    /// The name of a part, for a person.
    pub(super) fn noun(self) -> &'static str {
        match self.granularity {
            Granularity::Token => "tokens",
            Granularity::Sentence => "sentences",
            Granularity::Paragraph => "paragraphs",
        }
    }

    /// The parts of a text, as ranges of its bytes.
    pub(super) fn cut(self, text: &str) -> Vec<Range<usize>> {
        match self.granularity {
            Granularity::Token => tokens(text),
            Granularity::Paragraph => paragraphs(text),
            Granularity::Sentence => {
                let within = |paragraph: Range<usize>| {
                    let begin = paragraph.start;
                    let sentences = self.language.sentences(&text[paragraph]);
                    sentences.into_iter().map(move |part| part.start + begin..part.end + begin)
                };
                paragraphs(text).into_iter().flat_map(within).collect()
            }
        }
    }
}

fn tokens(text: &str) -> Vec<Range<usize>> {
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let is_word = |place: usize| characters.get(place).is_some_and(|(_, one)| one.is_alphanumeric());
    let end_of = |place: usize| characters.get(place).map_or(text.len(), |(at, _)| *at);
    let (mut parts, mut place) = (Vec::new(), 0);
    while let Some(&(begin, first)) = characters.get(place) {
        place += 1;
        if first.is_whitespace() {
            continue;
        }
        if first.is_alphanumeric() {
            loop {
                let joins = |(_, one): &(usize, char)| matches!(one, '\'' | '’' | '-' | '.' | ',');
                if is_word(place) {
                    place += 1;
                } else if characters.get(place).is_some_and(joins) && is_word(place + 1) {
                    place += 2;
                } else {
                    break;
                }
            }
        }
        parts.push(begin..end_of(place));
    }
    parts
}

fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            parts.extend(trimmed(text, begin..at));
            begin = at + line.len();
        }
        at += line.len();
    }
    parts.extend(trimmed(text, begin..at));
    parts
}

/// Without the spaces around it; nothing where there is nothing else.
fn trimmed(text: &str, part: Range<usize>) -> Option<Range<usize>> {
    let inside = &text[part.clone()];
    let begin = part.start + (inside.len() - inside.trim_start().len());
    let part = begin..begin + inside.trim().len();
    (!part.is_empty()).then_some(part)
}

impl Language {
    /// The sentences of a paragraph.
    fn sentences(self, text: &str) -> Vec<Range<usize>> {
        let (mut parts, mut begin) = (Vec::new(), 0);
        let mut characters = text.char_indices().peekable();
        while let Some((at, mark)) = characters.next() {
            if !matches!(mark, '.' | '!' | '?' | '…') {
                continue;
            }
            let mut end = at + mark.len_utf8();
            let closes = |one: char| matches!(one, '.' | '!' | '?' | '…' | '"' | '\'' | '”' | '’' | '»' | ')' | ']');
            while let Some((at, one)) = characters.next_if(|(_, one)| closes(*one)) {
                end = at + one.len_utf8();
            }
            let rest = &text[end..];
            let is_over = rest.is_empty()
                || rest.starts_with(char::is_whitespace)
                    && !rest.trim_start().starts_with(char::is_lowercase)
                    && !(mark == '.' && end == at + 1 && self.is_short(&text[begin..at]));
            if is_over {
                parts.extend(trimmed(text, begin..end));
                begin = end;
            }
        }
        parts.extend(trimmed(text, begin..text.len()));
        parts
    }

    /// Whether what stands before a point ends in an abbreviation or an initial.
    fn is_short(self, before: &str) -> bool {
        let word = before.rsplit(|one: char| one.is_whitespace() || one == '(').next().unwrap_or_default();
        let abbreviations = match self {
            Self::English => ABBREVIATIONS_ENGLISH,
            Self::Portuguese => ABBREVIATIONS_PORTUGUESE,
        };
        let mut characters = word.chars();
        let is_initial = matches!((characters.next(), characters.next()), (Some(one), None) if one.is_uppercase());
        // An English sentence may end in "I".
        is_initial && word != "I" || abbreviations.contains(&&*word.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(granularity: Granularity, language: &str, text: &'static str) -> Vec<&'static str> {
        let parts = Cutting::of(granularity, language).unwrap().cut(text);
        parts.into_iter().map(|part| &text[part]).collect()
    }

    #[test]
    fn tokens_are_words_and_marks() {
        let english = cut(Granularity::Token, "en", "Don't pay $3.50, Mr. Smith!  It's well-made…");
        assert_eq!(english, ["Don't", "pay", "$", "3.50", ",", "Mr", ".", "Smith", "!", "It's", "well-made", "…"]);
        let portuguese = cut(Granularity::Token, "pt", "Não é guarda-chuva: são 1.234,56 €.");
        assert_eq!(portuguese, ["Não", "é", "guarda-chuva", ":", "são", "1.234,56", "€", "."]);
        assert_eq!(cut(Granularity::Token, "en", "a--b"), ["a", "-", "-", "b"]);
        assert_eq!(cut(Granularity::Token, "en", " \n "), [""; 0]);
    }

    #[test]
    fn sentences_end_where_they_end_in_their_language() {
        let english = "Dr. Smith of the U.S. left. \"Why?\" she asked (at 5 p.m. sharp). J. R. came, e.g. late! Then what?! So did I. End";
        let expected = [
            "Dr. Smith of the U.S. left.",
            "\"Why?\" she asked (at 5 p.m. sharp).",
            "J. R. came, e.g. late!",
            "Then what?!",
            "So did I.",
            "End",
        ];
        assert_eq!(cut(Granularity::Sentence, "en", english), expected);
        let portuguese = "O Sr. Silva mora na Av. Paulista, nº 10. Gostou? Sim! Veja a pág. 3, etc. e tal. É bom";
        let expected =
            ["O Sr. Silva mora na Av. Paulista, nº 10.", "Gostou?", "Sim!", "Veja a pág. 3, etc. e tal.", "É bom"];
        assert_eq!(cut(Granularity::Sentence, "pt", portuguese), expected);
    }

    #[test]
    fn paragraphs_end_at_blank_lines_and_so_do_sentences() {
        let text = "\n  First line\nof one.\r\n \r\nSecond. Third\n\n\n";
        assert_eq!(cut(Granularity::Paragraph, "en", text), ["First line\nof one.", "Second. Third"]);
        assert_eq!(cut(Granularity::Sentence, "en", text), ["First line\nof one.", "Second.", "Third"]);
    }

    #[test]
    fn parts_are_in_order_and_leave_out_spaces_alone() {
        for text in [
            "",
            "a",
            " a b ",
            "Olá! «Sim.» Não…\n\nE então? 3,5",
            "x.y z-\u{301}é ' \u{2003}fim.",
            "!?.. a\n\n \n\u{a0}b",
        ] {
            for granularity in [Granularity::Token, Granularity::Sentence, Granularity::Paragraph] {
                let mut at = 0;
                for part in Cutting::of(granularity, "pt").unwrap().cut(text) {
                    assert!(text[at..part.start].trim().is_empty() && !part.is_empty(), "{text:?} {part:?}");
                    assert_eq!(text[part.clone()].trim(), &text[part.clone()], "{text:?}");
                    at = part.end;
                }
                assert!(text[at..].trim().is_empty(), "{text:?} {granularity:?}");
            }
        }
    }

    #[test]
    fn other_languages_are_refused_by_name() {
        let why = Cutting::of(Granularity::Token, "fr").unwrap_err();
        assert_eq!(why, "has Language fr, whose texts captura cannot cut; it cuts English (en) and Portuguese (pt)");
    }
}
