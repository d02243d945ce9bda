//! The command line, once: parsing, help, man page and completions come from these types.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use popnet_dns::Rtype;
use popnet_terms::{CustomerId, NodeName, PopId};
use popnet_wire::control::Problem;

use crate::demo::{DIR, Plan};
use crate::output::{self, Style};

/// Your own content delivery network and global load balancer, in one program.
#[derive(Debug, Parser)]
#[command(name = "popnet", version, max_term_width = 100)]
#[command(after_help = "Try it: popnet demo   ·   why did X get Y: popnet explain --help")]
pub(crate) struct Arguments {
    /// One JSON object on standard output instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Which network: a context file or the folder of a demo (default: ./popnet-demo, else
    /// ~/.config/popnet/context.toml, else this node's own socket)
    #[arg(long, global = true, value_name = "PATH", env = "POPNET_CONTEXT")]
    pub(crate) context: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// How this call prints.
    pub(crate) fn style(&self) -> Style {
        Style { json: self.json }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A whole network on this machine: three POPs, origins, logs, a browser view
    Demo(DemoArguments),
    /// Run this node's roles in the foreground
    Run(RunArguments),
    /// One screen: how is the network? Exit 8 when something is wrong
    Status,
    /// The global configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Remove or expire content at every POP
    #[command(visible_alias = "flush")]
    Purge(PurgeArguments),
    /// Bring a folder to a hosted site: seen whole or not at all, and purged
    Publish(PublishArguments),
    /// Why did a resolver get a server, why is a URL not cached
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// Ask our name servers, with the reason of the answer
    Dig(DigArguments),
    /// Fetch a URL as a client of our network would
    Fetch(FetchArguments),
    /// Zone files and zones as they are served
    #[command(subcommand)]
    Zone(ZoneCommand),
    /// Name servers as a whole
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Keys that lie on this node
    #[command(subcommand)]
    Key(KeyCommand),
    /// Take over another name server's configuration
    #[command(subcommand)]
    Import(ImportCommand),
    /// Simulate a network with the real decisions; exit 8 when a figure misses its limit
    Simulate(SimulateArguments),
    /// Try a probe by hand
    #[command(subcommand)]
    Probe(ProbeCommand),
    /// People who may use NetView
    #[command(subcommand)]
    User(UserCommand),
    /// The network's own certificate authority
    #[command(subcommand)]
    Authority(AuthorityCommand),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    #[command(subcommand)]
    pub(crate) command: Option<DemoCommand>,
    /// Folder of the demo; nothing is written anywhere else
    #[arg(long, default_value = DIR, global = true)]
    pub(crate) dir: PathBuf,
    /// Loopback addresses to use, such as 127.7 for 127.7.0.0/16
    #[arg(long, default_value = "127.0", value_name = "127.N", global = true)]
    pub(crate) net: Plan,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DemoCommand {
    /// Start it (what `popnet demo` alone does)
    Up,
    /// Kill a POP's process the hard way
    Kill {
        /// iad1, fra1, nrt1, or ctl: master, logs and NetView
        pop: PopId,
    },
    /// Start a killed POP again
    Start {
        /// iad1, fra1, nrt1 or ctl
        pop: PopId,
    },
    /// Move a POP away by so many milliseconds
    Slow {
        /// iad1, fra1 or nrt1
        pop: PopId,
        /// Milliseconds, at most 10,000; 0 puts it back
        #[arg(value_parser = clap::value_parser!(u32).range(..=10_000))]
        ms: u32,
    },
    /// Pretend a POP's load, 0 to 1
    Load {
        /// iad1, fra1 or nrt1
        pop: PopId,
        /// 0 idle, 1 full
        #[arg(allow_negative_numbers = true)]
        load: f64,
    },
    /// Undo kill, slow and load
    Reset,
    /// Stop a demo that runs in another window
    Down,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// What is simulated: files as in examples/scenarios
    #[arg(required = true, value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<PathBuf>,
    /// Draw everything that happens by chance from this number (default: the scenario's)
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Draw what happened over time as SVG files in DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) plot: Option<PathBuf>,
    /// Write a page with all figures and drawings, report.md, and the drawings into DIR
    #[arg(long, value_name = "DIR", conflicts_with = "plot")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The configuration; without it the node is managed and DIR/node.toml says who it is
    #[arg(long, value_name = "FILE", requires = "node")]
    pub(crate) config: Option<PathBuf>,
    /// This node's name in it, NODE.POP
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) node: Option<NodeName>,
    /// Where the node keeps what it must not forget
    #[arg(long, value_name = "DIR", default_value = "/var/lib/popnet")]
    pub(crate) state_dir: PathBuf,
    /// Where a managed node's node.toml is (default: the state folder)
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Certificate folder of a node that runs from a file in a network of several nodes
    #[arg(long, value_name = "DIR", requires = "config")]
    pub(crate) identity: Option<PathBuf>,
    /// Run only this role (repeatable): a node can be several processes. `configd` is the
    /// configuration daemon, which otherwise always runs
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    /// Stop when standard input ends: for a parent that may die
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file; exit 8 when it has mistakes
    Validate {
        /// The file
        file: PathBuf,
    },
    /// Print the version in force, comments included
    Show {
        /// Another version
        #[arg(long)]
        version: Option<u64>,
    },
    /// Print the value at a path such as pops.fra1.cost
    Get {
        /// The path; quote keys with dots: 'sites."www.example.net".cache.max_ttl'
        path: String,
        /// Look into a file instead of the running network
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Change the value at a path in a file, comments kept
    Set {
        /// The path
        path: String,
        /// The value as in the file; quotes around a text may be left out
        value: String,
        /// The file
        #[arg(long, default_value = "popnet.toml")]
        file: PathBuf,
    },
    /// Remove the value at a path in a file
    Unset {
        /// The path
        path: String,
        /// The file
        #[arg(long, default_value = "popnet.toml")]
        file: PathBuf,
    },
    /// What a push of this file would change
    Plan {
        /// The file
        file: PathBuf,
    },
    /// Make this file the network's next version, on all nodes or none
    Push {
        /// The file
        file: PathBuf,
        /// Why, for the history
        #[arg(long, short)]
        message: Option<String>,
        /// Refuse when another version is in force
        #[arg(long, value_name = "N")]
        expect_version: Option<u64>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Versions, newest first
    History {
        /// Most versions shown
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Push an older version's content as the next version
    Rollback {
        /// The older version's number
        version: u64,
        #[command(flatten)]
        consent: Consent,
    },
    /// The JSON Schema of the configuration, for editors
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Stop after showing what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArguments {
    #[command(subcommand)]
    pub(crate) what: PurgeCommand,
    /// Make stale: the next request asks the origin whether it changed (the default)
    #[arg(long, global = true, conflicts_with = "hard")]
    pub(crate) soft: bool,
    /// Remove instead of making stale
    #[arg(long, global = true)]
    pub(crate) hard: bool,
    /// Whose content (found by the site when left out)
    #[arg(long, global = true)]
    pub(crate) customer: Option<CustomerId>,
    /// Do not ask
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// Stop after showing what would be done
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PublishArguments {
    /// The folder with all of the site's files
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The site
    pub(crate) site: String,
    /// Remove files of the site that are not in the folder
    #[arg(long)]
    pub(crate) delete: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Stop after showing what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PurgeCommand {
    /// One URL with all its variants
    Url {
        /// The URL, such as `http://static.acme.test/hello.txt`
        url: String,
    },
    /// Every URL that starts so, such as `http://static.acme.test/img/`
    Prefix {
        /// The beginning of the URLs
        url: String,
    },
    /// Everything with a tag (Surrogate-Key, Cache-Tag)
    Key {
        /// The tag
        key: String,
    },
    /// A whole site
    Site {
        /// The site's name
        site: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// Why would a resolver get this answer?
    Dns(ExplainDnsArguments),
    /// Why is a URL cached or not, tier by tier?
    Url {
        /// The URL
        url: String,
        /// At this POP (default: every POP)
        #[arg(long)]
        pop: Option<PopId>,
        /// A request field that matters, NAME:VALUE (repeatable)
        #[arg(long = "header", short = 'H', value_name = "NAME:VALUE")]
        headers: Vec<String>,
    },
    /// A decision of the past by its id, d-…
    Decision {
        /// The id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExplainDnsArguments {
    /// The name asked for
    pub(crate) name: String,
    /// Who asks
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) resolver: Option<IpAddr>,
    /// A city of the demo asks
    #[arg(long, value_name = "CITY", conflicts_with = "resolver")]
    pub(crate) from: Option<String>,
    /// With this client subnet (RFC 7871)
    #[arg(long)]
    pub(crate) subnet: Option<IpNet>,
    /// Record type
    #[arg(long, default_value = "A", value_parser = record_type)]
    pub(crate) r#type: Rtype,
    /// Ask this name server (default: the first that answers)
    #[arg(long, value_name = "NODE.POP")]
    pub(crate) ns: Option<NodeName>,
    /// What if a target were otherwise: =down, =up, =drain, =unbound, or .load=, .shed=, .loss=,
    /// .cost=, .rtt= after its name, such as fra1.load=0.9 (repeatable)
    #[arg(long, value_name = "TARGET=STATE")]
    pub(crate) assume: Vec<String>,
    /// At this moment of the past: 2026-11-22T03:07:00Z, 03:07 (UTC), or 5m (so long ago)
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Under another configuration: the number of a version, or a file
    #[arg(long, value_name = "VERSION|FILE")]
    pub(crate) config: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DigArguments {
    /// The name
    pub(crate) name: String,
    /// Record type
    #[arg(long, default_value = "A", value_parser = record_type)]
    pub(crate) r#type: Rtype,
    /// Ask as this city of the demo would
    #[arg(long, value_name = "CITY")]
    pub(crate) from: Option<String>,
    /// Send this client subnet (RFC 7871)
    #[arg(long)]
    pub(crate) subnet: Option<IpNet>,
}

#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// The URL
    pub(crate) url: String,
    /// As this city of the demo would
    #[arg(long, value_name = "CITY")]
    pub(crate) from: Option<String>,
    /// Again every second until interrupted; with --json one object a line
    #[arg(long)]
    pub(crate) watch: bool,
    /// So many times, one a second; with --json all in one object
    #[arg(long, default_value_t = 1, conflicts_with = "watch")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) repeat: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProbeCommand {
    /// One attempt from here, with each phase's time; exit 8 when it fails
    Run(ProbeRunArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ProbeRunArguments {
    /// http, tcp, ftp, dns, stream, icmp, command, metrics, snmp or latency
    pub(crate) kind: String,
    /// HOST or HOST:PORT
    pub(crate) target: String,
    /// Path of a page, a file or a stream
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// Over TLS
    #[arg(long)]
    pub(crate) tls: bool,
    /// A key of a probe as in the configuration, such as expect.body_contains=ok (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) with: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a person; the password is read from standard input
    Add {
        /// What the person is called at login
        name: String,
        /// owner, operator, observer, customer-admin, customer-viewer or customer-billing
        #[arg(long, default_value = "observer")]
        role: String,
        /// Whose: for the customer- roles
        #[arg(long)]
        customer: Option<CustomerId>,
        #[command(flatten)]
        place: NetviewPlace,
    },
    /// A new password, read from standard input
    Reset {
        /// Who
        name: String,
        #[command(flatten)]
        place: NetviewPlace,
    },
    /// A link that logs in once, within an hour
    Once {
        /// Who
        name: String,
        #[command(flatten)]
        place: NetviewPlace,
    },
}

/// Where NetView keeps its people.
#[derive(Debug, Args)]
pub(crate) struct NetviewPlace {
    /// State folder of the node that runs NetView (default: the context's)
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthorityCommand {
    /// Make the authority of a new network
    Create {
        /// Folder for its certificate and key; keep it off the nodes
        dir: PathBuf,
        /// The network's name
        #[arg(long)]
        network: String,
    },
    /// Issue a node's certificate
    Issue {
        /// Folder of the authority
        dir: PathBuf,
        /// Name in the certificate: NODE.POP.DOMAIN
        #[arg(long)]
        hostname: String,
        /// Folder for the node's certificate and key
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Keys for zone transfers and updates (TSIG)
    #[command(subcommand)]
    Tsig(TsigCommand),
}

/// How a key for transfers and updates signs.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum TsigAlgorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TsigCommand {
    /// Make a key; its secret is in its file and nowhere else
    Create {
        /// What the key is called in messages, here and at the peer
        name: String,
        /// How it signs
        #[arg(long, value_enum, default_value = "hmac-sha256")]
        algorithm: TsigAlgorithm,
        /// State folder of the node
        #[arg(long, value_name = "DIR", default_value = "/var/lib/popnet")]
        state_dir: PathBuf,
    },
    /// The keys of this node, without their secrets; exit 8 when one cannot be used
    List {
        /// State folder of the node
        #[arg(long, value_name = "DIR", default_value = "/var/lib/popnet")]
        state_dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ZoneCommand {
    /// Check a zone file, all mistakes at their places; exit 8 when it has any
    Check {
        /// The file
        file: PathBuf,
        /// The zone (default: the file's name without .zone or db.)
        #[arg(long, value_name = "ZONE")]
        name: Option<String>,
    },
    /// Show a zone, one of its names, or records of one type, from a running node or a file
    Show(ZoneShowArguments),
    /// Sign a zone file without a running node; signatures in OUT that still hold are kept
    Sign(ZoneSignArguments),
    /// The keys that a zone is signed with, and the DS records for its parent
    Keys(ZoneKeysArguments),
    /// How a zone stands at each name server: serial number, where from, when it is looked for
    Status(ZoneOrderArguments),
    /// Ask a secondary zone's primaries now, and wait for what comes of it
    Transfer(ZoneOrderArguments),
    /// Tell a zone's secondaries now, whatever they were told before
    Notify(ZoneOrderArguments),
    /// Take no updates of a zone until it is thawed, also after a restart
    Freeze(ZoneOrderArguments),
    /// Take updates of a frozen zone again
    Thaw(ZoneOrderArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// What name servers have counted since they started: questions, answers, what was dropped
    Stats {
        /// Only this name server (default: each)
        #[arg(long, value_name = "NODE.POP")]
        ns: Option<NodeName>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ZoneOrderArguments {
    /// The zone
    #[arg(value_name = "ZONE")]
    pub(crate) zone: String,
    /// Only at this name server (default: at each)
    #[arg(long, value_name = "NODE.POP")]
    pub(crate) ns: Option<NodeName>,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum KeyAlgorithm {
    Ecdsap256sha256,
    Ed25519,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum KeyRole {
    /// Everything
    Csk,
    /// The keys; the parent names it
    Ksk,
    /// The records
    Zsk,
}

#[derive(Debug, Args)]
pub(crate) struct ZoneSignArguments {
    /// The zone file
    pub(crate) file: PathBuf,
    /// Folder of the zone's keys, in BIND's format; made when there are none
    #[arg(long, value_name = "DIR")]
    pub(crate) key_dir: PathBuf,
    /// The zone (default: the file's name without .zone or db.)
    #[arg(long, value_name = "ZONE")]
    pub(crate) name: Option<String>,
    /// Write the signed zone here (default: standard output)
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// How new keys sign (default: ecdsap256sha256)
    #[arg(long, value_enum)]
    pub(crate) algorithm: Option<KeyAlgorithm>,
    /// Prove absence by NSEC3 instead of NSEC
    #[arg(long)]
    pub(crate) nsec3: bool,
    /// One new key for everything instead of two
    #[arg(long)]
    pub(crate) single_key: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ZoneKeysArguments {
    /// The zone
    pub(crate) zone: String,
    /// Folder of the zone's keys (default: keys/dnssec/ZONE in the state folder)
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// State folder of the node
    #[arg(long, value_name = "DIR", default_value = "/var/lib/popnet", conflicts_with = "dir")]
    pub(crate) state_dir: PathBuf,
    /// Make keys when there are none: for zones that several name servers sign
    #[arg(long)]
    pub(crate) create: bool,
    /// How new keys sign (default: ecdsap256sha256)
    #[arg(long, value_enum, requires = "create")]
    pub(crate) algorithm: Option<KeyAlgorithm>,
    /// Make one key for everything instead of two
    #[arg(long, requires = "create")]
    pub(crate) single_key: bool,
    /// Begin the change of a key now; the node carries it through
    #[arg(long, value_enum, value_name = "ROLE")]
    pub(crate) roll: Option<KeyRole>,
}

#[derive(Debug, Args)]
pub(crate) struct ZoneShowArguments {
    /// The zone
    pub(crate) zone: String,
    /// A name in it: www, www.example.test, @ for the top
    pub(crate) name: Option<String>,
    /// Record type
    #[arg(value_parser = record_type)]
    pub(crate) r#type: Option<Rtype>,
    /// Look into a zone file instead of asking a server
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// Ask this server (default: the network's first name server)
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "file")]
    pub(crate) server: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// BIND's named.conf; exit 8 when something in it needs a person
    Bind(ImportBindArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ImportBindArguments {
    /// The named.conf; what it includes is read, too
    pub(crate) file: PathBuf,
    /// Write the configuration here and print the report (default: print the configuration)
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Write keys as files into this folder: STATE_DIR/keys/tsig on a node
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// The network's short name
    #[arg(long, default_value = "imported")]
    pub(crate) network: String,
    /// The network's own zone, in which nodes have their names
    #[arg(long, default_value = "popnet.internal")]
    pub(crate) domain: String,
    /// An address of the machine (repeatable; default: those that named.conf names)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Vec<IpAddr>,
}

fn record_type(text: &str) -> Result<Rtype, String> {
    text.to_ascii_uppercase().parse().map_err(|_| "write A, AAAA, TXT, SRV … or TYPE65".to_owned())
}

/// Prints what the parser refused (or help and version, which are no errors).
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    // The parser gave up, so nobody has read this flag yet.
    let json = std::env::args_os().any(|argument| argument == "--json");
    if !error.use_stderr() {
        if json && error.kind() == ErrorKind::DisplayVersion {
            let version = env!("CARGO_PKG_VERSION");
            output::print_json("version/v1", &serde_json::json!({ "version": version }));
            return ExitCode::SUCCESS;
        }
        // A broken pipe while printing help is the reader's choice.
        drop(error.print());
        return ExitCode::SUCCESS;
    }
    if json {
        let text = error.to_string();
        let what = text.trim_start_matches("error: ").trim_end();
        let problem = Problem::new("U0000", what, "popnet --help").with_exit(2);
        output::complain(&problem, Style { json });
    } else {
        drop(error.print());
    }
    ExitCode::from(2)
}
