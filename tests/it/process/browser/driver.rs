//! A headless Chromium, driven over the WebDriver protocol by Debian's chromedriver on the loopback interface.
//!
//! Starts and stops both processes, and sends the few commands that tests need.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::process::daemon::command;

const PATIENCE: Duration = Duration::from_secs(60);
/// The name under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The paths of the Debian packages.
const DRIVER: &str = "/usr/bin/chromedriver";
const CHROMIUM: &str = "/usr/bin/chromium";

/// Whether both are installed.
pub(super) fn is_installed() -> bool {
    [DRIVER, CHROMIUM].iter().all(|path| std::path::Path::new(path).exists())
}

/// A browser with one window. Dropping it ends it.
pub(super) struct Browser {
    http: reqwest::Client,
    driver: Child,
    session: String,
    chromium: Option<u64>,
    _profile: TempDir,
}

impl Browser {
    pub(super) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let profile = tempfile::tempdir().unwrap();
        let mut driver = command(DRIVER);
        driver.arg("--port=0").env("HOME", profile.path()).env("TMPDIR", profile.path());
        driver.stderr(Stdio::null());
        let mut driver = driver.spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let port = line.split("successfully on port ").nth(1);
                if let Some(port) = port.and_then(|rest| rest.trim_end_matches('.').parse::<u16>().ok()) {
                    return port;
                }
            }
            panic!("chromedriver ended before it listened");
        })
        .await
        .expect("chromedriver listens");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            &format!("--user-data-dir={}", profile.path().join("profile").display()),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let mut browser = Self {
            http,
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            chromium: None,
            _profile: profile,
        };
        let session = browser.post("", &capabilities).await;
        browser.chromium = session["capabilities"]["goog:processID"].as_u64();
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser
    }

    /// Goes to a page and waits until it has loaded.
    pub(super) async fn open(&self, address: &str) {
        self.post("/url", &json!({"url": address})).await;
    }

    /// Clicks the first element that the selector finds, and waits for the page that it leads to.
    pub(super) async fn click(&self, selector: &str) {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector})).await;
        let element = found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector}: {found}"));
        self.post(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// Runs a function body in the page and returns its result.
    pub(super) async fn evaluate(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// As if the system preferred this scheme: `light` or `dark`.
    pub(super) async fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// As if the window had this size, in pixels.
    pub(super) async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Messages of the console, which include violations of the content security policy.
    pub(super) async fn console(&self) -> Vec<String> {
        self.log("browser").await.iter().map(|line| line["message"].to_string()).collect()
    }

    /// The addresses that pages have requested since the last call.
    pub(super) async fn requests(&self) -> Vec<String> {
        let lines = self.log("performance").await;
        let requested = |line: &Value| {
            let message: Value = serde_json::from_str(line["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent")
                .then(|| message["params"]["request"]["url"].as_str().map(str::to_owned))?
        };
        lines.iter().filter_map(requested).collect()
    }

    /// Ends both processes.
    pub(super) async fn close(mut self) {
        let ended = self.http.delete(&self.session).send().await.unwrap();
        assert!(ended.status().is_success());
        self.chromium = None;
        self.driver.kill().await.unwrap();
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        self.post("/se/log", &json!({"type": kind})).await.as_array().cloned().unwrap_or_default()
    }

    pub(super) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let address = format!("{}{path}", self.session);
        let request =
            self.http.post(&address).header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path} {body}: {status} {text}");
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver goes with its handle; a failed test leaves the browser running.
        if let Some(pid) = self.chromium {
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}
