//! A figure's canvas: lines, rectangles, paths and text in SVG, with colours for light and dark pages.
//!
//! A figure brings its own background, because a code host may show its dark page to a browser that asks for light
//! pictures.

use std::fmt::Write as _;

use super::words::{shorten, xml};

/// The width of every figure in pixels.
pub(super) const WIDTH: f64 = 900.0;

const STYLE: &str = "
  text { font: 11px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .page { fill: #ffffff }
  .heading { font-size: 15px; font-weight: 600 }
  .quiet { fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .axis { stroke: #59636e; stroke-width: 1 }
  .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
  .area { stroke: none; opacity: 0.22 }
  .s0 { stroke: #0969da } .f0 { fill: #0969da }
  .s1 { stroke: #bc4c00; stroke-dasharray: 7 3 } .f1 { fill: #bc4c00 }
  .s2 { stroke: #1a7f37; stroke-dasharray: 2 3 } .f2 { fill: #1a7f37 }
  .s3 { stroke: #59636e; stroke-dasharray: 9 3 2 3 } .f3 { fill: #59636e }
  .solid { stroke-dasharray: none }
  .marker { stroke: #8250df; stroke-width: 1; opacity: 0.55 }
  .dot { fill: #8250df }
  .label { fill: #6639ba }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .page { fill: #0d1117 }
    .quiet { fill: #9198a1 }
    .grid { stroke: #2f3742 }
    .axis { stroke: #9198a1 }
    .s0 { stroke: #58a6ff } .f0 { fill: #58a6ff }
    .s1 { stroke: #f0883e } .f1 { fill: #f0883e }
    .s2 { stroke: #3fb950 } .f2 { fill: #3fb950 }
    .s3 { stroke: #9198a1 } .f3 { fill: #9198a1 }
    .marker { stroke: #be8fff }
    .dot { fill: #be8fff }
    .label { fill: #d2a8ff }
  }
";

/// Which end of a text its position is.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A point: right and down from the upper left corner.
pub(super) type Point = (f64, f64);

/// A figure being drawn.
pub(super) struct Svg {
    height: f64,
    title: String,
    body: String,
}

impl Svg {
    /// An empty page with a heading.
    pub(super) fn new(title: &str, height: f64) -> Self {
        let mut svg = Self { height, title: title.to_owned(), body: String::new() };
        svg.rect("page", (0.0, 0.0), (WIDTH, height));
        svg.text("heading", (16.0, 24.0), Anchor::Start, &shorten(title, 100));
        svg
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): Point, (x2, y2): Point) {
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// From its upper left corner.
    pub(super) fn rect(&mut self, class: &str, (x, y): Point, (width, height): Point) {
        self.push(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        ));
    }

    pub(super) fn dot(&mut self, class: &str, (x, y): Point) {
        self.push(format_args!(r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3.2"/>"#));
    }

    /// Straight lines through the points.
    pub(super) fn path(&mut self, class: &str, points: &[Point]) {
        let mut drawn = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let _infallible = write!(drawn, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
        }
        if !drawn.is_empty() {
            self.push(format_args!(r#"<path class="{class}" d="{drawn}"/>"#));
        }
    }

    /// An empty text is not drawn.
    pub(super) fn text(&mut self, class: &str, (x, y): Point, anchor: Anchor, text: &str) {
        if text.is_empty() {
            return;
        }
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = xml(text);
        self.push(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    /// The whole file.
    pub(super) fn finish(self) -> String {
        let Self { height, title, body } = self;
        let title = xml(&title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n{body}</svg>\n"
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _infallible = writeln!(self.body, "{element}");
    }
}
