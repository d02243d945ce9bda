//! `popnet publish`: new content of a hosted site, seen whole or not at all, and purged.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use popnet_admin::Admin;
use popnet_terms::{CustomerId, OriginGroupId, SiteName};
use popnet_wire::control::Problem;
use popnet_wire::purging::{PurgeKind, PurgeOrder, PurgeState, PurgeWhat, file_tag};
use serde_json::json;

use super::purge::site_of;
use super::{admin, network};
use crate::cli::PublishArguments;
use crate::output::{Done, Outcome, Style, consent, print_json};
use crate::publish::{Broken, Plan, Store, Tree};

/// Orders for single files; beyond it one for the whole site is quicker, and as every order here
/// only makes stale, it costs no more than a question for what is the same.
const ORDERS_MAX: usize = 64;

/// Files named on the screen.
const SHOWN: usize = 20;

/// What is published to.
struct Target {
    site: SiteName,
    customer: CustomerId,
    group: OriginGroupId,
    folder: PathBuf,
    /// Its caches find files by the tags that WebServers give them.
    is_tagged: bool,
}

pub(crate) async fn execute(
    arguments: PublishArguments,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    let admin = admin(context)?;
    let target = target(&admin, &arguments.site).await?;
    let bar = progress(style);
    bar.set_message(format!("reading {}", arguments.folder.display()));
    let store = Store::open(&target.folder).map_err(problem)?;
    let source = Tree::read(&arguments.folder, |_| bar.tick()).map_err(problem)?;
    if source.files.is_empty() {
        let what = format!("{} has no file to publish", arguments.folder.display());
        return Err(Problem::new("U0092", what, "popnet publish DIR SITE").with_exit(3));
    }
    let current = store.current(|_| bar.tick()).map_err(problem)?;
    let plan = Plan::of(source, current, arguments.delete).map_err(problem)?;
    let mut tags = store.unpurged();
    tags.extend(plan.touched().map(|path| file_tag(&target.group, path)));
    tags.sort();
    tags.dedup();
    bar.finish_and_clear();
    tell(&plan, &target, style);
    if arguments.dry_run || tags.is_empty() && plan.is_done() {
        let word = if plan.is_done() { "nothing to do" } else { "nothing is changed" };
        return Ok(end(
            &target,
            &plan,
            &Ended { dry_run: arguments.dry_run, ..Ended::default() },
            word,
            style,
        ));
    }
    if !consent(arguments.yes, style, &format!("publish to {}?", target.site))? {
        return Ok(Done::WELL);
    }
    let mut ended = Ended::default();
    if !plan.is_done() {
        let bar = copying(style, plan.octets());
        let published = store.publish(&arguments.folder, &plan, &tags, |octets| bar.inc(octets));
        bar.finish_and_clear();
        ended.release = Some(published.map_err(problem)?);
    }
    purge(&admin, &target, &tags, &mut ended).await.map_err(unpurged)?;
    store.purged().map_err(problem)?;
    Ok(end(&target, &plan, &ended, "published", style))
}

/// What became of it.
#[derive(Default)]
struct Ended {
    dry_run: bool,
    release: Option<u64>,
    orders: usize,
    objects: u64,
    /// Nodes that did not answer: they carry the purge out before they serve again.
    away: Vec<String>,
}

async fn target(admin: &Admin, site: &str) -> Result<Target, Problem> {
    let (_, _, network) = network(admin).await?;
    let site = site_of(site, &network)?;
    let Some(of) = network.sites.get(&site) else {
        return Err(Problem::new("U0093", format!("no site is called {site}"), "").with_exit(3));
    };
    let group = network.origin_groups.get(&of.origins);
    let Some(folder) = group.and_then(|group| group.directory.as_ref()) else {
        let what = format!("{site} is not hosted: its content is on the servers of {}", of.origins);
        let next = "publish there, then popnet purge site; or see docs/operate/publish.md";
        return Err(Problem::new("U0091", what, next).with_exit(4));
    };
    let named = |field: &String| field.eq_ignore_ascii_case("surrogate-key");
    Ok(Target {
        customer: of.customer.clone(),
        group: of.origins.clone(),
        folder: PathBuf::from(folder),
        is_tagged: of.cache.tags.as_ref().is_none_or(|tags| tags.iter().any(named)),
        site,
    })
}

