use super::*;
use alloc::format;
use alloc::string::ToString;

fn question(id: &str, texts: &[(&str, &str)]) -> SecurityQuestion {
    let texts = texts.iter().map(|(locale, text)| ((*locale).into(), (*text).into())).collect();
    SecurityQuestion { id: QuestionId::parse(id).unwrap(), texts }
}

fn policy() -> QuestionPolicy {
    let questions = alloc::vec![
        question(
            "pet",
            &[("en", "What was the name of your first pet?"), ("de", "Wie hieß Ihr erstes Haustier?")]
        ),
        question("street", &[("en", "On which street did you grow up?")]),
        question(
            "teacher",
            &[("en", "Who was your favourite teacher?"), ("ja", "好きな先生の名前は何ですか")]
        ),
        question("car", &[("en", "What was the make of your first car?")]),
        question("city", &[("en", "In which city were you born?")]),
    ];
    QuestionPolicy { questions, ..QuestionPolicy::default() }
}

const GOOD: [(&str, &str); 4] =
    [("pet", " Señor  Whiskers! "), ("street", "Hauptstraße"), ("car", "Škoda"), ("city", "Αθήνας")];

/// The good answers, but for the one at this place.
fn with(at: usize, id: &'static str, answer: &'static str) -> Result<usize, (QuestionsRule, Option<String>)> {
    let mut answers = GOOD;
    answers[at] = (id, answer);
    judged(&answers)
}

fn judged(answers: &[(&str, &str)]) -> Result<usize, (QuestionsRule, Option<String>)> {
    let set = policy().check_answers(answers);
    set.map(|set| set.len()).map_err(|flaw| (flaw.rule, flaw.question.map(|id| id.to_string())))
}

#[test]
fn s13_a_whole_set_of_different_answers_is_taken_and_normalised() {
    let set = policy().check_answers(&GOOD).unwrap();
    let set: Vec<(&str, &str)> = set.iter().map(|(id, answer)| (id.as_str(), answer.reveal())).collect();
    assert_eq!(
        set,
        [("pet", "senor whiskers"), ("street", "hauptstrasse"), ("car", "skoda"), ("city", "αθηνασ")]
    );
}

#[test]
fn s13_a_set_that_breaks_a_rule_is_refused_whole_with_its_question() {
    use QuestionsRule as Rule;
    let at = |id: &str| Some(id.to_string());
    assert_eq!(judged(&GOOD[..3]), Err((Rule::TooFew, None)));
    assert_eq!(judged(&[]), Err((Rule::TooFew, None)));
    assert_eq!(judged(&[GOOD[0], GOOD[1], GOOD[2], GOOD[3], ("teacher", "x")]), Err((Rule::TooMany, None)));
    assert_eq!(with(3, "moon", "x"), Err((Rule::UnknownQuestion, at("moon"))));
    assert_eq!(with(3, "PET\0", "x"), Err((Rule::UnknownQuestion, None)), "what is no name is not repeated");
    assert_eq!(with(3, "pet", "another"), Err((Rule::RepeatedQuestion, at("pet"))));
    for empty in ["", "   ", "?!.", "\u{301}", "\u{200b}\u{ad}", "\u{3164}", "—"] {
        assert_eq!(with(2, "car", empty), Err((Rule::EmptyAnswer, at("car"))), "{empty:?}");
    }
    assert_eq!(with(3, "city", "SENOR, WHISKERS"), Err((Rule::SameAnswer, at("city"))));
}

#[test]
fn an_answer_that_can_be_read_off_its_question_is_refused() {
    let in_question = |id: &str| Err((QuestionsRule::AnswerInQuestion, Some(id.to_string())));
    for answer in ["pet", "First Pet", "your first pet?", "Haustier", "hiess", "Wie hieß Ihr erstes Haustier"]
    {
        let mut answers = GOOD;
        answers[0] = ("pet", answer);
        assert_eq!(judged(&answers), in_question("pet"), "{answer}");
    }
    assert_eq!(with(3, "teacher", "先生"), in_question("teacher"), "there are no blanks to tell words by");
    // A name that happens to be a part of a longer word is no hint.
    assert_eq!(with(0, "pet", "Rst"), Ok(4));
    assert_eq!(with(1, "street", "Grow"), in_question("street"));
    assert_eq!(with(1, "street", "Row"), Ok(4));
}

