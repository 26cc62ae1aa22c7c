//! QR codes, for the terminal and as SVG: the only user of `fast_qr`.

use fast_qr::convert::Builder as _;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder, QRCode};

/// Light modules around the code, without which readers do not find it (ISO/IEC 18004).
const QUIET: usize = 4;

/// A QR code, ready to be drawn.
pub(crate) struct Qr(Box<QRCode>);

/// The text is longer than a QR code can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Qr {
    /// The code of a text.
    pub(crate) fn of(text: &str) -> Result<Self, TooLong> {
        let code = QRBuilder::new(text).ecl(ECL::M).build().map_err(|_| TooLong)?;
        Ok(Self(Box::new(code)))
    }

    /// Lines for a terminal, two rows of modules in each. With colours it is black on white; without, what is light is drawn,
    /// as for a dark terminal.
    pub(crate) fn lines(&self, colour: bool) -> Vec<String> {
        let side = self.0.size + 2 * QUIET;
        let line = |top: usize| {
            let drawn: String =
                (0..side).map(|x| block(self.is_dark(x, top), self.is_dark(x, top + 1))).collect();
            if colour { format!("\x1b[97;40m{drawn}\x1b[0m") } else { drawn }
        };
        (0..side).step_by(2).map(line).collect()
    }

    /// An SVG document, black on white.
    pub(crate) fn svg(&self) -> String {
        SvgBuilder::default().margin(QUIET).to_str(&self.0)
    }

    /// Whether the module is dark, counted with the quiet zone; outside of it nothing is drawn.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.0.size);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => self.0[y][x].value(),
            // The last line of an odd number of rows has nothing below.
            _ => y >= self.0.size + 2 * QUIET,
        }
    }
}

/// Two modules above each other, of which the light ones are drawn.
const fn block(top_is_dark: bool, bottom_is_dark: bool) -> char {
    match (top_is_dark, bottom_is_dark) {
        (false, false) => '█',
        (false, true) => '▀',
        (true, false) => '▄',
        (true, true) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTcg";

    /// The modules of the drawn lines, light ones as 255, four pixels wide each.
    fn read_back(lines: &[String]) -> String {
        let rows: Vec<Vec<bool>> = lines
            .iter()
            .flat_map(|line| {
                let upper = line.chars().map(|c| matches!(c, '█' | '▀')).collect();
                let lower = line.chars().map(|c| matches!(c, '█' | '▄')).collect();
                [upper, lower]
            })
            .collect();
        let (width, height) = (rows[0].len() * 4, rows.len() * 4);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            if rows[y / 4][x / 4] { 255 } else { 0 }
        });
        let grids = image.detect_grids();
        grids[0].decode().unwrap().1
    }

    #[test]
    fn s20_what_is_drawn_decodes_to_the_same_text() {
        for text in [TEXT, "a", &"x".repeat(500)] {
            let qr = Qr::of(text).unwrap();
            assert_eq!(read_back(&qr.lines(false)), text);
            let coloured = qr.lines(true);
            assert!(coloured.iter().all(|line| line.starts_with("\x1b[97;40m") && line.ends_with("\x1b[0m")));
        }
    }

    #[test]
    fn the_svg_is_one_document_and_a_text_that_is_too_long_is_said_to_be() {
        let svg = Qr::of(TEXT).unwrap().svg();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(Qr::of(&"x".repeat(4_000)).is_err());
    }
}
