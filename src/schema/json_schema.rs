//! The JSON Schema of the language, generated from the types that read it, so that editors complete and check it.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Value as Json, json};

use super::types::Experiment;

/// The schema, as `runner schema` prints it.
pub fn generate() -> Json {
    let mut json = without_expressions();
    json["patternProperties"] =
        json!({"^x-": {"description": "Has no meaning of its own: a place for maps that are merged elsewhere with `<<`."}});
    // An expression may stand for any value of a target, a workload or a step.
    if let Some(Json::Object(definitions)) = json.get_mut("$defs") {
        for (name, definition) in definitions.iter_mut() {
            if !matches!(name.as_str(), "Graph" | "Axis" | "Order" | "Factor" | "Expectation") {
                allow_expressions(definition);
            }
        }
    }
    json
}

/// The schema of a scenario whose expressions have been evaluated.
pub(crate) fn without_expressions() -> Json {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = false;
    let schema: Schema = settings.into_generator().into_root_schema_for::<Experiment>();
    schema.to_value()
}

/// Lets `${…}` stand wherever a property or an item of `schema` may.
fn allow_expressions(schema: &mut Json) {
    let Json::Object(map) = schema else { return };
    for key in ["properties", "$defs"] {
        if let Some(Json::Object(properties)) = map.get_mut(key) {
            for property in properties.values_mut() {
                *property = or_expression(property.take());
            }
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key)
            && inner.is_object()
        {
            *inner = or_expression(inner.take());
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        map.get_mut(key).and_then(Json::as_array_mut).into_iter().flatten().for_each(allow_expressions);
    }
}

fn or_expression(mut schema: Json) -> Json {
    allow_expressions(&mut schema);
    let said = ["description", "default", "x-default", "examples"].map(|key| (key, schema.get(key).cloned()));
    let mut either = json!({"anyOf": [schema, {"type": "string", "pattern": "\\$\\{", "description": "an expression"}]});
    for (key, value) in said.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        either[key] = value;
    }
    either
}
