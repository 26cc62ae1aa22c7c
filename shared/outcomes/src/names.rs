//! The names of keys and channels.

use std::sync::Arc;

use fleet_domain::{ChallengeId, PortalName, RequestId};

/// The setting `key_prefix` where nobody changed it.
const DEFAULT_PREFIX: &str = "mfa";

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A challenge.
    Challenge(ChallengeId),
    /// A request to change an enrollment.
    Enrollment(RequestId),
}

impl From<ChallengeId> for Subject {
    fn from(id: ChallengeId) -> Self {
        Self::Challenge(id)
    }
}

impl From<RequestId> for Subject {
    fn from(id: RequestId) -> Self {
        Self::Enrollment(id)
    }
}

/// Key of a document and name of its channel, under the default prefix: `mfa:outcome:<portal>:{<challenge id>}` or
/// `mfa:enrollment:<portal>:{<request id>}`.
///
/// The braces are literal: they put the document, its signature and its channel into one slot of a cluster.
pub fn key(portal: &PortalName, subject: impl Into<Subject>) -> String {
    Names::new(DEFAULT_PREFIX).document(portal, subject.into())
}

/// All names under one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Names(Arc<str>);

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self(prefix.into())
    }

    /// The document, and the channel on which it is published.
    pub(crate) fn document(&self, portal: &PortalName, subject: Subject) -> String {
        match subject {
            Subject::Challenge(id) => format!("{}:outcome:{portal}:{{{id}}}", self.0),
            Subject::Enrollment(id) => format!("{}:enrollment:{portal}:{{{id}}}", self.0),
        }
    }

    /// The signature that belongs to a document.
    pub(crate) fn signature(document: &str) -> String {
        format!("{document}:sig")
    }

    /// The mark that is missing when Redis has lost its data.
    pub(crate) fn epoch(&self) -> String {
        format!("{}:epoch", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_braces_enclose_the_challenge_id_alone() {
        let portal = PortalName::parse("operations").unwrap();
        let id = ChallengeId::parse("01932c5e-7f00-7abc-8def-0123456789ab").unwrap();
        let document = key(&portal, id);
        assert_eq!(document, "mfa:outcome:operations:{01932c5e-7f00-7abc-8def-0123456789ab}");
        assert_eq!(
            Names::signature(&document),
            "mfa:outcome:operations:{01932c5e-7f00-7abc-8def-0123456789ab}:sig"
        );
        let request = RequestId::parse("01932c5e-7f00-7abc-8def-0123456789ab").unwrap();
        assert_eq!(key(&portal, request), "mfa:enrollment:operations:{01932c5e-7f00-7abc-8def-0123456789ab}");
    }
}
