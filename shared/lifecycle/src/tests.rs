//! One test for each promise of the README, on paused time and without real signals.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use fleet_domain::Timestamp;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    Clock, Context, Stop, Tasks, exit_bad_settings,
    run::{End, one_line, supervise},
};

const GRACE: Duration = Duration::from_secs(20);
const A_WHILE: Duration = Duration::from_secs(5);

/// Signals that arrive at the given times after the start, in seconds.
async fn end_with_signals<F>(at_seconds: &[u64], start: F) -> (End, Duration)
where
    F: AsyncFnOnce(Context) -> anyhow::Result<()>,
{
    let began = Instant::now();
    let mut arrivals = at_seconds.iter();
    let next_signal = async || match arrivals.next() {
        Some(&seconds) => {
            tokio::time::sleep_until(began + Duration::from_secs(seconds)).await;
            "SIGTERM"
        }
        None => std::future::pending().await,
    };
    let end = supervise(start, next_signal, GRACE).await;
    (end, began.elapsed())
}

/// A task that needs `after_soft` to finish what it has taken.
fn spawn_worker(context: &Context, after_soft: Duration) -> oneshot::Receiver<()> {
    let (finished, seen) = oneshot::channel();
    let stop = context.stop.clone();
    context.tasks.spawn("worker", async move {
        stop.soft().await;
        tokio::time::sleep(after_soft).await;
        let _ = finished.send(());
        Ok(())
    });
    seen
}

#[tokio::test(start_paused = true)]
async fn first_signal_lets_the_tasks_finish_and_exits_0() {
    let mut finished = None;
    let (end, took) = end_with_signals(&[10], async |context| {
        finished = Some(spawn_worker(&context, A_WHILE));
        Ok(())
    })
    .await;
    assert_eq!((end, took.as_secs()), (End::Clean, 15));
    assert!(finished.unwrap().await.is_ok(), "the worker was cut off");
}

#[tokio::test(start_paused = true)]
async fn second_signal_is_a_hard_stop_and_exits_1() {
    let mut finished = None;
    let (end, took) = end_with_signals(&[10, 12], async |context| {
        finished = Some(spawn_worker(&context, A_WHILE));
        Ok(())
    })
    .await;
    assert_eq!((end, took.as_secs()), (End::Hard, 13));
    assert!(finished.unwrap().try_recv().is_err(), "the worker was waited for");
}

#[tokio::test(start_paused = true)]
async fn grace_period_over_is_a_hard_stop_and_exits_1() {
    let (end, took) = end_with_signals(&[10], async |context| {
        spawn_worker(&context, GRACE * 2);
        Ok(())
    })
    .await;
    assert_eq!((end, took.as_secs()), (End::Hard, 31));
}

#[tokio::test(start_paused = true)]
async fn requested_hard_stop_needs_no_signal() {
    let (end, took) = end_with_signals(&[], async |context| {
        spawn_worker(&context, A_WHILE);
        context.stop.request_hard();
        Ok(())
    })
    .await;
    assert_eq!((end, took.as_secs()), (End::Hard, 1));
}

#[tokio::test(start_paused = true)]
async fn tasks_that_listen_to_the_hard_stop_end_before_the_process() {
    let (end, took) = end_with_signals(&[1, 2], async |context| {
        let stop = context.stop.clone();
        context.tasks.spawn("worker", async move {
            stop.hard().await;
            Ok(())
        });
        Ok(())
    })
    .await;
    assert_eq!((end, took.as_secs()), (End::Hard, 2));
}

#[tokio::test(start_paused = true)]
async fn failed_start_exits_1() {
    let (end, _) = end_with_signals(&[], async |context| {
        spawn_worker(&context, A_WHILE);
        bail!("the database is away")
    })
    .await;
    assert_eq!(end, End::Failed);
}

#[tokio::test(start_paused = true)]
async fn signal_during_the_start_ends_it() {
    let (end, took) = end_with_signals(&[3], async |_| std::future::pending().await).await;
    assert_eq!((end, took.as_secs()), (End::Clean, 3));
}

