//! `/live`: what is going on right now, as server-sent events, and the feed behind it.

use super::control::Caller;
use super::listeners::{ListenerPlace, Listeners};
use super::metrics::MetricFamily;
use super::{ApiError, AppState};
use auscult_access::{Role, Scope};
use auscult_core::groups::Group;
use auscult_core::live::{LiveCall, LiveView, Snapshot};
use auscult_core::model::{CallRecord, CallUid, Event, Labels, Limits, RunningCall};
use auscult_store::query::{PageCursor, RunningList};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::Stream;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, IntervalStream};
use utoipa::ToSchema;

/// Changes a slow client may be behind before it gets the event that some were lost.
const BACKLOG: usize = 1024;
/// Current bad calls that a new client gets.
const MAX_FIRST_CALLS: usize = 200;
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);
/// When a client whose stream broke off tries again.
const RETRY: Duration = Duration::from_secs(3);
/// When a browser whose stream ended for a newer one tries again: at once, it would push out another.
const RETRY_EVICTED: Duration = Duration::from_secs(60);

/// The live view behind one lock, and the changes of calls to whoever listens. The program publishes, the API shows.
pub struct LiveFeed {
    view: Mutex<LiveView>,
    changes: broadcast::Sender<Change>,
    recent: Mutex<Recent>,
    /// Tells the changes of this run from those of another.
    run: u64,
    listeners: Arc<Listeners>,
    closed: AtomicBool,
    /// Lists of running calls that are made at once.
    lists: Semaphore,
}

/// A change of a call and its number, from 1 on.
#[derive(Clone)]
struct Change {
    number: u64,
    call: LiveCall,
}

/// The last changes, for clients that come back.
#[derive(Default)]
struct Recent {
    /// Number of the last change.
    last: u64,
    kept: VecDeque<Change>,
}

/// What a client that comes back has missed.
enum Missed {
    /// These changes, and no other.
    Changes(Vec<Change>),
    /// More than is kept.
    Lost(u64),
}

/// As few as processors can make at once beside measuring.
const MAX_LISTS: usize = 2;

