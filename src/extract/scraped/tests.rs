use super::*;
use plan::scrape::{LabelRule, PageSource};
use std::time::Duration;

fn selector(name: &str, labels: &[(&str, Comparing, &str)]) -> SeriesSelector {
    let rule = |(label, how, value): &(&str, Comparing, &str)| LabelRule {
        label: (*label).to_owned(),
        how: *how,
        value: (*value).to_owned(),
    };
    let name = (!name.is_empty()).then(|| name.to_owned());
    SeriesSelector { text: format!("{name:?}{labels:?}"), name, labels: labels.iter().map(rule).collect(), is_histogram: false }
}

fn rule(form: PageForm, selectors: Vec<SeriesSelector>) -> PageRule {
    let counters: Vec<String> = selectors.iter().map(|s| s.text.clone()).collect();
    let second = Duration::from_secs(1);
    let from = PageSource::Socket(plan::Template::parse("/x"));
    let scrape = Scrape { form, from, every: second, timeout: second, limit_bytes: 1, headers: Vec::new(), tls: None, selectors };
    PageRule::new(&scrape, &counters.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

fn read(rule: &mut PageRule, text: &str) -> Vec<(String, f64)> {
    let rows = rule.rows(Arrived { body: text.as_bytes(), content_type: None, is_whole: true }).unwrap();
    rows.into_iter()
        .map(|row| match (&row[1], &row[5]) {
            (TapValue::Text(series), TapValue::Number(value)) => (series.clone(), *value),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn selectors_choose_as_prometheus_does() {
    let text = "a{c=\"200\",m=\"GET\"} 1\na{m=\"PUT\",c=\"404\"} 2\na 3\nab 4\n";
    let found =
        |s: SeriesSelector| read(&mut rule(PageForm::Prometheus, vec![s]), text).into_iter().map(|(_, v)| v).collect::<Vec<_>>();
    assert_eq!(found(selector("a", &[])), [1.0, 2.0, 3.0]);
    assert_eq!(found(selector("a", &[("c", Comparing::Matches, "2..")])), [1.0]);
    assert!(found(selector("a", &[("c", Comparing::Matches, "2")])).is_empty(), "an expression matches the whole value");
    assert_eq!(found(selector("a", &[("c", Comparing::MatchesNot, "2..")])), [2.0, 3.0]);
    assert_eq!(found(selector("a", &[("m", Comparing::IsNot, "GET")])), [2.0, 3.0]);
    assert_eq!(found(selector("a", &[("m", Comparing::Is, "")])), [3.0], "a label that is missing is empty");
    assert_eq!(found(selector("", &[("__name__", Comparing::Matches, "a.")])), [4.0]);
    let histogram = SeriesSelector { is_histogram: true, ..selector("h", &[]) };
    let found = read(&mut rule(PageForm::Prometheus, vec![histogram]), "h_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\nh_x 4\nh 5\n");
    assert_eq!(found.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
}

#[test]
fn what_is_strange_is_told() {
    let mut a = rule(PageForm::Prometheus, vec![selector("a", &[]), selector("jobs", &[])]);
    assert_eq!(
        read(&mut a, "a{x=\"1\",y=\"2\"} 7\na{y=\"2\",x=\"1\"} 8\njobs_total 1\n"),
        [("a{x=\"1\",y=\"2\"}".to_owned(), 7.0)]
    );
    read(&mut a, "# TYPE a gauge\na{x=\"1\",y=\"2\"} NaN\njobs_total 1\n");
    read(&mut a, "a{x=\"1\",y=\"2\"} 5\njobs_total 1\n");
    read(&mut a, "a{x=\"1\",y=\"2\"} 4\njobs_total 1\n");
    assert_eq!(a.resets, 1);
    let notes = a.notes(4);
    let expected = [
        "`a{x=\"1\",y=\"2\"}` is a gauge, used as a counter: each time it falls counts as a restart (1 scrape)",
        "`a{x=\"1\",y=\"2\"}` is twice on the page: only the first one counts (1 scrape)",
        "`a{x=\"1\",y=\"2\"}` was NaN, which no figure includes (1 scrape)",
        "no page had `Some(\"jobs\")[]`; it has `jobs_total`",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn pages_that_are_none_are_refused() {
    let mut any = rule(PageForm::Prometheus, vec![selector("a", &[])]);
    let mut refused = |body: &[u8], content_type| any.rows(Arrived { body, content_type, is_whole: true }).unwrap_err();
    let expected = "the content type is `text/html`, expected `text/plain` or `application/openmetrics-text`";
    assert_eq!(refused(b"a 1\n", Some("text/html; charset=utf-8")), expected);
    assert_eq!(refused(b"a 1\n\xff\n", None), "the page is not UTF-8 at byte 4");
    assert_eq!(
        rule(PageForm::Nginx, Vec::new()).rows(Arrived { body: b"<html>", content_type: None, is_whole: true }).unwrap_err(),
        "`<html>` is not nginx's stub_status"
    );
}

#[test]
fn pointers_into_json_are_numbers_or_are_told() {
    let pointers = ["/a/b", "/list/1", "/yes", "/text", "/none", "/word"];
    let selectors = pointers.map(|p| SeriesSelector { text: p.to_owned(), name: None, labels: Vec::new(), is_histogram: false });
    let mut json = rule(PageForm::Json, selectors.to_vec());
    let text = r#"{"a": {"b": 1.5}, "list": [1, 2], "yes": true, "text": "12", "word": "high"}"#;
    let found = read(&mut json, text);
    assert_eq!(found.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [1.5, 2.0, 1.0, 12.0]);
    assert_eq!(json.notes(1), ["`\"high\"` at `/word` is not a number (1 scrape)", "the page has nothing at `/none` (1 scrape)"]);
}

#[test]
fn haproxy_and_nginx_are_read() {
    let text = "# pxname,svname,qcur,scur,status,check_desc,\nweb,FRONTEND,,3,OPEN,,\napp,s1,0,2,UP 1/2,\"a, b\",\napp,s2,0,0,DOWN,,\n\n";
    let mut haproxy =
        rule(PageForm::Haproxy, vec![selector("scur", &[]), selector("up", &[("server", Comparing::MatchesNot, "FRONTEND")])]);
    let expected = [
        ("scur{proxy=\"web\",server=\"FRONTEND\"}", 3.0),
        ("scur{proxy=\"app\",server=\"s1\"}", 2.0),
        ("up{proxy=\"app\",server=\"s1\"}", 1.0),
        ("scur{proxy=\"app\",server=\"s2\"}", 0.0),
        ("up{proxy=\"app\",server=\"s2\"}", 0.0),
    ];
    assert_eq!(read(&mut haproxy, text), expected.map(|(series, value)| (series.to_owned(), value)));
    let text = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630948 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n";
    let mut nginx = rule(PageForm::Nginx, vec![selector("requests", &[]), selector("waiting", &[])]);
    assert_eq!(read(&mut nginx, text), [("requests".to_owned(), 31_070_465.0), ("waiting".to_owned(), 106.0)]);
}
