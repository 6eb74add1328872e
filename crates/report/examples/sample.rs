//! Prints a made-up report, or with `history` its history: `sample MODULES`, `sample history DAYS`. For looking at what
//! the formats make of it.

use report::sample;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments
        .next()
        .ok_or("usage: sample MODULES | sample history DAYS")?;
    if first == "history" {
        let days = arguments.next().ok_or("usage: sample history DAYS")?;
        for line in sample::history(days.parse()?) {
            println!("{}", serde_json::to_string(&line)?);
        }
    } else {
        println!(
            "{}",
            serde_json::to_string_pretty(&sample::report(first.parse()?))?
        );
    }
    Ok(())
}
