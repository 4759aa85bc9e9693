//! Tests that stop what others need: one at a time.

mod control_plane;
mod release;
mod rollouts;
mod speed;
