//! The page's colours, each for a light and a dark screen.
//!
//! plotters writes colours into the SVG. It is given the light ones; the style sheet finds them there by their value
//! and puts variables in their place, which follow the reader's setting. So each has to be different from the others.
//! The three series are told apart by the colour-blind, too.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// A colour.
#[derive(Debug, Clone, Copy)]
pub struct Color {
    name: &'static str,
    /// For a light screen.
    pub light: RGBColor,
    dark: RGBColor,
}

pub const INK: Color = color("ink", 0x1F_2328, 0xE6_EDF3);
pub const MUTED: Color = color("muted", 0x59_636E, 0x9D_A7B3);
pub const LINE: Color = color("line", 0xD8_DEE4, 0x30_363D);
pub const FIRST: Color = color("first", 0x00_72B2, 0x4D_A3E0);
pub const SECOND: Color = color("second", 0xC6_5100, 0xF0_883E);
pub const THIRD: Color = color("third", 0x00_8A63, 0x2F_C79B);
const PAGE: Color = color("page", 0xFF_FFFF, 0x0D_1117);

const ALL: [Color; 7] = [INK, MUTED, LINE, FIRST, SECOND, THIRD, PAGE];

const fn color(name: &'static str, light: u32, dark: u32) -> Color {
    Color {
        name,
        light: rgb(light),
        dark: rgb(dark),
    }
}

const fn rgb(hex: u32) -> RGBColor {
    let [_, red, green, blue] = hex.to_be_bytes();
    RGBColor(red, green, blue)
}

/// The variables, and the rules that put them into SVG.
pub fn style_sheet() -> String {
    let (mut light, mut dark, mut rules) = (String::new(), String::new(), String::new());
    // Writing to a string cannot fail.
    for color in ALL {
        let name = color.name;
        let value = hex(color.light);
        let _ = write!(light, "--{name}:{value};");
        let _ = write!(dark, "--{name}:{};", hex(color.dark));
        for property in ["fill", "stroke"] {
            let _ = writeln!(
                rules,
                "svg [{property}=\"{value}\"]{{{property}:var(--{name})}}"
            );
        }
    }
    format!(
        ":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}"
    )
}

/// As plotters writes it.
fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let values: BTreeSet<_> = ALL.iter().map(|color| hex(color.light)).collect();
        assert_eq!(values.len(), ALL.len());
    }
}
