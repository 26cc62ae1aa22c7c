//! The registered portals as every process knows them, and what is wrong with those that cannot be used as they stand.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use fleet_domain::{Policy, Portal, PortalName, PromptTexts};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use tracing::{error, warn};

use crate::connection::Connections;
use crate::error::{Error, Fault};

const PORTALS: &str = "SELECT name, title, audiences, policy FROM portals";
/// The policy's field that is read apart: a call is never broken by what it would have said.
const PROMPT_TEXTS: &str = "prompt_texts";

type ByName = HashMap<PortalName, Arc<Portal>>;

/// The registered portals, as of the last second.
#[derive(Clone, Default)]
pub(crate) struct Portals {
    /// None until they were read for the first time. A std lock: it is never held over an await.
    known: Arc<RwLock<Option<ByName>>>,
    /// What was wrong at the last reading: a complaint is logged once, not every second.
    wrong: Arc<Mutex<HashSet<(String, String)>>>,
}

impl Portals {
    pub(crate) fn get(&self, name: &PortalName) -> Option<Arc<Portal>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(name).cloned()
    }

    pub(crate) fn are_known(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) async fn refresh(&self, connections: &Connections) -> Result<(), Fault> {
        let rows = connections.read(PORTALS, &[]).await?;
        let mut portals = ByName::new();
        let mut wrong = HashSet::new();
        for row in &rows {
            let name: &str = row.get(0);
            match portal_of(row) {
                Ok((portal, complaints)) => {
                    for complaint in complaints {
                        if self.is_news(&mut wrong, (name, complaint.clone())) {
                            warn!(portal = name, %complaint, "a portal's own prompt is not said; the built-in one is");
                        }
                    }
                    portals.insert(portal.name.clone(), Arc::new(portal));
                }
                Err(fault) => {
                    let fault = fault.in_full();
                    if self.is_news(&mut wrong, (name, fault.clone())) {
                        error!(portal = name, error = fault, "a portal's row can't be used");
                    }
                }
            }
        }
        *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(portals);
        Ok(())
    }

    /// Notes what is wrong now, and says whether it was not so at the last reading.
    fn is_news(&self, wrong: &mut HashSet<(String, String)>, (portal, what): (&str, String)) -> bool {
        let complaint = (portal.to_owned(), what);
        let is_new = !self.wrong.lock().unwrap_or_else(PoisonError::into_inner).contains(&complaint);
        wrong.insert(complaint);
        is_new
    }
}

/// The portal of a row, with the prompts that may be said, and what is wrong with the others.
fn portal_of(row: &Row) -> Result<(Portal, Vec<String>), Error> {
    let Json(mut policy): Json<Value> = row.try_get(3).map_err(Error::corrupt)?;
    let texts = policy.as_object_mut().and_then(|fields| fields.remove(PROMPT_TEXTS));
    let policy: Policy = serde_json::from_value(policy).map_err(Error::corrupt)?;
    policy.check().map_err(Error::corrupt)?;
    let (prompt_texts, complaints) = prompts_of(texts);
    Ok((
        Portal {
            name: PortalName::parse(row.get(0)).map_err(Error::corrupt)?,
            title: row.get(1),
            audiences: row.get(2),
            policy: Policy { prompt_texts, ..policy },
        },
        complaints,
    ))
}

fn prompts_of(texts: Option<Value>) -> (PromptTexts, Vec<String>) {
    match texts.map(serde_json::from_value::<PromptTexts>) {
        None => (PromptTexts::new(), Vec::new()),
        Some(Ok(texts)) => {
            let (usable, complaints) = fleet_prompts::usable(texts);
            (usable, complaints.iter().map(ToString::to_string).collect())
        }
        // The error may quote a value of any length.
        Some(Err(_)) => {
            (PromptTexts::new(), vec![format!("{PROMPT_TEXTS} must be texts by locale and kind")])
        }
    }
}
