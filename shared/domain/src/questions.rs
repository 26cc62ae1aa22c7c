//! Security questions: which are approved, how many are set and asked, and what an answer is compared by.
//!
//! A set of answers is taken whole or refused whole. A refusal names the rule and the question, never an answer.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use crate::portal::InvalidPolicy;
use crate::words::words;

/// A longer answer is refused before anything is made of it.
pub const ANSWER_BYTES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 400;
const ID_LONGEST: usize = 32;
const QUESTIONS_MOST: usize = 50;

/// The name of a question: 1 to 32 of `a-z`, `0-9`, `-` and `_`. It is public, and answers are stored under it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct QuestionId(String);

/// The text is not the name of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 32 characters of a-z, 0-9, '-' and '_'")]
pub struct InvalidQuestionId;

impl QuestionId {
    /// Checks the text and wraps it.
    pub fn parse(text: &str) -> Result<Self, InvalidQuestionId> {
        let valid = (1..=ID_LONGEST).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if valid { Ok(Self(text.into())) } else { Err(InvalidQuestionId) }
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QuestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for QuestionId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A question that a portal approves.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityQuestion {
    /// Its name, which stays when its texts change.
    pub id: QuestionId,
    /// How it is asked, by locale (BCP 47): at least one text, each of 1 to 400 bytes.
    pub texts: BTreeMap<String, String>,
}

/// A portal's security questions. Stored as JSON; a field that is absent has its default.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionPolicy {
    /// The approved questions, at most 50; none where the portal has no security questions.
    pub questions: Vec<SecurityQuestion>,
    /// How many a person sets, no fewer and no more: 1 to 10, and no more than are approved.
    pub to_set: u8,
    /// How many of them are asked: 1 to `to_set`.
    pub to_ask: u8,
}

impl Default for QuestionPolicy {
    fn default() -> Self {
        Self { questions: Vec::new(), to_set: 4, to_ask: 2 }
    }
}

words! {
    /// Why a set of answers is refused.
    QuestionsRule {
        /// There are fewer answers than questions to set: answer as many as are asked for.
        TooFew = 1 "too_few",
        /// There are more answers than questions to set: answer as many as are asked for.
        TooMany = 2 "too_many",
        /// This question is not one of the approved ones: choose another.
        UnknownQuestion = 3 "unknown_question",
        /// This question was chosen twice: choose another.
        RepeatedQuestion = 4 "repeated_question",
        /// This answer has no letters and no digits: write one.
        EmptyAnswer = 5 "empty_answer",
        /// This answer is too long: write at most 256 bytes, some 60 to 250 characters.
        LongAnswer = 6 "long_answer",
        /// This answer was given to another question too: write different ones.
        SameAnswer = 7 "same_answer",
        /// This answer stands in its own question: write one that only you know.
        AnswerInQuestion = 8 "answer_in_question",
    }
}

/// A set of answers breaks a rule. It never holds an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {}", rule.meaning())]
pub struct QuestionsFlaw {
    /// The rule.
    pub rule: QuestionsRule,
    /// The question at fault; none where it is about the whole set, or what was given is no question's name.
    pub question: Option<QuestionId>,
}

/// What an answer is compared by: its letters and digits, without case, accents, punctuation and spare white space.
/// Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct NormalAnswer(String);

impl NormalAnswer {
    /// Normalises an answer: Unicode's compatibility decomposition (NFKD) without marks, all in one case, letters and
    /// digits only, words one blank apart. Doing it again changes nothing. Refused is what is too long, or empty by then.
    ///
    /// Accents are marks with a combining class; vowel signs have none and stay, since in many scripts they tell words
    /// apart. The stored hash depends on this: it may never change for a text that was accepted.
    pub fn of(answer: &str) -> Result<Self, QuestionsRule> {
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(QuestionsRule::LongAnswer);
        }
        let normal = normal(answer);
        if normal.is_empty() { Err(QuestionsRule::EmptyAnswer) } else { Ok(Self(normal)) }
    }

    /// The text that is hashed and compared, and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NormalAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NormalAnswer(***)")
    }
}

fn normal(text: &str) -> String {
    // Down, up and down again: so ß and ẞ meet SS, and a final sigma the other one. What comes out may decompose once more.
    let folded = text
        .nfkd()
        .filter(|c| canonical_combining_class(*c) == 0)
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkd()
        .filter(|c| canonical_combining_class(*c) == 0);
    let mut normal = String::with_capacity(text.len());
    let mut is_apart = false;
    for c in folded {
        if c.is_whitespace() {
            is_apart = true;
        } else if is_kept(c) {
            if core::mem::take(&mut is_apart) && !normal.is_empty() {
                normal.push(' ');
            }
            normal.push(c);
        }
    }
    normal
}

