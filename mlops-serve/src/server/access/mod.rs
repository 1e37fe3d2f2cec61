//! Who may call the server, and what each caller may do.
//!
//! A request passes three questions, each microseconds at most:
//!
//! 1. [`authenticate`](Access::authenticate): who is it? By an API key ([`ApiKeys`]), a JSON Web Token (`Jwt`, with
//!    the feature `jwt`), the certificate of the TLS connection, or nobody knows.
//! 2. [`admit`](Access::admit): does this client send too much?
//! 3. [`authorize`](Access::authorize): may it do this [`Verb`] to this model? Callers have [`Scopes`].
//!
//! What is not allowed is refused: [`Verb::Admin`] is off unless switched on, and once there is a way to tell
//! callers apart, those who do not say who they are may do nothing unless it is granted to them.
//!
//! # Audit
//! Every failed authentication and every use of [`Verb::Admin`], allowed or refused, is a
//! [`tracing`](https://docs.rs/tracing) event with the target `mlops::audit` and the fields `caller`, `method`, `verb`,
//! `model`, `peer`, `outcome` and `reason`. Text that a caller chose is escaped, and secrets are not in it.

mod api_key;
mod api_keys;
pub(super) mod audit;
mod caller;
mod credential;
#[cfg(feature = "jwt")]
mod jwt;
mod rate;
mod scope;

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use mlops_core::{Clock, Error, Result, SystemClock};

use self::caller::CallerName;
use self::credential::{Credential, Refusal};
use self::rate::{Client, Limiter};

pub use self::api_key::{ApiKey, KeyHash};
pub use self::api_keys::ApiKeys;
pub use self::caller::{Caller, Method, Peer, PeerCertificate};
pub use self::credential::hide_credentials;
#[cfg(feature = "jwt")]
#[cfg_attr(docsrs, doc(cfg(feature = "jwt")))]
pub use self::jwt::{Jwt, TokenRules};
pub use self::rate::{Rate, RateExceeded};
pub use self::scope::{Scope, Scopes, Verb};

/// The policy of a server. Cheap to clone; clones share their counts of requests.
///
/// ```no_run
/// use mlops_serve::server::access::{Access, ApiKeys, Peer, Rate, Verb};
///
/// let access = Access::closed()
///     .with_api_keys(ApiKeys::open("keys.toml")?)
///     .with_rate(Rate::new(50, 200)?)
///     .with_admin();
///
/// # let (headers, peer) = (http::HeaderMap::new(), Peer::unknown());
/// // For each request:
/// let caller = access.authenticate(&headers, &peer)?;
/// access.admit(&caller)?;
/// access.authorize(&caller, Verb::Infer, Some("fraud"))?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Access {
    policy: Arc<Policy>,
}

#[derive(Debug, Clone)]
struct Policy {
    /// What everybody may do while there is no way to tell callers apart.
    open: Scopes,
    anonymous: Option<Scopes>,
    api_keys: Option<Arc<ApiKeys>>,
    #[cfg(feature = "jwt")]
    jwt: Option<Arc<Jwt>>,
    certificates: HashMap<Arc<str>, (CallerName, Scopes)>,
    limiter: Option<Arc<Limiter>>,
    admin: bool,
    clock: Arc<dyn Clock>,
}

impl Access {
    /// Nobody is asked who they are, and everybody may infer, inspect and read metrics. [`Verb::Admin`] is
    /// refused. This ends as soon as there is a way to tell callers apart, unless
    /// [`with_anonymous`](Self::with_anonymous) says otherwise.
    #[must_use]
    pub fn open() -> Self {
        let open = [Verb::Infer, Verb::Inspect, Verb::Metrics].map(Scope::all).into_iter().collect();
        Self::closed().with(|policy| policy.open = open)
    }

    /// Nobody may do anything, until there is a way to tell callers apart.
    #[must_use]
    pub fn closed() -> Self {
        Self { policy: Arc::new(Policy::closed()) }
    }

    /// Takes API keys, as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
    #[must_use]
    pub fn with_api_keys(self, keys: ApiKeys) -> Self {
        self.with(|policy| policy.api_keys = Some(Arc::new(keys)))
    }

    /// Takes JSON Web Tokens, as `Authorization: Bearer TOKEN`. What has two dots is a token, everything else
    /// an API key.
    #[cfg(feature = "jwt")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwt")))]
    #[must_use]
    pub fn with_jwt(self, jwt: Jwt) -> Self {
        self.with(|policy| policy.jwt = Some(Arc::new(jwt)))
    }

