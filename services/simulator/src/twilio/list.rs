//! Lists of calls: filters, and pages that are followed by `next_page_uri`.

use axum::Json;
use serde_json::{Value, json};

use super::Form;
use super::resource;
use crate::call::Call;
use crate::dates;
use crate::world::World;

/// What a page token starts with; the sid of the last call on the page before it follows.
const TOKEN: &str = "PA";

/// One page of the calls that match, newest first.
pub(super) fn page(world: &World, account: &str, query: &Form) -> Json<Value> {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("PageSize").unwrap_or(50).clamp(1, 1_000);
    let page = number("Page").unwrap_or(0);
    let after = query.get("PageToken").and_then(|token| token.strip_prefix(TOKEN));
    let mut matching = world.calls.newest_first(query.get("To"));
    matching.retain(|call| matches(call, query));
    let start = match after {
        Some(sid) => {
            matching.iter().position(|call| call.sid == sid).map_or(matching.len(), |place| place + 1)
        }
        None => page.saturating_mul(size),
    };
    let shown: Vec<_> = matching.iter().skip(start).take(size).collect();
    let uri = |page: usize, token: Option<&str>| address(account, query, size, page, token);
    let last = shown.last().filter(|_| start + shown.len() < matching.len());
    Json(json!({
        "calls": shown.iter().map(|call| resource::item(account, call)).collect::<Vec<_>>(),
        "page": page,
        "page_size": size,
        "start": start,
        "end": (start + shown.len()).saturating_sub(1),
        "uri": uri(page, after),
        "first_page_uri": uri(0, None),
        "next_page_uri": last.map(|call| uri(page + 1, Some(&call.sid))),
        "previous_page_uri": page.checked_sub(1).map(|page| uri(page, None)),
    }))
}

fn matches(call: &Call, query: &Form) -> bool {
    let state = call.state();
    // Days in UTC, of a time of day only its day; `>` means on or after, `<` means before. A queued call has no
    // start, so no filter finds it.
    let in_time = |name: &str, time: Option<i64>| {
        let day = time.map(dates::day);
        let day = day.as_deref();
        let wanted = |name: &str| query.get(name).map(|text| text.get(..10).unwrap_or(text));
        wanted(name).is_none_or(|wanted| day == Some(wanted))
            && wanted(&format!("{name}>")).is_none_or(|wanted| day.is_some_and(|day| day >= wanted))
            && wanted(&format!("{name}<")).is_none_or(|wanted| day.is_some_and(|day| day < wanted))
    };
    query.get("From").is_none_or(|from| call.order.from == from)
        && query.get("ParentCallSid").is_none()
        && query.get("Status").is_none_or(|status| state.status.word() == status)
        && in_time("StartTime", state.started)
        && in_time("EndTime", state.ended)
}

fn address(account: &str, query: &Form, size: usize, page: usize, token: Option<&str>) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    let is_place = |name: &str| matches!(name, "PageSize" | "Page" | "PageToken");
    text.extend_pairs(query.0.iter().filter(|(name, _)| !is_place(name)));
    text.append_pair("PageSize", &size.to_string()).append_pair("Page", &page.to_string());
    if let Some(sid) = token {
        text.append_pair("PageToken", &format!("{TOKEN}{sid}"));
    }
    format!("/2010-04-01/Accounts/{account}/Calls.json?{}", text.finish())
}
