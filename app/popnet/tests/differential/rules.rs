//! Why popnet and another server may differ: each rule names its reason and takes away exactly
//! the difference that it explains.

use domain::base::iana::Rtype;

use super::answer::Answer;
use super::questions::{ANY, Question};
use super::servers::Peer;
use super::zones;

const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const SERVFAIL: u16 = 2;

/// What is to be said of two answers.
pub(crate) enum Verdict {
    Same,
    /// By these rules.
    Explained(Vec<&'static str>),
    Unexplained,
}

/// A difference that may be.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    /// Takes the difference out of both answers.
    ease: fn(Peer, &Question, &mut Answer, &mut Answer),
}

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "ANY gets one HINFO record (RFC 8482 4.2); the others give everything",
        ease: |_, question, ours, theirs| {
            let minimal = ours.answer.iter().any(|record| record.rtype == Rtype::HINFO);
            let same = ours.rcode == theirs.rcode && ours.aa == theirs.aa;
            if question.qtype == ANY && minimal && same && (theirs.tc || !theirs.answer.is_empty())
            {
                empty(ours, theirs);
            }
        },
    },
    Rule {
        name: "an alias has no signatures of its own in an unsigned zone; BIND and Knot do not \
               follow it for RRSIG and NSEC (RFC 4035 2.5 lets both stand beside it), RFC 1034 \
               4.3.2 3a does",
        ease: |peer, question, ours, theirs| {
            let signs = [RRSIG, NSEC].contains(&question.qtype);
            let alias = ours.answer.iter().any(|record| record.rtype == Rtype::CNAME);
            let stops = peer == Peer::Bind || peer == Peer::Knot;
            let nothing = theirs.rcode == 0 && !theirs.authority.is_empty();
            let made = theirs.answer.iter().all(|record| record.rtype != Rtype::RRSIG);
            if signs && alias && stops && nothing && made {
                ours.rcode = theirs.rcode;
                empty(ours, theirs);
            }
        },
    },
    Rule {
        name: "a referral without room for its glue is cut (RFC 9471 3.1); BIND and NSD leave \
               glue out without a word",
        ease: |peer, _, ours, theirs| {
            let referral = !theirs.aa && theirs.rcode == 0 && theirs.answer.is_empty();
            if peer != Peer::Knot && referral && ours.tc && !theirs.tc && !ours.aa {
                empty(ours, theirs);
            }
        },
    },
    Rule {
        name: "an alias into another zone of the same server is followed (RFC 1034 4.3.2 3a goes \
               back to step 1); BIND and Knot stay in the zone",
        ease: |peer, _, ours, theirs| {
            if peer == Peer::Nsd || !ours.answer.is_superset(&theirs.answer) || theirs.rcode != 0 {
                return;
            }
            let leaves = theirs.answer.iter().find(|record| {
                // The target of the last alias is nobody's owner there.
                let target = record.target();
                let followed = theirs.answer.iter().any(|other| other.owner == target);
                !target.is_empty() && !followed && zone_of(&target) != zone_of(&record.owner)
            });
            if leaves.is_some() {
                ours.rcode = theirs.rcode;
                ours.aa = theirs.aa;
                empty(ours, theirs);
            }
        },
    },
    Rule {
        name: "what a cut answer still holds is nobody's business (RFC 2181 9)",
        ease: |_, _, ours, theirs| {
            if ours.tc && theirs.tc {
                empty(ours, theirs);
            }
        },
    },
    Rule {
        name: "a ring of aliases is an error (RFC 1034 3.6.2); NSD and Knot show it as an answer",
        ease: |_, _, ours, theirs| {
            let ring = ours.rcode == SERVFAIL && theirs.rcode == 0 && !theirs.answer.is_empty();
            if ring && ours.answer == theirs.answer {
                theirs.rcode = SERVFAIL;
                theirs.authority.clear();
                theirs.additional.clear();
            }
        },
    },
    Rule {
        name: "a chain of more than twelve aliases: the asker follows the rest (RFC 1034 3.6.2 \
               forbids to fail); BIND fails, NSD goes on, Knot stops after five",
        ease: |peer, _, ours, theirs| {
            let links = |answer: &Answer| {
                answer.answer.iter().filter(|record| record.rtype == Rtype::CNAME).count()
            };
            let may = match peer {
                Peer::Knot => links(theirs) == 5 && ours.answer.is_superset(&theirs.answer),
                Peer::Bind => theirs.rcode == SERVFAIL && links(ours) == 12,
                // NSD takes one step of a DNAME that leads below itself.
                Peer::Nsd => {
                    links(ours) == 12
                        && (theirs.answer.is_superset(&ours.answer)
                            || ours.answer.is_superset(&theirs.answer))
                }
                Peer::Popnet => false,
            };
            if may && links(ours) > 5 && ours.rcode == 0 {
                theirs.rcode = ours.rcode;
                empty(ours, theirs);
            }
        },
    },
    Rule {
        name: "Knot repeats records that two of an answer's records lead to (RFC 2181 5: a set)",
        ease: |peer, _, ours, theirs| {
            if peer == Peer::Knot && !ours.doubled {
                theirs.doubled = false;
            }
        },
    },
    Rule {
        name: "ANY over a DNAME ends at the CNAME that it makes: one RRset is enough \
               (RFC 8482 4.1); NSD and Knot go on",
        ease: |peer, question, ours, theirs| {
            let renamed = ours.answer.iter().any(|record| record.rtype == Rtype::DNAME);
            let further = theirs.answer.is_superset(&ours.answer);
            if question.qtype == ANY && peer != Peer::Bind && renamed && further {
                theirs.rcode = ours.rcode;
                empty(ours, theirs);
            }
        },
    },
    Rule {
        name: "a wildcard makes no addresses in a referral: glue is what the zone holds (RFC 1034 \
               4.2.1), and below a cut no wildcard reaches (RFC 4592 4.2); NSD and Knot make them",
        ease: |peer, _, ours, theirs| {
            // Of aliases to a referral, too.
            let referral = ours.authority.iter().any(|record| record.rtype == Rtype::NS);
            if peer != Peer::Bind && referral {
                theirs.additional.retain(|record| zones::holds(&record.owner));
            }
        },
    },
    Rule {
        name: "BIND shows names as the zone has them and can then compress less (RFC 1035 4.1.4): \
               what hardly fits is cut there",
        ease: |peer, question, ours, theirs| {
            let hardly = ours.length + question.section().len() > question.limit();
            if peer == Peer::Bind && theirs.tc && !ours.tc && hardly {
                empty(ours, theirs);
            }
        },
    },
    Rule {
        name: "addresses beside an answer are a kindness (RFC 1034 3.7): each has its own bounds, \
               but none may contradict another",
        ease: |_, _, ours, theirs| {
            let (mine, other) = (&ours.additional, &theirs.additional);
            let referral = !ours.aa && ours.answer.is_empty();
            // Of a referral ours has at least what theirs has (RFC 9471 3.1).
            if mine.is_superset(other) || (!referral && mine.is_subset(other)) {
                ours.additional.clear();
                theirs.additional.clear();
            }
        },
    },
];

