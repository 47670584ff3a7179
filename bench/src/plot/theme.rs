//! How pictures look: sizes of letters, and colours for light and for dark surroundings.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width of every picture.
pub(crate) const WIDTH: u32 = 840;
pub(crate) const FONT: &str = "sans-serif";
/// Sizes of letters: a picture's name, a line below it, and what stands at axes and in legends.
pub(crate) const TITLE: u32 = 25;
pub(crate) const LINE: u32 = 18;
pub(crate) const LABEL: u32 = 18;

pub(crate) const PAPER: RGBColor = WHITE;
/// Letters and axes.
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x2b, 0x38);
/// Lines behind what is shown.
pub(crate) const FAINT: RGBColor = RGBColor(0xd5, 0xda, 0xe1);
/// What stands back behind the others.
pub(crate) const GREY: RGBColor = RGBColor(0x6e, 0x77, 0x81);
/// What is shown, in this order.
pub(crate) const COLORS: [RGBColor; 5] = [
    RGBColor(0x1f, 0x6f, 0xd6),
    RGBColor(0xb4, 0x53, 0x09),
    RGBColor(0x1a, 0x7f, 0x37),
    RGBColor(0x8a, 0x3f, 0xb8),
    RGBColor(0xc2, 0x3b, 0x4e),
];
/// Each colour, and what it becomes where the surroundings are dark.
const DARK: [(RGBColor, RGBColor); 9] = [
    (PAPER, RGBColor(0x0d, 0x11, 0x17)),
    (INK, RGBColor(0xe6, 0xed, 0xf3)),
    (FAINT, RGBColor(0x30, 0x36, 0x3d)),
    (GREY, RGBColor(0x9a, 0xa4, 0xaf)),
    (COLORS[0], RGBColor(0x58, 0xa6, 0xff)),
    (COLORS[1], RGBColor(0xf0, 0x88, 0x3e)),
    (COLORS[2], RGBColor(0x3f, 0xb9, 0x50)),
    (COLORS[3], RGBColor(0xbc, 0x8c, 0xff)),
    (COLORS[4], RGBColor(0xff, 0x7b, 0x72)),
];

/// A picture, or a part of one.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Height of [`heading`].
pub(crate) const HEADING: u32 = 66;

/// What went wrong while something was drawn.
pub(crate) fn failed(error: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot be drawn: {error}")
}

/// A picture's name and a line about it; what is below them.
pub(crate) fn heading<'a>(root: &Area<'a>, title: &str, line: &str) -> anyhow::Result<Area<'a>> {
    let centre = |size: u32| (FONT, size).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
    for (text, size, top) in [(title, TITLE, 14), (line, LINE, 44)] {
        root.draw_text(text, &centre(size), (WIDTH as i32 / 2, top)).map_err(|error| failed(&error))?;
    }
    Ok(root.split_vertically(HEADING).1)
}

/// Writes a picture of this height, once `draw` has drawn it on paper.
///
/// # Errors
/// What `draw` says, or the file cannot be written.
pub(crate) fn write(
    path: &Path,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // What cannot be written is not worth drawing.
    std::fs::write(path, []).context("cannot be written")?;
    Ok(std::fs::write(path, svg(height, draw)?)?)
}

/// The picture that [`write()`] writes.
///
/// # Errors
/// What `draw` says.
pub(crate) fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> anyhow::Result<()>) -> anyhow::Result<String> {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    root.fill(&PAPER).map_err(|error| failed(&error))?;
    draw(&root)?;
    root.present().map_err(|error| failed(&error))?;
    drop(root);
    // Rules of a style sheet win over attributes, which are what the backend writes.
    let begin = svg.find('>').map_or(0, |end| end + 1);
    svg.insert_str(begin, &style());
    Ok(svg)
}

fn hex(color: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

/// A style sheet that changes the colours where the reader's surroundings are dark.
fn style() -> String {
    let mut style = "\n<style>\n@media (prefers-color-scheme: dark) {\n".to_owned();
    for (light, dark) in DARK {
        let (light, dark) = (hex(light), hex(dark));
        let _ = writeln!(style, "[fill=\"{light}\"] {{ fill: {dark} }} [stroke=\"{light}\"] {{ stroke: {dark} }}");
    }
    style + "}\n</style>"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, "relative luminance".
    fn luminance(color: RGBColor) -> f64 {
        let linear = |part: u8| match f64::from(part) / 255.0 {
            part if part <= 0.04045 => part / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(color.0) + 0.7152 * linear(color.1) + 0.0722 * linear(color.2)
    }

    #[test]
    fn everything_but_the_lines_behind_stands_out_in_light_and_in_dark() {
        for (light, dark) in DARK.into_iter().filter(|(light, _)| ![PAPER, FAINT].contains(light)) {
            for (color, paper) in [(light, PAPER), (dark, DARK[0].1)] {
                let [one, other] = [color, paper].map(|color| luminance(color) + 0.05);
                let contrast = one.max(other) / one.min(other);
                assert!(contrast >= 4.5, "{color:?} on {paper:?}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn every_colour_that_is_drawn_has_its_dark_one() {
        let all = COLORS.into_iter().chain([PAPER, INK, FAINT, GREY]);
        assert!(all.clone().all(|color| DARK.iter().any(|(light, _)| *light == color)));
        let drawn = svg(100, |root| {
            all.clone().try_for_each(|color| root.draw_pixel((1, 1), &color)).map_err(|error| failed(&error))
        });
        let drawn = drawn.expect("draws");
        assert!(drawn.starts_with("<svg") && drawn.contains("prefers-color-scheme: dark"), "{drawn}");
        assert!(all.clone().all(|color| drawn.contains(&format!("[fill=\"{}\"]", hex(color)))), "{drawn}");
    }
}
