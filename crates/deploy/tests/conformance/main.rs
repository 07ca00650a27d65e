//! What every kind of target must do, run against the real servers.
//!
//! `suite` holds the cases, one function each, written against [`rig::Rig`]; each kind's file says how its server is set up and adds what only
//! that kind does.

mod certs;
mod client;
mod files;
mod haproxy;
mod nginx;
mod rig;
mod suite;

/// One test for each case of the suite, each with a rig of its own.
macro_rules! conforms {
    ($rig:ty: $($case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let home = tempfile::tempdir().expect("a temporary directory");
            if let Some(rig) = <$rig as crate::rig::Rig>::new(home.path()) {
                crate::suite::$case(rig).await;
            }
        }
    )*};
}
pub(crate) use conforms;

/// The whole suite.
macro_rules! conforms_in_all {
    ($rig:ty) => {
        crate::conforms!($rig:
            a_stand_in_lets_the_server_start_and_is_never_verified,
            an_existing_file_is_never_replaced_by_a_stand_in,
            what_is_installed_is_seen_served,
            what_is_right_is_left_alone,
            a_renewal_loses_no_connection,
            a_stopped_server_is_no_failure,
            a_batch_is_installed_together,
            one_bad_certificate_does_not_keep_the_others_out,
            an_interrupted_change_is_finished,
            an_interrupted_change_is_undone_before_the_server_starts,
            a_server_that_missed_a_change_is_told_again,
            keys_are_private_whatever_the_umask_is,
            a_missing_directory_is_named,
            another_certificate_is_not_taken_for_the_wanted_one,
            two_calls_at_once_both_arrive,
        );
    };
}
pub(crate) use conforms_in_all;