async fn end_of_a_service_with(task: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> End {
    let (end, took) = end_with_signals(&[], async |context| {
        spawn_worker(&context, A_WHILE);
        context.tasks.spawn("task", task);
        Ok(())
    })
    .await;
    assert_eq!(took, A_WHILE, "the other task was not stopped softly");
    end
}

#[tokio::test(start_paused = true)]
async fn task_that_ends_early_stops_the_service_and_exits_1() {
    assert_eq!(end_of_a_service_with(async { Ok(()) }).await, End::Failed);
}

#[tokio::test(start_paused = true)]
async fn task_that_fails_stops_the_service_and_exits_1() {
    assert_eq!(end_of_a_service_with(async { bail!("no broker") }).await, End::Failed);
}

#[tokio::test(start_paused = true)]
async fn task_that_panics_stops_the_service_and_exits_1() {
    assert_eq!(end_of_a_service_with(async { panic!("a bug") }).await, End::Failed);
}

#[tokio::test(start_paused = true)]
async fn first_signal_after_a_failure_leaves_the_grace_period() {
    let (end, took) = end_with_signals(&[2], async |context| {
        spawn_worker(&context, A_WHILE);
        context.tasks.spawn("task", async { bail!("no broker") });
        Ok(())
    })
    .await;
    assert_eq!((end, took), (End::Failed, A_WHILE));
}

#[tokio::test(start_paused = true)]
async fn detail_that_panics_stops_nothing_and_details_are_awaited() {
    let (end, took) = end_with_signals(&[10], async |context| {
        context.tasks.spawn_detail("bug", async { panic!("a bug") });
        context.tasks.spawn_detail("message", async { tokio::time::sleep(A_WHILE * 3).await });
        Ok(())
    })
    .await;
    assert_eq!((end, took.as_secs()), (End::Clean, 15));
}

#[tokio::test(start_paused = true)]
async fn attending_tasks_outlast_the_working_ones() {
    let mut attended = None;
    let (end, took) = end_with_signals(&[10], async |context| {
        spawn_worker(&context, A_WHILE);
        let (ended, seen) = oneshot::channel();
        attended = Some(seen);
        let stop = context.stop.clone();
        context.tasks.spawn("first attendant", async move {
            stop.others_done().await;
            let _ = ended.send(Instant::now());
            Ok(())
        });
        let stop = context.stop.clone();
        context.tasks.spawn("second attendant", async move {
            stop.others_done().await;
            Ok(())
        });
        Ok(())
    })
    .await;
    assert_eq!((end, took.as_secs()), (End::Clean, 15));
    assert_eq!(attended.unwrap().await.unwrap().elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn hard_stop_releases_attending_tasks() {
    let stop = Stop::new();
    let tasks = Tasks::new(stop.clone());
    tasks.spawn("worker", std::future::pending());
    let attending = stop.clone();
    let attendant = async move { attending.others_done().await };
    stop.request_hard();
    attendant.await;
    assert!(!tasks.wait(A_WHILE).await);
}

#[test]
fn hard_stop_is_a_soft_stop_too() {
    let stop = Stop::new();
    assert!(!stop.is_soft() && !stop.is_hard());
    stop.clone().request_soft();
    assert!(stop.is_soft() && !stop.is_hard());
    let stop = Stop::new();
    stop.request_hard();
    assert!(stop.is_soft() && stop.is_hard());
}

#[test]
fn bad_settings_exit_78() {
    assert_eq!(one_line(&"broker.prefetch:\n  must be positive\n"), "broker.prefetch: must be positive");
    assert_eq!(format!("{:?}", exit_bad_settings(&"broker.prefetch")), format!("{:?}", ExitCode::from(78)));
}

#[tokio::test(start_paused = true)]
async fn a_measured_clock_goes_on_by_monotonic_time_whatever_the_systems_time_does() {
    let clock = Clock::system();
    let clone = clock.clone();
    assert!(!clock.is_measured());
    assert!(clock.offset().abs() < 1_000_000, "it follows the system's time");
    let far_off = Timestamp::from_micros(1_000_000);
    clone.measured(far_off, Instant::now());
    assert!(clock.is_measured());
    assert_eq!(clock.now(), far_off);
    // Only the runtime's time is moved here; the system's stands as good as still.
    tokio::time::advance(Duration::from_hours(1)).await;
    assert_eq!(clock.now(), far_off.plus(Duration::from_hours(1)));
    assert!(clock.offset() < 0, "the system's time is later");
    clone.advance(Duration::from_secs(1));
    assert_eq!(clock.now(), far_off.plus(Duration::from_secs(3601)));
}

#[test]
fn fixed_clock_moves_only_by_hand() {
    let clock = Clock::fixed_at(Timestamp::from_micros(1_000_000));
    clock.measured(Timestamp::from_micros(5), Instant::now());
    assert!(clock.is_measured());
    assert_eq!((clock.now(), clock.offset()), (Timestamp::from_micros(1_000_000), 0));
    clock.clone().advance(Duration::from_millis(1));
    assert_eq!(clock.now().as_micros(), 1_001_000);
}
