//! The whole chain: something goes wrong, and the right alert, and no other, reaches whoever is on call; then it is resolved.
//!
//! The simulated API, the exporter, Prometheus with the rules, Alertmanager with the routes and inhibition of the example, and a
//! webhook receiver, all real and on the loopback interface. An hour of the rules is a minute here (`compressed`); thresholds
//! are those that we ship. The exporter is `serve` and not `demo`, because it is stopped and started again while the API goes on.

mod compressed;
mod receiver;
mod servers;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_exporter::simulator::{
    Fault, FaultKind, Incident, IncidentKind, Mishaps, Profile, Project, Scope,
};
use polyai_exporter::target::Region;
use tokio::time::{Instant, sleep};

use super::prometheus::{installed, query};
use super::scene::Scene;
use receiver::{Receiver, Told};
use servers::{Exporter, Server};

/// How long anything may take. What must happen takes half a minute on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of each project. Enough for the floors of the rules within 15 s.
const CALLS_PER_SECOND: f64 = 2.0;
/// The shortest that a call of a profile can be that is not hung up: what goes wrong shows only when calls end.
const CALL_SECONDS: f64 = 15.0;
const PROJECTS: [(&str, Region); 4] = [
    ("reservations", Region::Us1),
    ("billing", Region::Uk1),
    ("support", Region::Euw1),
    ("orders", Region::Us1),
];

/// An alert that must come.
#[derive(Debug, Clone, Copy)]
struct Right {
    alert: &'static str,
    /// None: it is about the exporter.
    project: Option<&'static str>,
    severity: &'static str,
    receiver: &'static str,
    dashboard: &'static str,
}

impl Right {
    fn is(&self, told: &Told) -> bool {
        told.alert() == self.alert && told.project() == self.project.unwrap_or_default()
    }

    /// That `told` has what an engineer needs at three in the morning.
    fn check(&self, told: &Told) {
        assert_eq!(told.labels["severity"], self.severity, "{told}");
        assert_eq!(told.to, self.receiver, "{told}");
        let of = |name: &str| told.annotations.get(name).unwrap_or_else(|| panic!("{told} has no {name}"));
        let dashboard = of("dashboard_url");
        let filled = match self.project {
            Some(project) => format!("?var-project={project}&var-region={}", told.labels["region"]),
            None => format!("?var-instance={}", told.labels["instance"].replace(':', "%3A")),
        };
        let expected = format!("https://grafana.example.com/d/{}{filled}", self.dashboard);
        assert_eq!(*dashboard, expected, "{told}");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards");
        assert!(std::path::Path::new(root).join(format!("{}.json", self.dashboard)).exists(), "{dashboard}");
        let runbook = of("runbook_url");
        assert_eq!(*runbook, format!("https://runbooks.example.com/polyai/{}.md", self.alert), "{told}");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbooks");
        assert!(std::path::Path::new(root).join(format!("{}.md", self.alert)).exists(), "{runbook}");
        for text in ["summary", "description"] {
            assert!(!of(text).is_empty() && !of(text).contains("<no value>"), "{told}: {}", of(text));
        }
    }
}

/// Everything from the call to the page.
struct Chain {
    scene: Scene,
    exporter: Exporter,
    prometheus: Server,
    alertmanager: Server,
    receiver: Receiver,
    began: Instant,
}

impl Chain {
    async fn start() -> Self {
        let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
        let mut profile = Profile::reservations();
        profile.peak_per_minute = 60.0 * CALLS_PER_SECOND;
        profile.utc_offset = servers::hours_to_a_busy_afternoon(now);
        profile.channels = vec![(1, "VOICE-SIP".into())];
        // Everybody takes the shortest time there is.
        profile.duration_median = 1.0;
        let project = |(name, region)| {
            let project = Project::new(name, region).with_generated(1, profile.clone());
            project.with_mishaps(Mishaps::NONE)
        };
        // Long enough that the first window is full at once.
        let scene = Scene::of(PROJECTS.map(project), TimeDelta::seconds(30)).await;
        let receiver = Receiver::start().await;
        let exporter = Exporter::start(&scene).await;
        let alertmanager = servers::alertmanager(&scene, receiver.address).await;
        let prometheus =
            servers::prometheus(&scene, exporter.address, alertmanager.address, CALLS_PER_SECOND).await;
        Self { scene, exporter, prometheus, alertmanager, receiver, began: Instant::now() }
    }

