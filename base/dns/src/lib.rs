//! DNS as values: questions read in place, answers written into a buffer, zone files, and what a
//! stub client needs. Thin over the `domain` crate where speed does not matter.
//!
//! - [`Query`]: one question with its EDNS, or the right refusal for what is not one.
//! - [`Writer`]: a response, with compression (RFC 1035 4.1.4), size limit and EDNS.
//! - [`Stencil`]: a record compressed once for many responses.
//! - [`scan_zone`], [`read_zone`]: a zone file, with the place of each mistake.
//! - [`build_query`] and [`Response`]: the other side of the conversation.
//! - [`Dnstap`] and [`Control`]: copies of both sides for programs that watch.
//!
//! Nothing here opens a socket or decides what the answer is.

mod dnstap;
mod edns;
mod frames;
mod name;
mod nsec;
mod nsec3;
mod query;
mod response;
mod stencil;
mod ttl;
mod writer;
mod zonefile;

pub use dnstap::{Dnstap, TapKind, TapProtocol};
pub use domain::base::iana::{Class, Opcode, OptRcode as Rcode, Rtype};
pub use edns::{ClientSubnet, Cookie, Edns, EdnsReply, Envelope, UDP_SIZE};
pub use frames::{Control, ControlError, write_frame};
pub use name::{Name, NameError, QName, suffixes};
pub use nsec::{name_after, name_beside, type_bitmap};
pub use nsec3::{NSEC3_HASH, Nsec3Label, nsec3_hash, nsec3_label};
pub use query::{Dropped, Flags, NXNAME, Parsed, Query, Refusal, parse_query};
pub use response::{
    Data, QueryForm, Question, Record, Response, ResponseEdns, ResponseError, build_query,
    build_query_form,
};
pub use stencil::Stencil;
pub use writer::{Full, Owner, Section, Writer};
pub use zonefile::{
    ALIAS, Mistake, Open, Place, Scanned, ZoneFile, ZoneRecord, rdata_text, read_zone, scan_zone,
};