    /// Takes callers by the names in the certificates of their TLS connections, where the headers bring no
    /// credential. Names are compared as they are; of several in one certificate the first that is known here
    /// counts.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a name that is empty, longer than 256 bytes, or has control characters.
    pub fn with_certificates<'a>(self, names: impl IntoIterator<Item = (&'a str, Scopes)>) -> Result<Self> {
        let certificates = names
            .into_iter()
            .map(|(name, scopes)| Ok((name.into(), (CallerName::new(name)?, scopes))))
            .collect::<Result<HashMap<_, _>>>()?;
        Ok(self.with(|policy| policy.certificates.extend(certificates)))
    }

    /// What callers may do who do not say who they are. A wrong credential is never taken for none.
    #[must_use]
    pub fn with_anonymous(self, scopes: Scopes) -> Self {
        self.with(|policy| policy.anonymous = Some(scopes))
    }

    /// Limits how many requests each client may send. A client is a known caller, or else an address. Failed
    /// authentications count for the address they come from.
    #[must_use]
    pub fn with_rate(self, rate: Rate) -> Self {
        self.with(|policy| policy.limiter = Some(Arc::new(Limiter::new(rate, Arc::clone(&policy.clock)))))
    }

    /// Switches [`Verb::Admin`] on, for callers whose scopes name it.
    #[must_use]
    pub fn with_admin(self) -> Self {
        self.with(|policy| policy.admin = true)
    }

    /// Sets where the time comes from that expires keys and tokens, and counts requests.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with(|policy| {
            policy.clock = Arc::new(clock);
            let rate = policy.limiter.as_ref().map(|limiter| limiter.rate());
            policy.limiter = rate.map(|rate| Arc::new(Limiter::new(rate, Arc::clone(&policy.clock))));
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(Arc::make_mut(&mut self.policy));
        self
    }

    /// Says who sends a request, by its headers (of gRPC: its metadata) and the connection it came on.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a credential that is malformed, unknown or expired, and for more than one;
    /// [`Error::Overloaded`] when too many of them came from one address.
    pub fn authenticate(&self, headers: &HeaderMap, peer: &Peer) -> Result<Caller> {
        match self.policy.identify(headers, peer) {
            Ok(caller) => Ok(caller.at(peer.address())),
            Err(refusal) => {
                if let Some(limiter) = &self.policy.limiter {
                    limiter.admit(&Client::at(peer.address().map(|address| address.ip())))?;
                }
                audit::not_believed(refusal.owner(), peer.address(), refusal.reason());
                Err(refusal.into())
            }
        }
    }

    /// Says whether the caller may do this to the model of that name or, without a name, to the server as a
    /// whole.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it may not and has not said who it is; [`Error::PermissionDenied`] when it
    /// is known and may not, and for [`Verb::Admin`] when that is off.
    pub fn authorize(&self, caller: &Caller, verb: Verb, model: Option<&str>) -> Result<()> {
        let off = verb == Verb::Admin && !self.policy.admin;
        let allowed = !off && caller.scopes().allow(verb, model);
        if verb == Verb::Admin {
            audit::administration(caller, model, allowed);
        }
        if allowed {
            return Ok(());
        }
        if off {
            return Err(Error::permission_denied("administration is switched off on this server"));
        }
        if caller.is_anonymous() {
            let what =
                format!("{verb} needs a credential; send `Authorization: Bearer` and your key or token");
            return Err(Error::unauthenticated(what));
        }
        let caller = caller.name().escape_debug();
        Err(Error::permission_denied(match model {
            Some(model) => {
                let shown: String = model.chars().take(128).collect();
                format!("`{caller}` has no scope `{verb}` for the model `{}`", shown.escape_debug())
            }
            None => format!("`{caller}` has no scope `{verb}:*`"),
        }))
    }

    /// Counts one request of the caller.
    ///
    /// # Errors
    /// [`RateExceeded`], which says when to try again, and is [`Error::Overloaded`] by `?`.
    pub fn admit(&self, caller: &Caller) -> Result<(), RateExceeded> {
        self.policy.limiter.as_ref().map_or(Ok(()), |limiter| limiter.admit(&Client::of(caller)))
    }
}

impl Policy {
    fn closed() -> Self {
        Self {
            open: Scopes::none(),
            anonymous: None,
            api_keys: None,
            #[cfg(feature = "jwt")]
            jwt: None,
            certificates: HashMap::new(),
            limiter: None,
            admin: false,
            clock: Arc::new(SystemClock),
        }
    }

    fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<Caller, Refusal> {
        if self.takes_credentials()
            && let Some(credential) = Credential::of(headers)?
        {
            return self.caller_with(credential);
        }
        let names = peer.certificate().into_iter().flat_map(PeerCertificate::names);
        if let Some((name, scopes)) = names.filter_map(|name| self.certificates.get(name)).next() {
            return Ok(Caller::known(Method::Certificate, name.clone(), scopes.clone()));
        }
        Ok(self.anonymous_caller())
    }

    fn caller_with(&self, credential: Credential<'_>) -> Result<Caller, Refusal> {
        let clock = &*self.clock;
        let text = match credential {
            #[cfg(feature = "jwt")]
            Credential::Bearer(token) if token.split('.').count() == 3 => match &self.jwt {
                Some(jwt) => return jwt.caller(token, clock),
                None => token,
            },
            Credential::Bearer(key) | Credential::ApiKey(key) => key,
        };
        match &self.api_keys {
            Some(keys) => keys.caller(text, clock),
            None => Err(Refusal::UnknownKey),
        }
    }

    fn takes_credentials(&self) -> bool {
        #[cfg(feature = "jwt")]
        let jwt = self.jwt.is_some();
        #[cfg(not(feature = "jwt"))]
        let jwt = false;
        self.api_keys.is_some() || jwt
    }

    fn anonymous_caller(&self) -> Caller {
        let tells_apart = self.takes_credentials() || !self.certificates.is_empty();
        let scopes = match &self.anonymous {
            Some(scopes) => scopes.clone(),
            None if tells_apart => Scopes::none(),
            None => self.open.clone(),
        };
        Caller::anonymous().with_scopes(scopes)
    }
}
