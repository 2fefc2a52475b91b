//! The suite of the deliverer contract, for the HTTP deliverer.

use artifact_triggers::conformance::deliverer::Subject;
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;

async fn http_deliverer() -> Subject {
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    Subject::new(HttpDeliverer::builder().address_policy(policy).build().unwrap())
}

artifact_triggers::deliverer_conformance!(http_deliverer);
