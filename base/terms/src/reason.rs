//! Reason codes: each is one cause, written `UPPER_SNAKE`, never renamed, the same in an answer's
//! explanation, a header, a log line and a metric.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $code)] $variant,)* }

        impl $name {
            /// Every code of this list, in its stable order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as users see it.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.code())
            }
        }
    };
}

reasons! {
    /// Why a candidate was removed from a DNS decision.
    Removed {
        /// Service probes call it down.
        DownProbe = "DOWN_PROBE",
        /// Its node's own agent says so, or is silent.
        DownAgent = "DOWN_AGENT",
        /// An operator drains it.
        Drained = "DRAINED",
        /// It has not yet passed enough probes since it appeared.
        Warming = "WARMING",
        /// Its node runs an older configuration than the one in force.
        ConfigBehind = "CONFIG_BEHIND",
        /// Its node has purges to catch up with.
        PurgeBehind = "PURGE_BEHIND",
        /// Load above the policy's hard limit.
        LoadOverLimit = "LOAD_OVER_LIMIT",
        /// Packet loss above the policy's limit.
        LossOverLimit = "LOSS_OVER_LIMIT",
        /// Traffic above its configured bandwidth.
        BandwidthOverLimit = "BANDWIDTH_OVER_LIMIT",
        /// The last report is too old.
        MetricsStale = "METRICS_STALE",
        /// It answers, but with the wrong content.
        ContentCheckFailed = "CONTENT_CHECK_FAILED",
        /// Its certificate does not verify.
        CertInvalid = "CERT_INVALID",
        /// The site may not be served from its region.
        RegionNotAllowed = "REGION_NOT_ALLOWED",
        /// Dearer than the policy allows.
        CostOverLimit = "COST_OVER_LIMIT",
        /// It has no address of the family asked for.
        NoAddressOfFamily = "NO_ADDRESS_OF_FAMILY",
        /// It sheds load, and the hash of the client is among those that move.
        Shed = "SHED",
        /// Held back for flapping; its last probe was good.
        Damped = "DAMPED",
        /// An operator has taken it out of service.
        Disabled = "DISABLED",
        /// Outside the hours at which it serves.
        ScheduleClosed = "SCHEDULE_CLOSED",
        /// It cannot do what the site asks for.
        CapabilityMissing = "CAPABILITY_MISSING",
        /// The share of it that is ours is used up.
        ReserveSpent = "RESERVE_SPENT",
        /// A backup: only where nothing else is well.
        Standby = "STANDBY",
    }
}

reasons! {
    /// Why the answer names what it names.
    Because {
        /// The lowest score.
        BestScore = "BEST_SCORE",
        /// Within the tie band of the lowest score, and the hash of the client chose it.
        TieWithin = "TIE_WITHIN",
        /// The client was bound to it before.
        Persisted = "PERSISTED",
        /// Nothing else was left.
        OnlyCandidate = "ONLY_CANDIDATE",
        /// The configuration pins it.
        Pinned = "PINNED",
        /// Nothing healthy: what answered last when it was well.
        FallbackLastGood = "FALLBACK_LAST_GOOD",
        /// Nothing healthy: whatever is not known to be down.
        FallbackAnyUp = "FALLBACK_ANY_UP",
        /// Nothing healthy: every addressable target.
        FallbackAll = "FALLBACK_ALL",
        /// The zone's own records.
        StaticRecord = "STATIC_RECORD",
        /// No target has an address of the family asked for: there is nothing to name.
        NoAddressOfFamily = "NO_ADDRESS_OF_FAMILY",
        /// The best one sheds load, and this is where its clients go.
        ShedTo = "SHED_TO",
        /// Nothing better: held back for flapping, but its last probe was good.
        FallbackDamped = "FALLBACK_DAMPED",
        /// Every healthy target sheds this client: there is more demand than room, and each gets
        /// a share by what it can carry.
        BrownOut = "BROWN_OUT",
        /// Nothing that the client's region sees as healthy: what the world sees as healthy.
        FallbackGlobal = "FALLBACK_GLOBAL",
        /// Nothing healthy: the site's backup.
        FallbackBackup = "FALLBACK_BACKUP",
        /// Nothing is left, and the policy asks for an answer without an address.
        LeftEmpty = "LEFT_EMPTY",
        /// Nothing is left, and the policy asks for no answer.
        LeftRefused = "LEFT_REFUSED",
    }
}

reasons! {
    /// Where a round-trip time is known from: the rung of the cold-start ladder.
    RttSource {
        /// Measured for this client unit.
        Measured = "MEASURED",
        /// From a neighbour in the announced prefix.
        SiblingPrefix = "SIBLING_PREFIX",
        /// The median of the client's network.
        AsnMedian = "ASN_MEDIAN",
        /// From the distance on the globe.
        GeoEstimate = "GEO_ESTIMATE",
        /// Unknown: the configured order decides.
        Default = "DEFAULT",
        /// The median of the client's network in the client's country.
        AsnCountryMedian = "ASN_COUNTRY_MEDIAN",
        /// Not known but supposed, by whoever asks "what if?".
        Assumed = "ASSUMED",
    }
}

