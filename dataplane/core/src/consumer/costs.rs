//! On whose account a consumer waits for a key frame.

use super::Consumer;

impl Consumer {
    /// Whether its receiver has brought it about that it waits for a key frame, and none has been granted to it for
    /// that: what it lost in its own queue, paused, or chose otherwise. It is asked for out of the receiver's ration.
    /// Who has just come, or waits because of its sender, pays nothing.
    pub(crate) const fn is_on_account(&self) -> bool {
        self.on_account
    }

    /// The key frame for which it waits is its receiver's affair, unless it is the first.
    pub(crate) fn put_on_account(&mut self) {
        self.on_account = self.has_begun();
    }

    /// The key frame for which it waits has been granted, and is asked for until it comes.
    pub(crate) const fn grant(&mut self) {
        self.on_account = false;
    }

    /// As [`Self::resynchronise`], on its receiver's account.
    pub(crate) fn interrupt(&mut self) {
        self.resynchronise();
        self.put_on_account();
    }
}
