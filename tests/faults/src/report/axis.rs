//! Axes: which round numbers to name, and where a value lies.

use super::svg::{Anchor, Point, Svg};
use super::words::grouped;

/// A range of values on a range of pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// The values at both ends; they differ.
    pub(super) values: (f64, f64),
    /// Where these are.
    pub(super) pixels: (f64, f64),
}

impl Scale {
    /// Where `value` lies; beyond an end it lies at that end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = ((value - self.values.0) / (self.values.1 - self.values.0)).clamp(0.0, 1.0);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }
}

/// The box that a curve is drawn in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// From left to right.
    pub(super) x: Scale,
    /// From the bottom upwards.
    pub(super) y: Scale,
}

impl Panel {
    pub(super) fn point(&self, x: f64, y: f64) -> Point {
        (self.x.at(x), self.y.at(y))
    }

    /// Rules at values of the vertical axis, and their names.
    pub(super) fn draw_y(&self, svg: &mut Svg, ticks: &[(f64, String)]) {
        let (left, right) = self.x.pixels;
        for (value, name) in ticks {
            let y = self.y.at(*value);
            svg.line("grid", (left, y), (right, y));
            svg.text("quiet", (left - 6.0, y + 4.0), Anchor::End, name);
        }
        let bottom = self.y.pixels.0;
        svg.line("axis", (left, bottom), (right, bottom));
    }

    /// The named values of the horizontal axis, and what that axis counts, below it.
    pub(super) fn draw_x(&self, svg: &mut Svg, ticks: &[(f64, String)], unit: &str) {
        let bottom = self.y.pixels.0;
        for (value, name) in ticks {
            let x = self.x.at(*value);
            svg.line("axis", (x, bottom), (x, bottom + 4.0));
            svg.text("quiet", (x, bottom + 17.0), Anchor::Middle, name);
        }
        let (left, right) = self.x.pixels;
        svg.text("", (left.midpoint(right), bottom + 34.0), Anchor::Middle, unit);
    }
}

/// Round values from 0 to the first that is not below `most`, about `count` of them and at least `least` apart.
pub(super) fn ticks(most: f64, count: f64, least: f64) -> Vec<(f64, String)> {
    let rough = (most / count).max(least);
    let power = 10_f64.powf(rough.log10().floor());
    // A rough step that is a round number already must not be lifted by its rounding.
    let factor =
        [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999_999).unwrap_or(10.0);
    let step = factor * power;
    let digits = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
    let mut ticks = Vec::new();
    let mut value = 0.0;
    loop {
        ticks.push((value, grouped(&format!("{value:.digits$}"))));
        if value >= most {
            return ticks;
        }
        value += step;
    }
}
