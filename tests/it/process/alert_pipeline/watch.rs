//! The chain at work: its parts together, what is switched on, and the waiting for notifications.
//!
//! Owns: what makes an alert the right one, and what a failure shows. Never: the incidents, nor which alert belongs to which.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use polyai_simulator::{AnomalyRates, Incident, IncidentKind, Profile, Project, Scope};
use tokio::time::{Instant, sleep};

use super::super::fixture::Fixture;
use super::super::prometheus::query;
use super::receiver::{Notification, Receiver};
use super::servers::{self, Exporter, Server};
use super::{CALLS_PER_SECOND, PATIENCE, PROJECTS};

/// How long nothing may happen before all is taken to be well. Longer than rules, routes and a word take.
const CALM: std::time::Duration = std::time::Duration::from_secs(5);

/// The default location of runbooks in alerts.
const RUNBOOKS: &str = "https://github.com/polyai-exporter/polyai-exporter/blob/main/docs/runbooks";

/// An alert that must come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right {
    pub(super) alert: &'static str,
    /// None: it is about the exporter.
    pub(super) project: Option<&'static str>,
    pub(super) severity: &'static str,
    pub(super) receiver: &'static str,
    pub(super) dashboard: &'static str,
}

impl Right {
    pub(super) fn is(&self, notification: &Notification) -> bool {
        notification.alert() == self.alert && notification.project() == self.project.unwrap_or_default()
    }

    /// That `notification` has what an engineer needs at three in the morning.
    fn check(&self, notification: &Notification) {
        assert_eq!(notification.labels["severity"], self.severity, "{notification}");
        assert_eq!(notification.to, self.receiver, "{notification}");
        let of = |name: &str| {
            notification.annotations.get(name).unwrap_or_else(|| panic!("{notification} has no {name}"))
        };
        let dashboard = of("dashboard_url");
        let filled = match self.project {
            Some(project) => format!("?var-project={project}&var-region={}", notification.labels["region"]),
            None => format!("?var-instance={}", notification.labels["instance"].replace(':', "%3A")),
        };
        let expected = format!("https://grafana.example.com/d/{}{filled}", self.dashboard);
        assert_eq!(*dashboard, expected, "{notification}");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards");
        assert!(std::path::Path::new(root).join(format!("{}.json", self.dashboard)).exists(), "{dashboard}");
        let runbook = of("runbook_url");
        assert_eq!(*runbook, format!("{RUNBOOKS}/{}.md", self.alert), "{notification}");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbooks");
        assert!(std::path::Path::new(root).join(format!("{}.md", self.alert)).exists(), "{runbook}");
        for text in ["summary", "description"] {
            assert!(!of(text).is_empty() && !of(text).contains("<no value>"), "{notification}: {}", of(text));
        }
    }
}

/// Everything from the call to the page.
pub(super) struct Chain {
    pub(super) fixture: Fixture,
    pub(super) exporter: Exporter,
    pub(super) prometheus: Server,
    alertmanager: Server,
    pub(super) receiver: Receiver,
    pub(super) began: Instant,
}

impl Chain {
    pub(super) async fn start() -> Self {
        let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
        let mut profile = Profile::reservations();
        profile.peak_per_minute = 60.0 * CALLS_PER_SECOND;
        profile.utc_offset = servers::hours_to_a_busy_afternoon(now);
        profile.channels = vec![(1, "VOICE-SIP".into())];
        // Everybody takes the shortest time there is.
        profile.duration_median = 1.0;
        let project = |(name, region)| {
            let project = Project::new(name, region).with_generated(1, profile.clone());
            project.with_anomalies(AnomalyRates::NONE)
        };
        // Long enough that the first window is full at once.
        let fixture = Fixture::new(PROJECTS.map(project), TimeDelta::seconds(30)).await;
        let receiver = Receiver::start().await;
        let exporter = Exporter::start(&fixture).await;
        let alertmanager = servers::alertmanager(&fixture, receiver.address).await;
        let prometheus =
            servers::prometheus(&fixture, exporter.address, alertmanager.address, CALLS_PER_SECOND).await;
        Self { fixture, exporter, prometheus, alertmanager, receiver, began: Instant::now() }
    }

