//! Which nodes of a graph a walk has been to.

/// Which indices a walk has seen; restarting costs nothing.
#[derive(Debug)]
pub(crate) struct Seen {
    walk: u32,
    walks: Vec<u32>,
}

impl Seen {
    pub(crate) fn new(count: usize) -> Self {
        Self { walk: 0, walks: vec![0; count] }
    }

    pub(crate) fn restart(&mut self) {
        self.walk = self.walk.checked_add(1).unwrap_or_else(|| {
            self.walks.fill(0);
            1
        });
    }

    /// True the first time that a walk comes to an index.
    pub(crate) fn first(&mut self, index: usize) -> bool {
        let walk = self.walk;
        self.walks.get_mut(index).is_some_and(|last| std::mem::replace(last, walk) != walk)
    }
}
