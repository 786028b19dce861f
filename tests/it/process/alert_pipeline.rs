//! From an incident to the notification: the right alert, and no other, is sent, and later resolved.
//!
//! The simulated API, the exporter, Prometheus with the rules, Alertmanager with the routes and inhibitions of the example, and a
//! webhook receiver all run on the loopback interface. An hour of the rules takes a minute (`compressed`). The limits are the
//! defaults; windows and minimums are shortened to a few minutes (`tests/fixtures/rules/fast.yml`). The exporter runs `serve`, not
//! `demo`, because it is stopped and restarted while the API continues.

mod compressed;
mod pairs;
mod receiver;
mod servers;
mod watch;

use std::time::Duration;

use polyai_domain::target::Region;
use polyai_simulator::{Fault, FaultKind, IncidentKind, Scope};
use tokio::time::{Instant, sleep};

use super::prometheus::installed;
use receiver::Notification;
use watch::{Chain, Right};

/// How long anything may take. An alert takes half a minute on a quiet machine, and all trouble of callers a minute and a half.
const PATIENCE: Duration = Duration::from_secs(180);
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

/// One incident of one project, from its beginning to the last word. `companions` are alerts that may also fire.
async fn incident(chain: &Chain, kind: IncidentKind, right: Right, companions: &[&str]) {
    let project = right.project.expect("an incident is one of a project");
    let began = Instant::now();
    chain.incident(kind, project);
    chain.arrives(began, right).await;
    let ended = Instant::now();
    chain.end_incident(project);
    chain.resolves(ended, right).await;
    chain
        .only(began, |notification| {
            notification.project() != project
                || right.is(notification)
                || companions.contains(&notification.alert())
        })
        .await;
}

/// Four projects have different faults at the same time. Every alert names its project, so each project must get only its own
/// alert.
async fn callers_are_affected(chain: &Chain) {
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
    // A late notification, such as that of fewer calls than usual, must not be taken for one of the next incident.
    chain.calms_down(began).await;
    chain.only(began, |notification| !notification.project().is_empty()).await;
}

/// The key is refused while handoffs soar: only the key is reported. Once it is accepted again, so are the handoffs.
async fn a_stale_target_raises_no_alert_about_its_agent(chain: &mut Chain) {
    let key = Right {
        alert: "PolyAIKeyRefused",
        project: Some("billing"),
        severity: "critical",
        receiver: "pager",
        dashboard: "polyai-exporter",
    };
    let began = Instant::now();
    chain
        .fixture
        .control()
        .fault(Fault { scope: Scope::from("billing"), ..Fault::new(FaultKind::KeyRefused) });
    chain.note("billing: the key is refused");
    chain.incident(IncidentKind::Handoffs(0.9), "billing");
    chain.arrives(began, key).await;
    // The rules find the data stale as well; the refused key explains it, so nobody is notified.
    let stale = ",alertname=\"PolyAITargetStale\",project=\"billing\"";
    while chain.rules_firing(stale).await.is_empty() {
        if began.elapsed() > PATIENCE {
            chain.fail::<()>(began, "the rules do not find billing stale").await;
        }
        sleep(Duration::from_millis(250)).await;
    }
    // Longer than a call and the window of the handoffs: they would have been reported by now.
    sleep(Duration::from_secs(15)).await;
    let about_the_agent = chain.rules_firing(",component=~\"agent|slo\"").await;
    assert!(about_the_agent.is_empty(), "{about_the_agent:?}");
    chain.only(began, |notification| key.is(notification)).await;

    let ended = Instant::now();
    chain.fixture.control().clear_faults();
    // A refused key is tried again after five minutes; a new key comes with a restart.
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
    let resolved = |notification: &[Notification]| {
        notification
            .iter()
            .find(|notification| !notification.is_firing && key.is(notification))
            .map(|notification| notification.at)
    };
    let at = chain.hear(ended, "PolyAIKeyRefused is resolved", resolved).await;
    chain.note(&format!("PolyAIKeyRefused was resolved {:.1} s after the end", (at - ended).as_secs_f64()));
    // Calls that began before the end end after it: the handoffs may be notified once more, which does not belong to the next incident.
    chain.calms_down(Instant::now()).await;
    // In the second in which the key is accepted, stale data may be the last that is known. The jump is the wave's, as above.
    let companions = ["PolyAITargetStale", "PolyAIHandoffRateJump"];
    chain
        .only(ended, |notification| {
            notification.project() == "billing"
                && (handoffs.is(notification)
                    || key.is(notification)
                    || companions.contains(&notification.alert()))
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
    chain.fixture.control().fault(FaultKind::Status(503));
    chain.note("the API is down");
    for right in stale {
        chain.arrives(began, right).await;
    }
    let ended = Instant::now();
    chain.fixture.control().clear_faults();
    chain.note("the API is back");
    for right in stale {
        chain.resolves(ended, right).await;
    }
    chain.hear(ended, "all is well", |_| chain.receiver.firing().is_empty().then_some(())).await;
    // The share of failed requests is what the warning about the API is for.
    chain
        .only(began, |notification| {
            stale.iter().any(|right| right.is(notification)) || notification.alert() == "PolyAIApiErrors"
        })
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
    chain.only(began, |notification| down.is(notification)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_are_notified_and_resolved() {
    if !installed().await {
        return;
    }
    let mut chain = Chain::start().await;
    // The first minute is quiet, whatever the rules make of a beginning.
    sleep(Duration::from_secs(20)).await;
    chain.only(chain.began, |_| false).await;
    callers_are_affected(&chain).await;
    a_stale_target_raises_no_alert_about_its_agent(&mut chain).await;
    the_api_is_down(&chain).await;
    the_exporter_is_stopped(&mut chain).await;
    chain.note("done");
    assert_eq!(chain.prometheus.said(), "", "prometheus has something to complain about");
}
