//! What a call says, by kind and locale. Sentences are short: each is one `<Say>`, and a prompt is over
//! within 20 seconds.

use fleet_domain::{Command, Question, Reason};

/// The longest part of a portal's title that is spoken, in characters.
const TITLE_LONGEST: usize = 80;

/// Something to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// The `language` attribute of `<Say>`, one of the carrier's list.
    pub(crate) language: &'static str,
    /// The sentences in order.
    pub(crate) sentences: Vec<String>,
}

/// In which language, and how its speakers call the key `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Voice {
    tag: &'static str,
    language: Language,
    pound: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    English,
    Spanish,
}

const fn english(tag: &'static str, pound: &'static str) -> Voice {
    Voice { tag, language: Language::English, pound }
}

const fn spanish(tag: &'static str, pound: &'static str) -> Voice {
    Voice { tag, language: Language::Spanish, pound }
}

/// The locales that are spoken; the first of a language also speaks for its locales that are not here.
const VOICES: [Voice; 11] = [
    english("en-US", "the pound key"),
    english("en-CA", "the pound key"),
    english("en-GB", "the hash key"),
    english("en-IE", "the hash key"),
    english("en-AU", "the hash key"),
    english("en-NZ", "the hash key"),
    english("en-IN", "the hash key"),
    english("en-ZA", "the hash key"),
    spanish("es-US", "la tecla numeral"),
    spanish("es-MX", "la tecla numeral"),
    spanish("es-ES", "la almohadilla"),
];

impl Voice {
    /// The voice of a locale (BCP 47): the locale itself, its language, English.
    fn of(locale: &str) -> Self {
        let exact = VOICES.iter().find(|voice| voice.tag.eq_ignore_ascii_case(locale));
        let language = locale.split('-').next().unwrap_or_default();
        let same = |voice: &&Self| voice.tag[..2].eq_ignore_ascii_case(language);
        *exact.or_else(|| VOICES.iter().find(same)).unwrap_or(&VOICES[0])
    }

    fn says<const N: usize>(self, sentences: [String; N]) -> Prompt {
        Prompt { language: self.tag, sentences: sentences.map(|sentence| speakable(&sentence)).into() }
    }

    /// What to key.
    fn instruction(self, question: Question) -> String {
        let pound = self.pound;
        match (self.language, question) {
            (Language::English, Question::Key) => format!("Press {pound} to confirm."),
            (Language::English, Question::Pin) => format!("Enter your PIN, then press {pound}."),
            (Language::English, Question::Number) => {
                format!("Enter the number on your screen, then press {pound}.")
            }
            (Language::English, Question::Confirm(Command::ReportFraud)) => {
                format!("To report that somebody else is signing in, press 1, then {pound}.")
            }
            (Language::English, Question::Confirm(Command::NeverAgain)) => {
                format!("To end all such calls to this number, press 1, then {pound}.")
            }
            (Language::Spanish, Question::Key) => format!("Pulse {pound} para confirmar."),
            (Language::Spanish, Question::Pin) => format!("Marque su PIN y después pulse {pound}."),
            (Language::Spanish, Question::Number) => {
                format!("Marque el número que aparece en su pantalla y después pulse {pound}.")
            }
            (Language::Spanish, Question::Confirm(Command::ReportFraud)) => {
                format!("Para denunciar que otra persona inicia la sesión, pulse 1 y después {pound}.")
            }
            (Language::Spanish, Question::Confirm(Command::NeverAgain)) => {
                format!("Para no recibir más estas llamadas en este número, pulse 1 y después {pound}.")
            }
        }
    }

    /// How to ask for something else.
    fn command(self, command: Command) -> String {
        let pound = self.pound;
        match (self.language, command) {
            (Language::English, Command::ReportFraud) => {
                format!("If it is not you who signs in, press 0, then {pound}.")
            }
            (Language::English, Command::NeverAgain) => {
                format!("To get no more calls here, press 9, then {pound}.")
            }
            (Language::Spanish, Command::ReportFraud) => format!("Si no es usted, pulse 0 y {pound}."),
            (Language::Spanish, Command::NeverAgain) => {
                format!("Para no recibir más llamadas, pulse 9 y {pound}.")
            }
        }
    }

    /// How to take a command back.
    fn go_back(self) -> String {
        match self.language {
            Language::English => "To go back, press any other key.".to_owned(),
            Language::Spanish => "Para volver, pulse cualquier otra tecla.".to_owned(),
        }
    }
}