reasons! {
    /// Why an answer lives as long as it does (steering model, section 8).
    TtlBecause {
        /// Everything that matters is well known: the longest time, less up to a tenth by client.
        Settled = "TTL_SETTLED",
        /// A distance that matters is not well known yet: the shortest time.
        Unsure = "TTL_UNSURE",
        /// A target sheds load, and clients have to follow: the shortest time.
        Shedding = "TTL_SHEDDING",
        /// A last resort is asked for again soon.
        LastResort = "TTL_LAST_RESORT",
        /// No longer than the client is bound.
        BindingEnds = "TTL_BINDING_ENDS",
    }
}

reasons! {
    /// Why an answer holds for as many clients as it says (RFC 7871 section 7.2.1).
    ScopeBecause {
        /// The client decided: it holds for the unit that was looked up.
        ByClient = "SCOPE_BY_CLIENT",
        /// The choice does not look at the client: it holds for everybody.
        SameForAll = "SCOPE_SAME_FOR_ALL",
        /// The query had no client subnet.
        NoSubnet = "SCOPE_NO_SUBNET",
        /// The policy does not let this resolver's client subnets count.
        SubnetIgnored = "SCOPE_SUBNET_IGNORED",
    }
}

reasons! {
    /// Why a request was or was not answered from a cache: the `detail` of `Cache-Status`.
    CacheReason {
        /// The method is not one that a cache answers.
        ReqMethod = "REQ_METHOD",
        /// The request has credentials and the response does not allow sharing.
        ReqAuthorization = "REQ_AUTHORIZATION",
        /// The client forbids storing.
        ReqNoStore = "REQ_NO_STORE",
        /// The client asks for validation.
        ReqNoCache = "REQ_NO_CACHE",
        /// The client asks for a part that is not stored.
        ReqRange = "REQ_RANGE",
        /// A rule of the site says bypass.
        RuleBypass = "RULE_BYPASS",
        /// The response forbids storing.
        RespNoStore = "RESP_NO_STORE",
        /// The response is for one user.
        RespPrivate = "RESP_PRIVATE",
        /// The response sets a cookie.
        RespSetCookie = "RESP_SET_COOKIE",
        /// `Vary: *`.
        RespVaryStar = "RESP_VARY_STAR",
        /// More variants than the site allows.
        RespVaryLimit = "RESP_VARY_LIMIT",
        /// The status is not one that may be stored.
        RespStatus = "RESP_STATUS",
        /// Neither the origin nor the site gives a lifetime.
        RespNoFreshness = "RESP_NO_FRESHNESS",
        /// Larger than the site or the tier allows.
        RespTooLarge = "RESP_TOO_LARGE",
        /// The body ended before its announced length.
        RespIncomplete = "RESP_INCOMPLETE",
        /// The origin failed.
        RespOriginError = "RESP_ORIGIN_ERROR",
        /// Fresh in memory.
        HitMemory = "HIT_MEMORY",
        /// Fresh on disk.
        HitDisk = "HIT_DISK",
        /// Stale, served while it is validated.
        StaleRevalidating = "STALE_REVALIDATING",
        /// Stale, served because the origin failed.
        StaleOnError = "STALE_ON_ERROR",
        /// Never asked for before.
        NeverSeen = "NEVER_SEEN",
        /// The URL is stored, but not for such a request.
        NewVariant = "NEW_VARIANT",
        /// Stored, no longer fresh.
        Expired = "EXPIRED",
        /// Removed by a purge.
        Purged = "PURGED",
        /// Removed to make room.
        Evicted = "EVICTED",
        /// Too rarely asked for to be kept.
        NotAdmitted = "NOT_ADMITTED",
        /// Not fetched: the site is served with TLS only.
        HttpsOnly = "HTTPS_ONLY",
        /// Not fetched: the site's rules keep it from this client or this page.
        AccessDenied = "ACCESS_DENIED",
        /// Not fetched: the client has asked more often than the site allows.
        RateLimited = "RATE_LIMITED",
        /// Not fetched: a browser asks whether a script may, and the site's rules say it.
        CorsPreflight = "CORS_PREFLIGHT",
    }
}

reasons! {
    /// Why stored content goes out in the coding in which it does.
    CodingReason {
        /// In a coding that was made here.
        Coded = "CODED",
        /// The client has it in a coding that is made here, and is told that it is good.
        Held = "CODING_HELD",
        /// The site's rules want none.
        RuleOff = "CODING_RULE_OFF",
        /// Only whole content of status 200 is coded.
        Status = "CODING_STATUS",
        /// It came in a coding.
        CodedByOrigin = "CODED_BY_ORIGIN",
        /// Its type is not one of those that the site's rules name.
        ContentType = "CODING_CONTENT_TYPE",
        /// A digest or a signature is of the octets as they came.
        Sealed = "CODING_SEALED",
        /// The response or the request forbids it.
        NoTransform = "CODING_NO_TRANSFORM",
        /// Smaller than is worth it.
        TooSmall = "CODING_TOO_SMALL",
        /// Larger than the site's rules allow.
        TooLarge = "CODING_TOO_LARGE",
        /// Ranges are of content as it came.
        Range = "CODING_RANGE",
        /// The client has it as it came, and is told that it is good.
        ClientHasIt = "CODING_CLIENT_HAS_IT",
        /// The client takes none of the site's codings, or likes it better as it came.
        NotAccepted = "CODING_NOT_ACCEPTED",
        /// Nobody has asked for it yet, it is still arriving, or too many were waiting to be made.
        NotYet = "CODING_NOT_YET",
        /// It is being made.
        InTheMaking = "CODING_IN_THE_MAKING",
        /// It was made, and spared too little, or found no room.
        NoGain = "CODING_NO_GAIN",
    }
}