impl LiveFeed {
    pub fn new(limits: &Limits) -> LiveFeed {
        LiveFeed {
            lists: Semaphore::new(MAX_LISTS),
            view: Mutex::new(LiveView::new(limits)),
            changes: broadcast::channel(BACKLOG).0,
            recent: Mutex::default(),
            run: RandomState::new().hash_one(0),
            listeners: Arc::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Folds one event in and notifies the listeners. Never waits for them. `trunk` as in [`LiveView::apply`].
    pub fn publish(&self, event: &Event, trunk: &str) {
        let change = self.view().apply(event, trunk);
        if let Some(call) = change {
            let change = {
                let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                recent.last += 1;
                let change = Change { number: recent.last, call };
                if recent.kept.len() == BACKLOG {
                    recent.kept.pop_front();
                }
                recent.kept.push_back(change.clone());
                change
            };
            // An error only says that nobody listens.
            let _ = self.changes.send(change);
        }
    }

    /// Calls that are up of which `is_wanted` is true.
    pub fn calls_where(&self, is_wanted: impl Fn(&CallRecord) -> bool) -> Vec<CallUid> {
        self.view().calls_where(is_wanted)
    }

    /// Says which trunks there are.
    pub fn expect_trunks(&self, labels: &Labels) {
        self.view().expect_trunks(labels.trunks.iter().map(|(_, name)| name.as_str()));
    }

    /// Folds the sums of one group in.
    pub fn publish_group(&self, group: &Group) {
        self.view().group(group);
    }

    /// What came after the event with this `id`; `None` where it is none of this run.
    fn missed_since(&self, id: &str) -> Option<Missed> {
        let (run, number) = id.split_once('-')?;
        let number: u64 = number.parse().ok().filter(|_| run == format!("{:x}", self.run))?;
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if number > recent.last {
            return None;
        }
        let lost = recent.kept.front().map_or(recent.last, |first| first.number - 1).saturating_sub(number);
        Some(match lost {
            0 => Missed::Changes(recent.kept.iter().filter(|change| change.number > number).cloned().collect()),
            _ => Missed::Lost(recent.last - number),
        })
    }

    fn event_of(&self, change: Change) -> SseEvent {
        let id = format!("{:x}-{}", self.run, change.number);
        event("call", &LiveChange::from(change.call)).id(id)
    }

    /// Lets open event streams end within a second, so that the server can shut down.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// One page of the calls that are up. The view is read in parts, so that measuring never waits for long.
    pub(super) async fn running(
        self: &Arc<Self>,
        list: RunningList,
        scope: Scope,
    ) -> (Vec<RunningCall>, Option<PageCursor>) {
        /// Calls copied at a time while the view is locked: a fraction of a millisecond.
        const AT_ONCE: usize = 512;
        let _place = self.lists.acquire().await;
        let feed = self.clone();
        let page = tokio::task::spawn_blocking(move || {
            let (mut after, mut found) = (None, list.begin());
            loop {
                let calls = feed.view().calls_after(after, AT_ONCE);
                let Some(last) = calls.last() else { return found.end() };
                after = Some(last.record.uid);
                calls.into_iter().filter(|call| scope.has_trunk(&call.trunk)).for_each(|call| found.add(call));
            }
        });
        page.await.unwrap_or_default()
    }

    /// A poisoned lock still guards whole counters: they are shown rather than lost.
    pub(super) fn view(&self) -> MutexGuard<'_, LiveView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Metric families about who listens.
    pub(super) fn families(&self) -> [MetricFamily; 2] {
        self.listeners.families()
    }

    fn open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }
}

/// Data of a `snapshot` event.
#[derive(Serialize, ToSchema)]
pub struct LiveSnapshot {
    /// Time of the newest event.
    #[schema(required)]
    at: Option<String>,
    /// Calls that are up; of the trunks of the caller's scope.
    calls: u64,
    /// RTP streams that are measured; null for a caller whose scope is some trunks.
    #[schema(required)]
    streams: Option<u64>,
    /// Null before the first interval, and for a caller whose scope is some trunks.
    #[schema(required)]
    frames_per_s: Option<f64>,
    /// Frames the probe missed since it started.
    capture_drops: u64,
    /// Current calls whose class is poor or failed.
    calls_bad: u64,
    /// What the capture itself does to the figures, as of the last interval, gravest first; empty where nothing is known.
    capture_findings: Vec<CaptureFindingJson>,
}

/// One finding about the capture: see [the state of the capture](/docs/metrics#the-state-of-the-capture).
#[derive(Serialize, ToSchema)]
pub struct CaptureFindingJson {
    /// `sampled`, `blackout`, `clumped`, `coarse`, `one_sided`, `loss` or `clock_steps`.
    code: &'static str,
    /// What the capture does, a sentence without its subject.
    text: String,
}

/// Data of a `call` event.
#[derive(Serialize, ToSchema)]
pub struct LiveChange {
    id: String,
    call_id: String,
    state: &'static str,
    #[schema(required)]
    diagnosis: Option<&'static str>,
    /// As far as it is known, see [class](/docs/metrics#class).
    class: &'static str,
    /// The call is over; its row appears in the store within seconds.
    ended: bool,
}

/// Data of a `lagged` event.
#[derive(Serialize, ToSchema)]
pub struct LiveLagged {
    /// Changes this client was too slow for.
    missed: u64,
}

impl From<Snapshot> for LiveSnapshot {
    fn from(s: Snapshot) -> LiveSnapshot {
        LiveSnapshot {
            at: s.at.map(|t| t.to_rfc3339()),
            calls: s.calls,
            streams: Some(s.streams),
            frames_per_s: s.frames_per_s,
            capture_drops: s.capture_drops,
            calls_bad: s.calls_bad,
            capture_findings: (s.condition.findings().into_iter())
                .map(|(code, text)| CaptureFindingJson { code, text })
                .collect(),
        }
    }
}

impl From<LiveCall> for LiveChange {
    fn from(call: LiveCall) -> LiveChange {
        LiveChange {
            id: call.uid.to_string(),
            call_id: call.call_id.to_string(),
            state: call.state.name(),
            diagnosis: call.diagnosis,
            class: call.class.name(),
            ended: call.ended,
        }
    }
}

impl LiveFeed {
    /// What is going on, as far as it is in the scope.
    fn snapshot(&self, scope: &Scope) -> LiveSnapshot {
        let view = self.view();
        let whole = LiveSnapshot::from(view.snapshot());
        let Some(trunks) = &scope.trunks else { return whole };
        let (calls, calls_bad) = view.calls_of(trunks.iter().map(String::as_str));
        LiveSnapshot { calls, calls_bad, streams: None, frames_per_s: None, ..whole }
    }
}

/// Server-sent events: `snapshot` at once and every second; `call` for up to 200 calls that are bad right now, then
/// whenever a call changes, with an `id`. A client that comes back with `Last-Event-ID` gets the changes since instead of the bad calls, or
/// `lagged` and the bad calls when more than 1,024 came; `retry` is 3 s. `lagged` to a client that is too slow. At most 64 streams are open, 16 to one address
/// other than loopback: one more ends the oldest stream of the address that has most, with an event `evicted`.
#[utoipa::path(get, path = "/api/v1/live", tag = "live", responses(
    (status = 200, description = "Events `snapshot` (LiveSnapshot), `call` (LiveChange), `lagged` (LiveLagged), `evicted` (empty)",
        content_type = "text/event-stream", body = String)))]
