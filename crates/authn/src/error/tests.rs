use rustls::AlertDescription;

use super::{alert_name, alert_received};

#[test]
fn alerts_are_named_as_in_the_rfc() {
    for (alert, name) in [
        (AlertDescription::CertificateRequired, "certificate_required"),
        (AlertDescription::CertificateExpired, "certificate_expired"),
        (AlertDescription::UnknownCA, "unknown_ca"),
        (AlertDescription::NoApplicationProtocol, "no_application_protocol"),
    ] {
        assert_eq!(alert_name(alert), name);
        let error = std::io::Error::other(rustls::Error::AlertReceived(alert));
        assert_eq!(alert_received(&error).as_deref(), Some(name));
    }
}

#[test]
fn other_errors_are_no_alerts() {
    assert_eq!(alert_received(&std::io::ErrorKind::ConnectionReset.into()), None);
    assert_eq!(alert_received(&std::io::Error::other(rustls::Error::DecryptError)), None);
}
