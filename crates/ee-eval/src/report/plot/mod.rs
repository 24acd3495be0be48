//! Charts as SVG text: lines and grouped bars in one style.
//!
//! Colours are Okabe and Ito's, told apart by colour-blind readers, and every series also has its own
//! marker or place, so that grey prints work. Axes and words are a grey that is readable on white
//! and on black: a chart has no background of its own. Drawn by `plotters` without fonts, whose
//! estimate of a text's width is coarse; title and legend therefore stand in rows of their own.

mod bars;
mod lines;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(crate) use bars::BarChart;
pub(crate) use lines::{Across, LineChart, Look, Series};

/// Blue, vermilion, green, purple, orange, sky blue.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
];
/// Axes and words.
const INK: RGBColor = RGBColor(0x76, 0x76, 0x76);
/// Width and height of a chart, in SVG units.
const SIZE: (u32, u32) = (640, 400);
/// Height of the rows of title and legend.
const HEADER: u32 = 66;
/// Height of each further row of a legend.
const LEGEND_ROW: i32 = 20;
/// An axis with grid lines and labels where we want them.
struct Axis {
    span: std::ops::Range<f64>,
    places: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.span.start) / (self.span.end - self.span.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.places.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.span.clone()
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;
type Drawn<T = ()> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// One entry of a legend.
struct Key<'a> {
    name: &'a str,
    mark: Mark,
}

/// What stands before a name in a legend.
enum Mark {
    Line(usize),
    Dashes,
    Baseline,
    Bar(usize),
}

/// A drawn plot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    /// What its SVG file is called, without ending.
    pub(crate) file: String,
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) svg: String,
}

/// Points at the exits 1..=N.
pub(crate) fn at_exits(values: &[f64]) -> Vec<(f64, f64)> {
    (1..).map(f64::from).zip(values.iter().copied()).collect()
}

/// A name as part of a file's name.
pub(crate) fn file_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// Draws on an empty SVG element.
fn draw(paint: impl FnOnce(Area<'_>) -> Drawn) -> String {
    let mut text = String::new();
    paint(SVGBackend::with_string(&mut text, SIZE).into_drawing_area())
        .expect("an SVG element in memory can be drawn");
    text
}

/// Title and legend; returns the area below them.
fn header<'a, 'b>(
    area: &Area<'b>,
    title: &str,
    keys: impl Iterator<Item = Key<'a>>,
) -> Drawn<Area<'b>> {
    let keys: Vec<Key<'a>> = keys.collect();
    let places = legend_places(&keys);
    let further = places.last().map_or(0, |(_, y)| *y);
    let (top, body) = area.split_vertically(HEADER as i32 + further);
    let size = title_size(title) * 1.24;
    let bold = ("sans-serif", size, FontStyle::Bold, &INK).into_text_style(area);
    top.draw(&Text::new(title.to_owned(), (14, 10), bold))?;
    for (key, (x, y)) in keys.iter().zip(places) {
        let y = 50 + y;
        let middle = (x + 12, y);
        match key.mark {
            Mark::Line(at) => {
                top.draw(&PathElement::new([(x, y), (x + 24, y)], colour(at).stroke_width(2)))?;
                top.draw(&(EmptyElement::at(middle) + marker(at)))?;
            }
            Mark::Dashes => {
                for start in [x, x + 9, x + 18] {
                    top.draw(&PathElement::new([(start, y), (start + 6, y)], INK.stroke_width(2)))?;
                }
            }
            Mark::Baseline => {
                top.draw(&PathElement::new([(x, y), (x + 24, y)], INK.stroke_width(2)))?;
                top.draw(&Circle::new(middle, 4, INK.filled()))?;
            }
            Mark::Bar(at) => {
                top.draw(&Rectangle::new([(x + 4, y - 7), (x + 20, y + 7)], colour(at).filled()))?;
            }
        }
        let left = words(14.0).pos(Pos::new(HPos::Left, VPos::Center));
        top.draw(&Text::new(key.name.to_owned(), (x + 30, y), left))?;
    }
    Ok(body)
}

/// The size at which a title fits its row: a wide font's bold letters are about 0.57 of it, and names come from users.
fn title_size(title: &str) -> f64 {
    let letters = title.chars().count().max(1) as f64;
    (f64::from(SIZE.0 - 2 * 14) / (0.57 * letters)).min(18.0)
}

