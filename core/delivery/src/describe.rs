//! A delivery in words, for whoever asks why.

use popnet_wire::delivery::Delivery;

/// What `delivery` asks for, in words.
#[must_use]
pub fn describe(delivery: &Delivery) -> String {
    let Delivery { https, hsts, allow, deny, referrers, rate, cors, request, response } = delivery;
    let mut says = Vec::new();
    let count = |list: usize, what: &str| (list > 0).then(|| format!("{list} {what}"));
    says.extend(https.then(|| "TLS only".to_owned()));
    says.extend(hsts.map(|age| format!("HSTS for {} s", age.0)));
    says.extend(count(allow.len(), "networks allowed"));
    says.extend(count(deny.len(), "networks denied"));
    says.extend(count(referrers.len(), "hosts may embed"));
    says.extend(rate.map(|rate| format!("{rate} a client")));
    says.extend(cors.as_ref().map(|cors| format!("CORS for {}", cors.origins.join(", "))));
    says.extend(count(request.len(), "request fields changed"));
    says.extend(count(response.len(), "response fields changed"));
    if says.is_empty() { "as it is".to_owned() } else { says.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_words() {
        assert_eq!(describe(&Delivery::default()), "as it is");
        let delivery = Delivery {
            https: true,
            rate: Some("50/s".parse().unwrap()),
            deny: vec!["192.0.2.0/24".parse().unwrap()],
            ..Delivery::default()
        };
        assert_eq!(describe(&delivery), "TLS only, 1 networks denied, 50/s a client");
    }
}
