//! Streamed media: from the manifest to a segment, or some time of a stream that does not end
//! (P5).

use std::sync::Arc;
use std::time::Duration;

use popnet_config::network::StreamFormat;
use popnet_http::roots::Trust;
use popnet_probe::manifest::{self, Next};
use popnet_probe::{Answer, Attempt, HttpJob, Told};
use popnet_wire::probing::Cause;

use crate::connect::{Progress, Wrong};
use crate::http::{Flow, exchange};

/// Manifests that are followed.
const MANIFESTS_MAX: usize = 3;

/// What of a manifest is read.
const MANIFEST_MAX: usize = 1 << 20;

/// What of media is kept and searched.
const MEDIA_MAX: usize = 64 << 10;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) format: StreamFormat,
    pub(crate) tls: bool,
    pub(crate) host: &'a Arc<str>,
    pub(crate) path: &'a Arc<str>,
    pub(crate) listen: Duration,
}

/// Listens.
pub(crate) async fn listen(
    job: &Attempt,
    wish: &Wish<'_>,
    trust: &Trust,
    progress: &mut Progress,
) -> Result<Told, Wrong> {
    let mut path = wish.path.to_string();
    if wish.format == StreamFormat::Endless {
        let (answer, flow) = get(job, wish, &path, Some(wish.listen), trust, progress).await?;
        if flow.length == 0 {
            return Err(Wrong::new(Cause::Content, "no media comes"));
        }
        return Ok(told(answer, flow));
    }
    for _ in 0..MANIFESTS_MAX {
        let (answer, flow) = get(job, wish, &path, None, trust, progress).await?;
        if flow.length > MANIFEST_MAX {
            return Err(Wrong::new(Cause::Content, "the manifest is too long"));
        }
        let next = manifest::next(wish.format, &answer.content);
        match next.map_err(|words| Wrong::new(Cause::Content, words))? {
            Next::Manifest(reference) => path = follow(wish, &path, &reference)?,
            Next::Media(reference) => {
                let path = follow(wish, &path, &reference)?;
                let (answer, flow) = get(job, wish, &path, None, trust, progress).await?;
                return Ok(told(answer, flow));
            }
        }
    }
    Err(Wrong::new(Cause::Content, "manifests lead to manifests only"))
}

fn told(answer: Answer, flow: Flow) -> Told {
    let bits = u128::try_from(flow.length).unwrap_or(0) * 8;
    // What came in no time at all came in a millisecond.
    let micros = flow.time.as_micros().max(1_000);
    let rate = u64::try_from(bits * 1_000_000 / micros).unwrap_or(u64::MAX);
    Told { code: answer.status, content: answer.content, rate: Some(rate), ..Told::default() }
}

/// Where `reference` leads on the probed server. Other servers are not asked: they are not what is
/// probed, and a manifest does not send our packets where it likes.
fn follow(wish: &Wish<'_>, path: &str, reference: &str) -> Result<String, Wrong> {
    let long = || Wrong::new(Cause::Content, "a reference is too long");
    let found = manifest::resolve(path, reference).ok_or_else(long)?;
    let scheme = if wish.tls { "https://" } else { "http://" };
    let inside = match found.strip_prefix(scheme).and_then(|rest| rest.strip_prefix(&**wish.host)) {
        Some(inside) if inside.starts_with('/') => inside.to_owned(),
        Some(_) | None => found,
    };
    if inside.contains("://") {
        let shown: String = inside.chars().take(60).collect();
        return Err(Wrong::new(Cause::Content, format!("media is elsewhere: {shown}")));
    }
    Ok(inside)
}

async fn get(
    job: &Attempt,
    wish: &Wish<'_>,
    path: &str,
    listen: Option<Duration>,
    trust: &Trust,
    progress: &mut Progress,
) -> Result<(Answer, Flow), Wrong> {
    let request = HttpJob {
        id: job.id,
        address: job.address.clone(),
        tls: wish.tls,
        method: "GET".into(),
        path: path.into(),
        host: wish.host.clone(),
        timeout: job.timeout,
        load_field: None,
        digest: None,
        keep: if listen.is_some() { MEDIA_MAX } else { MANIFEST_MAX },
        certificate_days: None,
    };
    let (answer, flow) = exchange(&request, trust, listen, progress).await?;
    if answer.status == 200 {
        return Ok((answer, flow));
    }
    let shown: String = path.chars().take(60).collect();
    Err(Wrong::new(Cause::Status, format!("status {} for {shown}", answer.status)))
}
