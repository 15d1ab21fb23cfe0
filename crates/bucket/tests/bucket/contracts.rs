//! The contracts on versitygw: through one gateway, and through two that share their objects.

use countersign_store::{Cell as _, Objects as _};

use crate::support::{self, TwoGateways};

mod one_gateway {
    use countersign_store::{Cell, Objects};
    use countersign_testkit::contracts::Backend;
    use countersign_testkit::s3::Versity;

    use crate::support;

    struct OneGateway(Versity);

    impl Backend for OneGateway {
        fn objects(&self) -> Box<dyn Objects> {
            Box::new(support::bucket(&self.0.endpoint()))
        }

        fn cell(&self, name: &str) -> Box<dyn Cell> {
            Box::new(support::bucket(&self.0.endpoint()).cell(name).expect("the name is good"))
        }
    }

    countersign_testkit::storage_contracts!(support::server().map(OneGateway));
}

mod two_gateways {
    countersign_testkit::storage_contracts!(super::TwoGateways::start());
}

#[test]
fn stores_of_two_prefixes_do_not_see_each_other() {
    let Some(server) = support::server() else { return };
    let open = |url: &str| {
        let settings = support::settings(&server.endpoint());
        countersign_bucket::Bucket::open_for_reading(&url.parse().unwrap(), &settings).unwrap()
    };
    let (log, logs, whole) =
        (open("s3://transparency/log"), open("s3://transparency/logs"), open("s3://transparency"));
    log.put_if_absent("checkpoint", b"one").unwrap();
    logs.put_if_absent("checkpoint", b"two").unwrap();
    assert_eq!(log.list("").unwrap(), ["checkpoint"]);
    assert_eq!(whole.list("").unwrap(), ["log/checkpoint", "logs/checkpoint"]);
    assert_eq!(whole.get("logs/checkpoint").unwrap().unwrap(), b"two");
    assert_eq!(std::fs::read(server.bucket(support::BUCKET).join("log/checkpoint")).unwrap(), b"one");
}

#[test]
fn an_object_that_is_removed_is_gone() {
    let Some(server) = support::server() else { return };
    let bucket = support::bucket(&server.endpoint());
    bucket.put_if_absent("tile/0/000.p/1", b"x").unwrap();
    bucket.remove("tile/0/000.p/1").unwrap();
    bucket.remove("tile/0/000.p/1").unwrap();
    assert_eq!(bucket.get("tile/0/000.p/1").unwrap(), None);
    let cell = bucket.cell("lease").unwrap();
    let held = cell.create(b"1").unwrap();
    bucket.remove("lease").unwrap();
    assert!(cell.replace(held, b"2").is_err(), "what was seen is no longer there");
    assert!(cell.load().unwrap().is_none());
}
