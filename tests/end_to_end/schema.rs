//! The JSON Schema that `runner schema` prints: what editors complete and check must be what `runner` reads.

use serde_json::{Value as Json, json};

use crate::support::{root, runner};

fn schema() -> Json {
    let output = runner().arg("schema").output().expect("the binary was built for this test");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("`runner schema` prints JSON")
}

/// The shipped experiments as JSON.
fn experiments() -> Vec<(String, Json)> {
    let folder = root().join("experiments");
    let mut found: Vec<(String, Json)> = std::fs::read_dir(folder)
        .expect("the project has experiments")
        .map(|entry| entry.expect("a folder can be read to its end").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("experiments are text");
            (path.display().to_string(), serde_yaml::from_str(&text).expect("experiments are YAML"))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!found.is_empty());
    found
}

#[test]
fn every_shipped_experiment_fits_the_schema() {
    let validator = jsonschema::validator_for(&schema()).expect("it is a JSON Schema");
    for (path, experiment) in experiments() {
        let errors: Vec<String> = validator.iter_errors(&experiment).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
    }
}

#[test]
fn an_unknown_key_fits_nowhere() {
    let validator = jsonschema::validator_for(&schema()).expect("it is a JSON Schema");
    let sample = json!({
        "experiment": "sample",
        "factors": {
            "chosen": {"levels": [1, 2], "default": [1]},
            "range": {"from": 1, "to": 8, "factor": 2},
            "revision": {"git": ".", "of": ["main", "+dirty"], "build": ["make", "-j", 4], "timeout": "10m", "default": ["main"]},
        },
        "targets": {
            "blobs": {
                "fixture": "blobs-server", "port": "${8000 + replica}", "replicas": 2, "env": {"A": 1},
                "ready": {"http": "/", "timeout": "5s"}, "stop": {"signal": "INT"}, "after": ["other"],
            },
        },
        "workloads": {
            "clients": {
                "url": "http://127.0.0.1:8000",
                "load": {"closed": {"connections": 2}, "amount": 10, "warm-up": {"duration": "1s"}},
                "steps": [
                    "${some_step}",
                    {
                        "put": "/x", "body": {"random": "10KiB"}, "headers": {"accept": "*/*"},
                        "expect": {"status": [200, 201]}, "carry": {"rev": {"json": "/rev"}},
                    },
                ],
            },
        },
        "set-up": {"run": [{"shell": "true"}], "cell": [{"get": "http://127.0.0.1:8000", "expect": {"status": 200}}]},
        "graphs": [{"bars": "throughput", "x": "chosen", "facet": "range"}],
    });
    let errors: Vec<String> = validator.iter_errors(&sample).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for place in [
        "",
        "/factors/chosen",
        "/factors/range",
        "/factors/revision",
        "/targets/blobs",
        "/targets/blobs/ready",
        "/targets/blobs/stop",
        "/workloads/clients",
        "/workloads/clients/load",
        "/workloads/clients/load/closed",
        "/workloads/clients/load/warm-up",
        "/workloads/clients/steps/1",
        "/workloads/clients/steps/1/body",
        "/workloads/clients/steps/1/expect",
        "/workloads/clients/steps/1/carry/rev",
        "/set-up",
        "/set-up/run/0",
        "/set-up/cell/0/expect",
        "/graphs/0",
    ] {
        let mut wrong = sample.clone();
        let Some(Json::Object(map)) = wrong.pointer_mut(place) else { panic!("{place} is no map in the sample") };
        map.insert("no-such-key".to_owned(), json!(1));
        assert!(!validator.is_valid(&wrong), "an unknown key in `{place}` is accepted");
    }
}

/// Editors show descriptions: every key has one.
#[test]
fn every_key_is_described() {
    let schema = schema();
    let mut bare = Vec::new();
    let definitions = schema["$defs"].as_object().expect("parts are definitions").iter();
    for (name, part) in definitions.map(|(n, p)| (n.as_str(), p)).chain([("the file", &schema)]) {
        let described = |property: &Json| property["description"].is_string();
        let properties = part["properties"].as_object().into_iter().flatten();
        bare.extend(properties.filter(|(_, p)| !described(p)).map(|(key, _)| format!("{name}: {key}")));
    }
    assert!(bare.is_empty(), "{bare:#?}");
}