    /// Tells when something happened; a run with --nocapture shows it.
    #[expect(clippy::print_stderr, reason = "how long alerts take is worth reading in the output of a test")]
    fn note(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    fn incident(&self, kind: IncidentKind, project: &str) {
        let scope = Scope::from(project);
        self.scene.control().incident(&Incident {
            kind,
            scope,
            from: self.scene.control().now(),
            until: None,
        });
        self.note(&format!("{project}: {kind:?} begins"));
    }

    fn end_incident(&self, project: &str) {
        self.scene.control().end_incidents(project);
        self.note(&format!("{project}: ends"));
    }

    /// Waits until `found` finds something in what was told since `since`.
    async fn hear<T>(&self, since: Instant, what: &str, found: impl Fn(&[Told]) -> Option<T>) -> T {
        while since.elapsed() < PATIENCE {
            if let Some(found) = found(&self.receiver.since(since)) {
                return found;
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.fail(since, &format!("{what}: not within {PATIENCE:?}")).await
    }

    /// Waits for the right alert and looks at it.
    async fn arrives(&self, since: Instant, right: Right) {
        let what = format!("{} of {:?} fires", right.alert, right.project);
        let first = |told: &[Told]| told.iter().find(|told| told.is_firing && right.is(told)).cloned();
        let told = self.hear(since, &what, first).await;
        self.note(&format!("{what}, {:.1} s after the beginning", (told.at - since).as_secs_f64()));
        right.check(&told);
    }

    /// Waits until it is resolved, and every other alert of `right`'s project as well.
    async fn resolves(&self, since: Instant, right: Right) {
        let what = format!("{} of {:?} is resolved", right.alert, right.project);
        let word = |told: &[Told]| told.iter().find(|told| !told.is_firing && right.is(told)).cloned();
        let told = self.hear(since, &what, word).await;
        self.note(&format!("{what}, {:.1} s after the end", (told.at - since).as_secs_f64()));
        let nothing = format!("every alert of {:?} is resolved", right.project);
        let fires = |told: &Told| right.project.is_none_or(|project| told.project() == project);
        self.hear(since, &nothing, |_| (!self.receiver.firing().iter().any(fires)).then_some(())).await;
        self.note(&nothing);
    }

    /// That nothing fired since `since` but what `is_right`.
    async fn only(&self, since: Instant, is_right: impl Fn(&Told) -> bool) {
        let told = self.receiver.since(since);
        if let Some(wrong) = told.iter().find(|told| told.is_firing && !is_right(told)) {
            self.fail::<()>(since, &format!("this should not have come: {wrong}")).await;
        }
    }

    /// The names of alerts that Prometheus itself has firing, whoever is told of them.
    async fn rules_firing(&self, matchers: &str) -> BTreeSet<String> {
        let alerts =
            query(self.prometheus.address, &format!("ALERTS{{alertstate=\"firing\"{matchers}}}")).await;
        alerts.into_iter().map(|(mut labels, _)| labels.remove("alertname").unwrap_or_default()).collect()
    }

    /// Ends the test with what there is instead: what was told, and what the rules hold for firing or pending.
    async fn fail<T>(&self, since: Instant, what: &str) -> T {
        let after = |told: &Told| format!("  {:6.1} s  {told}\n", (told.at - self.began).as_secs_f64());
        let told: String = self.receiver.since(since).iter().map(after).collect();
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
            "{what}\ntold since {:.1} s:\n{told}the rules at {:.1} s:\n{rules}prometheus: {}\nalertmanager: {}",
            (since - self.began).as_secs_f64(),
            self.began.elapsed().as_secs_f64(),
            self.prometheus.said(),
            self.alertmanager.said(),
        );
    }
}

/// One incident of one project, from its beginning to the last word. `companions` are alerts that may come besides.
async fn incident(chain: &Chain, kind: IncidentKind, right: Right, companions: &[&str]) {
    let project = right.project.expect("an incident is one of a project");
    let began = Instant::now();
    chain.incident(kind, project);
    chain.arrives(began, right).await;
    let ended = Instant::now();
    chain.end_incident(project);
    chain.resolves(ended, right).await;
    chain
        .only(began, |told| told.project() != project || right.is(told) || companions.contains(&told.alert()))
        .await;
}

/// What goes wrong for callers: four projects, each with trouble of its own, at the same time. Every alert names its project, so
/// that each must get its own alert and none of another's.
async fn callers_are_hurt(chain: &Chain) {
    let began = Instant::now();
    let right = |alert, project, severity, receiver, dashboard| Right {
        alert,
        project: Some(project),
        severity,
        receiver,
        dashboard,
    };
    tokio::join!(
        // The month's budget burns at once, which pages. Replies of a second more explain it, and come first, because their
        // window is a quarter of the page's; greetings are slow in the same way.
        incident(
            chain,
            IncidentKind::Latency(6.0),
            right("PolyAIReplyLatencyBudgetBurnFast", "reservations", "critical", "pager", "polyai-slo"),
            &["PolyAITurnLatencyHigh", "PolyAIGreetingLatencyHigh"],
        ),
        // An hour's handoffs exceed last week's for longer than those of a quarter exceed the limit. Billing has a pager of its own.
        incident(
            chain,
            IncidentKind::Handoffs(0.9),
            right("PolyAIHandoffRateHigh", "billing", "critical", "pager-billing", "polyai-project"),
            &["PolyAIHandoffRateJump"],
        ),
        incident(
            chain,
            IncidentKind::Silence(0.6),
            right("PolyAISilenceHigh", "support", "critical", "pager", "polyai-quality"),
            &[],
        ),
        // The hour around it has fewer calls than usual for a while after they come again.
        incident(
            chain,
            IncidentKind::Traffic(0.0),
            right("PolyAITrafficStopped", "orders", "critical", "pager", "polyai-project"),
            &["PolyAITrafficDropped"],
        ),
    );
    chain.only(began, |told| !told.project().is_empty()).await;
}

/// The key is refused while handoffs soar: only the key is told of. Once it is accepted again, so are the handoffs.
async fn a_stale_target_raises_no_alert_about_its_agent(chain: &mut Chain) {
    let key = Right {
        alert: "PolyAIKeyRefused",
        project: Some("billing"),
        severity: "critical",
        receiver: "pager",
        dashboard: "polyai-exporter",
    };
    let began = Instant::now();
    chain.scene.control().fault(Fault { scope: Scope::from("billing"), ..Fault::new(FaultKind::KeyRefused) });
    chain.note("billing: the key is refused");
    chain.incident(IncidentKind::Handoffs(0.9), "billing");
    chain.arrives(began, key).await;
    // The rules find the data stale as well; the refused key explains it, so nobody is told.
    let stale = ",alertname=\"PolyAITargetStale\",project=\"billing\"";
    while chain.rules_firing(stale).await.is_empty() {
        if began.elapsed() > PATIENCE {
            chain.fail::<()>(began, "the rules do not find billing stale").await;
        }
        sleep(Duration::from_millis(250)).await;
    }
    // Longer than a call and the window of the handoffs: they would be told of by now.
    sleep(Duration::from_secs(15)).await;
    let about_the_agent = chain.rules_firing(",component=~\"agent|slo\"").await;
    assert!(about_the_agent.is_empty(), "{about_the_agent:?}");
    chain.only(began, |told| key.is(told)).await;

    let ended = Instant::now();
    chain.scene.control().clear_faults();
    // A refused key is tried again after five minutes; whoever brings a new one restarts.
    chain.exporter.stop().await;
    chain.exporter.start_again().await;
    chain.note("billing: the key is accepted, the exporter restarted");
    let handoffs = Right {
        alert: "PolyAIHandoffRateHigh",
        receiver: "pager-billing",
        dashboard: "polyai-project",
        ..key
    };
    chain.arrives(ended, handoffs).await;
    let calm = Instant::now();
    chain.end_incident("billing");
    chain.resolves(calm, handoffs).await;
    let resolved =
        |told: &[Told]| told.iter().find(|told| !told.is_firing && key.is(told)).map(|told| told.at);
    let at = chain.hear(ended, "PolyAIKeyRefused is resolved", resolved).await;
    chain.note(&format!("PolyAIKeyRefused was resolved {:.1} s after the end", (at - ended).as_secs_f64()));
    // In the second in which the key is accepted, stale data may be the last that is known. The jump is the wave's, as above.
    let companions = ["PolyAITargetStale", "PolyAIHandoffRateJump"];
    chain
        .only(ended, |told| {
            told.project() == "billing"
                && (handoffs.is(told) || key.is(told) || companions.contains(&told.alert()))
        })
        .await;
}

/// Every request fails: each target is stale, and nothing is said about its agent.
async fn the_api_is_down(chain: &Chain) {
    let stale = PROJECTS.map(|(project, _)| Right {
        alert: "PolyAITargetStale",
        project: Some(project),
        severity: "critical",
        receiver: "pager",
        dashboard: "polyai-exporter",
    });
    let began = Instant::now();
    chain.scene.control().fault(FaultKind::Status(503));
    chain.note("the API is down");
    for right in stale {
        chain.arrives(began, right).await;
    }
    let ended = Instant::now();
    chain.scene.control().clear_faults();
    chain.note("the API is back");
    for right in stale {
        chain.resolves(ended, right).await;
    }
    chain.hear(ended, "all is well", |_| chain.receiver.firing().is_empty().then_some(())).await;
    // The share of failed requests is what the warning about the API is for.
    chain
        .only(began, |told| stale.iter().any(|right| right.is(told)) || told.alert() == "PolyAIApiErrors")
        .await;
}

/// The exporter is gone: that, and not that calls stopped.
async fn the_exporter_is_stopped(chain: &mut Chain) {
    let down = Right {
        alert: "PolyAIExporterDown",
        project: None,
        severity: "critical",
        receiver: "pager",
        dashboard: "polyai-exporter",
    };
    let began = Instant::now();
    chain.exporter.stop().await;
    chain.note("the exporter is stopped");
    chain.arrives(began, down).await;
    let ended = Instant::now();
    chain.exporter.start_again().await;
    chain.note("the exporter is started");
    chain.resolves(ended, down).await;
    // What the gap brings is counted at once; nothing may come of that either.
    sleep(Duration::from_secs(5)).await;
    chain.only(began, |told| down.is(told)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_incident_reaches_whoever_is_on_call_and_is_resolved() {
    if !installed().await {
        return;
    }
    let mut chain = Chain::start().await;
    // The first minute is quiet, whatever the rules make of a beginning.
    sleep(Duration::from_secs(20)).await;
    chain.only(chain.began, |_| false).await;
    callers_are_hurt(&chain).await;
    a_stale_target_raises_no_alert_about_its_agent(&mut chain).await;
    the_api_is_down(&chain).await;
    the_exporter_is_stopped(&mut chain).await;
    chain.note("done");
    assert_eq!(chain.prometheus.said(), "", "prometheus has something to complain about");
}
