#![doc = include_str!("../README.md")]

mod admin;
mod logs;
mod metrics;
mod process;
mod readiness;
mod settings;

pub use admin::serve_admin;
pub use logs::{capture_logs, init_logs};
pub use metrics::{LATENCY_SECONDS, MetricDoc, MetricKind, Metrics};
pub use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
pub use readiness::{Failing, Readiness, ReadyFlag};
pub use settings::{DEFAULTS, LogFormat, LogSettings, Settings};
