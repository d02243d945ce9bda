//! Build aside, publish whole: one immutable value that readers take without a lock.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// A cell with the newest value of a table. Readers take one pointer a batch and never wait.
pub struct Published<T> {
    cell: ArcSwap<T>,
}

impl<T> Published<T> {
    /// A cell that holds `first`.
    #[must_use]
    pub fn new(first: Arc<T>) -> Self {
        Self { cell: ArcSwap::new(first) }
    }

    /// The newest value, for as long as the guard lives. Keep it for a batch, not for hours.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<T>> {
        self.cell.load()
    }

    /// The newest value, to be kept.
    #[must_use]
    pub fn load_full(&self) -> Arc<T> {
        self.cell.load_full()
    }

    /// Replaces the value; readers that hold the old one finish with it.
    pub fn store(&self, next: Arc<T>) {
        self.cell.store(next);
    }
}

impl<T> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_keep_what_they_took() {
        let cell = Published::new(Arc::new(1));
        let old = cell.load();
        cell.store(Arc::new(2));
        assert_eq!((**old, *cell.load_full()), (1, 2));
    }
}
