//! Which servers are refused when a bucket is opened.

use std::time::Duration;

use countersign_base::code::{Explain as _, STORAGE_FAILED, STORE_NOT_ATOMIC};
use countersign_bucket::{Bucket, BucketError, Settings};
use countersign_store::{Objects as _, StoreError};
use countersign_testkit::s3::{
    ACCESS_KEY, AUTHORITY, Fault, FaultProxy, Flaw, FlawedS3, SECRET_KEY, Versity,
};

use crate::support;

#[test]
fn a_real_server_is_opened_and_left_clean() {
    let Some(server) = support::server() else { return };
    let bucket = support::open(&server.endpoint()).unwrap();
    assert!(bucket.list("").unwrap().is_empty());
    let second = server.beside();
    support::open(&second.endpoint()).unwrap();
}

#[test]
fn a_server_without_a_flaw_is_opened_and_left_clean() {
    let server = FlawedS3::start(Flaw::None);
    let bucket = support::open(&server.endpoint()).unwrap();
    assert_eq!(server.paths(), [""; 0]);
    let shown = format!("{bucket:?} {:?}", bucket.cell("lease").unwrap());
    assert!(!shown.contains(SECRET_KEY), "{shown}");
}

#[test]
fn a_server_with_a_flaw_is_refused_and_left_clean() {
    for (flaw, said) in [
        (Flaw::Racy, "concurrent writes with `If-None-Match`"),
        (Flaw::IgnoresIfNoneMatch, "concurrent writes with `If-None-Match`"),
        (Flaw::IgnoresIfMatch, "concurrent writes with `If-Match`"),
        (Flaw::Unimplemented, "does not know conditional requests"),
        (Flaw::ForgetsMetadata, "user metadata"),
        (Flaw::Tagless, "entity tags"),
    ] {
        let server = FlawedS3::start(flaw);
        let error = support::open(&server.endpoint()).unwrap_err();
        assert!(matches!(error, BucketError::NotAtomic { .. }), "{flaw:?}: {error}");
        assert_eq!(error.code(), STORE_NOT_ATOMIC);
        assert!(error.to_string().contains(said), "{flaw:?}: {error}");
        assert_eq!(server.paths(), [""; 0], "{flaw:?}");
    }
}

/// Lost answers make two writers look like winners to a probe that does not read back.
#[test]
fn a_good_server_behind_a_bad_network_is_opened() {
    let server = FlawedS3::start(Flaw::None);
    let proxy = FaultProxy::start(server.address(), |seen| match (seen.method, seen.number % 5) {
        ("PUT", 0) => Fault::ExecutedThenHangUp,
        ("PUT", 2) => Fault::Twice,
        (_, 3) => Fault::Answer(503, "SlowDown"),
        _ => Fault::None,
    });
    support::open(&proxy.endpoint()).unwrap();
    assert_eq!(server.paths(), [""; 0]);
}

#[test]
fn a_bucket_that_is_not_there_and_keys_that_are_wrong_say_nothing_about_the_server() {
    let Some(server) = support::server() else { return };
    let failed = |error: BucketError, kind| {
        assert_eq!(error.code(), STORAGE_FAILED);
        let BucketError::Store(StoreError::Io { source, .. }) = error else { panic!("{error}") };
        assert_eq!(source.kind(), kind, "{source}");
    };
    let settings = support::settings(&server.endpoint());
    let error = Bucket::open(&"s3://absent/log".parse().unwrap(), &settings).unwrap_err();
    failed(error, std::io::ErrorKind::NotFound);
    let wrong = Settings::new(ACCESS_KEY, "wrong").unwrap().with_endpoint(&server.endpoint()).unwrap();
    let error = Bucket::open(&support::url(), &wrong).unwrap_err();
    assert!(!format!("{error:?}").contains("wrong"), "no secret is shown");
    failed(error, std::io::ErrorKind::PermissionDenied);
    let unheard = support::settings("http://127.0.0.1:1")
        .with_patience(Duration::from_millis(300), Duration::from_millis(100));
    let error = Bucket::open(&support::url(), &unheard).unwrap_err();
    failed(error, std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_server_of_a_private_authority_is_believed_only_if_that_is_known() {
    let Some(server) = Versity::start_with_tls() else { return };
    server.make_bucket(support::BUCKET);
    let start = std::time::Instant::now();
    let error = support::open(&server.endpoint()).unwrap_err();
    assert_eq!(error.code(), STORAGE_FAILED);
    assert!(format!("{error:?}").contains("certificate"), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "it is not tried again");
    let settings = support::settings(&server.endpoint()).with_roots(AUTHORITY.as_bytes()).unwrap();
    let bucket = Bucket::open(&support::url(), &settings).unwrap();
    bucket.put_if_absent("checkpoint", b"x").unwrap();
    assert_eq!(bucket.get("checkpoint").unwrap().unwrap(), b"x");
}
