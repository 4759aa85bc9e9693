//! TrustDomain.

use bailiwick_compile::TrustDomainSpec;
use bailiwick_identity::TrustDomain;

use super::Outcome;
use super::reader::{At, Reader};
use super::time::lifetime;
use crate::codes;

pub(crate) fn decode(reader: &mut Reader, spec: &At<'_>) -> Outcome<TrustDomainSpec> {
    Outcome::of(read(reader, spec))
}

fn read(reader: &mut Reader, spec: &At<'_>) -> Option<TrustDomainSpec> {
    // The object's name is the trust domain; names of objects are a subset of names of trust domains, but for length.
    let name = reader.object.as_ref().map(|key| key.name.clone()).unwrap_or_default();
    if let Err(error) = name.parse::<TrustDomain>() {
        reader.problem(codes::TRUST_DOMAIN, spec, error.to_string(), None);
    }
    let object = reader.object(spec)?;
    let (name, at) = reader.exactly_one(&object, &["own", "federated"])?;
    // `federated` is of a later version, which has been told.
    if name == "federated" { None } else { own(reader, &at) }
}

fn own(reader: &mut Reader, at: &At<'_>) -> Option<TrustDomainSpec> {
    let object = reader.object(at)?;
    let issuer = reader.required(&object, "issuer").and_then(|at| issuer(reader, &at));
    let leaf_lifetime = match object.field("leaf") {
        Some(at) => {
            let leaf = reader.object(&at)?;
            // An unknown field alone has been told.
            leaf.field("lifetime").and_then(|at| lifetime(reader, &at)).map(Some)
        }
        None => Some(None),
    };
    issuer?;
    Some(TrustDomainSpec { leaf_lifetime: leaf_lifetime? })
}

fn issuer(reader: &mut Reader, at: &At<'_>) -> Option<()> {
    let object = reader.object(at)?;
    let names = ["builtIn", "secret", "certManager", "spire", "podCertificate"];
    let (name, at) = reader.exactly_one(&object, &names)?;
    // The other issuers are of a later version, which has been told.
    if name == "builtIn" { reader.nothing(&at) } else { None }
}