/// The first prompt of a call. Before a key is pressed nothing else is said: whoever answers may be anybody.
pub(crate) fn greeting(locale: &str, title: &str, question: Question) -> Prompt {
    let voice = Voice::of(locale);
    let title: String = title.chars().take(TITLE_LONGEST).collect();
    let greeting = match voice.language {
        Language::English => format!("This is the sign-in call of {title}."),
        Language::Spanish => format!("Esta es la llamada de inicio de sesión de {title}."),
    };
    voice.says([greeting, voice.instruction(question), voice.command(Command::ReportFraud)])
}

/// A further prompt, after an entry that did not count, or none, or a command.
pub(crate) fn further(locale: &str, question: Question) -> Prompt {
    let voice = Voice::of(locale);
    let instruction = voice.instruction(question);
    let sorry = match (question, voice.language) {
        (Question::Confirm(_), _) => return voice.says([instruction, voice.go_back()]),
        (Question::Key | Question::Pin | Question::Number, Language::English) => {
            "Sorry, that was not what we need."
        }
        (Question::Key | Question::Pin | Question::Number, Language::Spanish) => {
            "Lo sentimos, no es lo que necesitamos."
        }
    };
    voice.says([sorry.to_owned(), instruction, voice.command(Command::NeverAgain)])
}

/// The prompt for the number, after the PIN was right.
pub(crate) fn then_number(locale: &str) -> Prompt {
    let voice = Voice::of(locale);
    voice.says([voice.instruction(Question::Number)])
}

/// The last words of a call that ended for this reason.
pub(crate) fn goodbye(locale: &str, reason: Reason) -> Prompt {
    let voice = Voice::of(locale);
    let words = match voice.language {
        Language::English => Farewell::of(reason).english(),
        Language::Spanish => Farewell::of(reason).spanish(),
    };
    voice.says(words.map(str::to_owned))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    Thanks,
    NoKey,
    WrongNumber,
    WrongPin,
    OldPin,
    LockedOut,
    Fraud,
    NeverAgain,
    Over,
}

impl Farewell {
    const fn english(self) -> [&'static str; 3] {
        const AGAIN: &str = "If this is you, please sign in again.";
        match self {
            Self::Thanks => ["Thank you.", "You are confirmed.", "Goodbye."],
            Self::NoKey => ["Nothing was confirmed.", AGAIN, "Goodbye."],
            Self::WrongNumber => ["That was not the number on your screen.", AGAIN, "Goodbye."],
            Self::WrongPin => ["That was not your PIN.", AGAIN, "Goodbye."],
            Self::OldPin => ["Your PIN is too old.", "Please set a new one in the portal.", "Goodbye."],
            Self::LockedOut => ["There were too many wrong PINs.", "Please try again later.", "Goodbye."],
            Self::Fraud => ["Your report was taken.", "This sign-in was stopped.", "Goodbye."],
            Self::NeverAgain => {
                ["This number is not called any more.", "This sign-in was stopped.", "Goodbye."]
            }
            Self::Over => ["This sign-in is over.", "There is nothing left to confirm.", "Goodbye."],
        }
    }

    const fn spanish(self) -> [&'static str; 3] {
        const AGAIN: &str = "Si es usted, vuelva a iniciar la sesión.";
        match self {
            Self::Thanks => ["Gracias.", "Su identidad está confirmada.", "Adiós."],
            Self::NoKey => ["No se ha confirmado nada.", AGAIN, "Adiós."],
            Self::WrongNumber => ["No era el número de su pantalla.", AGAIN, "Adiós."],
            Self::WrongPin => ["No era su PIN.", AGAIN, "Adiós."],
            Self::OldPin => ["Su PIN es demasiado antiguo.", "Elija uno nuevo en el portal.", "Adiós."],
            Self::LockedOut => {
                ["Hubo demasiados PIN incorrectos.", "Vuelva a intentarlo más tarde.", "Adiós."]
            }
            Self::Fraud => {
                ["Su denuncia ha sido registrada.", "Este inicio de sesión se ha detenido.", "Adiós."]
            }
            Self::NeverAgain => {
                ["No se llamará más a este número.", "Este inicio de sesión se ha detenido.", "Adiós."]
            }
            Self::Over => ["Este inicio de sesión ha terminado.", "No queda nada por confirmar.", "Adiós."],
        }
    }

