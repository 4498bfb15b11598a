//! What a person should know beside the findings, in English, and in Portuguese for pages that speak it.
//!
//! Notes are texts wherever they travel; a page that speaks another language finds the template a note was made from.
//!
//! Invariant: every note that a report can have is made from a template of this module. Refuses to: translate what others wrote:
//! names, values and reasons stay as they are.

/// A note with gaps `{0}`, `{1}` in both languages.
#[derive(Debug)]
pub(crate) struct Template {
    english: &'static str,
    portuguese: &'static str,
}

pub(crate) const UNUSABLE: Template = Template {
    english: "{0} of {1} records could not be used",
    portuguese: "{0} de {1} registros não puderam ser usados",
};
pub(crate) const READ_FOR_CONSUMERS: Template = Template {
    english: "kept profiles are of all callers, so calls of some consumers were read",
    portuguese: "os perfis guardados são de todos os consumidores; por isso as chamadas de alguns deles foram lidas",
};
pub(crate) const UNPAIRED: Template = Template {
    english: "most rows have {0} columns, not as many as expected, so columns could not be matched",
    portuguese: "a maioria das linhas tem {0} colunas, e não tantas quanto se esperava; por isso as colunas não puderam ser associadas",
};
pub(crate) const ANSWER_FIRST: Template = Template {
    english: "captured rows begin with the answer: where that is the column too many, make the baseline from rows \
              that have a prediction or label as well, and name its place with --label-first or --label-last",
    portuguese: "as linhas capturadas começam com a resposta: se é essa a coluna a mais, faça a linha de base com linhas que \
                 também tenham uma previsão ou um rótulo, e diga o lugar dele com --label-first ou --label-last",
};
pub(crate) const BY_POSITION: Template = Template {
    english: "columns were matched by position, output columns first",
    portuguese: "as colunas foram associadas pela posição, as da resposta primeiro",
};
pub(crate) const NEVER_SEEN: Template =
    Template { english: "no record has these columns: {0}", portuguese: "nenhum registro tem estas colunas: {0}" };
pub(crate) const NAMES_UNUSED: Template = Template {
    english: "no column is called {0}, as the names wish: its side has another number of columns, or what it stands for is not sent",
    portuguese: "nenhuma coluna se chama {0}, como os nomes querem: seu lado tem outro número de colunas, ou o que ele designa não é enviado",
};
pub(crate) const BELOW_ZERO: Template = Template {
    english: "{0}: values below zero (smallest {1}); the baseline had none",
    portuguese: "{0}: valores abaixo de zero (o menor: {1}); a linha de base não tinha nenhum",
};
pub(crate) const SKETCH_UNUSABLE: Template = Template {
    english: "{0}: the baseline's sketch is unusable: {1}",
    portuguese: "{0}: o esboço da linha de base não pode ser usado: {1}",
};
pub(crate) const TOO_FEW_FOR_CHI_SQUARE: Template = Template {
    english: "{0}: not enough data for the chi-square test",
    portuguese: "{0}: dados insuficientes para o teste qui-quadrado",
};
pub(crate) const PREPROCESSOR_FAILED: Template = Template {
    english: "the record preprocessor failed on {0} of {1} records",
    portuguese: "o pré-processador de registros falhou em {0} de {1} registros",
};
pub(crate) const PREPROCESSOR_LEFT_OUT: Template = Template {
    english: "the record preprocessor left out {0} of {1} records",
    portuguese: "o pré-processador de registros deixou de fora {0} de {1} registros",
};

const ALL: [&Template; 12] = [
    &UNUSABLE,
    &READ_FOR_CONSUMERS,
    &UNPAIRED,
    &ANSWER_FIRST,
    &BY_POSITION,
    &NEVER_SEEN,
    &NAMES_UNUSED,
    &BELOW_ZERO,
    &SKETCH_UNUSABLE,
    &TOO_FEW_FOR_CHI_SQUARE,
    &PREPROCESSOR_FAILED,
    &PREPROCESSOR_LEFT_OUT,
];

impl Template {
    /// The note with its gaps filled.
    pub(crate) fn say(&self, parts: &[&str]) -> String {
        filled(self.english, parts)
    }

    /// What fills the gaps of a note of this template; `None` when it is another's.
    fn parts<'n>(&self, note: &'n str) -> Option<Vec<&'n str>> {
        let mut pieces = pieces(self.english);
        let mut rest = note.strip_prefix(pieces.next()?)?;
        let mut parts = Vec::new();
        let mut pieces = pieces.peekable();
        while let Some(piece) = pieces.next() {
            // The last piece ends the note; those between are looked for.
            let at = if pieces.peek().is_none() { rest.len().checked_sub(piece.len())? } else { rest.find(piece)? };
            parts.push(rest.get(..at)?);
            rest = rest.get(at..)?.strip_prefix(piece)?;
        }
        rest.is_empty().then_some(parts)
    }
}

/// The same note in Portuguese; `None` when no template made it.
pub(crate) fn in_portuguese(note: &str) -> Option<String> {
    ALL.iter().find_map(|template| Some(filled(template.portuguese, &template.parts(note)?)))
}

/// The texts around the gaps.
fn pieces(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('{')
        .enumerate()
        .map(|(at, piece)| if at == 0 { piece } else { piece.split_once('}').map_or("", |(_, rest)| rest) })
}

fn filled(text: &'static str, parts: &[&str]) -> String {
    let mut filled = String::new();
    for (at, piece) in text.split('{').enumerate() {
        let Some((gap, rest)) = piece.split_once('}').filter(|_| at > 0) else {
            filled.push_str(piece);
            continue;
        };
        let part = gap.parse::<usize>().ok().and_then(|gap| parts.get(gap));
        filled.push_str(part.expect("our bug: a gap without a part"));
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_is_found_again_in_portuguese_with_its_parts() {
        for template in ALL {
            let note = template.say(&["a: {b}", "7"]);
            let found = in_portuguese(&note).unwrap_or_else(|| panic!("{note}"));
            let gaps = template.english.matches('{').count();
            assert_eq!(template.portuguese.matches('{').count(), gaps);
            assert_eq!(found, filled(template.portuguese, &["a: {b}", "7"]));
        }
        assert_eq!(in_portuguese("somebody else's words"), None);
        assert_eq!(
            in_portuguese("3 of 4 records could not be used").unwrap(),
            "3 de 4 registros não puderam ser usados"
        );
    }
}
