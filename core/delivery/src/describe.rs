//! A delivery in words, for whoever asks why.

use popnet_wire::delivery::Delivery;

/// What `delivery` asks for, in words.
#[must_use]
pub fn describe(delivery: &Delivery) -> String {
    let Delivery { https, hsts, allow, deny, referrers, rate, cors, request, response, compress } =
        delivery;
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
    says.extend(compress.as_ref().map(|compress| {
        let names: Vec<_> = compress.codings.iter().map(|coding| coding.name()).collect();
        format!("compressed as {}", names.join(", "))
    }));
    if says.is_empty() { "as it is".to_owned() } else { says.join(", ") }
}

#[cfg(test)]
mod tests {
    use popnet_wire::delivery::{Coding, Compression};

    use super::*;

    #[test]
    fn in_words() {
        assert_eq!(describe(&Delivery::default()), "as it is");
        let delivery = Delivery {
            https: true,
            rate: Some("50/s".parse().unwrap()),
            deny: vec!["192.0.2.0/24".parse().unwrap()],
            compress: Some(Compression {
                codings: vec![Coding::Br, Coding::Gzip],
                types: None,
                min: 256,
                max: 1 << 20,
            }),
            ..Delivery::default()
        };
        let says = "TLS only, 1 networks denied, 50/s a client, compressed as br, gzip";
        assert_eq!(describe(&delivery), says);
    }
}
