//! A stream's coverage: a bar over the whole wanted range.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use crate::engine::inspect::status::{Span, StreamStatus};

/// Width of the bar in units of the view box.
const WIDTH: i64 = 1000;

/// Renders what is covered, being read and missing, from `wanted_from` to `now`.
pub(super) fn render(stream: &StreamStatus, now: DateTime<Utc>) -> Markup {
    let scale = Scale::new(stream.wanted_from, now);
    let percent = scale.percent(stream.covered_seconds);
    let label = format!(
        "{percent} % covered since {}, {} missing",
        stream.wanted_from.format("%Y-%m-%d"),
        if stream.gap_seconds == 0 {
            "nothing"
        } else {
            "some of it"
        }
    );
    html! {
        div class="coverage" {
            svg role="img" aria-label=(label) viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none" {
                rect class="gap" width=(WIDTH) height="10" {}
                @for span in &stream.filling { (bar(&scale, span, "filling")) }
                // Covered time that is being read again shows as covered.
                @for span in &stream.covered { (bar(&scale, span, "covered")) }
                // Time within the expected lag is not missing.
                @if stream.gap_seconds == 0 { @if let Some(until) = stream.covered_until {
                    (bar(&scale, &Span { from: until, to: now }, "young"))
                } }
            }
            span { (percent) " %" }
            span class="quiet" { "since " (stream.wanted_from.format("%Y-%m-%d")) }
        }
    }
}

fn bar(scale: &Scale, span: &Span, class: &str) -> Markup {
    let (from, to) = (scale.position(span.from), scale.position(span.to));
    html! { rect class=(class) x=(from) width=((to - from).max(1)) height="10" {} }
}

/// Maps time to positions on the bar.
struct Scale {
    from: DateTime<Utc>,
    length: TimeDelta,
}

impl Scale {
    fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        let length = (to - from).max(TimeDelta::seconds(1));
        Self { from, length }
    }

    fn position(&self, instant: DateTime<Utc>) -> i64 {
        let seconds = (instant - self.from).num_seconds();
        (seconds.saturating_mul(WIDTH) / self.length.num_seconds().max(1)).clamp(0, WIDTH)
    }

    /// Percent, rounded: the expected lag alone must not show as missing.
    fn percent(&self, seconds: i64) -> i64 {
        let all = self.length.num_seconds().max(1);
        let rounded = (seconds.saturating_mul(1000) / all + 5) / 10;
        rounded.clamp(0, 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_maps_to_positions_on_the_bar() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let scale = Scale::new(at(1000), at(3000));
        assert_eq!(scale.position(at(1000)), 0);
        assert_eq!(scale.position(at(2000)), 500);
        assert_eq!(scale.position(at(9000)), WIDTH);
        assert_eq!(scale.position(at(0)), 0);
        assert_eq!(scale.percent(1000), 50);
        assert_eq!(scale.percent(1999), 100);
        assert_eq!(scale.percent(9000), 100);
        assert_eq!(Scale::new(at(5), at(5)).percent(0), 0);
    }
}
