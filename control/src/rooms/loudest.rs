//! How many of those who speak are heard: the loudest. Who they are, the home's worker decides; what is heard crosses
//! to branches.

use corecast_wire::Command;

use super::error::Error;
use super::room::Room;

impl Room {
    /// From now on so many are heard; 0 for all.
    pub(crate) async fn set_loudest(&self, speakers: u16) -> Result<(), Error> {
        let mut state = self.state().await;
        state.check_open()?;
        let router = self.home().router();
        self.worker().apply(Command::SetLoudest { router, speakers }).await?;
        state.loudest = speakers;
        Ok(())
    }
}