/// The zone of the lab that a name is in.
fn zone_of(name: &str) -> Option<&'static str> {
    const ZONES: [&str; 8] = [
        "child.corner.test",
        "corner.test",
        "made0.test",
        "made1.test",
        "made2.test",
        "made3.test",
        "made4.test",
        "made5.test",
    ];
    let within = |zone: &&&str| name == **zone || name.ends_with(&format!(".{zone}"));
    ZONES.iter().find(within).copied()
}

/// Takes all records out of both.
fn empty(ours: &mut Answer, theirs: &mut Answer) {
    for answer in [ours, theirs] {
        answer.answer.clear();
        answer.authority.clear();
        answer.additional.clear();
        answer.doubled = false;
        answer.tc = false;
    }
}

/// Compares two answers; rules are tried in their order, each on what the ones before left.
pub(crate) fn judge(peer: Peer, question: &Question, ours: &Answer, theirs: &Answer) -> Verdict {
    if ours.same(theirs) {
        return Verdict::Same;
    }
    let (mut ours, mut theirs, mut used) = (ours.clone(), theirs.clone(), Vec::new());
    for rule in RULES {
        let before = (ours.clone(), theirs.clone());
        (rule.ease)(peer, question, &mut ours, &mut theirs);
        if (&ours, &theirs) != (&before.0, &before.1) {
            used.push(rule.name);
        }
        if ours.same(&theirs) {
            return Verdict::Explained(used);
        }
    }
    Verdict::Unexplained
}
