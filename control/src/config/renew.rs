//! Which settings can change while a server runs.

use super::Config;

impl Config {
    /// These settings with those of `new` that can change while the server runs, and whether others differ as well.
    pub(crate) fn renewed(&self, new: &Self) -> (Self, bool) {
        let mut renewed = self.clone();
        renewed.whip.clone_from(&new.whip);
        renewed.whep.clone_from(&new.whep);
        renewed.api.clone_from(&new.api);
        renewed.jwt.clone_from(&new.jwt);
        renewed.http.origins.clone_from(&new.http.origins);
        renewed.http.trusted_proxies.clone_from(&new.http.trusted_proxies);
        renewed.rtc.ice_servers.clone_from(&new.rtc.ice_servers);
        renewed.log.filter.clone_from(&new.log.filter);
        let (limits, given) = (&mut renewed.limits, &new.limits);
        limits.sessions_per_second = given.sessions_per_second;
        limits.sessions_per_second_per_ip = given.sessions_per_second_per_ip;
        limits.sessions_per_ip = given.sessions_per_ip;
        limits.sdp_bytes = given.sdp_bytes;
        let others_differ = renewed != *new;
        (renewed, others_differ)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_is_renewed_and_what_cannot_is_noticed() {
        let old = Config::parse("workers = 1\n[whip]\ntokens = [\"a\"]").expect("file");
        let new = Config::parse("workers = 1\n[whip]\ntokens = [\"b\"]\n[limits]\nsessions_per_ip = 5").expect("file");
        assert_eq!(old.renewed(&new), (new.clone(), false));
        let other = Config::parse("workers = 2\n[whip]\ntokens = [\"b\"]").expect("file");
        let (renewed, others_differ) = old.renewed(&other);
        assert_eq!((renewed.workers, renewed.whip, others_differ), (old.workers.clone(), other.whip, true));
    }
}
