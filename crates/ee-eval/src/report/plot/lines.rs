//! Lines over the exits.

use plotters::prelude::*;

use super::{Chart, Drawn, INK, Key, Mark, axes, colour, draw, header, marker, ticks};

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A line with a marker at every point.
    Marked,
    /// A line alone, for many points.
    Line,
    /// A dashed grey line: what the others are to be compared with.
    Reference,
    /// Rings alone, not named in the legend.
    Ring,
}

/// A named row of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The legend's words.
    pub name: String,
    /// Which of the colours and markers.
    pub colour: usize,
    /// How it is drawn.
    pub look: Look,
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// A chart of lines over the exits 1..=N.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// The title.
    pub title: String,
    /// The horizontal axis, with its unit.
    pub x: String,
    /// The vertical axis, with its unit.
    pub y: String,
    /// N.
    pub layers: usize,
    /// The lines.
    pub series: Vec<Series>,
}

impl LineChart {
    /// The chart as an SVG element.
    ///
    /// # Panics
    /// When it has no point.
    #[must_use]
    pub fn svg(&self) -> String {
        draw(|area| {
            let named = self.series.iter().filter(|series| series.look != Look::Ring);
            let keys = named.map(|series| Key {
                name: &series.name,
                mark: if series.look == Look::Reference {
                    Mark::Dashes
                } else {
                    Mark::Line(series.colour)
                },
            });
            let body = header(&area, &self.title, keys)?;
            let ticks =
                ticks(self.series.iter().flat_map(|series| &series.points).map(|point| point.1));
            let step = self.layers.div_ceil(12);
            let exits = (1..=self.layers).step_by(step).map(|exit| exit as f64).collect();
            let gap = self.layers as f64 * 0.03;
            let span = 1.0 - gap..self.layers as f64 + gap;
            let name = |exit: &f64| format!("{exit:.0}");
            let mut chart = axes(&body, (span, exits), ticks, (&self.x, &self.y), &name)?;
            self.series.iter().try_for_each(|series| series.draw(&mut chart))
        })
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
            Look::Ring => {
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
            layers: 3,
            series: vec![series("plain", 0, Look::Marked), series("joint", 1, Look::Line)],
        };
        let svg = chart.svg();
        for text in ["Score &lt;by&gt; exit", "exit (layers)", "accuracy", "plain", "joint"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(svg.contains("#0072B2") && svg.contains("#D55E00"));
    }
}
