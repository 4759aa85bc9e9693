//! Properties of the encoding: what goes in comes out, in one form, and nothing else is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_identity::{InvalidAuthentication, MtlsMode, Port, PortTrust, TrustBundle, TrustConfig};
use bailiwick_policy::{
    Body, BoundObject, Effect, GrpcPermission, HttpPermission, IpBlock, Layer, Methods, Mode, Origin,
    PathTemplate, Permission, PolicyObject, PortProtocol, PortSelection, Rule, SnapshotId, SnapshotParts,
    SubjectClass, SubjectEntry, WorkloadKey,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

use crate::*;

fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,6}"
}

fn port() -> impl Strategy<Value = Port> {
    (1_u16..).prop_map(|number| Port::try_from(number).unwrap())
}

fn subject() -> impl Strategy<Value = SubjectEntry> {
    let class = option::of(prop_oneof![
        Just(SubjectClass::Anyone),
        Just(SubjectClass::Authenticated),
        Just(SubjectClass::Unauthenticated),
    ]);
    let account = option::of(
        (name(), name()).prop_map(|(left, right)| (left.parse().unwrap(), right.parse().unwrap())),
    );
    let namespaces = option::of(proptest::collection::btree_set(name(), 0..4))
        .prop_map(|names| names.map(|names| names.iter().map(|name| name.parse().unwrap()).collect()));
    let pattern = option::of(prop_oneof![
        Just("spiffe://partner.example/ns/*/sa/sync".parse().unwrap()),
        Just("spiffe://cluster.local/ns/shop/sa/web".parse().unwrap()),
    ]);
    let block = option::of(prop_oneof![
        Just(("10.0.0.0/8", vec!["10.1.0.0/16"])),
        Just(("fd00::/8", vec![])),
        Just(("::ffff:10.0.0.0/104", vec!["::ffff:10.2.0.0/112"])),
    ])
    .prop_map(|block| {
        block.map(|(cidr, except)| {
            let parse = |text: &str| IpBlock::parse_cidr(text).unwrap();
            IpBlock::new(parse(cidr), except.into_iter().map(parse).collect()).unwrap()
        })
    });
    (class, account, namespaces, pattern, block)
        .prop_map(|(class, service_account, namespaces, spiffe_id, ip_block)| SubjectEntry {
            class,
            service_account,
            namespaces,
            spiffe_id,
            ip_block,
        })
        .prop_filter("an entry has a field", |entry| *entry != SubjectEntry::default())
}

fn methods() -> impl Strategy<Value = Methods> {
    prop_oneof![
        Just(Methods::Any),
        vec("[A-Z]{3,6}", 1..3).prop_map(|names| Methods::Of(names.into_iter().map(Arc::from).collect())),
    ]
}

