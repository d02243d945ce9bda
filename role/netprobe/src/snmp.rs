//! A machine's load by SNMP: the load average and the memory of the UCD tables, which Net-SNMP's
//! agent and those of most appliances with Linux serve.

use std::path::Path;

use popnet_config::network::SnmpRequest;
use popnet_probe::{Address, Gauges, Told};
use popnet_wire::probing::Cause;
use snmp2::v3::{Auth, AuthProtocol, Cipher, Security};
use snmp2::{AsyncSession, Error, Oid, Value};
use tokio::time::Instant;

use crate::attempt::secret;
use crate::connect::{Progress, Wrong, resolve, words_of};

/// laLoadInt.1 (UCD-SNMP-MIB): the load average of one minute in hundredths.
const AVERAGE: [u64; 11] = [1, 3, 6, 1, 4, 1, 2021, 10, 1, 5, 1];

/// memTotalReal, memAvailReal, memBuffer and memCached, in kilobytes.
const MEMORY: [[u64; 10]; 4] = [
    [1, 3, 6, 1, 4, 1, 2021, 4, 5, 0],
    [1, 3, 6, 1, 4, 1, 2021, 4, 6, 0],
    [1, 3, 6, 1, 4, 1, 2021, 4, 14, 0],
    [1, 3, 6, 1, 4, 1, 2021, 4, 15, 0],
];

/// Asks the agent at `at`.
pub(crate) async fn load(
    at: &Address,
    request: &SnmpRequest,
    base_dir: &Path,
    progress: &mut Progress,
) -> Result<Told, Wrong> {
    let found = resolve(at).await?;
    let to = *found.first().ok_or_else(|| Wrong::new(Cause::Refused, "name has no address"))?;
    let begun = Instant::now();
    let mut session = session(to, request, base_dir).await?;
    progress.phase("session", begun);
    let begun = Instant::now();
    let average = number(&mut session, &AVERAGE).await?.map(|hundredths| hundredths / 100.0);
    let mut memory = [None; 4];
    for (gauge, oid) in memory.iter_mut().zip(&MEMORY) {
        *gauge = number(&mut session, oid).await?;
    }
    progress.phase("values", begun);
    let [all, free, buffers, cached] = memory;
    let available = free.map(|free| free + buffers.unwrap_or(0.0) + cached.unwrap_or(0.0));
    let processors = request.processors.unwrap_or(1);
    let gauges = Gauges { average, processors, memory: all, available };
    Ok(Told { load: gauges.load(), ..Told::default() })
}

async fn session(
    to: std::net::SocketAddr,
    request: &SnmpRequest,
    base_dir: &Path,
) -> Result<AsyncSession, Wrong> {
    let lost = |error: std::io::Error| Wrong::new(Cause::Refused, words_of(&error));
    let mut octets = [0; 4];
    getrandom::fill(&mut octets).map_err(|_| Wrong::new(Cause::Protocol, "no random number"))?;
    // Positive and far from the end, since numbers are counted up.
    let first = i32::from_be_bytes(octets) & 0x3fff_ffff;
    if let Some(file) = &request.community_file {
        let community = secret(base_dir, file).await?;
        return AsyncSession::new_v2c(to, community.as_bytes(), first).await.map_err(lost);
    }
    let (Some(user), Some(file)) = (&request.user, &request.auth_file) else {
        return Err(Wrong::new(Cause::Protocol, "no community and no user"));
    };
    let password = secret(base_dir, file).await?;
    let mut security =
        Security::new(user.as_bytes(), password.as_bytes()).with_auth_protocol(AuthProtocol::Sha1);
    if let Some(file) = &request.privacy_file {
        let privacy_password = secret(base_dir, file).await?.into_bytes();
        security = security.with_auth(Auth::AuthPriv { cipher: Cipher::Aes128, privacy_password });
    }
    let mut session = AsyncSession::new_v3(to, first, security).await.map_err(lost)?;
    session.init().await.map_err(|error| broken(&error))?;
    Ok(session)
}

/// The number at `oid`; `None` when the agent has none there.
async fn number(session: &mut AsyncSession, oid: &[u64]) -> Result<Option<f64>, Wrong> {
    let oid = Oid::from(oid).map_err(|_| Wrong::new(Cause::Protocol, "no identifier"))?;
    // The clocks of a version 3 session may have to be told first: once more then.
    for _ in 0..2 {
        match session.get(&oid).await {
            Err(Error::AuthUpdated) => {}
            Err(error) => return Err(broken(&error)),
            Ok(mut reply) => {
                let value = reply.varbinds.next().map(|(_, value)| value);
                return Ok(value.and_then(|value| figure(&value)));
            }
        }
    }
    Err(Wrong::new(Cause::Protocol, "SNMP: the agent's clock moves on and on"))
}

/// What an agent tells of a machine fits 32 bits.
fn figure(value: &Value<'_>) -> Option<f64> {
    if let Value::Integer(number) = value {
        return i32::try_from(*number).ok().map(f64::from);
    }
    if let Value::Unsigned32(number) | Value::Counter32(number) = value {
        return Some(f64::from(*number));
    }
    None
}

fn broken(error: &Error) -> Wrong {
    if matches!(error, Error::Send | Error::Receive) {
        return Wrong::new(Cause::Refused, "connection refused");
    }
    Wrong::new(Cause::Protocol, format!("SNMP: {error}"))
}
