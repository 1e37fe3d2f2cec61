//! The names in a certificate.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AttributeTypeAndValue;

use crate::server::access::PeerCertificate;

/// The names of a certificate that was verified, in its DER form.
///
/// A name of one kind cannot pass for one of another: of the DNS names those with a colon are left out, of the
/// URIs those without. Mail addresses, IP addresses and other kinds are not names of callers.
pub(super) fn names(der: &[u8]) -> PeerCertificate {
    let parsed = X509Certificate::from_der(der).ok();
    PeerCertificate::new(parsed.iter().flat_map(|(_, certificate)| names_of(certificate)))
}

fn names_of<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a str> {
    match certificate.subject_alternative_name() {
        Ok(Some(alternative)) => {
            let names = alternative.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) if !name.contains(':') => Some(*name),
                GeneralName::URI(uri) if uri.contains(':') => Some(*uri),
                _ => None,
            });
            names.collect()
        }
        Ok(None) => {
            let mut common = certificate.subject().iter_common_name().map(AttributeTypeAndValue::as_str);
            match (common.next(), common.next()) {
                (Some(Ok(name)), None) => vec![name],
                _ => Vec::new(), // none, not text, or several of which each reader might take another
            }
        }
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn names_of(common: &str, alternatives: Vec<SanType>) -> Vec<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        names(certificate.der()).names().map(str::to_owned).collect()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(name: &str) -> SanType {
        SanType::URI(name.try_into().unwrap())
    }

    #[test]
    fn alternative_names_are_taken_and_the_common_name_only_without_them() {
        assert_eq!(names_of("batch", Vec::new()), ["batch"]);
        let both = vec![dns("batch.internal"), uri("spiffe://example.org/batch")];
        assert_eq!(names_of("admin", both), ["batch.internal", "spiffe://example.org/batch"]);
        let mail = SanType::Rfc822Name("admin@example.org".try_into().unwrap());
        assert!(names_of("admin", vec![mail]).is_empty());
    }

    #[test]
    fn a_name_cannot_pass_for_one_of_another_kind() {
        assert!(names_of("x", vec![dns("spiffe://example.org/admin"), uri("admin.internal")]).is_empty());
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        assert_eq!(names(b"").names().len(), 0);
        assert_eq!(names(&[0x30; 64]).names().len(), 0);
    }
}
