//! What is added to the derived schemas: bounds, formats, unions and the rules of structural schemas.

mod bounds;
mod structural;
mod tailor;
mod text;
mod union;

pub(crate) use bounds::{claim_value, labels, list, map, number, set};
pub(crate) use structural::{structural_spec, structural_status};
pub(crate) use tailor::{own_namespace_relations, qualified_references};
pub(crate) use text::*;
pub(crate) use union::{
    at_least_one, exactly_one, exclusive, never, no_fields, not_empty, one_field, requires, together,
};