fn permission() -> impl Strategy<Value = Permission> {
    let paths = vec(
        prop_oneof![Just("/orders/{id}"), Just("/static/**"), Just("/"), Just("/a/%7e"), Just("/*/b/")],
        1..3,
    )
    .prop_map(|paths| paths.into_iter().map(|path| PathTemplate::parse(path).unwrap()).collect());
    let hosts = option::of(vec(prop_oneof![Just("orders.shop"), Just("*.Example.com"), Just("[::1]")], 1..3))
        .prop_map(|hosts| hosts.map(|hosts| hosts.iter().map(|host| host.parse().unwrap()).collect()));
    prop_oneof![
        Just(Permission::Any),
        (methods(), paths, hosts).prop_map(|(methods, paths, hosts)| Permission::Http(HttpPermission {
            methods,
            paths,
            hosts
        })),
        (name(), methods()).prop_map(|(service, methods)| Permission::Grpc(GrpcPermission {
            service: service.into(),
            methods
        })),
        vec(port(), 1..3).prop_map(Permission::Tcp),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let parts = (
        name(),
        any::<bool>(),
        vec(subject(), 1..3),
        vec(subject(), 0..2),
        vec(permission(), 1..3),
        option::of(any::<i64>()),
        option::of(any::<i64>()),
        option::of(".{0,8}"),
    );
    parts.prop_map(|(name, deny, subjects, except, permissions, not_before, not_after, message)| Rule {
        name: name.into(),
        effect: if deny { Effect::Deny } else { Effect::Allow },
        subjects,
        except_subjects: if deny { except } else { Vec::new() },
        permissions,
        not_before,
        not_after,
        message: message.map(Arc::from),
    })
}

fn object() -> impl Strategy<Value = PolicyObject> {
    let body = prop_oneof![
        vec(rule(), 0..3).prop_map(Body::Rules),
        ".{0,20}".prop_map(|reason| Body::Uncompilable { reason: reason.into() }),
    ];
    (any::<bool>(), name(), name(), any::<i64>(), any::<bool>(), body).prop_map(
        |(cluster, namespace, name, generation, audit, body)| PolicyObject {
            origin: Origin {
                layer: if cluster { Layer::Cluster } else { Layer::Namespace },
                namespace: if cluster { "".into() } else { namespace.into() },
                name: name.into(),
            },
            generation,
            mode: if audit { Mode::Audit } else { Mode::Enforce },
            body,
        },
    )
}

fn port_trust() -> impl Strategy<Value = PortTrust> {
    let mode = prop_oneof![Just(MtlsMode::Disabled), Just(MtlsMode::Permissive), Just(MtlsMode::Strict)];
    let invalid = option::of((name(), name()))
        .prop_map(|found| found.map(|(object, reason)| InvalidAuthentication { object, reason }));
    (mode, vec(name(), 0..3), any::<bool>(), invalid).prop_map(|(mode, domains, audit, invalid)| PortTrust {
        mode,
        trust_domains: domains.iter().map(|domain| domain.parse().unwrap()).collect(),
        audit,
        invalid,
    })
}

fn configuration() -> impl Strategy<Value = Configuration> {
    let ports = prop_oneof![
        Just(PortSelection::All),
        proptest::collection::btree_set(port(), 0..3)
            .prop_map(|ports| PortSelection::Only(ports.into_iter().collect())),
    ];
    let bound = (object(), ports).prop_map(|(object, ports)| BoundObject { object: Arc::new(object), ports });
    let protocol =
        prop_oneof![Just(PortProtocol::Http), Just(PortProtocol::Tcp), Just(PortProtocol::Undeclared)];
    let trust = (port_trust(), proptest::collection::btree_map(port(), port_trust(), 0..3))
        .prop_map(|(default, ports)| TrustConfig { default, ports });
    let protocols = proptest::collection::btree_map(port(), protocol, 0..3);
    (vec(bound, 0..4), trust, protocols, any::<bool>()).prop_map(|(mut objects, trust, protocols, audit)| {
        objects.sort_by(|left, right| left.object.origin.cmp(&right.object.origin));
        objects.dedup_by(|left, right| left.object.origin == right.object.origin);
        Configuration {
            snapshot: SnapshotParts {
                workload: WorkloadKey { namespace: "shop".parse().unwrap(), name: "orders".parse().unwrap() },
                trust_domain: "cluster.local".parse().unwrap(),
                authorization_audit: audit,
                objects,
            },
            trust,
            protocols,
        }
    })
}

fn position() -> Position {
    Position { epoch: 3, marks: BTreeMap::from([("folder".to_owned(), 7)]), version: 9 }
}

fn read(encoded: &Encoded, position: &Position) -> Result<Assembled, DecodeError> {
    let header = decode_header(&encoded.header(position))?;
    let mut objects = BTreeMap::new();
    for (digest, bytes) in encoded.chunks() {
        objects.insert(*digest, Arc::new(decode_chunk(bytes, digest)?));
    }
    assemble(header, &|digest| objects.get(&digest).cloned())
}

fn sample() -> Configuration {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    loop {
        let found = proptest::strategy::ValueTree::current(&configuration().new_tree(&mut runner).unwrap());
        if found.snapshot.objects.len() > 2 {
            return found;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_goes_in_comes_out(configuration in configuration()) {
        let encoded = encode(&configuration, &mut ChunkCache::default());
        let read = read(&encoded, &position()).unwrap();
        prop_assert_eq!(read.configuration, configuration);
        prop_assert_eq!(read.id, encoded.id());
        prop_assert_eq!(read.position, position());
    }

    #[test]
    fn the_order_of_objects_and_the_cache_never_change_the_bytes(configuration in configuration()) {
        let mut cache = ChunkCache::default();
        let first = encode(&configuration, &mut cache);
        let mut turned = configuration.clone();
        turned.snapshot.objects.reverse();
        for bound in &mut turned.snapshot.objects {
            bound.object = Arc::new((*bound.object).clone());
        }
        prop_assert_eq!(&encode(&configuration, &mut cache), &first);
        prop_assert_eq!(&encode(&turned, &mut ChunkCache::default()), &first);
    }

    #[test]
    fn damaged_bytes_are_refused_or_another_snapshot_and_never_panic(
        configuration in configuration(), at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let encoded = encode(&configuration, &mut ChunkCache::default());
        let mut header = encoded.header(&position());
        let index = at.index(header.len());
        header[index] ^= flip;
        if let Ok(decoded) = decode_header(&header) {
            // What still decodes says something else, and says it under another id or position.
            prop_assert!(decoded.id() != encoded.id() || *decoded.position() != position());
        }
        for (digest, bytes) in encoded.chunks() {
            let mut bytes = bytes.to_vec();
            let index = at.index(bytes.len());
            bytes[index] ^= flip;
            let is_digest = matches!(decode_chunk(&bytes, digest), Err(DecodeError::Digest { .. }));
            prop_assert!(is_digest);
            if let Ok(other) = decode_chunk(&bytes, &Digest::of(&bytes)) {
                prop_assert_eq!(crate::encode_object::object(&other).encode_to_vec(), bytes);
            }
        }
    }

    #[test]
    fn garbage_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(decode_chunk(&bytes, &Digest::of(&bytes)).is_err());
        prop_assert!(decode_bundle(&bytes).is_err());
        let _unused = decode_header(&bytes);
    }
}

#[test]
fn i4_an_unknown_field_of_a_chunk_is_refused() {
    let encoded = encode(&sample(), &mut ChunkCache::default());
    let (_, bytes) = encoded.chunks().first_key_value().unwrap();
    let mut longer = bytes.to_vec();
    // Field 900, varint 1: what a newer operator might add.
    longer.extend([0xa0, 0x38, 0x01]);
    let refused = decode_chunk(&longer, &Digest::of(&longer)).unwrap_err();
    assert_eq!(refused, DecodeError::NotCanonical { what: "chunk" });
}

#[test]
fn i4_a_higher_schema_level_is_refused_with_the_remedy() {
    let encoded = encode(&sample(), &mut ChunkCache::default());
    let mut header = proto::SnapshotHeader::decode(encoded.header(&position()).as_slice()).unwrap();
    let mut content = proto::SnapshotContent::decode(header.content.as_slice()).unwrap();
    content.schema_level = SCHEMA_LEVEL + 1;
    header.content = content.encode_to_vec();
    header.content.extend([0xa0, 0x38, 0x01]);
    let refused = decode_header(&header.encode_to_vec()).unwrap_err();
    assert!(refused.to_string().contains("upgrade the sidecar"), "{refused}");
}

fn refusal(change: impl FnOnce(&mut proto::PolicyObject)) -> String {
    let rule = Rule {
        name: "only-monitoring".into(),
        effect: Effect::Deny,
        subjects: vec![SubjectEntry { class: Some(SubjectClass::Anyone), ..SubjectEntry::default() }],
        except_subjects: Vec::new(),
        permissions: vec![Permission::Http(HttpPermission {
            methods: Methods::Any,
            paths: vec![PathTemplate::parse("/metrics").unwrap()],
            hosts: None,
        })],
        not_before: None,
        not_after: None,
        message: None,
    };
    let mut message = encode_object::object(&PolicyObject {
        origin: Origin { layer: Layer::Namespace, namespace: "shop".into(), name: "orders".into() },
        generation: 1,
        mode: Mode::Enforce,
        body: Body::Rules(vec![rule]),
    });
    change(&mut message);
    let bytes = message.encode_to_vec();
    decode_chunk(&bytes, &Digest::of(&bytes)).unwrap_err().to_string()
}

fn first_rule(message: &mut proto::PolicyObject) -> &mut proto::Rule {
    match message.body.as_mut() {
        Some(proto::policy_object::Body::Rules(rules)) => &mut rules.rules[0],
        Some(proto::policy_object::Body::Uncompilable(_)) | None => panic!("the sample has rules"),
    }
}

#[test]
fn i2_i4_nothing_empty_or_unknown_is_read() {
    let http =
        |message: &mut proto::PolicyObject, change: fn(&mut proto::HttpPermission)| match first_rule(message)
            .permissions[0]
            .kind
            .as_mut()
        {
            Some(proto::permission::Kind::Http(http)) => change(http),
            _ => panic!("the sample permits HTTP"),
        };
    let cases: Vec<(String, &str)> = vec![
        (refusal(|message| message.mode = 0), "chunk: mode: must be set"),
        (refusal(|message| message.layer = 9), "chunk: layer: `9` is not a known value"),
        (refusal(|message| message.body = None), "chunk: body: must be set"),
        (refusal(|message| message.layer = 1), "chunk: namespace: must not be set here"),
        (
            refusal(|message| first_rule(message).effect = 3),
            "chunk: rules[0].effect: `3` is not a known value",
        ),
        (refusal(|message| first_rule(message).subjects.clear()), "chunk: rules[0].subjects: must be set"),
        (
            refusal(|message| first_rule(message).permissions.clear()),
            "chunk: rules[0].permissions: must be set",
        ),
        (
            refusal(|message| first_rule(message).subjects[0].class = 0),
            "chunk: rules[0].subjects[0]: must be set",
        ),
        (
            refusal(|message| http(message, |http| http.paths.clear())),
            "chunk: rules[0].permissions[0].http.paths: must be set",
        ),
        (
            refusal(|message| http(message, |http| http.methods = None)),
            "chunk: rules[0].permissions[0].http.methods: must be set",
        ),
        (
            refusal(|message| http(message, |http| http.paths[0] = "/a/**/b".into())),
            "chunk: rules[0].permissions[0].http.paths[0]: `**` in `/a/**/b` must be the last segment",
        ),
        (
            refusal(|message| {
                http(message, |http| http.hosts = Some(proto::Hosts { patterns: vec!["A.b".into()] }))
            }),
            "chunk is not in canonical form: it has an unknown field, or values that are unsorted, repeated or not normalised",
        ),
        (
            refusal(|message| {
                first_rule(message).subjects[0].ip_block =
                    Some(proto::IpBlock { cidr: "10.0.0.1/8".into(), except: vec![] });
            }),
            "chunk: rules[0].subjects[0].ip_block.cidr: `10.0.0.1/8` has host bits set: did you mean `10.0.0.0/8`?",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn i9_half_a_snapshot_is_none() {
    let encoded = encode(&sample(), &mut ChunkCache::default());
    let header = decode_header(&encoded.header(&position())).unwrap();
    let missing = header.digests().next().unwrap();
    assert_eq!(assemble(header, &|_| None), Err(DecodeError::MissingChunk { digest: missing }));
}

#[test]
fn i9_positions_only_move_forward() {
    let at = |epoch, folder, version| Position {
        epoch,
        marks: BTreeMap::from([("folder".to_owned(), folder)]),
        version,
    };
    let held = at(3, 7, 9);
    assert!(at(2, 99, 99).is_older_than(&held), "a lower epoch");
    assert!(at(3, 6, 99).is_older_than(&held), "a lower mark");
    assert!(Position { epoch: 3, ..Position::default() }.is_older_than(&held), "a mark that is gone");
    assert!(!at(3, 7, 1).is_older_than(&held), "the same state from another replica");
    assert!(!at(3, 8, 1).is_older_than(&held) && !at(4, 0, 0).is_older_than(&held), "newer");
}

#[test]
fn an_object_that_is_too_long_is_sent_as_a_denial() {
    let mut configuration = sample();
    let mut object = (*configuration.snapshot.objects[0].object).clone();
    object.body = Body::Uncompilable { reason: "x".repeat(MAXIMUM_CHUNK_BYTES + 1).into() };
    configuration.snapshot.objects[0].object = Arc::new(object.clone());
    let encoded = encode(&configuration, &mut ChunkCache::default());
    assert_eq!(encoded.replaced(), [object.origin.clone()]);
    let read = read(&encoded, &position()).unwrap();
    let sent = read
        .configuration
        .snapshot
        .objects
        .iter()
        .find(|bound| bound.object.origin == object.origin)
        .unwrap();
    assert!(matches!(&sent.object.body, Body::Uncompilable { reason } if reason.contains("more than")));
}

#[test]
fn the_cache_encodes_a_shared_object_once_and_forgets_the_unused() {
    let mut configuration = sample();
    let mut cache = ChunkCache::default();
    let first = encode(&configuration, &mut cache);
    let second = encode(&configuration, &mut cache);
    for (digest, bytes) in first.chunks() {
        assert!(Arc::ptr_eq(bytes, &second.chunks()[digest]));
    }
    configuration.snapshot.objects.truncate(1);
    cache.sweep();
    assert_eq!(cache.len(), 1);
}

#[test]
fn bundles_go_round_and_an_empty_one_is_refused() {
    let mut bundle = TrustBundle::default();
    bundle.insert("cluster.local".parse().unwrap(), vec![Arc::from(&b"root"[..])]).unwrap();
    bundle
        .insert("a.example".parse().unwrap(), vec![Arc::from(&b"one"[..]), Arc::from(&b"two"[..])])
        .unwrap();
    assert_eq!(decode_bundle(&encode_bundle(&bundle)).unwrap(), bundle);
    assert!(decode_bundle(&[]).unwrap_err().to_string().contains("domains"));
}

#[test]
fn answers_go_round_and_plaintext_is_never_guessed() {
    let endpoint = Endpoint {
        address: "10.0.0.1:8080".parse().unwrap(),
        transport: Transport::Mesh("spiffe://cluster.local/ns/shop/sa/orders".parse().unwrap()),
        protocol: PortProtocol::Http,
        workload: Some(WorkloadKey { namespace: "shop".parse().unwrap(), name: "orders".parse().unwrap() }),
    };
    let plain = Endpoint { transport: Transport::AsSent, workload: None, ..endpoint.clone() };
    let answer = Destination::Endpoints(Endpoints { ready: vec![endpoint, plain], sticky: true });
    let message = encode_destination(4, 1, &answer);
    assert_eq!(decode_destination(&message).unwrap(), answer);
    assert_eq!(
        decode_destination(&encode_destination(4, 2, &Destination::Outside)).unwrap(),
        Destination::Outside
    );
    let change = |change: fn(&mut proto::Endpoint)| {
        let mut message = message.clone();
        match message.result.as_mut() {
            Some(proto::lookup_response::Result::Endpoints(endpoints)) => change(&mut endpoints.endpoints[0]),
            _ => panic!("the sample has endpoints"),
        }
        decode_destination(&message).unwrap_err().to_string()
    };
    assert!(change(|endpoint| endpoint.mode = 0).contains("endpoints[0].mode"));
    assert!(change(|endpoint| endpoint.mode = 2).contains("endpoints[0].spiffe_id"));
    assert!(change(|endpoint| endpoint.spiffe_id.clear()).contains("endpoints[0].spiffe_id"));
    let query = Query::Service {
        namespace: "shop".parse().unwrap(),
        name: "orders".to_owned(),
        port: Port::try_from(80_u16).unwrap(),
    };
    assert_eq!(decode_query(&encode_query(&query)).unwrap(), query);
}

#[test]
fn l5_a_hello_names_its_workload_in_full() {
    let id = SnapshotId([7; 32]);
    let hello = proto::Hello {
        schema_level: SCHEMA_LEVEL,
        sidecar_version: "0.1.0".to_owned(),
        namespace: "shop".to_owned(),
        workload: "orders".to_owned(),
        instance: "orders-6f7b".to_owned(),
        held: Some(position().to_held(&id)),
        bundle_digest: Vec::new(),
    };
    let greeting = decode_hello(&hello).unwrap();
    assert_eq!((greeting.held, greeting.bundle), (Some((id, position())), None));
    let refused = |change: fn(&mut proto::Hello)| {
        let mut hello = hello.clone();
        change(&mut hello);
        decode_hello(&hello).unwrap_err().to_string()
    };
    assert!(refused(|hello| hello.namespace.clear()).starts_with("hello: namespace"));
    assert!(refused(|hello| hello.workload = "*".to_owned()).starts_with("hello: workload"));
    assert!(refused(|hello| hello.instance = "a\nb".to_owned()).starts_with("hello: instance"));
    assert!(refused(|hello| hello.bundle_digest = vec![1]).starts_with("hello: bundle_digest"));
}