/// The Hangul fillers are letters that nobody sees.
fn is_kept(c: char) -> bool {
    c.is_alphanumeric() && !matches!(c, '\u{115f}' | '\u{1160}')
}

impl QuestionPolicy {
    /// Checks every range that the fields promise.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let ids: BTreeSet<&QuestionId> = self.questions.iter().map(|question| &question.id).collect();
        let are_asked = self.questions.iter().all(|question| {
            let mut texts = question.texts.values();
            !question.texts.is_empty()
                && texts.all(|text| text.len() <= TEXT_BYTES_MAX && !text.trim().is_empty())
        });
        let enough = self.questions.is_empty() || usize::from(self.to_set) <= self.questions.len();
        let rules = [
            (
                self.questions.len() <= QUESTIONS_MOST && ids.len() == self.questions.len(),
                "questions.questions",
                "a list of at most 50 questions, each with an id of its own",
            ),
            (are_asked, "questions.questions", "questions with at least one text each, of 1 to 400 bytes"),
            (
                (1..=10).contains(&self.to_set) && enough,
                "questions.to_set",
                "1 to 10, and no more than there are questions",
            ),
            ((1..=self.to_set).contains(&self.to_ask), "questions.to_ask", "1 to to_set"),
        ];
        match rules.into_iter().find(|(holds, _, _)| !holds) {
            None => Ok(()),
            Some((_, field, allowed)) => Err(InvalidPolicy { field, allowed }),
        }
    }

    /// The answers that a person wants to set, by the names of the questions, ready to be hashed. They are exactly as
    /// many as are to be set, to different approved questions, no two the same and none to be read off its question;
    /// otherwise all are refused, for the first rule that one breaks.
    pub fn check_answers(
        &self,
        answers: &[(&str, &str)],
    ) -> Result<Vec<(QuestionId, NormalAnswer)>, QuestionsFlaw> {
        let whole = |rule| Err(QuestionsFlaw { rule, question: None });
        match answers.len().cmp(&usize::from(self.to_set)) {
            core::cmp::Ordering::Less => return whole(QuestionsRule::TooFew),
            core::cmp::Ordering::Greater => return whole(QuestionsRule::TooMany),
            core::cmp::Ordering::Equal => {}
        }
        let mut set: Vec<(QuestionId, NormalAnswer)> = Vec::with_capacity(answers.len());
        for (id, answer) in answers {
            let normal = self.check_answer(id, answer, &set)?;
            set.push(normal);
        }
        Ok(set)
    }

    fn check_answer(
        &self,
        id: &str,
        answer: &str,
        before: &[(QuestionId, NormalAnswer)],
    ) -> Result<(QuestionId, NormalAnswer), QuestionsFlaw> {
        let Some(question) = self.questions.iter().find(|question| question.id.as_str() == id) else {
            let question = QuestionId::parse(id).ok();
            return Err(QuestionsFlaw { rule: QuestionsRule::UnknownQuestion, question });
        };
        let flaw = |rule| QuestionsFlaw { rule, question: Some(question.id.clone()) };
        if before.iter().any(|(id, _)| *id == question.id) {
            return Err(flaw(QuestionsRule::RepeatedQuestion));
        }
        let answer = NormalAnswer::of(answer).map_err(flaw)?;
        if before.iter().any(|(_, other)| *other == answer) {
            return Err(flaw(QuestionsRule::SameAnswer));
        }
        if question.texts.values().any(|text| stands_in(&answer.0, &normal(text))) {
            return Err(flaw(QuestionsRule::AnswerInQuestion));
        }
        Ok((question.id.clone(), answer))
    }
}

/// Whether whole words of the question are the answer. Scripts without case are often written without blanks between
/// words: there any part of the text counts.
fn stands_in(answer: &str, question: &str) -> bool {
    let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_lowercase() || c.is_numeric());
    question.match_indices(answer).any(|(at, _)| {
        let (before, after) = (&question[..at], &question[at + answer.len()..]);
        !goes_on(before.chars().next_back()) && !goes_on(after.chars().next())
    })
}

#[cfg(test)]
mod tests;