    /// Logs when something happened; a run with --nocapture shows it.
    #[expect(clippy::print_stderr, reason = "how long alerts take is worth reading in the output of a test")]
    pub(super) fn note(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    pub(super) fn incident(&self, kind: IncidentKind, project: &str) {
        let scope = Scope::from(project);
        self.fixture.control().incident(&Incident {
            kind,
            scope,
            from: self.fixture.control().now(),
            until: None,
        });
        self.note(&format!("{project}: {kind:?} begins"));
    }

    pub(super) fn end_incident(&self, project: &str) {
        self.fixture.control().end_incidents(project);
        self.note(&format!("{project}: ends"));
    }

    /// Waits until `found` finds something in the notifications since `since`.
    pub(super) async fn hear<T>(
        &self,
        since: Instant,
        what: &str,
        found: impl Fn(&[Notification]) -> Option<T>,
    ) -> T {
        while since.elapsed() < PATIENCE {
            if let Some(found) = found(&self.receiver.since(since)) {
                return found;
            }
            sleep(std::time::Duration::from_millis(100)).await;
        }
        self.fail(since, &format!("{what}: not within {PATIENCE:?}")).await
    }

    /// Waits for the right alert and looks at it.
    pub(super) async fn arrives(&self, since: Instant, right: Right) {
        let what = format!("{} of {:?} fires", right.alert, right.project);
        let first = |notification: &[Notification]| {
            notification.iter().find(|notification| notification.is_firing && right.is(notification)).cloned()
        };
        let notification = self.hear(since, &what, first).await;
        self.note(&format!("{what}, {:.1} s after the beginning", (notification.at - since).as_secs_f64()));
        right.check(&notification);
    }

    /// Waits until it is resolved, and every other alert of `right`'s project as well.
    pub(super) async fn resolves(&self, since: Instant, right: Right) {
        let what = format!("{} of {:?} is resolved", right.alert, right.project);
        let word = |notification: &[Notification]| {
            notification
                .iter()
                .find(|notification| !notification.is_firing && right.is(notification))
                .cloned()
        };
        let notification = self.hear(since, &what, word).await;
        self.note(&format!("{what}, {:.1} s after the end", (notification.at - since).as_secs_f64()));
        let nothing = format!("every alert of {:?} is resolved", right.project);
        let fires = |notification: &Notification| {
            right.project.is_none_or(|project| notification.project() == project)
        };
        self.hear(since, &nothing, |_| (!self.receiver.firing().iter().any(fires)).then_some(())).await;
        self.note(&nothing);
    }

    /// That nothing fired since `since` but what `is_right`.
    pub(super) async fn only(&self, since: Instant, is_right: impl Fn(&Notification) -> bool) {
        let notification = self.receiver.since(since);
        if let Some(wrong) =
            notification.iter().find(|notification| notification.is_firing && !is_right(notification))
        {
            self.fail::<()>(since, &format!("this should not have come: {wrong}")).await;
        }
    }

    /// Waits until all notifications are resolved, and the rules hold nothing about callers that may still be sent: an
    /// alert that waits for its time, or for what inhibits it to end.
    pub(super) async fn calms_down(&self, since: Instant) {
        let mut calm = None;
        while calm.is_none_or(|calm: Instant| calm.elapsed() < CALM) {
            let held = query(self.prometheus.address, "ALERTS{component=~\"agent|slo\"}").await;
            let is_calm = held.is_empty() && self.receiver.firing().is_empty();
            calm = if is_calm { calm.or_else(|| Some(Instant::now())) } else { None };
            if since.elapsed() > PATIENCE {
                self.fail::<()>(since, "it does not calm down").await;
            }
            sleep(std::time::Duration::from_millis(250)).await;
        }
        self.note("all is well");
    }

    /// The names of alerts that fire in Prometheus, with or without a receiver.
    pub(super) async fn rules_firing(&self, matchers: &str) -> BTreeSet<String> {
        let alerts =
            query(self.prometheus.address, &format!("ALERTS{{alertstate=\"firing\"{matchers}}}")).await;
        alerts.into_iter().map(|(mut labels, _)| labels.remove("alertname").unwrap_or_default()).collect()
    }

    /// Ends the test with what there is instead: what was sent, and what the rules hold for firing or pending.
    pub(super) async fn fail<T>(&self, since: Instant, what: &str) -> T {
        let after = |notification: &Notification| {
            format!("  {:6.1} s  {notification}\n", (notification.at - self.began).as_secs_f64())
        };
        let notification: String = self.receiver.since(since).iter().map(after).collect();
        let mut rules = String::new();
        for (labels, _) in query(self.prometheus.address, "ALERTS").await {
            rules.push_str(&format!("  {labels:?}\n"));
        }
        for near in ["target:polyai_data:fresh", "{__name__=~\"target:polyai_.*(15m|1h)\"}"] {
            for (labels, value) in query(self.prometheus.address, near).await {
                rules.push_str(&format!("  {value} {labels:?}\n"));
            }
        }
        panic!(
            "{what}\nsent since {:.1} s:\n{notification}the rules at {:.1} s:\n{rules}prometheus: {}\nalertmanager: {}",
            (since - self.began).as_secs_f64(),
            self.began.elapsed().as_secs_f64(),
            self.prometheus.said(),
            self.alertmanager.said(),
        );
    }
}
