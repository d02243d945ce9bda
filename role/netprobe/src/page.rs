//! Serves the page that explains our packets to whoever looks our address up, by HTTP on the
//! sockets that `listen.page` names: whatever is asked, this is the answer.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use popnet_config::Held;
use popnet_config::network::Service as Port;
use popnet_http::body::Body;
use popnet_http::measure::Framing;
use popnet_http::server::{Client, Limits, Listener, Server, Service};
use popnet_runtime::{Context, StartError, bind};
use popnet_terms::NodeName;
use tokio::sync::watch;

/// A page for strangers: few come, and none needs much.
const LIMITS: Limits = Limits {
    connections: 64,
    handshake: Duration::from_secs(5),
    head: Duration::from_secs(5),
    stall: Duration::from_secs(5),
    head_octets: 16 << 10,
    fields: 64,
    drain: Duration::from_secs(1),
};

struct Page {
    node: NodeName,
    config: watch::Receiver<Arc<Held>>,
}

/// Serves the page where the configuration of the start wants it; what it says follows pushes.
pub(crate) fn serve(
    context: &Context,
    config: &watch::Receiver<Arc<Held>>,
) -> Result<Option<Server>, StartError> {
    let held = Arc::clone(&config.borrow());
    let node = held.network.node(&context.node);
    let sockets = node.map(|node| node.listens(Port::Page)).unwrap_or_default();
    if sockets.is_empty() {
        return Ok(None);
    }
    let mut listeners = Vec::new();
    for socket in sockets {
        listeners.push(Listener::Tcp(bind::tcp(socket, false)?));
    }
    let page = Arc::new(Page { node: context.node.clone(), config: config.clone() });
    let server = Server::start("page", vec![listeners], LIMITS, &page, &context.shutdown);
    Ok(Some(server.map_err(StartError::io("a thread for the page"))?))
}

impl Service for Page {
    async fn answer(self: Arc<Self>, client: Client, request: Request<Body>) -> Response<Body> {
        let framing = Framing::of(&request, client.draining);
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => {
                let held = Arc::clone(&self.config.borrow());
                let page = popnet_probe::page(&held.network, &self.node);
                let mut response = Response::new(Body::whole(page));
                let html = HeaderValue::from_static("text/html; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, html);
                response
            }
            _ => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                let allowed = HeaderValue::from_static("GET, HEAD");
                response.headers_mut().insert(header::ALLOW, allowed);
                response
            }
        };
        framing.settle(&mut response);
        response
    }
}
