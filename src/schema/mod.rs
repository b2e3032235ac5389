//! The scenario file as typed: YAML with positions, plain serde types, and the JSON Schema of the language.
//!
//! `source` holds text and mistakes, `node` the tree with positions, `types` what each part of a scenario may say,
//! `decode` turns one into the other and finds *every* mistake on the way. `syntax` explains what is not valid YAML,
//! and `examples` shows what to write where something does not fit. `reference` holds what the documentation and
//! `runner explain` say about blocks and keys. What the parts mean together (names, factors, ports) is `plan`'s
//! business.

pub mod decode;
mod examples;
pub mod json_schema;
pub mod node;
pub mod reference;
pub mod source;
mod syntax;
pub mod types;

pub use node::{Data, Entry, Node};
pub use source::{Mistake, SourceFile, Span};
