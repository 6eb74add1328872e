//! Plots as SVG. A plot of modules or packs has a row for each, with its name before it and its figures behind, so
//! that it can be read without a pointer and with a hundred rows; what a row shows is data, and one function draws it.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::palette::{Color, INK, LINE, MUTED};

const WIDTH: u32 = 1_100;
const ROW_HEIGHT: u32 = 20;
const AXIS_HEIGHT: u32 = 30;
/// Of the reference's name, above the axis.
const REFERENCE_HEIGHT: u32 = 16;
/// plotters divides it by 1.24.
const TEXT_SIZE: u32 = 16;
/// Of most letters of that size; the reader's fonts are not known here.
const LETTER_WIDTH: u32 = 7;
/// Longer names lose their middle.
const LONGEST_LABEL: usize = 44;

type Svg<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A plot with rows.
pub struct RowPlot {
    pub rows: Vec<Row>,
    /// The smallest and largest value that can be seen; marks beyond end there.
    pub range: std::ops::Range<f64>,
    pub scale: Scale,
    /// How a value is written on the axis.
    pub unit: fn(f64) -> String,
    /// A value that all rows are compared with.
    pub reference: Option<(f64, String)>,
}

/// A row.
pub struct Row {
    /// Its name.
    pub label: String,
    /// Its figures.
    pub figures: String,
    pub marks: Vec<Mark>,
}

/// Something in a row.
pub enum Mark {
    Bar { from: f64, to: f64, color: Color },
    Line { from: f64, to: f64 },
    Dot { at: f64, color: Color },
}

#[derive(Clone, Copy)]
pub enum Scale {
    Linear,
    Logarithmic,
}

/// A plot over time.
pub struct LinePlot {
    /// The times.
    pub labels: Vec<String>,
    pub series: Vec<Series>,
    /// How a value is written on the axis.
    pub unit: fn(f64) -> String,
    /// A value that all are compared with.
    pub reference: Option<(f64, String)>,
}

/// A line over time.
pub struct Series {
    pub color: Color,
    /// One for each label.
    pub values: Vec<f64>,
}

/// Draws rows.
pub fn rows(plot: &RowPlot) -> String {
    let height = pixels(plot.rows.len()) * ROW_HEIGHT + 2 * AXIS_HEIGHT + REFERENCE_HEIGHT;
    drawn(height, |svg| match plot.scale {
        Scale::Linear => draw_rows(svg, plot, plot.range.clone()),
        Scale::Logarithmic => draw_rows(svg, plot, plot.range.clone().log_scale()),
    })
}

/// Draws lines.
pub fn lines(plot: &LinePlot) -> String {
    drawn(320, |svg| draw_lines(svg, plot))
}

fn drawn(height: u32, draw: impl FnOnce(&Svg) -> Drawn) -> String {
    let mut text = String::new();
    {
        let svg = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(&svg)
            .and_then(|()| svg.present())
            .expect("a string takes any drawing");
    }
    text
}

fn draw_rows<X>(svg: &Svg, plot: &RowPlot, x: X) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let labels: Vec<_> = plot.rows.iter().map(|row| shortened(&row.label)).collect();
    let names = labels.iter().map(String::as_str);
    let figures = plot.rows.iter().map(|row| row.figures.as_str());
    let mut chart = ChartBuilder::on(svg)
        .margin_top(REFERENCE_HEIGHT)
        .set_label_area_size(LabelAreaPosition::Top, AXIS_HEIGHT)
        .set_label_area_size(LabelAreaPosition::Bottom, AXIS_HEIGHT)
        .set_label_area_size(LabelAreaPosition::Left, width(names))
        .set_label_area_size(LabelAreaPosition::Right, width(figures))
        // From the top down.
        .build_cartesian_2d(x, plot.rows.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE.light)
        .axis_style(LINE.light)
        .label_style(text_style(&MUTED))
        .x_labels(8)
        .x_label_formatter(&|value| (plot.unit)(*value))
        .y_labels(0)
        .draw()?;
    let within = |value: f64| value.clamp(plot.range.start, plot.range.end);
    for (number, (row, label)) in plot.rows.iter().zip(labels).enumerate() {
        let middle = number as f64 + 0.5;
        for mark in &row.marks {
            match *mark {
                Mark::Bar { from, to, color } => chart.plotting_area().draw(&Rectangle::new(
                    [(within(from), middle - 0.33), (within(to), middle + 0.33)],
                    color.light.filled(),
                ))?,
                Mark::Line { from, to } => chart.plotting_area().draw(&PathElement::new(
                    [(within(from), middle), (within(to), middle)],
                    MUTED.light.stroke_width(1),
                ))?,
                Mark::Dot { at, color } => chart.plotting_area().draw(&Circle::new(
                    (within(at), middle),
                    4,
                    color.light.filled(),
                ))?,
            }
        }
        let (left, y) = chart.backend_coord(&(plot.range.start, middle));
        let (right, _) = chart.backend_coord(&(plot.range.end, middle));
        let style = |side| text_style(&INK).pos(Pos::new(side, VPos::Center));
        svg.draw(&Text::new(label, (left - 8, y), style(HPos::Right)))?;
        svg.draw(&Text::new(
            row.figures.as_str(),
            (right + 8, y),
            style(HPos::Left),
        ))?;
    }
    if let Some((value, label)) = &plot.reference {
        let end = plot.rows.len() as f64;
        chart.plotting_area().draw(&PathElement::new(
            [(*value, 0.0), (*value, end)],
            INK.light.stroke_width(1),
        ))?;
        let (x, y) = chart.backend_coord(&(*value, 0.0));
        let style = text_style(&INK).pos(Pos::new(HPos::Center, VPos::Bottom));
        svg.draw(&Text::new(
            label.as_str(),
            (x, y - AXIS_HEIGHT.cast_signed()),
            style,
        ))?;
    }
    Ok(())
}

