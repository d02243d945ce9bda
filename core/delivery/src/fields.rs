//! What changes in the fields of requests and responses.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use popnet_wire::delivery::{Delivery, FieldChange};

use crate::cors;

/// Changes a request on its way to the origin.
pub fn change_request(delivery: &Delivery, fields: &mut HeaderMap) {
    change(&delivery.request, fields);
}

/// Changes a response on its way to the client; `origin` is the request's field of that name.
pub fn change_response(
    delivery: &Delivery,
    tls: bool,
    origin: Option<&HeaderValue>,
    fields: &mut HeaderMap,
) {
    if let Some(cors) = &delivery.cors {
        cors::give(cors, origin, fields);
    }
    // RFC 6797 7.2: never without TLS.
    if let Some(age) = delivery.hsts.filter(|_| tls)
        && let Ok(value) = HeaderValue::try_from(format!("max-age={}", age.0))
    {
        fields.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    change(&delivery.response, fields);
}

/// Whether requests of this kind are all judged alike and their responses changed alike, so that a
/// head can be kept ready.
#[must_use]
pub fn is_fixed(delivery: &Delivery, tls: bool) -> bool {
    let Delivery {
        https,
        hsts: _,
        allow,
        deny,
        referrers,
        rate,
        cors,
        request,
        response: _,
        // Which coding goes out is chosen apart from the delivery; each has a head of its own.
        compress: _,
    } = delivery;
    (tls || !https)
        && allow.is_empty()
        && deny.is_empty()
        && referrers.is_empty()
        && rate.is_none()
        && request.is_empty()
        && cors.as_ref().is_none_or(cors::is_same_for_all)
}

fn change(changes: &[FieldChange], fields: &mut HeaderMap) {
    for change in changes {
        // Both were checked with the configuration.
        let Ok(name) = HeaderName::try_from(&*change.name) else { continue };
        match change.value.as_deref().map(HeaderValue::from_str) {
            Some(Ok(value)) => {
                fields.insert(name, value);
            }
            Some(Err(_)) => {}
            None => {
                fields.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use popnet_terms::Seconds;

    use super::*;

    #[test]
    fn responses_are_changed() {
        let set =
            |name: &str, value: &str| FieldChange { name: name.into(), value: Some(value.into()) };
        let delivery = Delivery {
            hsts: Some(Seconds(3_600)),
            response: vec![
                set("x-frame-options", "DENY"),
                FieldChange { name: "server".into(), value: None },
            ],
            ..Delivery::default()
        };
        let mut before = HeaderMap::new();
        before.insert(header::SERVER, HeaderValue::from_static("origin/1"));
        before.append("x-frame-options", HeaderValue::from_static("ALLOW"));
        let mut fields = before.clone();
        change_response(&delivery, true, None, &mut fields);
        assert_eq!(fields[header::STRICT_TRANSPORT_SECURITY], "max-age=3600");
        assert_eq!(fields["x-frame-options"], "DENY");
        assert_eq!(fields.get(header::SERVER), None);
        change_response(&delivery, false, None, &mut before);
        assert_eq!(before.get(header::STRICT_TRANSPORT_SECURITY), None);
        assert!(is_fixed(&delivery, false) && is_fixed(&delivery, true));
        let https = Delivery { https: true, ..delivery };
        assert!(!is_fixed(&https, false) && is_fixed(&https, true));
    }
}
