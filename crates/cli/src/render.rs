//! What people see.

mod frame;
mod record;
mod table;

pub(crate) use frame::frame;
pub(crate) use record::Record;
pub(crate) use table::table;
