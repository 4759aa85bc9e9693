//! Messages to domain types: rules, their subjects and permissions.

use std::sync::Arc;

use bailiwick_identity::Port;
use bailiwick_policy::{
    Effect, GrpcPermission, HttpPermission, IpBlock, Methods, PathTemplate, Permission, Rule, SubjectClass,
    SubjectEntry,
};

use crate::error::{FieldError, FieldProblem, FieldResult, each, not_empty, parse, required};
use crate::proto;

pub(crate) fn rule(message: &proto::Rule) -> FieldResult<Rule> {
    let effect = match proto::Effect::try_from(message.effect) {
        Ok(proto::Effect::Allow) => Effect::Allow,
        Ok(proto::Effect::Deny) => Effect::Deny,
        Ok(proto::Effect::Unspecified) | Err(_) => return Err(FieldError::unknown("effect", message.effect)),
    };
    if message.name.is_empty() {
        return Err(FieldError::missing("name"));
    }
    let subjects = not_empty("subjects", each("subjects", &message.subjects, subject)?)?;
    let except_subjects = each("except_subjects", &message.except_subjects, subject)?;
    let permissions = each("permissions", &message.permissions, permission)?;
    match effect {
        Effect::Allow if !except_subjects.is_empty() => {
            return Err(FieldError::new("except_subjects", FieldProblem::Unexpected));
        }
        // FAIL-CLOSED: a Deny of nothing would widen access; only an Allow may have lost all its Roles.
        Effect::Deny if permissions.is_empty() => return Err(FieldError::missing("permissions")),
        Effect::Allow | Effect::Deny => {}
    }
    Ok(Rule {
        name: Arc::from(message.name.as_str()),
        effect,
        subjects,
        except_subjects,
        permissions,
        not_before: message.not_before,
        not_after: message.not_after,
        message: message.message.as_deref().map(Arc::from),
    })
}

fn subject(message: &proto::SubjectEntry) -> FieldResult<SubjectEntry> {
    let class = match proto::SubjectClass::try_from(message.class) {
        Ok(proto::SubjectClass::Unspecified) => None,
        Ok(proto::SubjectClass::Anyone) => Some(SubjectClass::Anyone),
        Ok(proto::SubjectClass::Authenticated) => Some(SubjectClass::Authenticated),
        Ok(proto::SubjectClass::Unauthenticated) => Some(SubjectClass::Unauthenticated),
        Err(_) => return Err(FieldError::unknown("class", message.class)),
    };
    let service_account = match &message.service_account {
        None => None,
        Some(key) => Some((
            parse("service_account.namespace", &key.namespace)?,
            parse("service_account.name", &key.name)?,
        )),
    };
    let namespaces = match &message.namespaces {
        None => None,
        Some(names) => Some(each("namespaces", &names.names, |name| parse("", name))?),
    };
    let entry = SubjectEntry {
        class,
        service_account,
        namespaces: namespaces.map(ascending).transpose()?,
        spiffe_id: message.spiffe_id.as_deref().map(|text| parse("spiffe_id", text)).transpose()?,
        ip_block: message.ip_block.as_ref().map(ip_block).transpose()?,
    };
    // FAIL-CLOSED: an entry without a field would match everyone.
    if entry == SubjectEntry::default() {
        return Err(FieldError::new("", FieldProblem::Missing));
    }
    Ok(entry)
}

fn ascending<T: Ord>(items: Vec<T>) -> FieldResult<Vec<T>> {
    if items.is_sorted_by(|left, right| left < right) {
        Ok(items)
    } else {
        Err(FieldError::invalid("namespaces", "names must be ascending, each once"))
    }
}

fn ip_block(message: &proto::IpBlock) -> FieldResult<IpBlock> {
    let within = |error: FieldError| error.within("ip_block");
    let cidr = |text: &String| IpBlock::parse_cidr(text).map_err(|error| FieldError::invalid("", error));
    let whole = cidr(&message.cidr).map_err(|error| error.within("cidr")).map_err(within)?;
    let except = each("except", &message.except, cidr).map_err(within)?;
    IpBlock::new(whole, except).map_err(|error| FieldError::invalid("ip_block.except", error))
}

fn permission(message: &proto::Permission) -> FieldResult<Permission> {
    use proto::permission::Kind;
    match required("kind", message.kind.as_ref())? {
        Kind::Any(proto::AnyCall {}) => Ok(Permission::Any),
        Kind::Http(permission) => {
            http(permission).map(Permission::Http).map_err(|error| error.within("http"))
        }
        Kind::Grpc(permission) => {
            grpc(permission).map(Permission::Grpc).map_err(|error| error.within("grpc"))
        }
        Kind::Tcp(permission) => {
            not_empty("tcp.ports", each("tcp.ports", &permission.ports, port)?).map(Permission::Tcp)
        }
    }
}

pub(crate) fn port(number: &u32) -> FieldResult<Port> {
    Port::try_from(*number).map_err(|error| FieldError::invalid("", error))
}

fn http(message: &proto::HttpPermission) -> FieldResult<HttpPermission> {
    let template = |text: &String| PathTemplate::parse(text).map_err(|error| FieldError::invalid("", error));
    let hosts = match &message.hosts {
        None => None,
        Some(hosts) => Some(not_empty("hosts", each("hosts", &hosts.patterns, |text| parse("", text))?)?),
    };
    Ok(HttpPermission {
        methods: methods(message.methods.as_ref())?,
        paths: not_empty("paths", each("paths", &message.paths, template)?)?,
        hosts,
    })
}

fn grpc(message: &proto::GrpcPermission) -> FieldResult<GrpcPermission> {
    if message.service.is_empty() {
        return Err(FieldError::missing("service"));
    }
    Ok(GrpcPermission {
        service: Arc::from(message.service.as_str()),
        methods: methods(message.methods.as_ref())?,
    })
}

fn methods(message: Option<&proto::Methods>) -> FieldResult<Methods> {
    use proto::methods::Kind;
    let kind = required("methods", required("methods", message)?.kind.as_ref())?;
    match kind {
        Kind::Any(proto::AnyMethod {}) => Ok(Methods::Any),
        Kind::Of(names) => {
            let convert = |name: &String| {
                if name.is_empty() { Err(FieldError::missing("")) } else { Ok(Arc::from(name.as_str())) }
            };
            not_empty("methods", each("methods", &names.names, convert)?).map(Methods::Of)
        }
    }
}
