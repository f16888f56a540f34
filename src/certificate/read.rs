//! What a certificate says of its subject, and until when: the few fields that identities and rotation need, read from DER
//! (X.690, RFC 5280 §4.1). In come bytes, out goes what they say; lengths are checked, nothing is guessed.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::Error;

/// Tags of what is read (X.690 §8).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
/// Strings whose bytes are UTF-8 or a part of it: UTF8, numeric, printable, IA5.
const STRINGS: [u8; 4] = [0x0c, 0x12, 0x13, 0x16];

/// `2.5.4.3`
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// `2.5.4.10`
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
/// `1.3.6.1.4.1.57683.2`, Kubernetes' own attribute for a user's UID
const USER_UID: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xc2, 0x53, 2];

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Common name of the subject; the last, if there are several; may be empty.
    pub common_name: String,
    /// Organizations of the subject, in their order.
    pub organizations: Vec<String>,
    /// UID of the subject; may be empty.
    pub uid: String,
    /// Common name of the issuer; may be empty.
    pub issuer: String,
    /// The first moment at which it is valid.
    pub not_before: Timestamp,
    /// The last one.
    pub not_after: Timestamp,
}

/// Returns what a certificate says.
///
/// # Errors
/// [`Error::Malformed`]
pub fn details(certificate: &[u8]) -> Result<Details, Error> {
    let mut outer = Reader(certificate);
    let mut body = Reader(Reader(outer.take(SEQUENCE)?).take(SEQUENCE)?);
    if body.0.first() == Some(&VERSION) {
        body.next()?;
    }
    // Serial number and signature algorithm.
    body.next()?;
    body.next()?;
    let issuer = Names::read(body.take(SEQUENCE)?)?;
    let mut validity = Reader(body.take(SEQUENCE)?);
    let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
    let subject = Names::read(body.take(SEQUENCE)?)?;
    Ok(Details {
        common_name: subject.common_name,
        organizations: subject.organizations,
        uid: subject.uid,
        issuer: issuer.common_name,
        not_before,
        not_after,
    })
}

/// Returns the certificates in a PEM text, in their order; what else is in it is skipped.
///
/// # Errors
/// [`Error::Missing`] if there is none; [`Error::Malformed`] if one can't be read.
pub fn pem_chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|_| Error::Malformed("it is not PEM"))?;
    if chain.is_empty() {
        return Err(Error::Missing("there is no certificate in the PEM".into()));
    }
    Ok(chain)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Takes the next element, and returns its tag and content.
    fn next(&mut self) -> Result<(u8, &'a [u8]), Error> {
        let cut = Error::Malformed("it ends too soon");
        let [tag, first, rest @ ..] = self.0 else {
            return Err(cut);
        };
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x84 => {
                let (digits, rest) = rest
                    .split_at_checked(usize::from(long & 0x7f))
                    .ok_or(Error::Malformed("it ends too soon"))?;
                let length = digits
                    .iter()
                    .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                (length, rest)
            }
            _ => return Err(Error::Malformed("a length is not DER")),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(cut)?;
        self.0 = rest;
        Ok((*tag, content))
    }

    /// Takes the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        match self.next()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Error::Malformed("an element is of another type")),
        }
    }
}

/// The attributes of a distinguished name that mean something here.
#[derive(Default)]
struct Names {
    common_name: String,
    organizations: Vec<String>,
    uid: String,
}

impl Names {
    fn read(content: &[u8]) -> Result<Self, Error> {
        let (mut names, mut relative) = (Self::default(), Reader(content));
        while !relative.0.is_empty() {
            let mut attributes = Reader(relative.take(SET)?);
            while !attributes.0.is_empty() {
                names.note(Reader(attributes.take(SEQUENCE)?))?;
            }
        }
        Ok(names)
    }

    fn note(&mut self, mut attribute: Reader<'_>) -> Result<(), Error> {
        let name = attribute.take(OBJECT_IDENTIFIER)?;
        if ![COMMON_NAME, ORGANIZATION, USER_UID].contains(&name) {
            return Ok(());
        }
        let text = match attribute.next()? {
            (tag, content) if STRINGS.contains(&tag) => String::from_utf8(content.to_vec()),
            _ => return Err(Error::Malformed("a name is no text")),
        };
        let text = text.map_err(|_| Error::Malformed("a name is not UTF-8"))?;
        match name {
            COMMON_NAME => self.common_name = text,
            ORGANIZATION => self.organizations.push(text),
            _ => self.uid = text,
        }
        Ok(())
    }
}

/// Returns the moment that a `UTCTime` or a `GeneralizedTime` tells (RFC 5280 §4.1.2.5).
fn time((tag, content): (u8, &[u8])) -> Result<Timestamp, Error> {
    let wrong = || Error::Malformed("a time can't be read");
    let text = std::str::from_utf8(content).map_err(|_| wrong())?;
    let text = match (tag, text.len()) {
        (UTC_TIME, 13) if text < "50" => format!("20{text}"),
        (UTC_TIME, 13) => format!("19{text}"),
        (_, 15) => text.to_owned(),
        _ => return Err(wrong()),
    };
    let civil = DateTime::strptime("%Y%m%d%H%M%SZ", &text).map_err(|_| wrong())?;
    let zoned = civil.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
    Ok(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let names = &mut params.distinguished_name;
        *names = rcgen::DistinguishedName::new();
        names.push(DnType::CommonName, "jürgen");
        names.push(DnType::OrganizationName, "team-a");
        names.push(
            DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]),
            "uid-7",
        );
        params.not_before = date_time_ymd(2024, 2, 29);
        params.not_after = date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_tells_whose_it_is_and_until_when() {
        for until in [2049, 2050, 2999] {
            let read = details(&certificate(until)).unwrap();
            assert_eq!(read.common_name, "jürgen");
            assert_eq!(read.organizations, ["team-a"]);
            assert_eq!((&*read.uid, &*read.issuer), ("uid-7", "jürgen"));
            assert_eq!(read.not_before.to_string(), "2024-02-29T00:00:00Z");
            assert_eq!(
                read.not_after.to_string(),
                format!("{until}-12-31T00:00:00Z")
            );
        }
    }

    #[test]
    fn whatever_is_cut_or_bent_is_refused_and_never_panics() {
        let whole = certificate(2049);
        for end in 0..whole.len() {
            assert!(details(&whole[..end]).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            for byte in [0, 0x30, 0x80, 0x84, 0xff] {
                let mut bent = whole.clone();
                bent[at] = byte;
                let _ = details(&bent);
            }
        }
    }

    #[test]
    fn a_pem_without_certificates_is_missing_one() {
        assert!(matches!(pem_chain(b""), Err(Error::Missing(_))));
        let broken = b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(pem_chain(broken), Err(Error::Malformed(_))));
    }
}
