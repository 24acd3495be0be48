//! Grouped bars.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Chart, Drawn, INK, Key, Mark, Plot, axes, colour, draw, header, ticks, words};

/// At most this many bars carry their value.
const LABELLED_BARS: usize = 16;

/// A chart of grouped bars.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BarChart {
    pub(crate) title: String,
    /// The horizontal axis, with its unit.
    pub(crate) x: String,
    /// The vertical axis, with its unit.
    pub(crate) y: String,
    /// The groups, from left to right.
    pub(crate) groups: Vec<String>,
    /// One bar per group and series.
    pub(crate) series: Vec<(String, Vec<f64>)>,
    /// A level to compare each bar with, per series and group, and what it is.
    pub(crate) reference: Option<(String, Vec<Vec<f64>>)>,
}

impl BarChart {
    /// The chart under a file's name, with how to read it.
    pub(crate) fn plot(self, file: impl Into<String>, note: impl Into<String>) -> Plot {
        Plot { svg: self.svg(), file: file.into(), note: note.into(), title: self.title }
    }

    /// The chart as an SVG element.
    pub(crate) fn svg(&self) -> String {
        draw(|area| {
            let bars = self
                .series
                .iter()
                .enumerate()
                .map(|(at, (name, _))| Key { name, mark: Mark::Bar(at) });
            let reference = self.reference.iter().map(|(name, _)| Key { name, mark: Mark::Dashes });
            let body = header(&area, &self.title, bars.chain(reference))?;
            let heights = self.series.iter().flat_map(|(_, heights)| heights);
            let levels = self.reference.iter().flat_map(|(_, levels)| levels.iter().flatten());
            let ticks = ticks(heights.chain(levels).copied().chain([0.0]));
            let step = self.groups.len().div_ceil(24);
            let groups = (0..self.groups.len()).step_by(step).map(|group| group as f64).collect();
            let span = -0.5..self.groups.len() as f64 - 0.5;
            let name = |group: &f64| self.groups.get(*group as usize).cloned().unwrap_or_default();
            let mut chart = axes(&body, (span, groups), ticks, (&self.x, &self.y), &name)?;
            (0..self.series.len()).try_for_each(|series| self.draw_bars(&mut chart, series))
        })
    }

    /// The bars of one series, with their values where there is room and their reference levels.
    fn draw_bars(&self, chart: &mut Chart<'_, '_>, series: usize) -> Drawn {
        let width = 0.8 / self.series.len() as f64;
        let left = |group: usize| group as f64 - 0.4 + width * series as f64;
        let heights = &self.series[series].1;
        let fill = colour(series).filled();
        chart.draw_series(heights.iter().enumerate().map(|(group, &height)| {
            Rectangle::new(
                [(left(group) + 0.02 * width, 0.0), (left(group) + 0.98 * width, height)],
                fill,
            )
        }))?;
        if heights.len() * self.series.len() <= LABELLED_BARS {
            let style = words(13.0).pos(Pos::new(HPos::Center, VPos::Bottom));
            // Percents need one decimal, layers and factors two.
            let decimals = if heights.iter().any(|&height| height >= 10.0) { 1 } else { 2 };
            let reference = |group: usize| match &self.reference {
                Some((_, levels)) => levels[series][group],
                None => 0.0,
            };
            chart.draw_series(heights.iter().enumerate().map(|(group, &height)| {
                let above = height.max(reference(group));
                Text::new(
                    format!("{height:.decimals$}"),
                    (left(group) + width / 2.0, above),
                    style.clone(),
                )
            }))?;
        }
        if let Some((_, levels)) = &self.reference {
            chart.draw_series(levels[series].iter().enumerate().map(|(group, &level)| {
                let ends = [(left(group), level), (left(group) + width, level)];
                PathElement::new(ends, INK.stroke_width(3))
            }))?;
        }
        Ok(())
    }
}
