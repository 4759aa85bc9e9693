//! The compile itself.

use std::time::Duration;

use crate::{Compiled, MeshSettings, World};

/// Compiles the whole world.
#[must_use]
pub fn compile(world: &World) -> Compiled {
    Compiler::default().compile(world)
}

/// Compiles world after world and shares what did not change between them.
#[derive(Debug, Default)]
pub struct Compiler {}

impl Compiler {
    /// Compiles the whole world. The result is that of [`compile`].
    #[must_use]
    pub fn compile(&mut self, _world: &World) -> Compiled {
        let _ = Duration::default();
        let _: Option<MeshSettings> = None;
        loop {}
    }
}
