//! What is served, and to whom.

use bailiwick_policy::Body;
use bailiwick_wire::proto::client_message::Kind as Say;
use bailiwick_wire::proto::lookup_request::Action;
use bailiwick_wire::proto::{EndOfQuery, LookupRequest, Nack, Want};
use bailiwick_wire::{Destination, Query, Transport, decode_destination, encode_query};
use tonic::Code;

use super::*;
use crate::testing::client::{hello, signing_request};
use crate::testing::identity;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_of_the_token_s_workload_whatever_the_request_says() {
    let ground = Ground::new();
    let running = ground.start();
    let (client, at) = (ground.client(), running.places.identity);
    let token = ground.token("shop/web");
    client.enrol(at, &token).await;
    assert_eq!(client.identity(), "spiffe://cluster.local/ns/shop/sa/web");
    client.enrol(at, &ground.token("shop/orders")).await;
    assert_eq!(
        client.identity(),
        "spiffe://cluster.local/ns/shop/sa/orders",
        "H4: another's token is another's identity"
    );
    let mut forged = token.clone();
    forged[3] ^= 1;
    let refused = [
        (Vec::new(), Code::Unauthenticated),
        (forged, Code::Unauthenticated),
        (vec![b'x'; 4_000], Code::Unauthenticated),
        (vec![b'x'; 100_000], Code::OutOfRange),
    ];
    for (token, code) in refused {
        let answer = client.issue(at, &token, signing_request(&[]).1).await;
        assert_eq!(answer.unwrap_err().code(), code, "H1: {} bytes", token.len());
    }
    for csr in [Vec::new(), vec![0x30; 100], signing_request(&["orders.shop.svc"]).1] {
        let answer = client.issue(at, &token, csr).await;
        assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument, "H5");
    }
    let text = get(running.places.admin, "/metrics").await.1;
    assert!(text.contains("bailiwick_operator_authn_certificates_issued_total 2"), "{text}");
    assert!(text.contains(r#"bailiwick_operator_authn_refused_total{reason="token-unknown"} 1"#), "{text}");
    assert!(text.contains(r#"bailiwick_operator_authn_refused_total{reason="request"} 3"#), "{text}");
    let all = format!("{text}{}", status(&running).await);
    assert!(!all.contains(std::str::from_utf8(&token).unwrap()), "L4");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_certified_as_the_operator() {
    let ground = Ground::new();
    let mallory = WEB
        .replace("namespace: shop", "namespace: bailiwick-system")
        .replace("serviceAccountName: web", "serviceAccountName: bailiwick-operator");
    ground.write("source/mallory.yaml", &mallory);
    let running = ground.start();
    assert!(ground.path("state/tokens/shop.web.token").exists());
    assert!(!ground.path("state/tokens/bailiwick-system.web.token").exists());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_gets_its_own_configuration_and_its_edits_are_counted() {
    let ground = Ground::new();
    let running = ground.start();
    let client = ground.enrolled(&running, "shop/orders").await;
    let at = running.places.configuration;
    let mut stream = client.stream(at, hello("shop/orders", "a")).await.unwrap();
    let header = stream.header().await.unwrap();
    let first = stream.whole(header).await.unwrap();
    assert_eq!(first.configuration.snapshot.workload.to_string(), "shop/orders");
    assert_eq!(first.configuration.snapshot.objects.len(), 1);
    let before = status(&running).await;
    assert_eq!(object(&before, "Policy", "orders")["enforced"], "0/1");
    stream.acknowledge(&first).await;
    until(&running, "enforced", |status| object(status, "Policy", "orders")["enforced"] == "1/1").await;

    ground.write("source/policy.yaml", &policy("/orders/{id}"));
    let header = stream.header().await.unwrap();
    let second = stream.whole(header).await.unwrap();
    assert!(first.position.is_older_than(&second.position));
    assert_ne!(first.id, second.id);
    let waiting = status(&running).await;
    assert_eq!(
        (waiting["publication"]["acknowledged"].as_u64(), waiting["publication"]["of"].as_u64()),
        (Some(0), Some(1))
    );
    assert_eq!(object(&waiting, "Policy", "orders")["conditions"][2]["status"], "False");
    stream.acknowledge(&second).await;
    let done = until(&running, "the edit", |status| status["publication"]["acknowledged"] == 1).await;
    assert!(done["publication"]["millis"].as_f64().unwrap() < 1_000.0, "{done:#}");
    assert_eq!(object(&done, "Policy", "orders")["conditions"][2]["status"], "True");

    let reason = "a\nforged line".to_owned();
    let nack = Nack { snapshot_id: second.id.0.to_vec(), version: second.position.version, reason };
    stream.say(Say::Nack(nack)).await;
    let refused = until(&running, "the refusal", |status| {
        !status["workloads"][0]["sidecars"][0]["refusedBecause"].is_null()
    })
    .await;
    assert_eq!(refused["workloads"][0]["sidecars"][0]["refusedBecause"], "a\\nforged line");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_only_the_sidecars_that_it_concerns() {
    let ground = Ground::new();
    let running = ground.start();
    let at = running.places.configuration;
    let orders = ground.enrolled(&running, "shop/orders").await;
    let web = ground.enrolled(&running, "shop/web").await;
    // It never reads: nobody else must notice.
    let stuck = ground.enrolled(&running, "shop/orders").await;
    let _stuck = stuck.stream(at, hello("shop/orders", "stuck")).await.unwrap();
    let mut orders = orders.stream(at, hello("shop/orders", "a")).await.unwrap();
    let mut web = web.stream(at, hello("shop/web", "a")).await.unwrap();
    orders.header().await.unwrap();
    web.header().await.unwrap();
    for round in 0..3 {
        ground.write("source/policy.yaml", &policy(&format!("/orders/{round}")));
        orders.header().await.unwrap();
    }
    let quiet = tokio::time::timeout(Duration::from_millis(300), web.next()).await;
    assert!(quiet.is_err(), "only affected sidecars are pushed");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l5_another_workload_s_configuration_is_refused() {
    let ground = Ground::new();
    let running = ground.start();
    let at = running.places.configuration;
    let web = ground.enrolled(&running, "shop/web").await;
    let code = async |hello| match web.stream(at, hello).await {
        Ok(mut stream) => stream.next().await.unwrap_err().code(),
        Err(status) => status.code(),
    };
    assert_eq!(code(hello("shop/orders", "a")).await, Code::PermissionDenied);
    assert_eq!(
        code(hello("bank/vault", "a")).await,
        Code::PermissionDenied,
        "that it is missing is not told"
    );
    assert_eq!(code(hello("shop/gone", "a")).await, Code::PermissionDenied, "nor in its own namespace");
    assert_eq!(code(hello("shop/WEB", "a")).await, Code::InvalidArgument);
    assert_eq!(code(hello("shop/web", "a\nb")).await, Code::InvalidArgument);
    let mut old = hello("shop/web", "a");
    old.schema_level = 0;
    assert_eq!(code(old).await, Code::FailedPrecondition);
    // Chunks of another workload, and acknowledgements of what was never sent.
    let mut stream = web.stream(at, hello("shop/web", "a")).await.unwrap();
    let header = stream.header().await.unwrap();
    let want = Want { snapshot_id: header.id().0.to_vec(), digests: vec![vec![7; 32]] };
    stream.say(Say::Want(want)).await;
    assert_eq!(stream.next().await.unwrap_err().code(), Code::InvalidArgument);
    let mut stream = web.stream(at, hello("shop/web", "a")).await.unwrap();
    let mut whole = stream.header().await.map(|header| (header.id(), header.position().clone())).unwrap();
    whole.1.version += 1;
    let ack = bailiwick_wire::proto::Ack { snapshot_id: whole.0.0.to_vec(), version: whole.1.version };
    stream.say(Say::Ack(ack)).await;
    assert_eq!(stream.next().await.unwrap_err().code(), Code::InvalidArgument);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_of_the_mesh_nothing_is_configured() {
    let ground = Ground::new();
    let running = ground.start();
    let stranger = ground.client();
    let mut channel = bailiwick_wire::proto::configuration_client::ConfigurationClient::new(
        stranger.channel(running.places.configuration).await,
    );
    let refused = channel.stream(tokio_stream::empty()).await;
    assert!(refused.is_err());
    let foreign = bailiwick_testkit::TestAuthority::new("cluster.local").issue(identity("shop/web").as_str());
    let credentials = bailiwick_authn::Credentials::new(foreign.chain.clone(), foreign.key_der()).unwrap();
    stranger.credentials.replace(credentials);
    let at = running.places.configuration;
    let opened = tokio::spawn(async move { stranger.stream(at, hello("shop/web", "a")).await.is_ok() }).await;
    assert!(!matches!(opened, Ok(true)), "a certificate of another authority");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_is_removed_loses_its_stream_and_its_token() {
    let ground = Ground::new();
    let running = ground.start();
    let token = ground.token("shop/web");
    let web = ground.enrolled(&running, "shop/web").await;
    let mut stream = web.stream(running.places.configuration, hello("shop/web", "a")).await.unwrap();
    stream.header().await.unwrap();
    std::fs::remove_file(ground.path("source/web.yaml")).unwrap();
    assert_eq!(stream.next().await.unwrap_err().code(), Code::NotFound);
    until(&running, "the removal", |status| status["workloads"].as_array().unwrap().len() == 1).await;
    while ground.path("state/tokens/shop.web.token").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = web.issue(running.places.identity, &token, signing_request(&[]).1).await;
    assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_follow_the_folder_and_the_addresses() {
    let ground = Ground::new();
    let running = ground.start();
    let web = ground.enrolled(&running, "shop/web").await;
    let mut lookups = web.lookups(running.places.configuration).await.unwrap();
    let service = |name: &str| Query::Service {
        namespace: "shop".parse().unwrap(),
        name: name.to_owned(),
        port: 80_u32.try_into().unwrap(),
    };
    let ask = |query_id, query: &Query| LookupRequest {
        query_id,
        action: Some(Action::Subscribe(encode_query(query))),
    };
    lookups.say.send(ask(1, &service("orders"))).await.unwrap();
    assert_eq!(
        decode_destination(&lookups.next().await.unwrap()).unwrap(),
        Destination::Endpoints(Vec::new().into())
    );
    lookups.say.send(ask(2, &service("nothing"))).await.unwrap();
    assert_eq!(decode_destination(&lookups.next().await.unwrap()).unwrap(), Destination::Unknown);
    lookups
        .say
        .send(LookupRequest { query_id: 2, action: Some(Action::Unsubscribe(EndOfQuery {})) })
        .await
        .unwrap();
    ground.write(
        "addresses.yaml",
        "workloads:\n- workload: shop/orders\n  ports: [{port: 8080, address: \"127.0.0.1:15001\"}]\n",
    );
    let answer = lookups.next().await.unwrap();
    assert_eq!((answer.query_id, answer.version), (1, 2));
    let Destination::Endpoints(endpoints) = decode_destination(&answer).unwrap() else {
        panic!("no endpoints")
    };
    assert_eq!((endpoints.ready.len(), endpoints.sticky), (1, false));
    assert_eq!(endpoints.ready[0].address.to_string(), "127.0.0.1:15001");
    assert_eq!(endpoints.ready[0].transport, Transport::Mesh(identity("shop/orders")));
    assert_eq!(endpoints.ready[0].protocol, bailiwick_policy::PortProtocol::Http);
    let address =
        |port: u32| Query::Address { ip: "127.0.0.1".parse().unwrap(), port: port.try_into().unwrap() };
    lookups.say.send(ask(3, &address(15_001))).await.unwrap();
    assert_eq!(
        decode_destination(&lookups.next().await.unwrap()).unwrap(),
        Destination::Endpoints(endpoints)
    );
    lookups.say.send(ask(4, &address(1))).await.unwrap();
    assert_eq!(decode_destination(&lookups.next().await.unwrap()).unwrap(), Destination::Outside);
    // A broken addresses file changes nothing and is told.
    ground.write("addresses.yaml", "workloads: [{workload: orders}]\n");
    until(&running, "the mistake", |status| !status["sourceProblems"]["addresses"].is_null()).await;
    lookups.say.send(LookupRequest { query_id: 5, action: None }).await.unwrap();
    assert_eq!(lookups.next().await.unwrap_err().code(), Code::InvalidArgument);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_read_at_start_denies_every_call_and_the_rest_is_served() {
    let ground = Ground::new();
    ground.write("source/broken.yaml", "kind: [Policy\n");
    let running = ground.start();
    let client = ground.enrolled(&running, "shop/web").await;
    let mut stream = client.stream(running.places.configuration, hello("shop/web", "a")).await.unwrap();
    let header = stream.header().await.unwrap();
    let whole = stream.whole(header).await.unwrap();
    let denies = |body: &Body| matches!(body, Body::Uncompilable { .. });
    assert!(whole.configuration.snapshot.objects.iter().any(|bound| denies(&bound.object.body)));
    ground.write("source/broken.yaml", "# mended\n");
    let header = stream.header().await.unwrap();
    let whole = stream.whole(header).await.unwrap();
    assert!(!whole.configuration.snapshot.objects.iter().any(|bound| denies(&bound.object.body)));
    running.stop().await;
}