fn draw_lines(svg: &Svg, plot: &LinePlot) -> Drawn {
    let values = plot.series.iter().flat_map(|series| &series.values);
    let values = values.chain(plot.reference.iter().map(|(value, _)| value));
    let highest = values.copied().fold(0.0, f64::max);
    let last = plot.labels.len().saturating_sub(1);
    let mut chart = ChartBuilder::on(svg)
        .set_label_area_size(LabelAreaPosition::Bottom, AXIS_HEIGHT)
        .set_label_area_size(LabelAreaPosition::Left, 80)
        .margin_top(AXIS_HEIGHT)
        .margin_right(120)
        // Of one value, too, there is a plot.
        .build_cartesian_2d(0..last.max(1), 0.0..highest * 1.1)?;
    let label = |index: &usize| plot.labels.get(*index).cloned().unwrap_or_default();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE.light)
        .axis_style(LINE.light)
        .label_style(text_style(&MUTED))
        .x_labels(8)
        .x_label_formatter(&label)
        .y_labels(6)
        .y_label_formatter(&|value| (plot.unit)(*value))
        .draw()?;
    // The last below and wider: where two have the same values, both are seen.
    for (order, series) in plot.series.iter().enumerate().rev() {
        let order = pixels(order);
        let points = || series.values.iter().copied().enumerate();
        let color = series.color.light;
        chart.draw_series(LineSeries::new(points(), color.stroke_width(2 + order)))?;
        chart.draw_series(points().map(|point| Circle::new(point, 3 + order, color.filled())))?;
    }
    if let Some((value, label)) = &plot.reference {
        let (left, y) = chart.backend_coord(&(0, *value));
        let (right, _) = chart.backend_coord(&(last.max(1), *value));
        svg.draw(&PathElement::new(
            [(left, y), (right, y)],
            INK.light.stroke_width(1),
        ))?;
        let style = text_style(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        svg.draw(&Text::new(label.as_str(), (right + 8, y), style))?;
    }
    Ok(())
}

fn text_style(color: &'static Color) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", TEXT_SIZE).into_font()).color(&color.light)
}

fn pixels(count: usize) -> u32 {
    u32::try_from(count).expect("no report has so many rows or letters")
}

/// Of the widest text, with some space at both ends.
fn width<'a>(texts: impl Iterator<Item = &'a str>) -> u32 {
    let longest = texts
        .map(|text| text.chars().count())
        .max()
        .unwrap_or_default();
    pixels(longest) * LETTER_WIDTH + 24
}

/// A long text without its middle: names of one kind begin alike.
fn shortened(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= LONGEST_LABEL {
        return text.to_owned();
    }
    let (head, tail) = (LONGEST_LABEL / 3, LONGEST_LABEL - LONGEST_LABEL / 3 - 1);
    let head = letters[..head].iter();
    let tail = letters[letters.len() - tail..].iter();
    head.chain(&['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("civo/volume"), "civo/volume");
        let long = format!("{}{}", "a".repeat(40), "b".repeat(40));
        let short = shortened(&long);
        assert_eq!(short.chars().count(), LONGEST_LABEL);
        assert!(short.starts_with("aaa") && short.contains("a…b") && short.ends_with("bbb"));
    }

    #[test]
    fn a_row_says_its_name_and_figures_as_text() {
        let svg = rows(&RowPlot {
            rows: vec![Row {
                label: "<script>&\"".into(),
                figures: "12 ms".into(),
                marks: vec![Mark::Bar {
                    from: 0.0,
                    to: 2_000.0,
                    color: super::super::palette::FIRST,
                }],
            }],
            range: 0.0..100.0,
            scale: Scale::Linear,
            unit: |ms| format!("{ms} ms"),
            reference: Some((50.0, "target".into())),
        });
        assert!(svg.contains("&lt;script&gt;&amp;&quot;") && !svg.contains("<script"));
        assert!(svg.contains("12 ms") && svg.contains("target"));
        // Within the plot.
        let coordinates = svg
            .split(['"', ' ', ','])
            .filter_map(|number| number.parse::<i32>().ok());
        assert!(coordinates.max().unwrap() <= WIDTH.cast_signed());
    }
}
