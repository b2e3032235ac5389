//! Late names: what of a plan is known only when a repetition starts, filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::{Body, Driver, Http, Part, Template, Workload};
use crate::vocabulary::units::in_json;

/// Values of late names.
pub type Late<'a> = BTreeMap<&'a str, String>;

/// Fills in a command line.
pub fn fill_all(argv: &[Template], late: &Late<'_>) -> Vec<String> {
    argv.iter().map(|t| t.fill(late).to_text()).collect()
}

/// A workload in which only the names of passes are open. `reach`: where what listens at an address is really reached, if
/// that is elsewhere.
pub fn fill_workload(workload: &Workload, late: &Late<'_>, reach: impl Fn(&str, u16) -> Option<(String, u16)>) -> Arc<Workload> {
    let mut workload = workload.clone();
    let fill_in = |template: &mut Template| *template = template.fill(late);
    let lead = |host: &mut String, port: &mut u16| {
        if let Some(there) = reach(host, *port) {
            (*host, *port) = there;
        }
    };
    match &mut workload.driver {
        Driver::Http(http) => {
            fill_http(http, late);
            http.urls.iter_mut().for_each(|url| lead(&mut url.host, &mut url.port));
        }
        Driver::Framed(framed) => {
            lead(&mut framed.to.host, &mut framed.to.port);
            for step in &mut framed.steps {
                if let Some(body) = &mut step.send {
                    fill_body(body, late);
                }
                [&mut step.expect.text, &mut step.expect.contains].into_iter().flatten().for_each(fill_in);
            }
        }
        Driver::Author(author) => {
            fill_in(&mut author.event);
            lead(&mut author.to.host, &mut author.to.port);
        }
        Driver::Subscriber(subscriber) => lead(&mut subscriber.from.host, &mut subscriber.from.port),
        Driver::Command(command) => {
            let env = command.env.iter_mut().map(|(_, value)| value);
            command.argv.iter_mut().chain(env).chain(&mut command.dir).for_each(fill_in);
        }
    }
    Arc::new(workload)
}

/// Requests in which only the names of passes are open.
pub fn fill_http(http: &mut Http, late: &Late<'_>) {
    let fill_in = |template: &mut Template| *template = template.fill(late);
    http.socket.as_mut().map(fill_in);
    for step in &mut http.steps {
        fill_in(&mut step.path);
        step.headers.iter_mut().for_each(|(_, value)| fill_in(value));
        if let Some(auth) = step.auth.take().filter(|_| step.headers.iter().all(|(name, _)| name != "authorization")) {
            let value = Template(vec![Part::Text(auth.header(late))]);
            step.headers.push(("authorization".to_owned(), value));
        }
        fill_body(&mut step.body, late);
        [&mut step.expect.text, &mut step.expect.contains].into_iter().flatten().for_each(fill_in);
    }
}

/// What is sent; in JSON, what is inserted is escaped.
fn fill_body(body: &mut Body, late: &Late<'_>) {
    match body {
        Body::Text(text) => *text = text.fill(late),
        Body::Json(text) => *text = text.fill(&late.iter().map(|(name, value)| (*name, in_json(value))).collect()),
        Body::Empty | Body::File(_) | Body::Random(_) => {}
    }
}
