//! What people see.

mod frame;

pub(crate) use frame::frame;
