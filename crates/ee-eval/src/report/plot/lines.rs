//! Lines over the exits, or over any numbers.

use std::ops::Range;

use plotters::prelude::*;

use super::{
    Chart, Drawn, INK, Key, Mark, Plot, axes, colour, decimals, draw, header, marker, ticks,
};

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A line with a marker at every point.
    Marked,
    /// A line alone, for many points.
    Line,
    /// A dashed grey line: what the others are to be compared with.
    Reference,
    /// A grey line with discs: what is done without any of the others.
    Baseline,
    /// Rings alone, not named in the legend.
    Ring,
    /// A grey ring, not named in the legend.
    BaselineRing,
}

/// A named row of points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// The legend's words.
    pub(crate) name: String,
    /// Which of the colours and markers.
    pub(crate) colour: usize,
    pub(crate) look: Look,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What the horizontal axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Across {
    /// The exits 1..=N, for this N.
    Exits(usize),
    /// Round numbers that span the points.
    Numbers,
}

/// A chart of lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LineChart {
    pub(crate) title: String,
    /// The horizontal axis, with its unit.
    pub(crate) x: String,
    /// The vertical axis, with its unit.
    pub(crate) y: String,
    /// What the horizontal axis counts.
    pub(crate) across: Across,
    pub(crate) series: Vec<Series>,
}

impl LineChart {
    /// The chart under a file's name, with how to read it.
    pub(crate) fn plot(self, file: impl Into<String>, note: impl Into<String>) -> Plot {
        Plot { svg: self.svg(), file: file.into(), note: note.into(), title: self.title }
    }

    /// The chart as an SVG element.
    pub(crate) fn svg(&self) -> String {
        draw(|area| {
            let is_named = |look| !matches!(look, Look::Ring | Look::BaselineRing);
            let named = self.series.iter().filter(|series| is_named(series.look));
            let keys = named.map(|series| Key {
                name: &series.name,
                mark: match series.look {
                    Look::Reference => Mark::Dashes,
                    Look::Baseline => Mark::Baseline,
                    _ => Mark::Line(series.colour),
                },
            });
            let body = header(&area, &self.title, keys)?;
            let ticks =
                ticks(self.series.iter().flat_map(|series| &series.points).map(|point| point.1));
            let (span, places) = self.across();
            let decimals = match self.across {
                Across::Exits(_) => 0,
                Across::Numbers => decimals(span.end - span.start),
            };
            let name = |place: &f64| format!("{place:.decimals$}");
            let mut chart = axes(&body, (span, places), ticks, (&self.x, &self.y), &name)?;
            self.series.iter().try_for_each(|series| series.draw(&mut chart))
        })
    }

    /// The span of the horizontal axis and the places that it names.
    fn across(&self) -> (Range<f64>, Vec<f64>) {
        match self.across {
            Across::Exits(layers) => {
                let places = (1..=layers).step_by(layers.div_ceil(12)).map(|exit| exit as f64);
                let gap = layers as f64 * 0.03;
                (1.0 - gap..layers as f64 + gap, places.collect())
            }
            Across::Numbers => {
                let points = self.series.iter().flat_map(|series| &series.points);
                let places = ticks(points.map(|point| point.0));
                let (low, high) = (places[0], places[places.len() - 1]);
                let gap = (high - low) * 0.03;
                (low - gap..high + gap, places)
            }
        }
    }
}

impl Series {
    fn draw(&self, chart: &mut Chart<'_, '_>) -> Drawn {
        let colour = colour(self.colour);
        let points = || self.points.iter().copied();
        match self.look {
            Look::Reference => {
                chart.draw_series(DashedLineSeries::new(points(), 6, 4, INK.stroke_width(2)))?;
            }
            Look::Baseline => {
                chart.draw_series(LineSeries::new(points(), INK.stroke_width(2)))?;
                chart.draw_series(points().map(|point| Circle::new(point, 4, INK.filled())))?;
            }
            Look::Ring | Look::BaselineRing => {
                let colour = if self.look == Look::Ring { colour } else { INK };
                chart.draw_series(
                    points().map(|point| Circle::new(point, 7, colour.stroke_width(3))),
                )?;
            }
            Look::Line | Look::Marked => {
                chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
            }
        }
        if self.look == Look::Marked {
            let marks = points().map(|point| EmptyElement::at(point) + marker(self.colour));
            chart.draw_series(marks)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_and_name_is_drawn() {
        let series = |name: &str, colour, look| Series {
            name: name.into(),
            colour,
            look,
            points: vec![(1.0, 0.5), (2.0, 0.75), (3.0, 0.7)],
        };
        let chart = LineChart {
            title: "Score <by> exit".into(),
            x: "exit (layers)".into(),
            y: "accuracy".into(),
            across: Across::Exits(3),
            series: vec![series("plain", 0, Look::Marked), series("joint", 1, Look::Line)],
        };
        let svg = chart.svg();
        for text in ["Score &lt;by&gt; exit", "exit (layers)", "accuracy", "plain", "joint"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(svg.contains("#0072B2") && svg.contains("#D55E00"));
    }

    #[test]
    fn numbers_have_round_places() {
        let chart = |points: Vec<(f64, f64)>| LineChart {
            title: "t".into(),
            x: "x".into(),
            y: "y".into(),
            across: Across::Numbers,
            series: vec![Series { name: "n".into(), colour: 0, look: Look::Marked, points }],
        };
        let (span, places) = chart(vec![(3.0, 1.0), (488.0, 2.0)]).across();
        assert_eq!(places, [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert!(span.contains(&3.0) && span.contains(&488.0));
        assert!(chart(vec![(7.0, 1.0)]).svg().contains("<svg"));
    }
}
