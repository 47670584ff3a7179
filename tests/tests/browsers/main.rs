//! Real browsers in real calls, through the server's own page: Chromium and Firefox send and watch each other on one
//! transport up and one down; every codec that they encode; simulcast; loss; ICE restart, reload, a server that dies;
//! ICE-TCP where UDP is blocked.
//!
//! The tests run one after the other in the order below (two cores carry few encoders), in a network of their own
//! (`bed`). Figures are read where people would look for them: in the pages' getStats.

mod call;
mod codecs;
mod dashboard;
mod data;
mod lasting;
mod layers;
mod narrow;
mod recovery;
mod states;
mod talk;
mod together;
mod told;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use corecast_tests::bed::{Bed, Entered, enter};
use corecast_tests::browser::{Browser, Driver};
use libtest_mimic::{Arguments, Trial};

/// What the tests share: the network, and browsers that are started once.
struct Stage {
    bed: Bed,
    driver: Driver,
    launched: Mutex<Vec<(Browser, String)>>,
}

impl Stage {
    /// The driver, with these browsers running.
    fn with(&self, browsers: &[Browser]) -> &Driver {
        let mut launched = self.launched.lock().unwrap_or_else(PoisonError::into_inner);
        for browser in browsers {
            if launched.iter().all(|(known, _)| known != browser) {
                let version = self.driver.launch(*browser, &[]);
                println!("    {version}");
                launched.push((*browser, version));
            }
        }
        &self.driver
    }
}

/// A test by its name.
type Test = (&'static str, fn(&Stage));

const TESTS: &[Test] = &[
    ("chromium_and_firefox_watch_each_other", together::watch_each_other),
    ("rsa_keys_are_taken_in_both_versions_of_dtls", together::rsa_keys),
    ("a_broadcaster_over_plain_rtp_is_watched", together::broadcaster),
    ("vp9_and_av1_both_ways", codecs::vp9_and_av1),
    ("h264_between_chromiums", codecs::h264),
    ("av1_in_three_spatial_layers_has_its_dependency_descriptor", codecs::av1_layers),
    ("each_viewer_gets_the_layer_that_fits", layers::sizes_that_fit),
    ("a_layer_is_chosen_though_nothing_reaches_the_viewer", layers::chosen_before_it_is_sent),
    ("modest_cameras_arrive_in_full_size", layers::modest_cameras),
    ("a_narrow_path_gets_what_fits", narrow::gets_what_fits),
    ("a_narrow_path_gets_the_spatial_layers_that_fit", narrow::spatial_layers),
    ("a_publisher_of_one_encoding_sends_what_a_narrow_path_takes", narrow::one_encoding),
    ("messages_from_chromium_to_firefox_and_back", data::chromium_to_firefox),
    ("messages_from_firefox_to_chromium_and_back", data::firefox_to_chromium),
    ("data_channels_that_are_offered_first", data::data_first),
    ("messages_under_loss_in_both_orders", data::under_loss),
    ("messages_to_aiortc_and_libdatachannel_and_back", data::other_clients),
    ("chat_hands_and_reactions_between_browsers", talk::between_browsers),
    ("a_screen_is_shared_beside_the_camera", told::a_screen),
    ("who_is_muted_and_who_watches_is_told", told::muted_and_off),
    ("who_may_not_send_watches_and_who_may_not_come_is_told_why", told::tokens),
    ("every_state_of_the_page_is_usable", states::all),
    ("whip_and_whep_are_peers_of_the_page", told::whip_and_whep),
    ("whip_and_whep_by_their_authors_clients", told::published_clients),
    ("every_client_lasts", lasting::every_client_lasts),
    ("pictures_keep_coming_with_loss_each_way", recovery::loss),
    ("an_ice_restart_and_a_reload", recovery::restart_and_reload),
    ("the_server_dies_and_comes_back", recovery::server_dies),
    ("a_worker_in_a_process_of_its_own_dies", recovery::worker_dies),
    ("tcp_where_udp_is_blocked", recovery::tcp),
];

/// Runs one test, and shows what the pages said if it fails.
fn attempt(stage: &Stage, test: fn(&Stage)) -> Result<(), libtest_mimic::Failed> {
    let _ = stage.driver.take_log();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(stage)));
    ended.map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        let log = stage.driver.take_log().join("\n    ");
        format!("{}\n  what the pages logged:\n    {log}", said.unwrap_or_default()).into()
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let bed = match enter() {
        Entered::Inside(bed) => bed,
        Entered::Ran(code) => return code,
    };
    let stage = Arc::new(Stage { bed, driver: Driver::start(), launched: Mutex::default() });
    let trial = |(name, test): &Test| {
        let (stage, test) = (Arc::clone(&stage), *test);
        // Only in a network of our own may we block UDP.
        let ignored = *name == "tcp_where_udp_is_blocked" && !bed.isolated;
        Trial::test(*name, move || attempt(&stage, test)).with_ignored_flag(ignored)
    };
    libtest_mimic::run(&arguments, TESTS.iter().map(trial).collect()).exit_code()
}
