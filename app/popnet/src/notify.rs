//! Tells a service manager that this process is ready: the `NOTIFY_SOCKET` protocol of
//! `sd_notify(3)`, which the demo uses for its own children too.

use std::os::unix::net::UnixDatagram;

/// Says `READY=1` and `status` to whoever started us, if it wants to know.
pub(crate) fn ready(status: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let message = format!("READY=1\nSTATUS={status}\n");
    let told = UnixDatagram::unbound().and_then(|s| s.send_to(message.as_bytes(), &path));
    if let Err(error) = told {
        tracing::warn!(path = %path.display(), %error, "cannot tell the service manager");
    }
}
