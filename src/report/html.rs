//! A page as one HTML file: templates with style, script and data in them, and nothing loaded from elsewhere.

use base64::Engine as _;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context};
use sha2::{Digest as _, Sha256};
use vocabulary::words::harmless;

use crate::Error;
use crate::view::{CellView, Page};

const STYLE: &str = include_str!("templates/page.css");
const SCRIPT: &str = include_str!("templates/page.js");
const TEMPLATES: [(&str, &str); 3] = [
    ("page.html.j2", include_str!("templates/page.html.j2")),
    ("parts.html.j2", include_str!("templates/parts.html.j2")),
    ("cells.html.j2", include_str!("templates/cells.html.j2")),
];

/// Writes a page as HTML.
///
/// # Errors
/// Only when the template does not match the data.
pub fn html(page: &Page) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_filter("marked", |text: &str| Value::from_safe_string(marked(text)));
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    let data = page.cells.iter().map(data).collect::<Result<Vec<Value>, Error>>()?;
    let pictures: Vec<Value> = page.charts.iter().map(|chart| Value::from_safe_string(chart.picture.clone())).collect();
    let style = format!("{STYLE}{}", plot::svg_style(plot::SvgPlace::Page));
    // Only this style and this script are allowed: none may come in with a text from a log.
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(&style),
        hash(SCRIPT)
    );
    let text = environment.get_template("page.html.j2")?.render(context! {
        page => Value::from(Serde(page)),
        data,
        pictures,
        policy,
        style => Value::from_safe_string(style),
        script => Value::from_safe_string(SCRIPT.to_owned()),
    })?;
    // Text from outside may contain characters that control a terminal.
    Ok(harmless(&text).into_owned())
}

/// The data of a cell as JSON from which no text can break out: without `<`, `>` and `&`.
fn data(cell: &CellView) -> Result<Value, Error> {
    let json = serde_json::to_string(&cell.data)?;
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    Ok(Value::from_safe_string(json))
}

/// A text whose names stand between backticks, as HTML. What is between a backtick and the end of a line stays as it is.
fn marked(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let mut html = String::new();
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        html += &escaped(part);
        at += 1;
        match parts.get(at) {
            Some(name) if at + 1 < parts.len() && !name.is_empty() && !name.contains('\n') => {
                html += &format!("<code>{}</code>", escaped(name));
                at += 1;
            }
            Some(_) => html.push('`'),
            None => {}
        }
    }
    html
}

fn escaped(text: &str) -> String {
    minijinja::HtmlEscape(text).to_string()
}

/// How a content security policy identifies an element: by the hash of its text.
fn hash(text: &str) -> String {
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_between_backticks_are_code_and_nothing_acts() {
        assert_eq!(marked("expected `a` or `b`, found <c>"), "expected <code>a</code> or <code>b</code>, found &lt;c&gt;");
        assert_eq!(marked("`<b>`"), "<code>&lt;b&gt;</code>");
        for plain in ["", "`", "a ` b", "``", "`a\nb`"] {
            assert_eq!(marked(plain), plain, "{plain:?}");
        }
        assert_eq!(marked("a`b`c`d"), "a<code>b</code>c`d");
    }
}