/// Where each entry of a legend begins: across, and below its first row.
fn legend_places(keys: &[Key<'_>]) -> Vec<(i32, i32)> {
    let (mut x, mut y) = (14, 0);
    let place = |key: &Key<'_>| {
        let width = 30 + (6.8 * key.name.chars().count() as f64) as i32;
        if x > 14 && x + width > SIZE.0 as i32 - 14 {
            (x, y) = (14, y + LEGEND_ROW);
        }
        let place = (x, y);
        x += width + 20;
        place
    };
    keys.iter().map(place).collect()
}

/// Axes, their names and a quiet grid.
fn axes<'a, 'b>(
    body: &'a Area<'b>,
    (span, places): (std::ops::Range<f64>, Vec<f64>),
    ticks: Vec<f64>,
    (x, y): (&str, &str),
    name: &dyn Fn(&f64) -> String,
) -> Drawn<Chart<'a, 'b>> {
    let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
    let decimals = decimals(high - low);
    let n_places = places.len();
    let mut chart = ChartBuilder::on(body)
        .margin_right(16)
        .margin_bottom(6)
        .x_label_area_size(52)
        .y_label_area_size(72)
        .build_cartesian_2d(Axis { span, places }, Axis { span: low..high, places: ticks })?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.25))
        .axis_style(INK)
        .x_labels(n_places)
        .x_desc(x)
        .y_desc(y)
        .label_style(words(14.0))
        .axis_desc_style(words(15.0))
        .x_label_formatter(&|place| name(place))
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .draw()?;
    Ok(chart)
}

/// A filled marker in pixels around a point: disc, triangle, square or diamond, one shape per colour.
fn marker(at: usize) -> Polygon<(i32, i32)> {
    let outline: Vec<(i32, i32)> = match at % 4 {
        0 => vec![(-5, -2), (-2, -5), (2, -5), (5, -2), (5, 2), (2, 5), (-2, 5), (-5, 2)],
        1 => vec![(0, -6), (6, 5), (-6, 5)],
        2 => vec![(-4, -4), (4, -4), (4, 4), (-4, 4)],
        _ => vec![(0, -6), (6, 0), (0, 6), (-6, 0)],
    };
    Polygon::new(outline, colour(at))
}

fn colour(at: usize) -> RGBColor {
    COLOURS[at % COLOURS.len()]
}

/// Text of a size in SVG units, which `plotters` divides by 1.24.
fn words(size: f64) -> TextStyle<'static> {
    ("sans-serif", size * 1.24).into_font().color(&INK)
}

/// Decimals that tell apart the ticks of an axis of this length.
fn decimals(span: f64) -> usize {
    (1.0 - span.log10().floor()).clamp(0.0, 4.0) as usize
}

/// About five round numbers that span the values.
fn ticks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let span = if high > low { high - low } else { 1.0 };
    let rough = span / 5.0;
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    (first..=last.max(first + 1)).map(|at| at as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legends_go_on_in_further_rows() {
        let names = ["plain, recompute", "plain, copy", "plain, deferred", "joint, recompute"];
        let keys = |n: usize| -> Vec<Key<'_>> {
            names.iter().cycle().take(n).map(|name| Key { name, mark: Mark::Dashes }).collect()
        };
        assert!(legend_places(&keys(3)).iter().all(|(_, y)| *y == 0));
        let places = legend_places(&keys(8));
        assert_eq!(places[7].1, LEGEND_ROW);
        for (key, (x, _)) in keys(8).iter().zip(places) {
            assert!(x + 30 + 6 * key.name.len() as i32 <= SIZE.0 as i32, "{}", key.name);
        }
    }

    #[test]
    fn long_titles_are_drawn_smaller() {
        assert_eq!(title_size("Ideal exits"), 18.0);
        for letters in [64, 120] {
            let width = title_size(&"n".repeat(letters)) * 0.57 * letters as f64;
            assert!((width - 612.0).abs() < 1.0, "{width}");
        }
    }

    #[test]
    fn ticks_are_round_and_span_the_values() {
        assert_eq!(ticks([0.0, 4.1].into_iter()), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(ticks([3.0, 3.0].into_iter()).first(), Some(&3.0));
        let negative = ticks([-0.13, 0.61].into_iter());
        assert!(negative[0] <= -0.13 && negative[negative.len() - 1] >= 0.61);
    }
}
