# popnet for the harness that compares name servers and caches; POPNET_BIN, POPNET_WORKERS and
# POPNET_SITES come from xtask.
have() { [ -x "${POPNET_BIN:-}" ]; }
version() { "$POPNET_BIN" --version; }
caps() { echo "wrr tls h2"; }
dns_start() {
  local i
  cat >popnet.toml <<T
[network]
name = "bench"
schema = 1
domain = "bench.test"
[pops.lab.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["127.0.0.1:$DNS_PORT"], probe = ["127.0.0.1:17602"], control = ["127.0.0.1:17601"] }
workers = { dns = ${POPNET_WORKERS:-1} }
[zones."$ZONE"]
file = "$ZFILE"
T
  if [ "$(basename "$ZFILE")" = small ] && [ "${POPNET_SITES:-1}" = 1 ]; then
    cat >>popnet.toml <<T
[customers.c]
[policies.shares]
preset = "weighted"
persist = { mode = "hash", by = "resolver" }
[origin_groups.app.servers]
a = { address = "192.0.2.1", weight = 10 }
b = { address = "192.0.2.2", weight = 20 }
c = { address = "192.0.2.3", weight = 30 }
T
    for i in $(seq -f %04g 1000); do
      printf '[sites."wrr%s.%s"]\ncustomer = "c"\nkind = "direct"\npolicy = "shares"\norigins = "app"\n' "$i" "$ZONE"
    done >>popnet.toml
  fi
  exec "$POPNET_BIN" run --config popnet.toml --node ns1.lab --state-dir "$RUN/state"
}
http_start() {
  cat >popnet.toml <<T
[network]
name = "bench"
schema = 1
domain = "bench.test"
[pops.lab.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["127.0.0.1"]
listen = { http = ["127.0.0.1:$HTTP_PORT"], https = ["127.0.0.1:$TLS_PORT"], store = ["127.0.0.1:17604"], control = ["127.0.0.1:17601"] }
workers = { http = ${POPNET_WORKERS:-1} }
memory = "$CACHE_MEM MiB"
disk = "$CACHE_DISK MiB"
[certificates.bench]
chain = "$CERT"
key = "$KEY"
[customers.c]
[origin_groups.app.servers]
local = { address = "127.0.0.1:$ORIGIN_PORT" }
[sites."*"]
customer = "c"
kind = "cached"
origins = "app"
tls = { certificate = "bench" }
T
  exec "$POPNET_BIN" run --config popnet.toml --node edge1.lab --state-dir "$RUN/state"
}
