//! Where an MLflow server is.

use mlops_core::{Error, Result};
use url::Url;

/// The address in a URL: `mlflow+http://host:5000`, `mlflow+https://host/mlflow`, or the same without `mlflow+`.
/// It ends with a slash.
pub(crate) fn parse(url: &str) -> Result<Url> {
    let refused = |why: String| {
        Err(Error::invalid_input(format!(
            "the address of the MLflow server {why}; expected `mlflow+http://host:port` or `mlflow+https://host:port`"
        )))
    };
    let Ok(mut address) = Url::parse(url.strip_prefix("mlflow+").unwrap_or(url)) else {
        return refused("is no URL".to_owned());
    };
    if !address.username().is_empty() || address.password().is_some() {
        // Addresses end up in logs. So this one is not shown, either.
        return refused("holds credentials, which belong into `with_basic_auth` or `with_token`".to_owned());
    }
    if !matches!(address.scheme(), "http" | "https") || !address.has_host() {
        return refused(format!("is of the scheme `{}`", address.scheme()));
    }
    if address.query().is_some() || address.fragment().is_some() {
        return refused("holds `?` or `#`".to_owned());
    }
    if !address.path().ends_with('/') {
        let path = format!("{}/", address.path());
        address.set_path(&path);
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_secrets_not_shown() {
        for (url, expected) in [
            ("mlflow+http://host:5000", "http://host:5000/"),
            ("mlflow+https://host/a/b", "https://host/a/b/"),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000/"),
            ("https://host", "https://host/"),
        ] {
            assert_eq!(parse(url).unwrap().as_str(), expected);
        }
        for url in
            ["", "host:5000", "mlflow://host", "file:///mlruns", "http://", "http://host?x", "http://host#x"]
        {
            assert_eq!(parse(url).unwrap_err().label(), "invalid_input", "{url}");
        }
        let error = parse("https://user:hunter2@host").unwrap_err().to_string();
        assert!(error.contains("with_basic_auth") && !error.contains("hunter2"), "{error}");
    }
}
