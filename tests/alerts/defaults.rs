//! Every rule that ships has traffic that must fire it, and traffic that must not.

use assert_cmd::Command;
use auscult_core::alert::{DEFAULT_RULES, DEFAULT_RULES_FILE, RuleSet};
use auscult_core::units::Nanos;
use std::path::Path;

fn defaults() -> RuleSet {
    RuleSet::parse([(DEFAULT_RULES_FILE, DEFAULT_RULES)], Nanos::from_secs(10))
}

#[test]
fn rules_that_ship_are_good_and_say_what_to_do() {
    let set = defaults();
    assert_eq!(set.errors, []);
    assert!(set.rules.len() >= 20, "{}", set.rules.len());
    for rule in &set.rules {
        assert!(!rule.runbook.is_empty(), "{} has no runbook", rule.name);
    }
}

#[test]
fn rules_that_ship_fit_every_interval() {
    let all = defaults().rules.len();
    for interval in 1..=60 {
        let set = RuleSet::parse([(DEFAULT_RULES_FILE, DEFAULT_RULES)], Nanos::from_secs(interval));
        assert!(set.errors.is_empty() && set.rules.len() == all, "{interval} s: {:?}", set.errors);
    }
}

#[test]
fn rules_that_ship_keep_to_their_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["alerts/tests/default.toml", "alerts/tests/usual.toml"];
    let mut all = String::new();
    for file in files {
        let out =
            Command::cargo_bin("auscult").unwrap().args(["alerts", "test", file]).current_dir(root).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{said}");
        all += &std::fs::read_to_string(root.join(file)).unwrap();
    }
    let tests: Vec<&str> = all.split("[[test]]").collect();
    for rule in defaults().rules {
        // The pairs of a burn rate are one rule of the file; the first stands for all.
        let is_of_burn = rule.name.starts_with("call_quality_budget_") && !rule.name.ends_with("_1h");
        let states = |state: &str| {
            let expects = format!("rule = \"{}\"\nstate = \"{state}\"", rule.name);
            tests.iter().any(|test| test.contains(&expects))
        };
        assert!(
            is_of_burn || states("firing") && states("ok"),
            "{} has no test that fires it and one that does not",
            rule.name
        );
    }
}

#[test]
fn a_test_that_expects_the_wrong_state_fails() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.toml");
    let text = "[[test]]\nname = \"x\"\n[[test.traffic]]\nfrom = \"0m\"\nto = \"1h\"\ntrunk = \"a\"\nstreams = 100\nnew_streams = 9\n\
                loss_pct = 9\n[[test.expect]]\nat = \"40m\"\nrule = \"trunk_loss_critical\"\nstate = \"ok\"\n";
    std::fs::write(&file, text).unwrap();
    let out = Command::cargo_bin("auscult").unwrap().args(["alerts", "test"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        !out.status.success() && said.contains("should be ok, and is firing (trunk a, trunk direction (none): "),
        "{said}"
    );
}

/// The lists of `docs/alerts.md` are those of the program; `AUSCULT_WRITE_DOCS=1` writes them anew.
#[test]
fn the_page_lists_measures_and_an_example_of_each_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut measures = String::from("| measure | unit | samples | |\n|---|---|---|---|\n");
    for m in auscult_core::alert::MEASURES {
        let unit = if m.unit.is_empty() { "-" } else { m.unit };
        measures += &format!("| `{}` | {unit} | {} | {} |\n", m.name, m.samples.name(), m.help);
    }
    let mut examples = String::new();
    for file in ["alerts/tests/default.toml", "alerts/tests/usual.toml"] {
        let out = Command::cargo_bin("auscult")
            .unwrap()
            .args(["alerts", "test", "--verbose", file])
            .current_dir(root)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        for line in text.lines().filter(|line| line.contains("): ")) {
            let (name, rest) = line.split_once(' ').unwrap();
            let entry = format!("- **{name}** {rest}\n");
            if !examples.contains(&format!("**{name}**")) {
                examples += &entry;
            }
        }
    }
    let path = root.join("docs/alerts.md");
    let mut text = std::fs::read_to_string(&path).unwrap();
    let written = text.clone();
    for (mark, list) in [("<!-- measures -->\n", &measures), ("<!-- examples -->\n", &examples)] {
        let from = text.find(mark).unwrap() + mark.len();
        let to = from + text[from..].find("<!-- end -->").unwrap();
        text.replace_range(from..to, list);
    }
    if std::env::var_os("AUSCULT_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    } else {
        assert!(text == written, "docs/alerts.md is not of these rules: run with AUSCULT_WRITE_DOCS=1");
    }
}

/// The rules for Prometheus hold in the real promtool, and ask for metrics that there are.
#[test]
fn rules_for_prometheus_pass_their_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = root.join("alerts/prometheus");
    let text = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
    let text = text("auscult.yml") + &text("trunks.yml");
    let mut sources = String::new();
    for file in ["src/app/telemetry.rs", "src/app/alerts/service.rs", "crates/auscult-api/src/metrics.rs"] {
        sources += &std::fs::read_to_string(root.join(file)).unwrap();
    }
    let words =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("auscult_"));
    for metric in words.filter(|word| *word != "auscult_trunks") {
        let family = metric.strip_suffix("_total").unwrap_or(metric);
        assert!(sources.contains(&format!("\"{family}\"")), "there is no metric {metric}");
    }
    let out = match std::process::Command::new("promtool")
        .args(["test", "rules", "auscult.test.yml", "trunks.test.yml"])
        .current_dir(dir)
        .output()
    {
        Ok(out) => out,
        Err(e) => return testkit::skip(format_args!("promtool cannot be started: {e}")),
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
