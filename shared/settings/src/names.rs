//! Names of settings: in the environment, as aliases, and how near two of them are.

/// Every variable of a setting begins with this.
const PREFIX: &str = "FLEET_";

/// Names the settings file; not a setting itself.
pub(crate) const SETTINGS_FILE: &str = "FLEET_CONFIG";

/// Variables that hosting platforms and the test scripts set, and the settings they are.
const ALIASES: [(&str, &str, &str); 3] =
    [("AMQP_URL", "broker", "urls"), ("REDIS_URL", "outcomes", "url"), ("DATABASE_URL", "records", "url")];

/// What a variable of the environment is to the settings.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Variable {
    /// It sets this section and key, in lower case; they may be unknown.
    Sets(String, String),
    /// It begins as ours do, but holds no `__`. The text after the prefix, in lower case.
    WithoutSection(String),
    /// It is none of ours.
    Foreign,
}

impl Variable {
    pub(crate) fn of(name: &str) -> Self {
        if name == SETTINGS_FILE {
            return Self::Foreign;
        }
        let Some(rest) = name.strip_prefix(PREFIX) else { return Self::Foreign };
        let rest = rest.to_lowercase();
        match rest.split_once("__") {
            Some((section, key)) => Self::Sets(section.to_owned(), key.to_owned()),
            None => Self::WithoutSection(rest),
        }
    }
}

/// The section and key that the variable stands for.
pub(crate) fn aliased(variable: &str) -> Option<(&'static str, &'static str)> {
    ALIASES.iter().find(|(alias, ..)| *alias == variable).map(|&(_, section, key)| (section, key))
}

/// The other variable that sets this setting.
pub(crate) fn alias_of(section: &str, key: &str) -> Option<&'static str> {
    ALIASES.iter().find(|&&(_, s, k)| (s, k) == (section, key)).map(|&(alias, ..)| alias)
}

/// `FLEET_BROKER__PREFETCH`
pub(crate) fn variable(section: &str, key: &str) -> String {
    format!("{PREFIX}{}__{}", section.to_uppercase(), key.to_uppercase())
}

/// The candidate that is most like `name`, if any is like it: at most a third of the letters differ.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(edits, candidate)| edits * 3 <= name.len().max(candidate.len()))
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, taken away or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("prefetch", "prefetch", 0),
            ("prefetsch", "prefetch", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }

    #[test]
    fn nearest_is_silent_when_nothing_is_near() {
        let known = ["broker.prefetch", "broker.urls"];
        assert_eq!(nearest("broker.prefech", known.into_iter()), Some("broker.prefetch"));
        assert_eq!(nearest("broker.url", known.into_iter()), Some("broker.urls"));
        assert_eq!(nearest("outcomes.timeout", known.into_iter()), None);
    }

    #[test]
    fn variables_are_told_apart() {
        let sets = |section: &str, key: &str| Variable::Sets(section.to_owned(), key.to_owned());
        for (name, is) in [
            ("FLEET_BROKER__PREFETCH", sets("broker", "prefetch")),
            ("FLEET_VOICE_WORKER__ANSWER_BY", sets("voice_worker", "answer_by")),
            ("FLEET_BROKER_PREFETCH", Variable::WithoutSection("broker_prefetch".to_owned())),
            ("FLEET_CONFIG", Variable::Foreign),
            ("PATH", Variable::Foreign),
        ] {
            assert_eq!(Variable::of(name), is, "{name}");
        }
    }
}
