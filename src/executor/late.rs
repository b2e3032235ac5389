//! Late names: what of a plan is known only when a repetition starts, filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::{Driver, Template, Workload};

/// Values of late names.
pub type Late<'a> = BTreeMap<&'a str, String>;

/// Fills in a command line.
pub fn fill_all(argv: &[Template], late: &Late<'_>) -> Vec<String> {
    argv.iter().map(|t| t.fill(late).to_text()).collect()
}

/// A workload in which only the names of passes are open.
pub fn fill_workload(workload: &Workload, late: &Late<'_>) -> Arc<Workload> {
    let mut workload = workload.clone();
    let fill_in = |template: &mut Template| *template = template.fill(late);
    match &mut workload.driver {
        Driver::Http(http) => {
            http.socket.as_mut().map(fill_in);
            for step in &mut http.steps {
                fill_in(&mut step.path);
                step.headers.iter_mut().for_each(|(_, value)| fill_in(value));
                if let crate::plan::Body::Text(text) = &mut step.body {
                    fill_in(text);
                }
                [&mut step.expect.text, &mut step.expect.contains].into_iter().flatten().for_each(fill_in);
            }
        }
        Driver::Framed(framed) => {
            for step in &mut framed.steps {
                if let Some(crate::plan::Body::Text(text)) = &mut step.send {
                    fill_in(text);
                }
                [&mut step.expect.text, &mut step.expect.contains].into_iter().flatten().for_each(fill_in);
            }
        }
        Driver::Author(author) => fill_in(&mut author.event),
        Driver::Subscriber(_) => {}
        Driver::Command(command) => {
            let env = command.env.iter_mut().map(|(_, value)| value);
            command.argv.iter_mut().chain(env).chain(&mut command.dir).for_each(fill_in);
        }
    }
    Arc::new(workload)
}
