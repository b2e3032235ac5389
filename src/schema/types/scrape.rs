//! What servers say about themselves, asked again and again while the load runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::types::{Size, Text, Timeout, Tls};

/// A page of figures that is fetched at regular times while the load runs: exactly one of `url`, `json`, `haproxy` and `nginx`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "scrape"))]
pub struct Scrape {
    /// The page is fetched only in cells in which this is true.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${n > 1}"]))]
    pub when: Option<bool>,
    /// The [role](hosts.md) of the machine that fetches the page.
    #[serde(default)]
    #[schemars(extend("x-default" = "this machine", "examples" = ["server"]))]
    pub on: Option<String>,
    /// The URL of a page in Prometheus's text format or in OpenMetrics.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8000/metrics"]))]
    pub url: Option<Text>,
    /// The URL of a page in JSON. Its series are JSON pointers, such as `/queue/length`.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8000/stats"]))]
    pub json: Option<Text>,
    /// haproxy's statistics: the URL of its page as CSV, or its stats socket as a path or as `host:port`. For haproxy's own
    /// Prometheus exporter, write `url`.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8404/stats;csv", "${scratch}/haproxy.sock"]))]
    pub haproxy: Option<Text>,
    /// The URL of nginx's `stub_status`.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8080/status"]))]
    pub nginx: Option<Text>,
    /// The time between the starts of two scrapes, from the start of the load. A scrape that could only start more than half of it
    /// late is skipped and counted.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s", "examples" = ["500ms"]))]
    pub every: Option<Timeout>,
    /// How long a scrape may take, at most as long as `every`. One that takes longer has failed.
    #[serde(default)]
    #[schemars(extend("x-default" = "`every`, at most 10s", "examples" = ["200ms"]))]
    pub timeout: Option<Timeout>,
    /// The largest page, at most 64MiB. A scrape of a larger page has failed, and no more of it is read.
    #[serde(default)]
    #[schemars(extend("x-default" = "8MiB", "examples" = ["1MiB"]))]
    pub limit: Option<Size>,
    /// Headers of the requests.
    #[serde(default)]
    #[schemars(extend("examples" = [{"authorization": "Bearer ${env.TOKEN}"}]))]
    pub headers: BTreeMap<String, Text>,
    /// How TLS is spoken, where the URL is `https://`.
    #[serde(default)]
    #[schemars(extend("x-default" = "what the system trusts", "examples" = [{"ca": "certs/ca.pem"}]))]
    pub tls: Tls,
    /// Selectors of series that are kept besides those of `metrics`, such as `go_goroutines` or `{__name__=~"go_.*"}`.
    #[serde(default)]
    #[schemars(extend("x-default" = "without `metrics` all series", "examples" = [["process_open_fds", "{__name__=~\"go_.*\"}"]]))]
    pub series: Vec<Text>,
    /// Figures that are made of the series, one value for each phase of a repetition: the name of each, and how it is made. A
    /// name starts with a lower-case letter and consists of lower-case letters, digits and `_`.
    #[serde(default)]
    #[schemars(extend(
        "x-default" = "those of the preset with `haproxy` and `nginx`, otherwise none",
        "examples" = [{"queries": {"rate": "db_queries_total"}, "queue": {"mean": "jobs_waiting"}}]
    ))]
    pub metrics: BTreeMap<String, ScrapeMetric>,
    /// Whether a repetition is invalid in which a scrape failed or was skipped. With `false` it counts, and the missing scrapes are
    /// reported.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub required: bool,
}

/// A figure that is made of scraped series in each phase: exactly one of `rate`, `increase`, `mean`, `max`, `min`, `last` and
/// `histogram`, which selects the series.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "scrape"))]
pub struct ScrapeMetric {
    /// Counters: by how much they grew per second, added up. A counter that fell has started again from 0.
    #[serde(default)]
    #[schemars(extend("examples" = ["http_requests_total{code=~\"5..\"}"]))]
    pub rate: Option<Text>,
    /// Counters: by how much they grew, added up. A counter that fell has started again from 0.
    #[serde(default)]
    #[schemars(extend("examples" = ["jobs_failed_total"]))]
    pub increase: Option<Text>,
    /// Gauges: the mean over the scrapes.
    #[serde(default)]
    #[schemars(extend("examples" = ["jobs_waiting"]))]
    pub mean: Option<Text>,
    /// Gauges: the largest value of a scrape.
    #[serde(default)]
    #[schemars(extend("examples" = ["jobs_waiting"]))]
    pub max: Option<Text>,
    /// Gauges: the smallest value of a scrape.
    #[serde(default)]
    #[schemars(extend("examples" = ["connections_idle"]))]
    pub min: Option<Text>,
    /// Gauges: the value of the last scrape.
    #[serde(default)]
    #[schemars(extend("examples" = ["cache_entries"]))]
    pub last: Option<Text>,
    /// A histogram with buckets, by its name without `_bucket`: the point `at` of what was observed in the phase.
    #[serde(default)]
    #[schemars(extend("examples" = ["http_request_duration_seconds"]))]
    pub histogram: Option<Text>,
    /// With `histogram`: the point of the distribution: `mean`, `p25`, `p50`, `p75`, `p90`, `p95`, `p99` or `p999`.
    #[serde(default)]
    #[schemars(extend("x-default" = "p50", "examples" = ["p99"]))]
    pub at: Option<String>,
    /// With `rate`: counters by whose increase the increase is divided, instead of by time: hits per request, or seconds per
    /// request.
    #[serde(default)]
    #[schemars(extend("examples" = ["cache_requests_total"]))]
    pub per: Option<Text>,
    /// With a gauge: how the series of one scrape become one value: `sum`, `mean`, `max` or `min`.
    #[serde(default)]
    #[schemars(extend("x-default" = "sum", "examples" = ["max"]))]
    pub over: Option<String>,
    /// The factor by which the value is multiplied.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [1000]))]
    pub times: Option<f64>,
    /// The unit of the metric.
    #[serde(default)]
    #[schemars(extend("x-default" = "what the name of the series says: `_seconds`, `_bytes`; per second with `rate`", "examples" = ["ms"]))]
    pub unit: Option<String>,
}