pub(super) async fn events(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, ApiError> {
    let scope = caller.principal.scope.clone();
    if !scope.has_probe(&state.probe) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "not_allowed", "this probe is not in your scope"));
    }
    // Changes name calls, which a viewer may not see.
    let seen = Seen { scope, calls: caller.principal.may(Role::Operator) };
    let feed = state.live.clone();
    let place = Arc::new(feed.listeners.join(caller.client));
    // Subscribed first: a change between the two is sent twice rather than not at all.
    let changes = BroadcastStream::new(feed.changes.subscribe());
    let id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let (last, first_changes) = first_changes(&feed, &seen, id);
    let snapshot = {
        let (feed, scope) = (feed.clone(), seen.scope.clone());
        move || event("snapshot", &feed.snapshot(&scope))
    };
    let numbered = feed.clone();
    let changes = changes.filter_map(move |change| match change {
        Ok(change) if change.number <= last || !seen.call(&change.call) => None,
        Ok(change) => Some(numbered.event_of(change)),
        Err(BroadcastStreamRecvError::Lagged(missed)) => Some(event("lagged", &LiveLagged { missed })),
    });
    let first = tokio_stream::once(snapshot().retry(RETRY));
    let ticks = IntervalStream::new(tokio::time::interval(SNAPSHOT_EVERY)).skip(1).map(move |_| snapshot());
    let evicted = Box::pin(place.clone().evicted());
    let stream = first.chain(tokio_stream::iter(first_changes)).chain(ticks.merge(changes));
    // A user who was removed, a session that ended and a token that was revoked see nothing more.
    let stream = stream.take_while(move |_| feed.open() && state.access.holds(&caller, (state.now)()));
    let stream = futures_util::StreamExt::take_until(stream, evicted).chain(last_event(place)).map(Ok);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Which calls a client may see.
struct Seen {
    scope: Scope,
    calls: bool,
}

impl Seen {
    fn call(&self, call: &LiveCall) -> bool {
        self.calls && self.scope.has_trunk(&call.trunk)
    }
}

/// What a client gets first after the snapshot, and the number of the last change in it: what it missed since the event `id`, or the calls
/// that are bad now.
fn first_changes(feed: &LiveFeed, seen: &Seen, id: Option<&str>) -> (u64, Vec<SseEvent>) {
    let bad_now = || {
        let calls = feed.view().bad_calls(MAX_FIRST_CALLS).into_iter().filter(|call| seen.call(call));
        calls.map(|call| event("call", &LiveChange::from(call))).collect::<Vec<_>>()
    };
    match id.and_then(|id| feed.missed_since(id)) {
        Some(Missed::Changes(missed)) => {
            let last = missed.last().map_or(0, |change| change.number);
            let missed = missed.into_iter().filter(|change| seen.call(&change.call));
            (last, missed.map(|change| feed.event_of(change)).collect())
        }
        Some(Missed::Lost(missed)) => {
            (0, std::iter::once(event("lagged", &LiveLagged { missed })).chain(bad_now()).collect())
        }
        None => (0, bad_now()),
    }
}

/// What a stream ends with when a newer one took its place. Holds the place, which is given back with the stream.
fn last_event(place: Arc<ListenerPlace>) -> impl Stream<Item = SseEvent> {
    tokio_stream::once(()).filter_map(move |()| {
        place.is_evicted().then(|| SseEvent::default().event("evicted").retry(RETRY_EVICTED).data(""))
    })
}

fn event(name: &'static str, data: &impl Serialize) -> SseEvent {
    SseEvent::default().event(name).json_data(data).unwrap_or_else(|_| SseEvent::default().event(name))
}
