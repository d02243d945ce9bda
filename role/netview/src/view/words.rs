//! Reason codes in plain words, for the reader who sees one for the first time.

use popnet_terms::{Because, Removed, RttSource};

/// Why a candidate was removed.
pub(crate) fn removed(reason: Removed) -> &'static str {
    match reason {
        Removed::DownProbe => "service probes call it down",
        Removed::DownAgent => "its own node says it is down, or is silent",
        Removed::Drained => "an operator drains it",
        Removed::Warming => "new; it has not passed enough probes yet",
        Removed::ConfigBehind => "runs an older configuration",
        Removed::PurgeBehind => "has purges to catch up with",
        Removed::LoadOverLimit => "load above the policy's hard limit",
        Removed::LossOverLimit => "packet loss above the policy's limit",
        Removed::BandwidthOverLimit => "traffic above its bandwidth",
        Removed::MetricsStale => "its last report is too old",
        Removed::ContentCheckFailed => "answers, but with the wrong content",
        Removed::CertInvalid => "its certificate does not verify",
        Removed::RegionNotAllowed => "the site may not be served from its region",
        Removed::CostOverLimit => "dearer than the policy allows",
        Removed::NoAddressOfFamily => "has no address of the family asked for",
        Removed::Shed => "sheds load; this client is among those that move",
        Removed::Damped => "held back for flapping; its last probe was good",
        Removed::Disabled => "taken out of service by an operator",
        Removed::ScheduleClosed => "outside the hours at which it serves",
        Removed::CapabilityMissing => "cannot do what the site asks for",
        Removed::ReserveSpent => "the share of it that is ours is used up",
        Removed::Standby => "a backup: only where nothing else is well",
    }
}

/// Why the answer names what it names.
pub(crate) fn because(reason: Because) -> &'static str {
    match reason {
        Because::BestScore => "lowest score",
        Because::TieWithin => "as good as the best; the client's hash chose",
        Because::Persisted => "the client was bound to it before",
        Because::OnlyCandidate => "nothing else was left",
        Because::Pinned => "the configuration pins it",
        Because::FallbackLastGood => "nothing healthy: what was last well",
        Because::FallbackAnyUp => "nothing healthy: what is not known to be down",
        Because::FallbackAll => "nothing healthy: every address",
        Because::StaticRecord => "the zone's own records",
        Because::NoAddressOfFamily => "no target has an address of the family asked for",
        Because::ShedTo => "the best one sheds load, and this is where its clients go",
        Because::FallbackDamped => "nothing better; held back for flapping, last probe good",
        Because::BrownOut => "more demand than room: shares by capacity",
        Because::FallbackGlobal => "nothing healthy for its region: what the world sees as healthy",
        Because::FallbackBackup => "nothing healthy: the site's backup",
        Because::LeftEmpty => "nothing is left; the policy says: no address",
        Because::LeftRefused => "nothing is left; the policy says: no answer",
    }
}

/// Where a round-trip time is known from.
pub(crate) fn rtt(source: RttSource) -> &'static str {
    match source {
        RttSource::Measured => "measured",
        RttSource::SiblingPrefix => "from a neighbouring network",
        RttSource::AsnMedian => "median of the client's provider",
        RttSource::AsnCountryMedian => "median of the client's provider in its country",
        RttSource::GeoEstimate => "guessed from the distance",
        RttSource::Default => "unknown",
        RttSource::Assumed => "assumed",
    }
}

/// A record type's name.
pub(crate) fn qtype(number: u16) -> String {
    match number {
        1 => "A".to_owned(),
        2 => "NS".to_owned(),
        5 => "CNAME".to_owned(),
        6 => "SOA".to_owned(),
        16 => "TXT".to_owned(),
        28 => "AAAA".to_owned(),
        33 => "SRV".to_owned(),
        65 => "HTTPS".to_owned(),
        other => format!("TYPE{other}"),
    }
}
