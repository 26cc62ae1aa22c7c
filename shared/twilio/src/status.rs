//! The words in which a carrier says how a call stands and who answered it.

/// How a call stands. `initiated` comes in callbacks only, `queued` in answers of the API only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallStatus {
    /// Accepted; waits for its turn at the carrier.
    Queued,
    /// Taken from the carrier's queue and being dialed.
    Initiated,
    /// The phone rings.
    Ringing,
    /// Answered.
    InProgress,
    /// Media flowed and the call is over; a machine may have answered.
    Completed,
    /// The far end signalled busy.
    Busy,
    /// The call could not be completed.
    Failed,
    /// The ring time is over, or the call was rejected.
    NoAnswer,
    /// Ended through the API before it was answered, or after a day in the carrier's queue.
    Canceled,
}

impl CallStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Initiated,
        Self::Ringing,
        Self::InProgress,
        Self::Completed,
        Self::Busy,
        Self::Failed,
        Self::NoAnswer,
        Self::Canceled,
    ];

    /// The carrier's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Canceled => "canceled",
        }
    }

    /// The status with this word; none for a word that a carrier has invented since.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether the call is over.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Initiated | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => true,
        }
    }
}

/// Who answered, where machine detection ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A machine: its greeting has begun, has ended, or has ended with a beep or silence.
    Machine,
    /// A fax.
    Fax,
    /// The detection could not tell.
    Unknown,
}

impl AnsweredBy {
    /// Reads the carrier's word; what is not known counts as `Unknown`.
    pub fn parse(word: &str) -> Self {
        match word {
            "human" => Self::Human,
            "machine_start" | "machine_end_beep" | "machine_end_silence" | "machine_end_other" => {
                Self::Machine
            }
            "fax" => Self::Fax,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_reads_back_from_its_word() {
        for status in CallStatus::ALL {
            assert_eq!(CallStatus::parse(status.as_str()), Some(status));
        }
        for word in ["", "in_progress", "inprogress", "Completed", "answered"] {
            assert_eq!(CallStatus::parse(word), None, "{word}");
        }
    }

    #[test]
    fn every_word_of_machine_detection_is_known() {
        for (word, who) in [
            ("human", AnsweredBy::Human),
            ("machine_start", AnsweredBy::Machine),
            ("machine_end_beep", AnsweredBy::Machine),
            ("machine_end_silence", AnsweredBy::Machine),
            ("machine_end_other", AnsweredBy::Machine),
            ("fax", AnsweredBy::Fax),
            ("unknown", AnsweredBy::Unknown),
            ("parrot", AnsweredBy::Unknown),
        ] {
            assert_eq!(AnsweredBy::parse(word), who, "{word}");
        }
    }
}
