//! Which settings can change while a server runs.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Config;

impl Config {
    /// These settings with those of `new` that can change while the server runs, and the keys of others that differ.
    pub(crate) fn renewed(&self, new: &Self) -> (Self, Vec<String>) {
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
        let others = differing(&renewed.table(), &new.table(), "");
        (renewed, others)
    }

    /// As in a file, with every key that has a value.
    fn table(&self) -> Table {
        Table::try_from(self).unwrap_or_default()
    }
}

/// Keys that only one of two tables has, or with another value.
fn differing(one: &Table, other: &Table, before: &str) -> Vec<String> {
    let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let of = |key: &String| match (one.get(key), other.get(key)) {
        (one, other) if one == other => Vec::new(),
        (Some(Value::Table(one)), Some(Value::Table(other))) => differing(one, other, &format!("{before}{key}.")),
        _ => vec![format!("{before}{key}")],
    };
    keys.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_is_renewed_and_what_cannot_is_noticed() {
        let old = Config::parse("workers = 1\n[whip]\ntokens = [\"a\"]").expect("file");
        let new = Config::parse("workers = 1\n[whip]\ntokens = [\"b\"]\n[limits]\nsessions_per_ip = 5").expect("file");
        assert_eq!(old.renewed(&new), (new.clone(), Vec::new()));
        let text = "workers = 2\n[http]\ntls_cert = \"a\"\n[rooms]\nmax = 5\n[whip]\ntokens = [\"b\"]";
        let other = Config::parse(text).expect("file");
        let (renewed, others) = old.renewed(&other);
        assert_eq!((renewed.workers, renewed.whip), (old.workers.clone(), other.whip));
        assert_eq!(others, ["http.tls_cert", "rooms.max", "workers"]);
    }
}