#[test]
fn an_answer_is_compared_by_its_letters_and_digits() {
    let normal = |text: &str| NormalAnswer::of(text).unwrap().reveal().to_string();
    for (same, expected) in [
        (&["Zoë", "zoe", "ZOE\u{308}", " zo\u{ad}e\t", "Ｚｏｅ", "ℤoe"][..], "zoe"),
        (&["O'Brien", "OBRIEN", "o’brien", "(o-brien)"], "obrien"),
        (&["New   York", "new\u{a0}york", "\u{3000}NEW\nYORK.", "new york"], "new york"),
        (&["Straße", "STRASSE", "STRAẞE", "straſse"], "strasse"),
        (&["ΟΔΥΣΣΕΥΣ", "οδυσσευς", "Ὀδυσσεύς"], "οδυσσευσ"),
        (&["İstanbul", "Istanbul", "ISTANBUL", "ıstanbul"], "istanbul"),
        (&["½ ﬁsh", "12 fish"], "12 fish"),
    ] {
        for text in same {
            assert_eq!(normal(text), expected, "{text}");
        }
    }
    // Signs that are vowels tell words apart.
    assert_ne!(normal("किरण"), normal("कारण"));
    assert_ne!(normal("บ้าน"), normal("บิน"));
}

#[test]
fn what_is_too_long_is_refused_before_anything_is_made_of_it() {
    assert_eq!(NormalAnswer::of(&"\u{301}".repeat(5_000_000)).unwrap_err(), QuestionsRule::LongAnswer);
    assert_eq!(NormalAnswer::of(&"ﷺ".repeat(86)).unwrap_err(), QuestionsRule::LongAnswer);
    // The letter that decomposes into the most others.
    assert!(NormalAnswer::of(&"ﷺ".repeat(85)).unwrap().reveal().len() < 12 * ANSWER_BYTES_MAX);
    assert!(NormalAnswer::of(&"a".repeat(256)).is_ok());
}

#[test]
fn normalising_every_letter_again_changes_nothing() {
    for c in '\0'..=char::MAX {
        let once = normal(&c.to_string());
        assert_eq!(normal(&once), once, "U+{:04X}", u32::from(c));
    }
}

#[test]
fn neither_an_answer_nor_a_flaw_shows_what_was_answered() {
    let answer = NormalAnswer::of("Whiskers").unwrap();
    let mut answers = GOOD;
    answers[0] = ("pet", "First Pet");
    let flaw = policy().check_answers(&answers).unwrap_err();
    let shown = format!("{answer:?} {flaw:?} {flaw}");
    assert!(
        !shown.to_lowercase().contains("whiskers") && !shown.to_lowercase().contains("first pet"),
        "{shown}"
    );
    assert!(shown.contains("answer_in_question"), "{shown}");
}

#[test]
fn a_policy_out_of_range_names_its_field() {
    assert_eq!(QuestionPolicy::default().check(), Ok(()), "no questions at all");
    assert_eq!(policy().check(), Ok(()));
    let mut twice = policy();
    twice.questions[1] = twice.questions[0].clone();
    let mut silent = policy();
    silent.questions[1].texts.clear();
    let mut blank = policy();
    blank.questions[1].texts.insert("en".into(), " ".into());
    for (field, policy) in [
        ("questions.questions", twice),
        ("questions.questions", silent),
        ("questions.questions", blank),
        ("questions.to_set", QuestionPolicy { to_set: 6, ..policy() }),
        ("questions.to_set", QuestionPolicy { to_set: 0, ..policy() }),
        ("questions.to_set", QuestionPolicy { to_set: 11, ..QuestionPolicy::default() }),
        ("questions.to_ask", QuestionPolicy { to_ask: 5, ..policy() }),
        ("questions.to_ask", QuestionPolicy { to_ask: 0, ..policy() }),
    ] {
        assert_eq!(policy.check().unwrap_err().field, field);
    }
}
