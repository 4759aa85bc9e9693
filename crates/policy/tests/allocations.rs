//! A decision does not allocate, whatever it comes to. The counting allocator is a crate's: one of our own would need
//! `unsafe`, which is forbidden.

#[cfg(test)]
#[path = "reference/build.rs"]
mod build;
#[cfg(test)]
#[path = "reference/subject.rs"]
mod subject;

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use bailiwick_policy::{
        Admission, Call, CanonicalPath, ConnectionAttributes, Effect, HttpCall, Layer, Mode, Outcome,
        RequestAttributes, RequestTarget, SubjectClass, Timestamp, admit, authorize,
    };

    use super::build::{self, class, http, object, parts, rule};
    use super::subject;

    fn allocations(run: impl FnOnce()) -> u64 {
        allocation_counter::measure(run).count_total
    }

    /// Rules of every kind, some of them of an Audit object, on several hundred paths.
    fn world() -> std::sync::Arc<bailiwick_policy::Snapshot> {
        let web = || build::service_account("shop", "web");
        let mut rules: Vec<_> = (0..300)
            .map(|number| {
                let (literal, variable) = (format!("/items/{number}"), format!("/users/{{id}}/{number}"));
                rule(
                    &format!("r{number}"),
                    Effect::Allow,
                    vec![web()],
                    vec![http(&["GET"], &[&literal, &variable])],
                )
            })
            .collect();
        rules.push(rule(
            "deny",
            Effect::Deny,
            vec![build::from("10.0.0.0/8")],
            vec![http(&["PURGE"], &["/**"])],
        ));
        let anyone = || vec![class(SubjectClass::Anyone)];
        let audited = vec![rule("audited", Effect::Deny, anyone(), vec![http(&["GET"], &["/items/*"])])];
        let early = vec![rule(
            "early",
            Effect::Deny,
            vec![build::from("192.168.0.0/16")],
            vec![bailiwick_policy::Permission::Tcp(vec![build::port(8080)])],
        )];
        build::snapshot(parts(vec![
            build::policy("rules", rules),
            build::policy("early", early),
            object(Layer::Namespace, "audited", Mode::Audit, bailiwick_policy::Body::Rules(audited)),
        ]))
    }

    #[test]
    fn a_decision_does_not_allocate() {
        let world = world();
        let (web, nobody) =
            (subject::peer("spiffe://cluster.local/ns/shop/sa/web").unwrap(), subject::anonymous());
        let cases = [
            (&web, "GET", "/items/7", Outcome::Allow),
            (&web, "GET", "/users/u1/299", Outcome::Allow),
            (&web, "GET", "/users/u1/300", Outcome::Default),
            (&web, "MERGE", "/items/7", Outcome::Default),
            (&web, "PURGE", "/items/7", Outcome::PolicyDeny),
            (&nobody, "GET", "/items/7", Outcome::Default),
        ];
        for (who, method, path, expected) in cases {
            let path = CanonicalPath::parse(path).unwrap();
            let call =
                HttpCall { method, target: RequestTarget::Path(&path), host: "orders.shop", grpc: false };
            let attributes = RequestAttributes {
                source: build::address("10.0.0.1"),
                port: build::port(8080),
                now: Timestamp(0),
                call: Call::Http(call),
            };
            let binding = world.bind(who, attributes.source.ip());
            assert_eq!(authorize(&world, who, &attributes).verdict().outcome, expected, "{method} {path}");
            let counted = allocations(|| {
                for _ in 0..100 {
                    drop(black_box(binding.authorize(black_box(&attributes))));
                    drop(black_box(authorize(&world, who, black_box(&attributes))));
                }
            });
            assert_eq!(counted, 0, "{method} {path}");
        }
    }

    #[test]
    fn an_admission_does_not_allocate() {
        let world = world();
        let connection = ConnectionAttributes {
            source: build::address("192.168.0.1"),
            port: build::port(8080),
            now: Timestamp(0),
        };
        let counted = allocations(|| {
            assert!(matches!(admit(&world, black_box(&connection)), Admission::Refused(_)));
        });
        assert_eq!(counted, 0);
    }
}