async fn purge(
    admin: &Admin,
    target: &Target,
    tags: &[String],
    ended: &mut Ended,
) -> Result<(), Problem> {
    let whole = !target.is_tagged || tags.len() > ORDERS_MAX;
    let what: Vec<PurgeWhat> = if whole {
        vec![PurgeWhat::Site { site: target.site.clone() }]
    } else {
        tags.iter().map(|tag| PurgeWhat::Tag { tag: tag.as_str().into() }).collect()
    };
    for what in what {
        let customer = target.customer.clone();
        let order = PurgeOrder { customer, what, kind: PurgeKind::Soft, actor: "publish".into() };
        let purged = admin.purge(order, |_, _| {}).await?;
        ended.orders += 1;
        for receipt in &purged.receipts {
            match &receipt.state {
                PurgeState::Applied { objects, .. } => ended.objects += objects,
                PurgeState::Unreachable(_) => ended.away.push(receipt.node.to_string()),
            }
        }
    }
    ended.away.sort();
    ended.away.dedup();
    Ok(())
}

fn problem(broken: Broken) -> Problem {
    Problem::new("U0094", broken.what, broken.next)
}

/// The content is in place all the same, and what is to be purged is kept.
fn unpurged(mut problem: Problem) -> Problem {
    problem.what = format!("the content is in place, but not purged: {}", problem.what);
    if problem.next.is_empty() {
        problem.next = "the same command again purges what is left".to_owned();
    } else {
        problem.next.push_str("; then the same command again, which purges what is left");
    }
    problem
}

fn tell(plan: &Plan, target: &Target, style: Style) {
    if style.json {
        return;
    }
    let deleted = if plan.delete { plan.gone.as_slice() } else { &[] };
    for (sign, paths) in [("+", plan.new.as_slice()), ("~", &plan.changed), ("-", deleted)] {
        for path in paths.iter().take(SHOWN) {
            println!("  {sign} {}", path.display());
        }
        if let Some(more) = paths.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            println!("  {sign} and {more} more");
        }
    }
    if !plan.delete && !plan.gone.is_empty() {
        println!("  {} not in the folder stay; --delete removes them", plan.gone.len());
    }
    if plan.hidden() > 0 {
        println!("  {} hidden names are left out", plan.hidden());
    }
    let (new, changed, same) = (plan.new.len(), plan.changed.len(), plan.same());
    println!(
        "{}: {new} new, {changed} changed, {} deleted, {same} the same",
        target.site,
        deleted.len()
    );
}

fn end(target: &Target, plan: &Plan, ended: &Ended, word: &str, style: Style) -> Done {
    if style.json {
        let deleted = if plan.delete { plan.gone.len() } else { 0 };
        print_json(
            "publish/v1",
            &json!({
                "site": target.site, "directory": target.folder, "dry_run": ended.dry_run,
                "new": plan.new.len(), "changed": plan.changed.len(), "deleted": deleted,
                "same": plan.same(), "hidden": plan.hidden(), "bytes": plan.octets(),
                "release": ended.release, "purges": ended.orders, "objects": ended.objects,
                "unreachable": ended.away,
            }),
        );
    } else if let Some(release) = ended.release {
        let objects = ended.objects;
        println!("{word}: release {release}; {} purges, {objects} objects expired", ended.orders);
    } else if ended.orders > 0 {
        println!("purged what an earlier call had left: {} objects expired", ended.objects);
    } else {
        println!("{word}");
    }
    if ended.away.is_empty() {
        return Done::WELL;
    }
    if !style.json {
        println!("  not heard from: {}; they purge before they serve again", ended.away.join(", "));
    }
    Done::PARTLY
}

fn progress(style: Style) -> ProgressBar {
    if style.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() }
}

fn copying(style: Style, octets: u64) -> ProgressBar {
    if style.json {
        return ProgressBar::hidden();
    }
    let look = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}");
    let bar = ProgressBar::new(octets);
    if let Ok(look) = look { bar.with_style(look) } else { bar }
}
