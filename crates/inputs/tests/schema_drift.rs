//! The decoder and the schema know the same fields, in both directions.

use bailiwick_compile::ObjectKind;
use bailiwick_inputs::known_fields;

#[test]
fn the_decoder_knows_exactly_the_fields_of_the_schema() {
    for kind in ObjectKind::ALL {
        let schema = bailiwick_api::field_names(kind.as_str());
        assert_eq!(schema, Some(known_fields(kind)), "{kind}");
    }
}
