//! What the lab's drawings share.

/// The beginning of an SVG that can be read on light and on dark pages. `label` says what it shows to
/// who cannot see it; `style` is what it needs beside the usual classes.
pub fn begin(width: f64, height: f64, label: &str, style: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{label}\">\n\
         <style>{STYLE}{style}</style>\n"
    )
}

/// Its end.
pub const END: &str = "</svg>\n";

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:13px}\
.note{font-weight:400;fill:#6e7781}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#8d96a0}}";