    fn of(reason: Reason) -> Self {
        match reason {
            Reason::OkKey
            | Reason::OkPin
            | Reason::OkNumberMatch
            | Reason::OkCode
            | Reason::OkPush
            | Reason::OkTotp
            | Reason::OkBypass => Self::Thanks,
            Reason::NoInput | Reason::TerminatorMissing => Self::NoKey,
            Reason::NumberMismatch => Self::WrongNumber,
            Reason::PinMismatch => Self::WrongPin,
            Reason::PinExpired => Self::OldPin,
            Reason::LockedOut => Self::LockedOut,
            Reason::FraudReported => Self::Fraud,
            Reason::NumberOptedOut => Self::NeverAgain,
            Reason::NoAnswer
            | Reason::Busy
            | Reason::Unreachable
            | Reason::RejectedCall
            | Reason::Voicemail
            | Reason::HungUp
            | Reason::CodeMismatch
            | Reason::TotpMismatch
            | Reason::VerificationMissing
            | Reason::UserDeclined
            | Reason::UserCanceled
            | Reason::UserBlocked
            | Reason::Throttled
            | Reason::BudgetExhausted
            | Reason::DestinationNotAllowed
            | Reason::FraudGuard
            | Reason::CallInProgress
            | Reason::InvalidNumber
            | Reason::InvalidExtension
            | Reason::ExtensionNotAllowed
            | Reason::NoMethod
            | Reason::NoDevice
            | Reason::MethodNotAllowed
            | Reason::PushUndeliverable
            | Reason::DeviceUnregistered
            | Reason::NoResponse
            | Reason::NotStarted
            | Reason::CarrierRejectedCallerId
            | Reason::CarrierError
            | Reason::ProviderUnavailable
            | Reason::Misconfigured
            | Reason::Internal
            | Reason::Superseded
            | Reason::Revoked
            | Reason::CallerCanceled => Self::Over,
        }
    }
}

/// Without what XML 1.0 cannot hold, escaped or not, and without line breaks.
fn speakable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Question; 3] = [Question::Key, Question::Pin, Question::Number];
    const CONFIRMS: [Question; 2] =
        [Question::Confirm(Command::ReportFraud), Question::Confirm(Command::NeverAgain)];

    fn every_prompt(title: &str) -> Vec<Prompt> {
        let locales = VOICES.iter().map(|voice| voice.tag);
        locales
            .flat_map(|locale| {
                let asking = MODES.map(|mode| [greeting(locale, title, mode), further(locale, mode)]);
                let confirming = CONFIRMS.map(|question| further(locale, question));
                let byes = Reason::ALL.iter().map(|reason| goodbye(locale, *reason));
                let rest = byes.chain(confirming).chain([then_number(locale)]);
                asking.into_iter().flatten().chain(rest).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn every_prompt_is_spoken_within_20_seconds() {
        // At 150 words a minute, which is slow for a synthetic voice.
        let longest_title =
            "The Very Long Name of an Organisation That Its Founders Did Not Think Over Twice";
        for prompt in every_prompt(longest_title) {
            let words: usize = prompt.sentences.iter().map(|s| s.split_whitespace().count()).sum();
            assert!(words <= 50, "{words} words: {prompt:?}");
        }
    }

    #[test]
    fn every_sentence_is_one_sentence() {
        for prompt in every_prompt("Example") {
            for sentence in &prompt.sentences {
                assert!(sentence.ends_with('.') && sentence.matches('.').count() == 1, "{sentence}");
            }
        }
    }

    #[test]
    fn the_greeting_is_in_the_callers_words() {
        for (locale, language, key) in [
            ("en-US", "en-US", "the pound key"),
            ("en", "en-US", "the pound key"),
            ("en-gb", "en-GB", "the hash key"),
            ("en-JM", "en-US", "the pound key"),
            ("es", "es-US", "la tecla numeral"),
            ("es-ES", "es-ES", "la almohadilla"),
            ("es-CO", "es-US", "la tecla numeral"),
            ("de-DE", "en-US", "the pound key"),
            ("", "en-US", "the pound key"),
            ("é", "en-US", "the pound key"),
        ] {
            for mode in MODES {
                let prompt = greeting(locale, "Example", mode);
                assert_eq!(prompt.language, language, "{locale}");
                assert!(prompt.sentences.iter().any(|sentence| sentence.contains(key)), "{prompt:?}");
            }
        }
        let sentences = greeting("en-US", "Example University", Question::Key).sentences;
        assert_eq!(
            sentences,
            [
                "This is the sign-in call of Example University.",
                "Press the pound key to confirm.",
                "If it is not you who signs in, press 0, then the pound key."
            ]
        );
    }

    #[test]
    fn only_an_approval_is_thanked_for() {
        for reason in Reason::ALL {
            let thanked = goodbye("en-US", *reason).sentences[0] == "Thank you.";
            assert_eq!(thanked, reason.as_str().starts_with("ok_"), "{reason}");
        }
    }

    #[test]
    fn control_characters_are_not_spoken() {
        let prompt = greeting("en-US", "A\u{0}\u{8}\nB\u{ffff}\u{85}", Question::Key);
        assert_eq!(prompt.sentences[0], "This is the sign-in call of AB.");
    }
}
