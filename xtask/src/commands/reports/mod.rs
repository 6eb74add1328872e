//! reports.

pub mod gate;
pub mod report;
pub mod report_schema;
