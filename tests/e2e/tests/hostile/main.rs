//! Whoever tries to get around the mesh. Each case is refused, and what is refused is what the case is about.

mod calls;
mod pods;
mod policies;
mod resources;
mod tokens;
