//! The items of the last hour: one bar per minute.

use maud::{Markup, html};
use paysync_provider::model::format::grouped;

use crate::store::inspect::health::Minute;

const HEIGHT: i64 = 60;
/// Width of a minute in units of the view box.
const STEP: i64 = 10;

/// Renders the chart, or a sentence if there is nothing to draw.
pub(super) fn render(minutes: &[Minute]) -> Markup {
    let most = minutes.iter().map(|minute| minute.items).max().unwrap_or(0);
    if most == 0 {
        return html! { p class="quiet" { "Nothing was read in the last hour." } };
    }
    let total: i64 = minutes.iter().map(|minute| minute.items).sum();
    let (all, peak) = (grouped(total), grouped(most));
    let label = format!("{all} items in the last hour, at most {peak} in a minute");
    let width = STEP * i64::try_from(minutes.len()).unwrap_or(60);
    html! {
        figure {
            svg class="chart" role="img" aria-label=(label) viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" {
                @for (place, minute) in (0_i64..).zip(minutes) {
                    @let height = height(minute.items, most);
                    @let fresh = height.min(height_of_part(minute.written, most));
                    g {
                        title { (minute.minute.format("%H:%M")) ": " (grouped(minute.items)) " items, " (grouped(minute.written)) " new or changed" }
                        rect class="items" x=(place * STEP) width=(STEP - 2) y=(HEIGHT - height) height=(height) {}
                        rect class="written" x=(place * STEP) width=(STEP - 2) y=(HEIGHT - fresh) height=(fresh) {}
                    }
                }
            }
            figcaption class="quiet" {
                "Items a minute, at most " (grouped(most)) ". "
                span class="key written" {} " new or changed "
                span class="key items" {} " unchanged"
            }
        }
    }
}

/// Height of a bar; at least 1 for a minute with items, so that it is visible.
fn height(items: i64, most: i64) -> i64 {
    if items == 0 {
        0
    } else {
        height_of_part(items, most).max(1)
    }
}

fn height_of_part(items: i64, most: i64) -> i64 {
    items.saturating_mul(HEIGHT) / most.max(1)
}
