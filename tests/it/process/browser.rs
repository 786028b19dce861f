//! The status page in a real browser, with healthy, failing and hostile targets.

mod driver;

use std::net::SocketAddr;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::{Call, Fault, FaultKind, Project};
use serde_json::Value;
use tokio::time::sleep;

use super::daemon::Daemon;
use super::fixture::Fixture;
use super::{has, web};
use driver::Browser;

/// Would open a dialogue, load a picture and change the title, if it were markup.
const HOSTILE: &str =
    "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">'\"/../\u{202e}🤖";

async fn fixture() -> Fixture {
    let call = |number: usize| {
        let call = Call::new(format!("call-{number}")).lasting(40);
        if number.is_multiple_of(4) { call.handoff("customer_request", "Desk") } else { call }
    };
    let projects = ["reservations", "billing", HOSTILE]
        .into_iter()
        .enumerate()
        .map(|(index, name)| Project::new(name, Region::Us1).with_ids("ws-1", &format!("P-{index}")));
    let fixture = Fixture::new(projects, TimeDelta::hours(1)).await;
    let target = fixture.targets().into_iter().find(|target| target.project == "reservations").unwrap();
    for number in 0..12 {
        let start = fixture.control().now() - TimeDelta::seconds(60 + number as i64);
        assert!(fixture.control().put(&target, call(number).starting(start)));
    }
    fixture.control().fault(Fault::new(FaultKind::Status(503)).with_scope("billing"));
    fixture
}

/// A configuration whose names are quoted, as they must be.
fn config(fixture: &Fixture) -> std::path::PathBuf {
    let path = fixture.config("plain.yaml", &fixture.path("state"));
    let text = std::fs::read_to_string(path).unwrap();
    let quoted = text.replace(&format!("- name: {HOSTILE}"), &format!("- name: {}", Value::from(HOSTILE)));
    fixture.write("polyai.yaml", &quoted)
}

/// Waits until the page says so.
async fn until(address: SocketAddr, words: &str) {
    for _ in 0..200 {
        let (status, page) = web::get(address, "/").await.unwrap();
        if status == 200 && page.contains(words) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the page never said {words:?}: {}", web::get(address, "/").await.unwrap().1);
}

/// The luminance of a colour as the browser writes it, after WCAG 2.
fn luminance(colour: &str) -> f64 {
    let numbers = colour.trim_start_matches(|letter: char| !letter.is_ascii_digit()).trim_end_matches(')');
    let channels: Vec<f64> =
        numbers.split(',').take(3).map(|number| number.trim().parse::<f64>().unwrap() / 255.0).collect();
    let linear = |channel: f64| {
        if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(channels[0]) + 0.7152 * linear(channels[1]) + 0.0722 * linear(channels[2])
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Each text and the colours of itself and of the ground behind it.
const COLOURS: &str = "
    const ground = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (colour !== 'rgba(0, 0, 0, 0)') return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const texts = [...document.querySelectorAll('main *, header *, footer')].filter(element =>
        [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
    return texts.map(element => [element.textContent.trim().slice(0, 40), getComputedStyle(element).color, ground(element)]);";

#[tokio::test]
async fn status_page_works_in_browser_without_requests() {
    if !has(driver::is_installed(), "chromium and chromium-driver") {
        return;
    }
    let fixture = fixture().await;
    let mut daemon = Daemon::serve(&config(&fixture));
    let address = daemon.address().await;
    until(address, "billing/us-1/live is failing").await;
    until(address, "of 12<").await;
    let origin = format!("http://{address}/");
    let browser = Browser::start().await;

    browser.resize(1280, 900).await;
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        browser.open(&origin).await;
        let ground = browser.evaluate("return getComputedStyle(document.body).backgroundColor").await;
        grounds.push(ground.as_str().unwrap().to_owned());
        let texts = browser.evaluate(COLOURS).await;
        assert!(texts.as_array().unwrap().len() > 50, "{texts}");
        for text in texts.as_array().unwrap() {
            let (colour, ground) = (text[1].as_str().unwrap(), text[2].as_str().unwrap());
            assert!(contrast(colour, ground) >= 4.5, "{scheme}: {text} has {:.2}", contrast(colour, ground));
        }
    }
    assert_ne!(grounds[0], grounds[1], "light and dark differ");

    // On a phone nothing is wider than the screen.
    browser.resize(360, 800).await;
    for path in ["", "target?project=billing&region=us-1&client_env=live"] {
        browser.open(&format!("{origin}{path}")).await;
        let widths = browser.evaluate("return [document.documentElement.scrollWidth, innerWidth]").await;
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "/{path}: {widths}");
    }
    browser.resize(1280, 900).await;

    // Every target has its page, and the way there is a click.
    for project in ["reservations", "billing", HOSTILE] {
        browser.open(&origin).await;
        let links = browser
            .evaluate(
                "return [...document.querySelectorAll('.targets th a')].map(link => new URL(link.href).searchParams.get('project'))",
            )
            .await;
        let place = links.as_array().unwrap().iter().position(|found| found == project);
        let place = place.unwrap_or_else(|| panic!("{project:?} is not among {links}"));
        browser.evaluate(&format!("document.querySelectorAll('.targets th a')[{place}].id = 'wanted'")).await;
        browser.click("#wanted").await;
        let heading = browser.evaluate("return document.querySelector('h1 bdi').textContent").await;
        assert_eq!(heading, project.replace('\u{202e}', "\u{fffd}"));
        let path = browser.evaluate("return location.pathname").await;
        assert_eq!(path, "/target");
    }
    assert_ne!(browser.evaluate("return document.title").await, "run");
    let added = browser.evaluate("return document.querySelectorAll('script, img, iframe').length").await;
    assert_eq!(added, 0, "nothing of a name became markup");

    // Forms and folded parts work without script.
    browser.open(&format!("{origin}?q=BILL")).await;
    let rows = browser.evaluate("return document.querySelectorAll('.targets th[scope=row]').length").await;
    assert_eq!(rows, 1);
    browser.click("details summary").await;
    assert_eq!(browser.evaluate("return document.querySelector('details').open").await, true);

    // A page that is not there says so in words.
    browser.open(&format!("{origin}target?project=nobody")).await;
    let heading = browser.evaluate("return document.querySelector('h1').textContent").await;
    assert_eq!(heading, "There is no such target.");

    let requests = browser.requests().await;
    // `chrome:` is the browser's own first page.
    let ours = |url: &&String| ["data:", "chrome:", &origin].iter().any(|start| url.starts_with(start));
    let elsewhere: Vec<&String> = requests.iter().filter(|url| !ours(url)).collect();
    assert!(requests.len() > 5 && elsewhere.is_empty(), "{elsewhere:?} of {requests:?}");
    // The console shows the 404 that this test requested, and nothing else.
    let console: Vec<String> =
        browser.console().await.into_iter().filter(|line| !line.contains("project=nobody")).collect();
    assert_eq!(console, Vec::<String>::new());
    browser.close().await;

    // What a program reads is the same.
    let (_, targets) = web::get(address, "/api/v1/targets?project=billing").await.unwrap();
    let targets: Value = serde_json::from_str(&targets).unwrap();
    assert_eq!(targets["targets"][0]["problems"][0]["code"], "server_error");
    daemon.terminate().await;
}
