//! What the page says, in English and in Portuguese.
//!
//! Invariant: both languages have every text, which the compiler checks. `{0}`, `{1}`, … are filled in by
//! [`Words::fill`]. Violations keep AWS's own English texts, which people search for, and reasons of unusable records theirs.

use super::Language;

/// The texts of one language.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) code: &'static str,
    decimal: char,
    thousands: char,
    pub(super) title: &'static str,
    pub(super) grounds: &'static str,
    pub(super) in_flight: &'static str,
    pub(super) elsewhere: &'static str,
    pub(super) grounds_unknown: &'static str,
    /// Rows, columns, records, objects: one, and several.
    pub(super) counted: [[&'static str; 2]; 4],
    pub(super) account: &'static str,
    pub(super) account_alone: &'static str,
    pub(super) alone: &'static str,
    pub(super) unanswered: &'static str,
    pub(super) period: &'static str,
    pub(super) drifted_none: &'static str,
    pub(super) drifted_one: &'static str,
    pub(super) drifted_many: &'static str,
    pub(super) cannot_tell: &'static str,
    pub(super) verdicts: [&'static str; 5],
    pub(super) verdicts_mean: [&'static str; 5],
    pub(super) rows_needed: &'static str,
    pub(super) reference_small: &'static str,
    pub(super) what_changed: &'static str,
    pub(super) up_to: &'static str,
    pub(super) with_value: &'static str,
    pub(super) distance_told: &'static str,
    pub(super) driven: &'static str,
    pub(super) since: &'static str,
    pub(super) until: &'static str,
    pub(super) throughout: &'static str,
    pub(super) nobody_drives: &'static str,
    pub(super) too_few_to_name: &'static str,
    pub(super) unnamed: &'static str,
    pub(super) behaviour: &'static str,
    pub(super) mix: &'static str,
    pub(super) both: &'static str,
    pub(super) columns: &'static str,
    pub(super) columns_alone: &'static str,
    pub(super) filter: &'static str,
    pub(super) key_then: &'static str,
    pub(super) key_now: &'static str,
    pub(super) pictured: &'static str,
    pub(super) rest: &'static str,
    pub(super) left_out: &'static str,
    pub(super) heads: [&'static str; 10],
    pub(super) missing_columns: &'static str,
    pub(super) new_columns: &'static str,
    pub(super) and_more: &'static str,
    pub(super) violations: &'static str,
    pub(super) violations_none: &'static str,
    pub(super) violation_heads: [&'static str; 3],
    pub(super) windows: &'static str,
    pub(super) windows_told: &'static str,
    pub(super) alarms_none: &'static str,
    pub(super) alarm_heads: [&'static str; 5],
    pub(super) consumers: &'static str,
    pub(super) consumer_heads: [&'static str; 5],
    pub(super) then_unknown: &'static str,
    pub(super) notes: &'static str,
    pub(super) unusable: &'static str,
    pub(super) method: &'static str,
    pub(super) method_told: [&'static str; 5],
    pub(super) figure_numbers: &'static str,
    pub(super) figure_categories: &'static str,
    pub(super) made_by: &'static str,
}

impl Words {
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Portuguese => &PORTUGUESE,
        }
    }

    /// A text with its gaps filled.
    pub(super) fn fill(&self, text: &str, parts: &[&str]) -> String {
        let mut filled = String::with_capacity(text.len() + 32);
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let number = rest.as_bytes().get(open + 1).map(|digit| usize::from(digit.wrapping_sub(b'0')));
            filled.push_str(&rest[..open]);
            filled.push_str(number.and_then(|number| parts.get(number)).expect("our bug: a gap without a part"));
            rest = &rest[open + 3..];
        }
        filled.push_str(rest);
        filled
    }

    /// So many of them.
    pub(super) fn counted(&self, number: u64, [one, several]: [&str; 2]) -> String {
        format!("{} {}", self.count(number), if number == 1 { one } else { several })
    }

    /// A note in this language, where it is one of ours.
    pub(super) fn note(&self, note: &str) -> String {
        let translated = if self.code.starts_with("pt") { crate::notes::in_portuguese(note) } else { None };
        translated.unwrap_or_else(|| note.to_owned())
    }

    /// A whole number.
    pub(super) fn count(&self, number: u64) -> String {
        let digits = number.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(self.thousands);
            }
            text.push(digit);
        }
        text
    }

    /// A number with this many decimals.
    pub(super) fn decimals(&self, number: f64, decimals: usize) -> String {
        format!("{number:.decimals$}").replace('.', &self.decimal.to_string())
    }

    /// A share as a percentage.
    pub(super) fn percent(&self, share: f64) -> String {
        let percent = share * 100.0;
        let decimals = usize::from(percent != percent.round() && percent.abs() < 10.0);
        self.decimals(percent, decimals) + "\u{a0}%"
    }

    /// A value of a column: four digits that count.
    pub(super) fn value(&self, value: f64) -> String {
        let size = value.abs();
        if size != 0.0 && !(1e-3..1e7).contains(&size) {
            return format!("{value:.2e}").replace('.', &self.decimal.to_string());
        }
        let decimals = if size >= 1000.0 || value == value.round() {
            0
        } else if size >= 100.0 {
            1
        } else if size >= 1.0 {
            2
        } else {
            4
        };
        let text = format!("{:.decimals$}", size);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let fraction = fraction.trim_end_matches('0');
        let sign = if value < 0.0 { "−" } else { "" };
        let whole = self.count(whole.parse().unwrap_or(0));
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}{}{fraction}", self.decimal) }
    }
}

static ENGLISH: Words = Words {
    code: "en",
    decimal: '.',
    thousands: ',',
    title: "Data report",
    grounds: "This report stands on {0} of {1} invocations ({2} dropped, {3} sampled out{4}).",
    in_flight: ", {0} in flight",
    elsewhere: ", {0} not among the captures that were read",
    grounds_unknown: "On how many of the calls this report stands, it cannot tell: {0}.",
    counted: [["row", "rows"], ["column", "columns"], ["record", "records"], ["object", "objects"]],
    account: "{0} of {1}, from {2} in {3}, held against {4} of the reference.",
    account_alone: "{0} of {1}, from {2} in {3}.",
    alone: "Described, and not judged: there is no baseline or reference to hold it against.",
    unanswered: "{0} calls got no answer from the model and are left out.",
    period: "Calls from {0} to {1}.",
    drifted_none: "No column has drifted.",
    drifted_one: "1 of {1} columns has drifted.",
    drifted_many: "{0} of {1} columns have drifted.",
    cannot_tell: "There is not enough data to tell.",
    verdicts: ["drifted", "changed", "not enough data", "not compared", "stable"],
    verdicts_mean: [
        "surely further from the reference than the tolerance of {0}",
        "surely different, but not surely beyond the tolerance",
        "too few rows to call it stable; this is not a pass",
        "texts of too many different values, or nothing to compare with",
        "within the tolerance",
    ],
    rows_needed: "{0} rows would be enough",
    reference_small: "the reference is too small",
    what_changed: "What has changed",
    up_to: "Values up to {0}: {1} of the rows then, {2} now.",
    with_value: "“{0}”: {1} of the rows then, {2} now.",
    distance_told: "Distance {0} ({1}), with 95\u{a0}% confidence between {2} and {3}.",
    driven: "Driven by {0}, ",
    since: "since {0}.",
    until: "until {0}; since then it is closer to the reference again.",
    throughout: "as far back as this data goes.",
    nobody_drives: "No single consumer drives it.",
    too_few_to_name: "There is not enough data to say who drives it.",
    unnamed: "callers that the records do not name",
    behaviour: "Consumers send something else ({0} of the distance); above all {1}.",
    mix: "Who calls has changed ({0} of the distance): above all {1}, from {2} of the rows to {3}.",
    both: "Who calls has changed ({4} of the distance), and what consumers send ({0}); above all {1}, from {2} of the rows to {3}.",
    columns: "Columns, worst first",
    columns_alone: "Columns",
    filter: "Find a column",
    key_then: "reference",
    key_now: "this data",
    pictured: "The first {0} of {1} columns have pictures; the others are in the table below, without.",
    rest: "The other {0} columns",
    left_out: "{0} more columns are not listed, so that this page stays small; captura drift --json has all of them.",
    heads: [
        "Column",
        "Verdict",
        "Distribution",
        "Distance, 95\u{a0}% interval",
        "Wasser\u{ad}stein",
        "PSI",
        "Jensen–Shannon",
        "Missing then → now",
        "Mean then → now",
        "Rows",
    ],
    missing_columns: "Columns of the reference that this data does not have: {0}",
    new_columns: "Columns that the reference does not have: {0}",
    and_more: "{0} and {1} more",
    violations: "Constraints of the baseline",
    violations_none: "Every constraint of the baseline holds.",
    violation_heads: ["Column", "Check", "What does not hold"],
    windows: "Window by window",
    windows_told: "{0} columns watched in {1} windows of {2}; the budget is one false alarm in {3} on average, for all columns together.",
    alarms_none: "No alarm.",
    alarm_heads: ["Column", "Rang first", "Began in the window of", "Alarms", "Last alarm"],
    consumers: "Consumers",
    consumer_heads: ["Consumer", "Rows then", "Rows now", "Share then", "Share now"],
    then_unknown: "Who called when the reference was made is not known here: give its captures (--history) to tell a change of who calls from a change of what they send.",
    notes: "To know",
    unusable: "unusable: {0} line {1}: {2}",
    method: "How to read this",
    method_told: [
        "The distance of numbers is the largest difference between the cumulative shares of rows (Kolmogorov–Smirnov); that of categories the largest difference of a value’s share (L-infinity). Both lie between 0 and 1. Wasserstein is how far a value moves on average, in standard deviations of the reference. PSI and Jensen–Shannon compare ten equal parts of the reference, or values.",
        "An interval holds the distance of everything that might have been captured, not only of what was, 19 times in 20. A column counts as drifted only when its distance is surely beyond the tolerance, all columns judged together: of the columns called drifted, at most {0} are expected to be so by chance.",
        "“Stable” is said only when a distance as large as the tolerance could not have hidden behind chance. Otherwise there is not enough data, and the page says how many rows would be enough.",
        "Rows are taken as independent. Rows that come in bursts of like ones say less than their number, and intervals are then too narrow.",
        "A change of the data is not yet a harm: whether answers became worse only labels tell.",
    ],
    figure_numbers: "Histogram: median {0} in the reference, {1} in this data",
    figure_categories: "Shares of {0} values, in the reference and in this data",
    made_by: "Made by captura from aggregates only: no single row is in this file, and it asks nothing of the network.",
};

static PORTUGUESE: Words = Words {
    code: "pt",
    decimal: ',',
    thousands: '.',
    title: "Relatório dos dados",
    grounds: "Este relatório se apoia em {0} de {1} invocações ({2} perdidas, {3} fora da amostra{4}).",
    in_flight: ", {0} em andamento",
    elsewhere: ", {0} fora das capturas lidas",
    grounds_unknown: "Não é possível dizer em quantas chamadas este relatório se apoia: {0}.",
    counted: [["linha", "linhas"], ["coluna", "colunas"], ["registro", "registros"], ["objeto", "objetos"]],
    account: "{0} de {1}, de {2} em {3}, em comparação com {4} da referência.",
    account_alone: "{0} de {1}, de {2} em {3}.",
    alone: "Descritos, e não julgados: não há linha de base nem referência com que compará-los.",
    unanswered: "{0} chamadas ficaram sem resposta do modelo e não foram consideradas.",
    period: "Chamadas de {0} a {1}.",
    drifted_none: "Nenhuma coluna se desviou.",
    drifted_one: "1 de {1} colunas se desviou.",
    drifted_many: "{0} de {1} colunas se desviaram.",
    cannot_tell: "Não há dados suficientes para dizer.",
    verdicts: ["desviou", "mudou", "dados insuficientes", "não comparada", "estável"],
    verdicts_mean: [
        "com certeza mais longe da referência que a tolerância de {0}",
        "com certeza diferente, mas não com certeza além da tolerância",
        "linhas de menos para chamá-la de estável; isto não é uma aprovação",
        "textos com valores diferentes demais, ou nada com que comparar",
        "dentro da tolerância",
    ],
    rows_needed: "{0} linhas bastariam",
    reference_small: "a referência é pequena demais",
    what_changed: "O que mudou",
    up_to: "Valores até {0}: {1} das linhas antes, {2} agora.",
    with_value: "“{0}”: {1} das linhas antes, {2} agora.",
    distance_told: "Distância {0} ({1}), com 95\u{a0}% de confiança entre {2} e {3}.",
    driven: "Causado por {0}, ",
    since: "desde {0}.",
    until: "até {0}; desde então está de novo mais perto da referência.",
    throughout: "até onde estes dados alcançam.",
    nobody_drives: "Nenhum consumidor o causa sozinho.",
    too_few_to_name: "Não há dados suficientes para dizer quem o causa.",
    unnamed: "quem os registros não nomeiam",
    behaviour: "Consumidores enviam outra coisa ({0} da distância); sobretudo {1}.",
    mix: "Quem chama mudou ({0} da distância): sobretudo {1}, de {2} das linhas para {3}.",
    both: "Quem chama mudou ({4} da distância), e também o que enviam ({0}); sobretudo {1}, de {2} das linhas para {3}.",
    columns: "Colunas, as piores primeiro",
    columns_alone: "Colunas",
    filter: "Encontrar uma coluna",
    key_then: "referência",
    key_now: "estes dados",
    pictured: "As primeiras {0} de {1} colunas têm figuras; as outras estão na tabela abaixo, sem elas.",
    rest: "As outras {0} colunas",
    left_out: "Mais {0} colunas não foram listadas, para que esta página continue pequena; captura drift --json tem todas.",
    heads: [
        "Coluna",
        "Veredito",
        "Distribuição",
        "Distância, intervalo de 95\u{a0}%",
        "Wasser\u{ad}stein",
        "PSI",
        "Jensen–Shannon",
        "Ausentes antes → agora",
        "Média antes → agora",
        "Linhas",
    ],
    missing_columns: "Colunas da referência que faltam nestes dados: {0}",
    new_columns: "Colunas que a referência não tem: {0}",
    and_more: "{0} e mais {1}",
    violations: "Restrições da linha de base",
    violations_none: "Todas as restrições da linha de base valem.",
    violation_heads: ["Coluna", "Verificação", "O que não vale"],
    windows: "Janela por janela",
    windows_told: "{0} colunas observadas em {1} janelas de {2}; o orçamento é de um alarme falso em {3} em média, para todas as colunas juntas.",
    alarms_none: "Nenhum alarme.",
    alarm_heads: ["Coluna", "Primeiro alarme", "Começou na janela de", "Alarmes", "Último alarme"],
    consumers: "Consumidores",
    consumer_heads: ["Consumidor", "Linhas antes", "Linhas agora", "Parte antes", "Parte agora"],
    then_unknown: "Quem chamava quando a referência foi feita não se sabe aqui: informe as capturas dela (--history) para separar uma mudança de quem chama de uma mudança do que enviam.",
    notes: "Convém saber",
    unusable: "inutilizável: {0} linha {1}: {2}",
    method: "Como ler isto",
    method_told: [
        "A distância de números é a maior diferença entre as partes acumuladas das linhas (Kolmogorov–Smirnov); a de categorias, a maior diferença da parte de um valor (L-infinito). Ambas ficam entre 0 e 1. Wasserstein diz quanto um valor se move em média, em desvios padrão da referência. PSI e Jensen–Shannon comparam dez partes iguais da referência, ou os valores.",
        "Um intervalo contém a distância de tudo o que poderia ter sido capturado, não só do que foi, 19 vezes em 20. Uma coluna só conta como desviada quando sua distância está com certeza além da tolerância, julgadas todas as colunas juntas: das colunas ditas desviadas, espera-se que no máximo {0} o sejam por acaso.",
        "“Estável” só se diz quando uma distância do tamanho da tolerância não poderia ter se escondido atrás do acaso. Senão, os dados são insuficientes, e a página diz quantas linhas bastariam.",
        "As linhas são tomadas como independentes. Linhas que vêm em rajadas de iguais dizem menos que o seu número, e os intervalos ficam então estreitos demais.",
        "Uma mudança nos dados ainda não é um dano: se as respostas pioraram, só os rótulos dizem.",
    ],
    figure_numbers: "Histograma: mediana {0} na referência, {1} nestes dados",
    figure_categories: "Partes de {0} valores, na referência e nestes dados",
    made_by: "Feito por captura só de agregados: nenhuma linha individual está neste arquivo, e ele não pede nada à rede.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_each_language_writes_them() {
        let (english, portuguese) = (&ENGLISH, &PORTUGUESE);
        assert_eq!((english.count(1_234_567), portuguese.count(1_234_567)), ("1,234,567".into(), "1.234.567".into()));
        assert_eq!((english.value(1234.5), portuguese.value(-12.345)), ("1,234".into(), "−12,35".into()));
        assert_eq!(
            (english.value(0.0), english.value(3e-9), english.value(0.5)),
            ("0".into(), "3.00e-9".into(), "0.5".into())
        );
        assert_eq!((portuguese.percent(0.125), english.percent(1.0)), ("12\u{a0}%".into(), "100\u{a0}%".into()));
    }

    #[test]
    fn gaps_are_filled_in_the_order_of_the_language() {
        assert_eq!(ENGLISH.fill("{1} before {0}", &["a", "b{0}"]), "b{0} before a");
    }
}
