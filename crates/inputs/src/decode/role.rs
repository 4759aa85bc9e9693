//! Role.

use bailiwick_compile::RoleSpec;

use super::Outcome;
use super::permission::permissions;
use super::reader::{At, Reader};
use super::reference::{self, Scope};
use crate::codes;

pub(crate) fn decode(reader: &mut Reader, spec: &At<'_>) -> Outcome<RoleSpec> {
    Outcome::of(read(reader, spec))
}

fn read(reader: &mut Reader, spec: &At<'_>) -> Option<RoleSpec> {
    let object = reader.object(spec)?;
    let (inherits_at, permissions_at) = (object.field("inherits"), object.field("permissions"));
    if inherits_at.is_none()
        && permissions_at.is_none()
        && !reader.was_suggested(&object.path, &["inherits", "permissions"])
    {
        let message = "the Role has neither `inherits` nor `permissions`".to_owned();
        let place = (&object.path, object.name_span());
        reader.tell(codes::MISSING_FIELD, place, message, Some("add one of them".to_owned()));
        return None;
    }
    let inherits = match inherits_at {
        Some(at) => reader.each(&at, 64, |reader, at| reference::role(reader, at, Scope::Namespaced)),
        None => Some(Vec::new()),
    };
    let permissions = match permissions_at {
        Some(at) => permissions(reader, &at),
        None => Some(Vec::new()),
    };
    Some(RoleSpec { inherits: inherits?, permissions: permissions? })
}
