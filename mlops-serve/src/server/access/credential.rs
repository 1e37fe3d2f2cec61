//! What the headers of a request say about who sends it.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use mlops_core::Error;

use super::caller::CallerName;

/// Where an API key comes, when not as a bearer of `Authorization`.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest credential that is looked at, in bytes. Tokens of large identity providers have 1 to 4 KiB.
const LONGEST: usize = 8 << 10;

/// What a request brings, not yet verified.
#[derive(Clone, Copy)]
pub(super) enum Credential<'a> {
    /// `Authorization: Bearer ...`: an API key or a token.
    Bearer(&'a str),
    /// `X-API-Key: ...`.
    ApiKey(&'a str),
}

/// Why a caller was not believed. The audit record says it all, the caller hears what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The headers are no credential at all.
    Malformed(&'static str),
    /// No such API key.
    UnknownKey,
    /// An API key of that name, after its time.
    ExpiredKey(CallerName),
    /// A token that must not be believed.
    #[cfg_attr(not(feature = "jwt"), expect(dead_code, reason = "tokens come with the feature `jwt`"))]
    Token(&'static str),
    /// A genuine token of that subject, after its time.
    #[cfg_attr(not(feature = "jwt"), expect(dead_code, reason = "tokens come with the feature `jwt`"))]
    ExpiredToken(CallerName),
}

impl<'a> Credential<'a> {
    /// The credential in the headers. A request that brings several is refused, because two servers on its way
    /// might each believe another one.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Option<Self>, Refusal> {
        let bearer = single(headers, &AUTHORIZATION)?.map(bearer).transpose()?;
        let key = single(headers, &X_API_KEY)?;
        let (text, credential) = match (bearer, key) {
            (None, None) => return Ok(None),
            (Some(text), None) => (text, Self::Bearer(text)),
            (None, Some(text)) => (text, Self::ApiKey(text)),
            (Some(_), Some(_)) => {
                return Err(Refusal::Malformed("there are both `Authorization` and `X-API-Key`; send one"));
            }
        };
        match text.len() {
            0 => Err(Refusal::Malformed("the credential is empty")),
            1..=LONGEST => Ok(Some(credential)),
            _ => Err(Refusal::Malformed("the credential is longer than 8 KiB")),
        }
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::Malformed("a header with credentials comes twice"));
    }
    let text = value.to_str().map_err(|_| Refusal::Malformed("the credential is not visible ASCII"))?;
    Ok(Some(text.trim_matches(' ')))
}

/// The credential of the bearer scheme, [RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1).
fn bearer(value: &str) -> Result<&str, Refusal> {
    match value.split_once(' ') {
        Some((scheme, text)) if scheme.eq_ignore_ascii_case("bearer") => Ok(text.trim_start_matches(' ')),
        _ => {
            Err(Refusal::Malformed("the header `Authorization` is not `Bearer`, a space, and a key or token"))
        }
    }
}

impl Refusal {
    /// The whole reason, for the audit record.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(reason) | Self::Token(reason) => reason,
            Self::UnknownKey => "the API key is unknown",
            Self::ExpiredKey(_) => "the API key is expired",
            Self::ExpiredToken(_) => "the token is expired",
        }
    }

    /// Whose credential it was, when that is certain.
    pub(super) fn owner(&self) -> Option<&CallerName> {
        match self {
            Self::ExpiredKey(name) | Self::ExpiredToken(name) => Some(name),
            Self::Malformed(_) | Self::UnknownKey | Self::Token(_) => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::unauthenticated(match refusal {
            Refusal::Malformed(reason) => reason,
            Refusal::UnknownKey | Refusal::ExpiredKey(_) => "the API key is unknown or expired",
            Refusal::Token(_) => "the token is not accepted",
            Refusal::ExpiredToken(_) => "the token is expired; get a new one",
        })
    }
}

/// Marks the values of the headers that carry credentials as [sensitive](http::HeaderValue::is_sensitive), so that
/// they are not shown in debug output and not kept in compression tables when they are sent on.
///
/// ```
/// use http::HeaderMap;
/// use mlops_serve::server::access::hide_credentials;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("x-api-key", "mlops_secret".parse().unwrap());
/// hide_credentials(&mut headers);
/// assert_eq!(format!("{headers:?}"), r#"{"x-api-key": Sensitive}"#);
/// ```
pub fn hide_credentials(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if [AUTHORIZATION, X_API_KEY].contains(name) {
            value.set_sensitive(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Result<Option<String>, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let credential = Credential::of(&map).map_err(|refusal| refusal.reason())?;
        Ok(credential.map(|credential| match credential {
            Credential::Bearer(text) => format!("bearer {text}"),
            Credential::ApiKey(text) => format!("key {text}"),
        }))
    }

    #[test]
    fn a_credential_is_found_in_either_header() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("authorization", "Bearer abc")]), Ok(Some("bearer abc".into())));
        assert_eq!(of(&[("authorization", "bEARER   abc ")]), Ok(Some("bearer abc".into())));
        assert_eq!(of(&[("x-api-key", "abc")]), Ok(Some("key abc".into())));
        assert_eq!(
            of(&[("x-api-key", &"a".repeat(LONGEST))]),
            Ok(Some(format!("key {}", "a".repeat(LONGEST))))
        );
    }

    #[test]
    fn what_is_no_single_credential_is_refused() {
        let long = format!("Bearer {}", "a".repeat(LONGEST + 1));
        let bad: [&[(&'static str, &str)]; 12] = [
            &[("authorization", "")],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer\tabc")],
            &[("authorization", "Basic YTpi")],
            &[("authorization", "abc")],
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            &[("authorization", "Bearer a"), ("x-api-key", "a")],
            &[("x-api-key", "a"), ("x-api-key", "b")],
            &[("x-api-key", "")],
            &[("x-api-key", "ключ")],
            &[("authorization", &long)],
        ];
        for headers in bad {
            assert!(of(headers).is_err(), "{headers:?}");
        }
    }
}
